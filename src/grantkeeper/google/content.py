"""What is uploaded: bytes, a file, or a stream that is read once."""

import asyncio
import os
from collections.abc import Awaitable
from typing import BinaryIO, Protocol, cast


class Content(Protocol):
    """Bytes that can be read in parts, and again after a cut."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    async def read(self, offset: int, count: int) -> bytes:
        """
        The *count* bytes from *offset*, less only at the end.

        Raises:
            ValueError: They cannot be had (any more).
        """
        ...


class Reader(Protocol):
    """A stream such as `asyncio.StreamReader`."""

    def read(self, n: int, /) -> Awaitable[bytes]:
        """At most *n* bytes; none at the end."""
        ...


class BytesContent:
    """Bytes in memory."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    @property
    def size(self) -> int:
        return len(self._value)

    async def read(self, offset: int, count: int) -> bytes:
        return self._value[offset : offset + count]


class FileContent:
    """A binary file that can seek; it is read in a thread, belongs to the caller and must not change."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)

    @property
    def size(self) -> int:
        return self._size

    async def read(self, offset: int, count: int) -> bytes:
        return await asyncio.to_thread(self._read, offset, count)

    def _read(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        found = bytearray()
        # An unbuffered file may give less than it has.
        while len(found) < count and (part := self._file.read(count - len(found))):
            found += part
        return bytes(found)


class StreamContent:
    """
    A stream of known length, read once.

    It remembers the last part that was read, which is as far back as a cut upload goes. One
    that has to begin anew, and does not find itself at the beginning, cannot.
    """

    def __init__(self, reader: Reader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._part = b""
        self._at = 0
        """Where `_part` begins."""

    @property
    def size(self) -> int:
        return self._size

    async def read(self, offset: int, count: int) -> bytes:
        if offset < self._at:
            raise ValueError("the stream has passed this place; an upload that begins anew needs a new one")
        while self._at + len(self._part) < offset:
            self._at += len(self._part)
            self._part = await self._reader.read(min(offset - self._at, count))
            if not self._part:
                return b""
        kept = bytearray(self._part[offset - self._at :])
        while len(kept) < count and (more := await self._reader.read(count - len(kept))):
            kept += more
        self._part, self._at = bytes(kept), offset
        return self._part[:count]


def as_content(source: "bytes | BinaryIO | Content") -> Content:
    """*source* as content: bytes and files are wrapped, content is what it is."""
    if isinstance(source, bytes | bytearray | memoryview):
        return BytesContent(bytes(source))
    if hasattr(source, "seek"):
        return FileContent(cast("BinaryIO", source))
    return source
