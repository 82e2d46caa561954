"""The clock that tests move, and the file that shares it."""

import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grantkeeper.emulator.clock import MovableClock
from grantkeeper.emulator.runner import EmulatorServer

MINUTE = timedelta(minutes=1)


def test_it_tells_the_time_of_day_until_it_is_moved() -> None:
    """
    Aware and in UTC.
    """
    clock = MovableClock()
    before = datetime.now(UTC)
    told = clock.now()

    assert before <= told <= datetime.now(UTC)
    assert timedelta(0) == told.utcoffset() == clock.offset


def test_moves_add_up() -> None:
    """
    Also backwards, below zero.
    """
    clock = MovableClock()
    clock.advance(MINUTE)
    clock.advance(-3 * MINUTE)

    assert -2 * MINUTE == clock.offset
    assert clock.now() < datetime.now(UTC)


@pytest.mark.parametrize("by", [MINUTE, -MINUTE, timedelta(microseconds=1), timedelta(days=4000)])
def test_the_file_holds_the_offset_in_microseconds(tmp_path: Path, by: timedelta) -> None:
    """
    8 bytes, little-endian, signed, at once.
    """
    clock = MovableClock(tmp_path / "clock")
    clock.advance(by)

    content = (tmp_path / "clock").read_bytes()

    assert struct.pack("<q", by // timedelta(microseconds=1)) == content
    clock.close()


def test_two_clocks_on_one_file_are_one_clock(tmp_path: Path) -> None:
    """
    Without reading the file again.
    """
    one, other = MovableClock(tmp_path / "clock"), MovableClock(tmp_path / "clock")
    one.advance(MINUTE)

    assert MINUTE == other.offset
    one.close()
    other.close()


def test_a_file_that_is_there_keeps_its_offset(tmp_path: Path) -> None:
    """
    A restarted emulator sends nobody back in time.
    """
    first = MovableClock(tmp_path / "clock")
    first.advance(MINUTE)
    first.close()
    second = MovableClock(tmp_path / "clock")

    assert MINUTE == second.offset
    second.close()


def test_a_file_of_another_size_is_begun_anew(tmp_path: Path) -> None:
    """
    As for the empty one that `mktemp` makes.
    """
    path = tmp_path / "clock"
    path.write_bytes(b"x" * 20)
    clock = MovableClock(path)

    assert timedelta(0) == clock.offset
    assert bytes(8) == path.read_bytes()
    clock.close()


def test_the_emulator_writes_the_file(tmp_path: Path) -> None:
    """
    ``/emulator/clock`` moves everybody who maps it.
    """
    path = tmp_path / "clock"
    with EmulatorServer(clock_file=path) as emulator:
        emulator.world.advance(60)
        written = struct.unpack("<q", path.read_bytes())[0]
        told = emulator.world.now().timestamp() - time.time()

    assert 60_000_000 == written
    assert 59 < told < 61
