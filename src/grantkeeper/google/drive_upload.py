"""
Content on its way to Drive: resumable uploads whose state outlives the process (google-facts 9.2).

Google's own client keeps an upload in memory, and sends anew what arrived before a cut.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from grantkeeper.errors import ApiMisbehaved, SealBroken
from grantkeeper.google.drive_files import FIELDS, DriveFile, file_of
from grantkeeper.google.places import trusted
from grantkeeper.google.session import Session, kept
from grantkeeper.google.uploading import CHUNK_SECONDS, Done, UploadGone
from grantkeeper.protocol import api
from grantkeeper.protocol.message import HttpResponse

_GONE = frozenset({404, 410})
_RANGE = re.compile(r"bytes=0-([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class DriveUpload:
    """
    An upload that was begun; JSON, so that a job can keep it in a step.

    Whoever has the address can write the content, with no token at all, for a week. It opens
    nothing else: neither another file nor this one's content. In a job it is
    closed, and opens in that job alone.

    Attributes:
        metadata: Of the file, for an upload that has to begin anew.
        replaces: Id of the file whose content it becomes; ``None``: a new file.
    """

    url: str = field(repr=False)
    size: int
    mime_type: str
    metadata: dict[str, Any] = field(default_factory=dict, repr=False)
    replaces: str | None = None

    def as_record(self) -> dict[str, Any]:
        """The same as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_record(cls, record: "DriveUpload | Mapping[str, Any]") -> "DriveUpload":
        """What `as_record` wrote down."""
        return record if isinstance(record, DriveUpload) else cls(**record)

    @property
    def file_id(self) -> str | None:
        """The id that the new file was given beforehand: what has it was made by this upload."""
        found = self.metadata.get("id") if self.replaces is None else None
        return found if isinstance(found, str) else None


class FileExists(Exception):
    """A new file's id is taken: an earlier try has made it."""


async def begin(
    session: Session,
    base: str,
    size: int,
    mime_type: str,
    metadata: Mapping[str, Any],
    *,
    replaces: str | None = None,
) -> DriveUpload:
    """
    Open an upload of *size* bytes.

    Raises:
        FileExists: ``metadata["id"]`` is taken.
    """
    query = urlencode({"uploadType": "resumable", "fields": FIELDS})
    path = "files" if replaces is None else f"files/{quote(replaces, safe='')}"
    upload = DriveUpload("", size, mime_type, dict(metadata), replaces)
    response = await session.request(
        "POST" if replaces is None else "PATCH",
        f"{base}/upload/drive/v3/{path}?{query}",
        headers={"x-upload-content-type": mime_type, "x-upload-content-length": str(size)},
        json=upload.metadata,
        # A repeated call leaves a session in which nothing arrives.
        idempotent=True,
        accept=_taken(upload),
    )
    if response.status == 409:
        raise FileExists
    url = await kept(session, trusted(response.headers.get("location"), base=base))
    return DriveUpload(url, size, mime_type, upload.metadata, replaces)


class DriveWire:
    """308, `Range` and `Content-Range`."""

    def __init__(self, session: Session, base: str, upload: DriveUpload) -> None:
        self._session = session
        self._base = base
        self._upload = upload

    async def begin(self) -> None:
        was = self._upload
        self._upload = await begin(
            self._session, self._base, was.size, was.mime_type, was.metadata, replaces=was.replaces
        )

    async def ask(self) -> int | Done[DriveFile]:
        if self._upload.size == 0:
            # There is no range of nothing to ask for; to send it again changes nothing.
            return await self.send(0, b"")
        return self._read(await self._put(f"bytes */{self._upload.size}"))

    async def send(self, offset: int, chunk: bytes) -> int | Done[DriveFile]:
        size = self._upload.size
        span = f"bytes {offset}-{offset + len(chunk) - 1}/{size}" if chunk else None
        return self._read(await self._put(span, chunk))

    async def _put(self, span: str | None, body: bytes = b"") -> HttpResponse:
        try:
            response = await self._session.request(
                "PUT",
                self._upload.url,
                headers={} if span is None else {"content-range": span},
                body=body,
                seconds=CHUNK_SECONDS,
                # A chunk that may have arrived is asked after, and never sent blindly.
                idempotent=not body,
                accept={308, *_GONE, *_taken(self._upload)},
            )
        except SealBroken:
            # Its job's key is gone, or is sealed under one that is.
            raise UploadGone from None
        if response.status in _GONE:
            raise UploadGone
        if response.status == 409:
            raise FileExists
        return response

    def _read(self, response: HttpResponse) -> int | Done[DriveFile]:
        if response.status != 308:
            file = file_of(api.api_object(response))
            if file.size is not None and file.size != self._upload.size:
                raise ApiMisbehaved("the file has another size than what was sent")
            return Done(file)
        header = response.headers.get("range")
        if header is None:
            return 0
        found = _RANGE.fullmatch(header.strip())
        if found is None:
            raise ApiMisbehaved("the answer's Range is not one")
        return int(found[1]) + 1


def _taken(upload: DriveUpload) -> frozenset[int]:
    return frozenset({409}) if upload.file_id is not None else frozenset()
