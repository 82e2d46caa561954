"""Where things are: Google's APIs, and the folder that the app and its workers share."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from grantkeeper.google.drive import DRIVE
from grantkeeper.google.photos import PHOTOS
from grantkeeper.google.picker import PICKER

PICKING = "https://www.googleapis.com/auth/photospicker.mediaitems.readonly"
ADDING = "https://www.googleapis.com/auth/photoslibrary.appendonly"
READING = "https://www.googleapis.com/auth/photoslibrary.readonly.appcreateddata"
EXPORT = "https://www.googleapis.com/auth/drive.appdata"

EMULATOR = os.environ.get("PHOTOS_GOOGLE", "").rstrip("/")
"""An emulator in the place of Google."""

PICKER_API = f"{EMULATOR}/photospicker/v1" if EMULATOR else PICKER
PHOTOS_API = f"{EMULATOR}/photoslibrary/v1" if EMULATOR else PHOTOS
DRIVE_API = EMULATOR or DRIVE

_NAME = re.compile(r"[A-Za-z0-9-]{1,80}")


@dataclass(frozen=True)
class Folder:
    """
    What the app keeps of its users' photos, in a folder for each grant.

    Workers on other machines need it as a shared folder for the previews; the improved pictures
    themselves are made again where they are missing.
    """

    root: Path

    @classmethod
    def here(cls) -> "Folder":
        """The one that ``PHOTOS_FOLDER`` names."""
        return cls(Path(os.environ.get("PHOTOS_FOLDER", "photos-data")))

    def work(self, grant: str, job: str) -> Path:
        """Where a job keeps what it is at; gone when it is done."""
        return self._of(grant, job) / "work"

    def previews(self, grant: str, job: str) -> Path:
        """Small pictures for the page of results."""
        return self._of(grant, job) / "previews"

    def forget(self, grant: str) -> None:
        """Delete all of a user's."""
        shutil.rmtree(self._of(grant), ignore_errors=True)

    def _of(self, *names: str) -> Path:
        if not all(_NAME.fullmatch(name) for name in names):
            raise ValueError("no id of ours")
        return self.root.joinpath(*names)
