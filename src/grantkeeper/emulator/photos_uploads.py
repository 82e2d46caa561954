"""
Bytes on their way into a library: resumable uploads, and the upload tokens that finished ones become.

An upload's address is a capability, as Drive's is; here it lives one week as well (unconfirmed).
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from grantkeeper.emulator.photos_limits import UPLOAD_TOKEN_SECONDS

GRANULARITY = 262_144
"""Every chunk but the last is a multiple of this many bytes."""

SESSION_LIFE = timedelta(weeks=1)


class ChunkInvalid(ValueError):
    """A chunk does not fit. Nothing of it was kept."""


@dataclass(eq=False)
class Upload:
    """
    A resumable upload under way.

    Attributes:
        size: How many bytes were announced.
        status: What `X-Goog-Upload-Status` says.
    """

    id: str = field(repr=False)
    sub: str
    project: str
    size: int
    began_at: datetime
    received: bytearray = field(default_factory=bytearray, repr=False)
    status: Literal["active", "final", "cancelled"] = "active"

    def take(self, offset: int, chunk: bytes, *, last: bool, at_most: int | None = None) -> bool:
        """
        Keep a chunk.

        Args:
            offset: Where the sender says that it begins; it must be what has arrived so far.
            last: The sender says that this is the end.
            at_most: Keep no more bytes than this of the chunk: a server under load does that.

        Returns:
            Whether all bytes are here and the sender said so.

        Raises:
            ChunkInvalid: Nothing was kept.
        """
        here = len(self.received)
        if offset != here:
            raise ChunkInvalid(f"The chunk begins at byte {offset}, but {here} bytes have arrived.")
        if here + len(chunk) > self.size:
            raise ChunkInvalid(f"{self.size} bytes were announced, and more have come.")
        if last and here + len(chunk) != self.size:
            raise ChunkInvalid(f"{self.size} bytes were announced, but {here + len(chunk)} have come.")
        if not last and len(chunk) % GRANULARITY:
            raise ChunkInvalid(f"A chunk that is not the last is a multiple of {GRANULARITY} bytes.")
        self.received += chunk if at_most is None else chunk[:at_most]
        return last and len(self.received) == self.size


@dataclass(frozen=True)
class Uploaded:
    """What an upload token stands for."""

    sub: str
    project: str
    made_at: datetime
    content: bytes = field(repr=False)


class Uploads:
    """All uploads under way by id, and all finished ones by upload token until they are used."""

    def __init__(self) -> None:
        self._uploads: dict[str, Upload] = {}
        self._tokens: dict[str, Uploaded] = {}

    def forget(self) -> None:
        """Lose all of them."""
        self._uploads.clear()
        self._tokens.clear()

    def begin(self, sub: str, project: str, size: int, now: datetime) -> Upload:
        """A new upload of *size* bytes."""
        upload = Upload("ABg5" + secrets.token_urlsafe(48), sub, project, size, now)
        self._uploads[upload.id] = upload
        return upload

    def get(self, upload_id: str, now: datetime) -> Upload | None:
        """The upload, unless it is unknown or older than a week."""
        upload = self._uploads.get(upload_id)
        if upload is not None and now - upload.began_at >= SESSION_LIFE:
            del self._uploads[upload_id]
            return None
        return upload

    def drop(self, upload: Upload) -> None:
        """Forget an upload with all that has arrived."""
        self._uploads.pop(upload.id, None)

    def finish(self, token: str, uploaded: Uploaded) -> str:
        """Keep what has arrived under *token*."""
        self._tokens[token] = uploaded
        return token

    def find(self, token: str, sub: str, project: str, now: datetime) -> Uploaded | None:
        """What *token* stands for, unless it is used, a day old, or somebody else's."""
        uploaded = self._tokens.get(token)
        if uploaded is None or (uploaded.sub, uploaded.project) != (sub, project):
            return None
        if now - uploaded.made_at >= timedelta(seconds=UPLOAD_TOKEN_SECONDS):
            del self._tokens[token]
            return None
        return uploaded

    def use(self, token: str) -> None:
        """Spend *token*: it makes one item and no second."""
        del self._tokens[token]
