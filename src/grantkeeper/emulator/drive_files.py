"""
What an app may do with a user's files: Drive's rules, between the routes and the store.

A token sees the spaces its scopes open. `drive.appdata` opens the hidden folder of the app's own project,
`drive.file` the files that project made, `drive` all of them, the read-only scopes all of them to look at.
What is not visible is not found.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from grantkeeper.emulator import drive_errors as errors
from grantkeeper.emulator.bearer import Access
from grantkeeper.emulator.drive_methods import (
    DRIVE_FULL,
    DRIVE_METADATA,
    DRIVE_METADATA_READONLY,
    DRIVE_READONLY,
)
from grantkeeper.emulator.drive_resources import (
    BINARY,
    Metadata,
    changed,
    file_resource,
    media_type,
)
from grantkeeper.emulator.drive_store import (
    APP_DATA,
    DRIVE,
    DriveFile,
    DriveStore,
    Permission,
    QuotaExceeded,
)
from grantkeeper.emulator.records import User
from grantkeeper.emulator.scopes import DRIVE_APPDATA, DRIVE_FILE

#: Names that stand for a top folder. The guide still writes `appfolder`.
ALIASES = {"root": DRIVE, "appDataFolder": APP_DATA, "appfolder": APP_DATA}

_LOOKING = frozenset({DRIVE_FULL, DRIVE_READONLY, DRIVE_METADATA, DRIVE_METADATA_READONLY})


@dataclass(frozen=True)
class Media:
    """Content that came with a request, and the type its part was declared to have."""

    content: bytes
    declared_type: str | None = None


class Desk:
    """One caller's view of one user's drive, for the length of a request."""

    def __init__(self, store: DriveStore, access: Access, user: User, now: datetime) -> None:
        self._store = store
        self._access = access
        self._user = user
        self._now = now

    @property
    def user(self) -> User:
        return self._user

    def resource(self, file: DriveFile) -> dict[str, Any]:
        return file_resource(file, self._user, self._access.project)

    # What the token opens

    def sees(self, file: DriveFile) -> bool:
        return file.owner == self._access.sub and (
            self._writes(file) or (file.space == DRIVE and not self._access.scopes.isdisjoint(_LOOKING))
        )

    def _writes(self, file: DriveFile) -> bool:
        ours = file.project == self._access.project
        if file.space == APP_DATA:
            return ours and DRIVE_APPDATA in self._access.scopes
        return DRIVE_FULL in self._access.scopes or (ours and DRIVE_FILE in self._access.scopes)

    def opens_space(self, space: str) -> bool:
        """
        Whether this token may ask for a space at all.

        Asking for the drive without a scope for it is no error: it is just empty. Asking for the hidden
        space is one.
        """
        return space != APP_DATA or DRIVE_APPDATA in self._access.scopes

    def top(self, space: str) -> DriveFile:
        access = self._access
        return self._store.root(access.sub, access.email, access.project, space, self._now)

    def aliases(self) -> dict[str, str]:
        """The alias names with the ids they stand for, as far as this token may use them."""
        return {name: self.top(space).id for name, space in ALIASES.items() if self.opens_space(space)}

    # Looking

    def find(self, file_id: str) -> DriveFile:
        """
        The file of that id or alias.

        Raises:
            ApiError: 404 for what this token does not see, 403 for the alias of a space it does not open.
        """
        space = ALIASES.get(file_id)
        if space == APP_DATA and not self.opens_space(space):
            raise errors.scope_missing(
                "The granted scopes do not allow use of the Application Data folder.", DRIVE_APPDATA
            )
        file = self.top(space) if space is not None else self._store.get(self._access.sub, file_id)
        if file is None or not self.sees(file):
            raise errors.file_not_found(file_id)
        return file

    def find_content(self, file_id: str) -> DriveFile:
        """
        The file of that id, to read its content.

        Raises:
            ApiError: As `find`; 403 when this token may read only metadata.
        """
        file = self.find(file_id)
        if not self._writes(file) and DRIVE_READONLY not in self._access.scopes:
            raise errors.app_not_authorized(file.id, self._access.project, "read")
        return file

    def visible(self, spaces: Iterable[str]) -> list[DriveFile]:
        """
        Every file of the spaces that this token sees.

        Raises:
            ApiError: 403, a space needs a scope the token has not.
        """
        wanted = frozenset(spaces)
        if not all(self.opens_space(space) for space in wanted):
            raise errors.scope_missing(
                "The granted scopes do not give access to all of the requested spaces.", DRIVE_APPDATA
            )
        owned = self._store.owned(self._access.sub)
        return [file for file in owned if file.space in wanted and self.sees(file)]

    def used(self) -> tuple[int, int]:
        """Bytes used in all, and by what lies in the bin."""
        binned = sum(file.size for file in self._store.owned(self._access.sub) if file.trashed)
        return self._store.used(self._access.sub), binned

    # Changing

    def reserve(self, space: str, count: int) -> list[str]:
        if not self.opens_space(space):
            raise errors.scope_missing(
                "The granted scopes do not give access to all of the requested spaces.", DRIVE_APPDATA
            )
        return self._store.reserve(self._access.sub, space, count)

    def check_create(self, metadata: Metadata) -> DriveFile:
        """
        Whether a file could be made so; a resumable upload is refused before its content is sent.

        Returns:
            The folder it goes to.
        """
        return self._place(metadata, "root")

    def create(self, metadata: Metadata, media: Media | None) -> DriveFile:
        folder = self.check_create(metadata)
        if folder.space == APP_DATA and metadata.changes.get("trashed"):
            raise errors.not_for_app_data()
        name = metadata.name or "Untitled"
        new = DriveFile(
            id=metadata.id or self._store.new_id(),
            owner=self._access.sub,
            owner_email=self._access.email,
            project=self._access.project,
            space=folder.space,
            name=name,
            mime_type=media_type(metadata, media.declared_type, name) if media is not None else BINARY,
            parent=folder.id,
            created_time=self._now,
            modified_time=self._now,
            original_filename=name,
        )
        new = changed(new, metadata, self._access.project)
        if media is not None:
            new = self._filled(new, media)
        elif not new.is_native:
            new = self._filled(new, Media(b""))
        return self._saved(replace(new, explicitly_trashed=new.trashed))

    def check_update(self, file_id: str, metadata: Metadata, *, with_media: bool) -> DriveFile:
        """Whether the file may be changed so; returns it as it is."""
        file = self.find(file_id)
        if not self._writes(file) and (with_media or DRIVE_METADATA not in self._access.scopes):
            raise errors.app_not_authorized(file.id, self._access.project, "write")
        if file.space == APP_DATA and (file.parent is None or metadata.changes.get("trashed")):
            raise errors.not_for_app_data()
        if file.parent is None:
            raise errors.top_folder()
        if with_media and file.is_folder:
            raise errors.bad_request("A folder has no content.")
        return file

    def update(
        self,
        file_id: str,
        metadata: Metadata,
        media: Media | None,
        add_parents: tuple[str, ...] = (),
        remove_parents: tuple[str, ...] = (),
    ) -> DriveFile:
        file = self.check_update(file_id, metadata, with_media=media is not None)
        parent = self._moved(file, add_parents, remove_parents)
        new = replace(file, parent=parent, modified_time=self._now)
        new = changed(new, metadata, self._access.project)
        if media is not None:
            if metadata.mime_type is None and not file.is_native:
                declared = media_type(metadata, media.declared_type, "")
                new = replace(new, mime_type=file.mime_type if declared == BINARY else declared)
            new = self._filled(new, media)
        new = self._saved(replace(new, explicitly_trashed=new.trashed))
        if new.trashed != file.trashed:
            self._follow(new)
        return new

    def delete(self, file_id: str) -> None:
        file = self.find(file_id)
        if not self._writes(file):
            raise errors.app_not_authorized(file.id, self._access.project, "write")
        if file.parent is None:
            raise errors.not_for_app_data() if file.space == APP_DATA else errors.top_folder()
        self._store.remove(file)

    def copy(self, file_id: str, metadata: Metadata) -> DriveFile:
        file = self.find_content(file_id)
        if file.is_folder:
            raise errors.not_copyable()
        folder = self._place(metadata, file.parent or "root")
        if folder.space != file.space:
            raise errors.not_for_app_data()
        copied = replace(
            file,
            id=metadata.id or self._store.new_id(),
            name=metadata.name or f"Copy of {file.name}",
            project=self._access.project,
            parent=folder.id,
            created_time=self._now,
            modified_time=self._now,
            starred=False,
            permissions=(),
        )
        copied = changed(copied, metadata, self._access.project)
        if file.content is not None:
            copied = self._filled(copied, Media(file.content))
        return self._saved(copied)

    def share(self, file_id: str, permission: Permission) -> Permission:
        file = self.find(file_id)
        if file.space == APP_DATA:
            raise errors.not_for_app_data()
        if not self._writes(file):
            raise errors.app_not_authorized(file.id, self._access.project, "write")
        others = tuple(known for known in file.permissions if known.id != permission.id)
        self._saved(replace(file, permissions=(*others, permission)))
        return permission

    def _place(self, metadata: Metadata, default: str) -> DriveFile:
        """The folder a new file goes to; its id, if it brings one, must be for that space and unused."""
        if len(metadata.parents) > 1:
            raise errors.invalid("parents", "A file has one parent folder.")
        folder = self._folder(metadata.parents[0] if metadata.parents else default)
        if metadata.id is not None:
            if self._store.in_use(metadata.id):
                raise errors.id_in_use()
            if self._store.reserved_for(metadata.id) != (self._access.sub, folder.space):
                raise errors.id_not_usable()
        return folder

    def _folder(self, folder_id: str) -> DriveFile:
        """A folder to put something into; writing into one takes more than seeing it."""
        space = ALIASES.get(folder_id)
        if space == DRIVE:
            if self._access.scopes.isdisjoint({DRIVE_FULL, DRIVE_FILE}):
                raise errors.scope_missing(
                    "Insufficient Permission: Request had insufficient authentication scopes.",
                    f"{DRIVE_FULL} {DRIVE_FILE}",
                )
            return self.top(DRIVE)
        # Every app may put files into My Drive itself, also by its real id.
        if folder_id == self.top(DRIVE).id and DRIVE_FILE in self._access.scopes:
            return self.top(DRIVE)
        folder = self.find(folder_id)
        if not self._writes(folder):
            raise errors.app_not_authorized(folder.id, self._access.project, "write")
        if not folder.is_folder:
            raise errors.not_a_folder()
        return folder

    def _moved(self, file: DriveFile, add: tuple[str, ...], remove: tuple[str, ...]) -> str | None:
        """The parent after adding and removing; a file has one, so adding means leaving the old one."""
        if not add and not remove:
            return file.parent
        left = {self.find(folder).id for folder in remove}
        if len(add) > 1 or (add and file.parent not in left):
            raise errors.too_many_parents()
        if not add:
            return self.top(file.space).id if file.parent in left else file.parent
        folder = self._folder(add[0])
        if folder.space != file.space:
            raise errors.not_for_app_data()
        if self._store.inside(folder, file.id):
            raise errors.bad_request("A folder cannot be put into itself.")
        return folder.id

    def _follow(self, folder: DriveFile) -> None:
        """What lies in a binned folder is binned with it, and comes back with it."""
        for child in self._store.children(folder):
            if not child.explicitly_trashed:
                self._follow(self._saved(replace(child, trashed=folder.trashed)))

    def _filled(self, file: DriveFile, media: Media) -> DriveFile:
        return replace(file, content=media.content, revision="0B" + self._store.new_id()[1:] + "PQ")

    def _saved(self, file: DriveFile) -> DriveFile:
        try:
            return self._store.save(file)
        except QuotaExceeded as error:
            raise errors.quota_exceeded() from error
