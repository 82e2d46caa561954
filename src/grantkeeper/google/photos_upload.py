"""
Bytes on their way to Google Photos: the Library API's two upload protocols (google-facts 9.3).

What comes of an upload is a token for `batchCreate`, good for a day. Neither is visible to the user
yet, so that an upload which is begun anew costs nothing but time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from grantkeeper.errors import ApiMisbehaved, SealBroken
from grantkeeper.google.content import Content, as_content
from grantkeeper.google.places import trusted
from grantkeeper.google.session import Session, kept
from grantkeeper.google.uploading import (
    CHUNK,
    CHUNK_SECONDS,
    GRANULARITY,
    Done,
    Told,
    UploadGone,
    deliver,
    whole_chunks,
)
from grantkeeper.protocol import api
from grantkeeper.protocol.message import HttpResponse

LARGEST_RAW = 20 * 1024 * 1024
"""Bytes that are better sent at once: a cut costs all of them."""

MOST_BYTES = 20 * 1024**3
"""Of a video; a photo has a hundredth at most."""

_GONE = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class PhotosUpload:
    """
    An upload that was begun; JSON, so that a job can keep it in a step.

    Whoever has the address, and a token of the same user, can go on with the upload. It holds
    no byte of the photo. In a job the address is closed, and opens in that job alone.

    Attributes:
        granularity: Every chunk but the last is a multiple of so many bytes.
    """

    url: str = field(repr=False)
    size: int
    mime_type: str
    granularity: int = GRANULARITY

    def as_record(self) -> dict[str, Any]:
        """The same as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_record(cls, record: "PhotosUpload | Mapping[str, Any]") -> "PhotosUpload":
        """What `as_record` wrote down."""
        return record if isinstance(record, PhotosUpload) else cls(**record)


async def send_raw(session: Session, base: str, source: bytes | BinaryIO | Content, mime_type: str) -> str:
    """
    Send all bytes in one request.

    It is idempotent: an upload token that is not used was never there.
    """
    content = as_content(source)
    response = await session.request(
        "POST",
        f"{base}/uploads",
        headers={
            "content-type": "application/octet-stream",
            "x-goog-upload-protocol": "raw",
            "x-goog-upload-content-type": mime_type,
        },
        body=await content.read(0, content.size),
        seconds=CHUNK_SECONDS,
        idempotent=True,
    )
    return _upload_token(response)


async def begin(session: Session, base: str, size: int, mime_type: str) -> PhotosUpload:
    """Open a resumable upload of *size* bytes."""
    response = await session.request(
        "POST",
        f"{base}/uploads",
        headers={
            "x-goog-upload-command": "start",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-content-type": mime_type,
            "x-goog-upload-raw-size": str(size),
        },
        idempotent=True,
    )
    granularity = GRANULARITY
    if "x-goog-upload-chunk-granularity" in response.headers:
        granularity = max(api.number(response.headers, "x-goog-upload-chunk-granularity", most=2**30), 1)
    url = await kept(session, trusted(response.headers.get("x-goog-upload-url"), base=base))
    return PhotosUpload(url, size, mime_type, granularity)


async def send(
    session: Session,
    base: str,
    upload: PhotosUpload,
    source: bytes | BinaryIO | Content,
    *,
    chunk: int = CHUNK,
    told: Told | None = None,
    fresh: bool = False,
) -> str:
    """
    Send what Google does not have yet, and return the upload token.

    Args:
        fresh: It was begun just now, and nothing was sent: Google need not be asked.
    """
    content = as_content(source)
    if content.size != upload.size:
        raise ValueError(f"the upload was begun for {upload.size} bytes, and there are {content.size}")
    return await deliver(
        _PhotosWire(session, base, upload),
        content,
        session,
        chunk=whole_chunks(chunk, upload.granularity),
        told=told,
        at=0 if fresh else None,
    )


class _PhotosWire:
    """`X-Goog-Upload-Command`: no 308, no Content-Range."""

    def __init__(self, session: Session, base: str, upload: PhotosUpload) -> None:
        self._session = session
        self._base = base
        self._upload = upload

    async def begin(self) -> None:
        begun = await begin(self._session, self._base, self._upload.size, self._upload.mime_type)
        if begun.granularity > self._upload.granularity:
            raise ApiMisbehaved("the granularity of an upload grew")
        self._upload = begun

    async def ask(self) -> int | Done[str]:
        response = await self._command("query", idempotent=True)
        state = response.headers.get("x-goog-upload-status", "").strip().lower()
        if state == "active":
            return api.number(response.headers, "x-goog-upload-size-received", most=self._upload.size)
        if state == "final" and response.body.strip():
            return Done(_upload_token(response))
        if state in ("final", "cancelled"):
            # All arrived, and the answer with the token was lost: only another upload has one.
            raise UploadGone
        raise ApiMisbehaved("the answer's x-goog-upload-status is not one")

    async def send(self, offset: int, chunk: bytes) -> int | Done[str]:
        end = offset + len(chunk)
        last = end == self._upload.size
        response = await self._command("upload, finalize" if last else "upload", offset, chunk)
        if last and response.headers.get("x-goog-upload-status", "final").strip().lower() == "final":
            return Done(_upload_token(response))
        if "x-goog-upload-size-received" in response.headers:
            return api.number(response.headers, "x-goog-upload-size-received", most=self._upload.size)
        return end if not last else await self.ask()

    async def _command(
        self, command: str, offset: int | None = None, body: bytes = b"", *, idempotent: bool = False
    ) -> HttpResponse:
        headers = {"x-goog-upload-command": command}
        if offset is not None:
            headers |= {"x-goog-upload-offset": str(offset), "content-type": "application/octet-stream"}
        try:
            response = await self._session.request(
                "POST",
                self._upload.url,
                headers=headers,
                body=body,
                seconds=CHUNK_SECONDS,
                # A chunk that may have arrived is asked after, and never sent blindly.
                idempotent=idempotent,
                accept=_GONE,
            )
        except SealBroken:
            # Its job's key is gone, or is sealed under one that is.
            raise UploadGone from None
        if response.status in _GONE:
            raise UploadGone
        return response


def _upload_token(response: HttpResponse) -> str:
    """
    The body, which is the token and nothing else.

    Raises:
        ApiMisbehaved: It is no token.
    """
    value = response.body.strip()
    if (
        not 0 < len(value) <= 16 * 1024
        or not value.isascii()
        or any(not 0x21 <= byte <= 0x7E for byte in value)
    ):
        raise ApiMisbehaved("the answer is not an upload token")
    return value.decode("ascii")
