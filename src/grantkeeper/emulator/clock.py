"""The emulator's clock: the time of day plus an offset that tests move, shared with others through a file."""

import mmap
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

SIZE = 8


class MovableClock:
    """
    The time of day, moved by an offset.

    With a *path* the offset lives in that file: 8 bytes, little-endian, signed, in microseconds. Other
    processes map the file and see a move at once. A file that is there already keeps its offset, so a
    restarted emulator does not send its neighbours back in time.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._buffer: mmap.mmap | bytearray = bytearray(SIZE)
        if path is not None:
            self._buffer = _mapped(path)
        # One aligned 8-byte store: a reader never sees half of a move.
        self._offset = memoryview(self._buffer).cast("q")

    def now(self) -> datetime:
        """The moved time, aware and in UTC."""
        return datetime.now(UTC) + timedelta(microseconds=_little_endian(self._offset[0]))

    @property
    def offset(self) -> timedelta:
        """How far the clock stands ahead of the time of day."""
        return timedelta(microseconds=_little_endian(self._offset[0]))

    def advance(self, by: timedelta) -> None:
        """Move the clock; a negative *by* moves it back."""
        microseconds = (self.offset + by) // timedelta(microseconds=1)
        self._offset[0] = _little_endian(microseconds)

    def close(self) -> None:
        """Let go of the file. The offset stays in it."""
        self._offset.release()
        if isinstance(self._buffer, mmap.mmap):
            self._buffer.close()


def _mapped(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if os.fstat(descriptor).st_size != SIZE:
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, SIZE)
        return mmap.mmap(descriptor, SIZE)
    finally:
        os.close(descriptor)


def _little_endian(value: int) -> int:
    """*value* between the machine's byte order and the file's; its own inverse."""
    if sys.byteorder == "little":
        return value
    return int.from_bytes(value.to_bytes(SIZE, "little", signed=True), "big", signed=True)
