"""
Drive's files as the emulator keeps them: one drive per user, one hidden folder per user and project.

This is a dictionary with Drive's own arithmetic (ids, versions, quota). Who may see or change a file is
decided in `drive_files`, how it looks in JSON in `drive_resources`.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from grantkeeper.emulator.apis_pages import Pages

DRIVE = "drive"
APP_DATA = "appDataFolder"
SPACES = (DRIVE, APP_DATA)
FOLDER = "application/vnd.google-apps.folder"
NATIVE_PREFIX = "application/vnd.google-apps."

_FREE_QUOTA = 15 * 1024**3


@dataclass(frozen=True)
class Permission:
    """What a file was shared as: `type` is user, group, domain or anyone; `who` the address or domain."""

    id: str
    type: str
    role: str
    who: str | None = None


@dataclass(frozen=True)
class DriveFile:
    """
    A file or folder.

    `project` made it, which is what `drive.file` and the application data folder go by. `content` is None
    for what has no bytes of its own: folders. `app_properties` are kept per project, because an app sees
    its own only.
    """

    id: str
    owner: str
    owner_email: str
    project: str
    space: str
    name: str
    mime_type: str
    parent: str | None
    created_time: datetime
    modified_time: datetime
    version: int = 1
    content: bytes | None = field(default=None, repr=False)
    revision: str | None = None
    original_filename: str | None = None
    description: str | None = None
    folder_color: str | None = None
    starred: bool = False
    trashed: bool = False
    explicitly_trashed: bool = False
    permissions: tuple[Permission, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    app_properties: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        return self.mime_type == FOLDER

    @property
    def is_native(self) -> bool:
        """A document of Google's own editors (or a folder): it is exported, never downloaded."""
        return self.mime_type.startswith(NATIVE_PREFIX)

    @property
    def size(self) -> int:
        return len(self.content) if self.content is not None else 0

    def checksum(self, algorithm: str) -> str:
        return hashlib.new(algorithm, self.content or b"", usedforsecurity=False).hexdigest()


class QuotaExceeded(Exception):
    """The user's drive is full."""


class DriveStore:
    """The drives of all users."""

    def __init__(self, quota: int = _FREE_QUOTA) -> None:
        self.quota = quota
        self.forget()

    def forget(self) -> None:
        """Begin again with empty drives."""
        self._files: dict[str, DriveFile] = {}
        self._reserved: dict[str, tuple[str, str]] = {}
        self._roots: dict[tuple[str, str], str] = {}
        self._version = 0
        self.pages = Pages()

    def new_id(self) -> str:
        return "1" + secrets.token_urlsafe(24)

    def reserve(self, owner: str, space: str, count: int) -> list[str]:
        """Ids that *owner* may use for files made later in *space* (`files.generateIds`)."""
        ids = [self.new_id() for _ in range(count)]
        self._reserved.update(dict.fromkeys(ids, (owner, space)))
        return ids

    def reserved_for(self, file_id: str) -> tuple[str, str] | None:
        """The owner and space an unused generated id was made for."""
        return self._reserved.get(file_id)

    def root(self, owner: str, email: str, project: str, space: str, now: datetime) -> DriveFile:
        """
        The top folder of a space: "My Drive", or the project's own hidden folder, made when first asked for.
        """
        key = (owner, project if space == APP_DATA else "")
        known = self._roots.get(key)
        if known is None or known not in self._files:
            folder = DriveFile(
                id=self.new_id() if space == APP_DATA else "0A" + secrets.token_urlsafe(12) + "PVA",
                owner=owner,
                owner_email=email,
                project=project if space == APP_DATA else "",
                space=space,
                name="Application Data" if space == APP_DATA else "My Drive",
                mime_type=FOLDER,
                parent=None,
                created_time=now,
                modified_time=now,
            )
            self._roots[key] = folder.id
            self._files[folder.id] = folder
            return folder
        return self._files[known]

    def get(self, owner: str, file_id: str) -> DriveFile | None:
        """The file of that id, if it is in this user's drive."""
        file = self._files.get(file_id)
        return file if file is not None and file.owner == owner else None

    def owned(self, owner: str) -> Iterator[DriveFile]:
        """Everything in the user's drive except the top folders."""
        return (file for file in self._files.values() if file.owner == owner and file.parent is not None)

    def in_use(self, file_id: str) -> bool:
        return file_id in self._files

    def used(self, owner: str) -> int:
        """Bytes that count against the user's quota, the hidden folders included."""
        return sum(file.size for file in self.owned(owner))

    def save(self, file: DriveFile) -> DriveFile:
        """
        Keep *file* under the next version number.

        Raises:
            QuotaExceeded: It does not fit. Nothing was changed.
        """
        before = self._files.get(file.id)
        grown = file.size - (before.size if before is not None else 0)
        if grown > 0 and self.used(file.owner) + grown > self.quota:
            raise QuotaExceeded
        self._version += 1
        kept = replace(file, version=self._version)
        self._files[kept.id] = kept
        self._reserved.pop(kept.id, None)
        return kept

    def children(self, folder: DriveFile) -> list[DriveFile]:
        return [file for file in self._files.values() if file.parent == folder.id]

    def remove(self, file: DriveFile) -> None:
        """Delete for good, a folder with everything in it."""
        for child in self.children(file):
            self.remove(child)
        del self._files[file.id]

    def inside(self, file: DriveFile, folder_id: str) -> bool:
        """Whether *file* is that folder or somewhere below it."""
        current: DriveFile | None = file
        while current is not None:
            if current.id == folder_id:
                return True
            current = self._files.get(current.parent) if current.parent is not None else None
        return False
