"""Where things are: Google's APIs, and the folder that the app and its workers share."""

import os
import re
import secrets
import shutil
from contextlib import suppress
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

LEAVING = ".leaving"
_NAME = re.compile(r"[A-Za-z0-9-]{1,80}")


@dataclass(frozen=True)
class Folder:
    """
    What the app keeps of its users' photos, in a folder for each grant.

    The app makes a user's folder, workers write only into one that is there. So when the app has
    taken it away, a step that is just at work leaves nothing behind. Workers on other machines need
    the same folder, shared; the improved pictures themselves are made again where they are missing.
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

    def open(self, grant: str) -> None:
        """A user is here, also one who was about to leave."""
        shutil.rmtree(self._leaving(grant), ignore_errors=True)
        self._of(grant).mkdir(parents=True, exist_ok=True)

    def close(self, grant: str) -> None:
        """
        A user leaves: what is here is moved, at one stroke, to where no worker writes.

        It is there until `forget`, and tells whoever starts the app after a crash who was leaving.
        """
        place = self._leaving(grant)
        while True:
            # What an earlier leave left may be forgotten just now, and the place with it.
            with suppress(FileNotFoundError, FileExistsError):
                place.mkdir(parents=True, exist_ok=True)
                self._of(grant).rename(place / secrets.token_hex(8))
            if not self._of(grant).exists():
                return

    def leaving(self) -> list[str]:
        """Grants of those who have left and are not forgotten yet."""
        return [path.name for path in (self.root / LEAVING).glob("*")]

    def forget(self, grant: str) -> None:
        """Delete all of a user's who has left."""
        shutil.rmtree(self._leaving(grant), ignore_errors=True)

    def _leaving(self, grant: str) -> Path:
        return self._of(grant).parent / LEAVING / grant

    def _of(self, *names: str) -> Path:
        if not all(_NAME.fullmatch(name) for name in names):
            raise ValueError("no id of ours")
        return self.root.joinpath(*names)
