"""Clocks and dice."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grantkeeper.adapters.clock import FileClock, SystemClock
from grantkeeper.adapters.dice import SystemDice
from grantkeeper.emulator.clock import MovableClock
from grantkeeper.errors import SettingsInvalid
from grantkeeper.testing.clock import ManualClock
from grantkeeper.testing.dice import SeededDice

A_MOMENT = timedelta(seconds=60)


def test_the_system_clock_is_aware_and_in_utc() -> None:
    """
    Its time can be compared with every other time here.
    """
    now = SystemClock().now()

    assert UTC == now.tzinfo
    assert abs(now - datetime.now(UTC)) < A_MOMENT


def test_monotonic_time_only_grows() -> None:
    """
    Whatever happens to the time of day.
    """
    clock = SystemClock()
    times = [clock.monotonic() for _ in range(1000)]

    assert sorted(times) == times


@pytest.mark.parametrize("offset", [timedelta(hours=1), timedelta(days=-400), timedelta(microseconds=1)])
def test_a_clock_file_is_eight_little_endian_bytes_of_microseconds(tmp_path: Path, offset: timedelta) -> None:
    """
    The format is a contract with whoever writes the file, in whatever language.
    """
    path = tmp_path / "clock"
    path.write_bytes((offset // timedelta(microseconds=1)).to_bytes(8, "little", signed=True))
    clock = FileClock(path)

    assert abs(clock.now() - datetime.now(UTC) - offset) < A_MOMENT
    assert UTC == clock.now().tzinfo
    clock.close()


def test_a_move_of_the_emulators_clock_is_seen_at_once(tmp_path: Path) -> None:
    """
    Emulator and service share one moved time through the file, forwards and back.
    """
    writer = MovableClock(tmp_path / "clock")
    reader = FileClock(tmp_path / "clock")
    for step in (timedelta(hours=1), timedelta(days=200), timedelta(days=-201)):
        writer.advance(step)
        assert abs(reader.now() - writer.now()) < A_MOMENT
    reader.close()
    writer.close()


def test_a_moved_clock_leaves_monotonic_time_alone(tmp_path: Path) -> None:
    """
    Limits and backoff must not end because a test moved the day.
    """
    writer = MovableClock(tmp_path / "clock")
    reader = FileClock(tmp_path / "clock")
    before = reader.monotonic()
    writer.advance(timedelta(days=1))

    assert 0 <= reader.monotonic() - before < A_MOMENT.total_seconds()
    reader.close()
    writer.close()


def test_reading_a_clock_file_does_not_change_it(tmp_path: Path) -> None:
    """
    The service needs no right to write it.
    """
    path = tmp_path / "clock"
    path.write_bytes(bytes(8))
    path.chmod(0o400)
    clock = FileClock(path)
    clock.now()
    clock.close()

    assert bytes(8) == path.read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"\0" * 7, b"\0" * 9])
def test_a_missing_or_misshapen_clock_file_is_a_setting_to_mend(
    tmp_path: Path, content: bytes | None
) -> None:
    """
    The error names the setting and no path.
    """
    path = tmp_path / "marker"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsInvalid) as caught:
        FileClock(path)

    assert caught.value.text.startswith("GRANTKEEPER_CLOCK_FILE: ")
    assert "marker" not in caught.value.text


def test_a_directory_is_no_clock_file(tmp_path: Path) -> None:
    """
    Nor anything else that cannot be mapped.
    """
    with pytest.raises(SettingsInvalid):
        FileClock(tmp_path)


def test_a_manual_clock_moves_only_by_hand() -> None:
    """
    The time of day and monotonic time are moved apart.
    """
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC), monotonic=5.0)
    clock.advance(timedelta(hours=1))
    clock.advance(30)
    clock.tick(2.5)

    assert datetime(2026, 1, 1, 1, 0, 30, tzinfo=UTC) == clock.now()
    assert 7.5 == clock.monotonic()
    clock.set(datetime(2025, 1, 1, tzinfo=UTC))
    assert datetime(2025, 1, 1, tzinfo=UTC) == clock.now()
    assert 7.5 == clock.monotonic()
    with pytest.raises(ValueError, match="does not go back"):
        clock.tick(-1)


def test_system_dice_fall_within_their_range() -> None:
    """
    Jitter in [0, 1), and bytes as many as asked for, never the same.
    """
    dice = SystemDice()

    assert all(0 <= dice.roll() < 1 for _ in range(1000))
    assert 32 == len(dice.bytes(32))
    assert 100 == len({dice.bytes(16) for _ in range(100)})


def test_seeded_dice_repeat_themselves() -> None:
    """
    A test that failed fails again.
    """
    one, two, other = SeededDice(7), SeededDice(7), SeededDice(8)

    assert [one.roll(), one.bytes(8)] == [two.roll(), two.bytes(8)]
    assert one.bytes(8) != other.bytes(8)
