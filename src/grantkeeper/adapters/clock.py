"""What time it is: the system's, or the system's moved by an offset that processes share through a file."""

import mmap
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from grantkeeper.errors import SettingsInvalid

SIZE = 8
"""A clock file is one signed, little-endian number of microseconds."""


class SystemClock:
    """The `Clock` port over the operating system's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class FileClock:
    """
    The system's time plus the offset in a file (setting ``CLOCK_FILE``).

    The file is mapped, so a move by whoever writes it (the emulator) is seen at
    the next call. Monotonic time is not moved: limits and backoff stay real.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            SettingsInvalid: There is no such file, or it is not a clock file.
        """
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != SIZE:
                    raise SettingsInvalid([f"GRANTKEEPER_CLOCK_FILE: a clock file has {SIZE} bytes"])
                self._map = mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ)
        except OSError as error:
            raise SettingsInvalid(
                [f"GRANTKEEPER_CLOCK_FILE: the file cannot be opened ({error.strerror})"],
                hint="Start `grantkeeper emulator --clock-file PATH` first; it makes the file.",
            ) from None

    def now(self) -> datetime:
        # All eight bytes are copied at once: no half of a move is seen.
        offset = int.from_bytes(self._map[:SIZE], "little", signed=True)
        return datetime.now(UTC) + timedelta(microseconds=offset)

    def monotonic(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
