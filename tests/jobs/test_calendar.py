"""When something that comes again and again is due."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from grantkeeper import JobContext, job
from grantkeeper.jobs.calendar import Calendar

ZURICH = ZoneInfo("Europe/Zurich")


def at(text: str, zone: ZoneInfo | None = None) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC)


def day(timezone: str = "UTC") -> Calendar:
    found = Calendar.of(every="day", cron=None, timezone=timezone)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-22T02:59:59", "2026-11-21T03:00"),
        ("2026-11-22T03:00:00", "2026-11-22T03:00"),
        ("2026-11-22T03:00:01", "2026-11-22T03:00"),
        ("2026-12-01T00:00:00", "2026-11-30T03:00"),
    ],
)
def test_the_newest_time_counts(now: str, due: str) -> None:
    """
    At or before now, to the second.
    """
    assert at(due) == day().last(at(now))


def test_missed_times_are_one() -> None:
    """
    Whoever comes back after a week is told of the last night.
    """
    assert at("2026-11-29T03:00") == day().last(at("2026-11-29T12:00"))


@pytest.mark.parametrize(
    ("every", "due"),
    [("hour", "2026-11-22T12:00"), ("day", "2026-11-22T03:00"), ("week", "2026-11-16T03:00")],
)
def test_every_has_three_words(every: str, due: str) -> None:
    """
    A Sunday, shortly after noon.
    """
    found = Calendar.of(every=every, cron=None, timezone="UTC")

    assert found is not None
    assert at(due) == found.last(at("2026-11-22T12:34"))


def test_a_night_is_that_of_its_zone() -> None:
    """
    Three o'clock in Zurich is two in summer and one in winter, in UTC.
    """
    assert at("2026-07-01T01:00") == day("Europe/Zurich").last(at("2026-07-01T12:00"))
    assert at("2026-12-01T02:00") == day("Europe/Zurich").last(at("2026-12-01T12:00"))


def fired(cron: str, begin: str, hours: int) -> list[datetime]:
    """When a worker that looks every ten minutes finds something newly due."""
    calendar = Calendar(cron, "Europe/Zurich")
    first = at(begin, ZURICH).astimezone(UTC).timestamp()
    seen = [calendar.last(datetime.fromtimestamp(first + 600 * step, UTC)) for step in range(hours * 6 + 1)]
    return sorted(set(seen) - {seen[0]})


def test_the_night_the_clocks_go_forward() -> None:
    """
    Half past two is not there; the job is begun once that night all the same.
    """
    assert 1 == len(fired("30 2 * * *", "2026-03-29T00:00", 12))
    assert [at("2026-03-29T01:00")] == fired("0 3 * * *", "2026-03-29T00:00", 12)


def test_the_night_the_clocks_go_back() -> None:
    """
    Half past two is there twice; the job is begun once.
    """
    assert 1 == len(fired("30 2 * * *", "2026-10-25T00:00", 12))
    assert [at("2026-10-25T02:00")] == fired("0 3 * * *", "2026-10-25T00:00", 12)


def test_each_hour_comes_whatever_the_clocks_do() -> None:
    """
    Twelve hours have twelve of them.
    """
    assert 12 == len(fired("0 * * * *", "2026-03-29T00:30", 12))
    assert 12 == len(fired("0 * * * *", "2026-10-25T00:30", 12))


@pytest.mark.parametrize("cron", ["61 * * * *", "* * * * mondai", "a b c d e"])
def test_a_line_that_says_nothing(cron: str) -> None:
    """
    Whoever reads it says so.
    """
    with pytest.raises(ValueError, match="crontab"):
        Calendar(cron).last(at("2026-11-22T12:00"))


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("61 * * * *", "'61' is no minute"),
        ("0 25 * * *", "'25' is no hour"),
        ("0 3 0 * *", "'0' is no day of the month"),
        ("0 3 1 13 *", "'13' is no month"),
        ("* * * * mondai", "'mondai' is no day of the week"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("R * * * *", "'R' is no minute"),
        ("0 0 31 2 *", "never comes"),
        ("0 3 * *", "it has five fields"),
    ],
)
def test_a_line_is_refused_where_it_is_written(cron: str, told: str) -> None:
    """
    Not by a worker's log, nights later; the job and the field are named.
    """
    with pytest.raises(ValueError, match=re.escape(told)) as caught:

        @job(cron=cron)
        async def export(ctx: JobContext) -> None: ...

    assert str(caught.value).startswith(f"the job export: {cron!r}")


@pytest.mark.parametrize(
    "cron", ["0 0 29 2 *", "*/5 9-17 * jan-mar mon-fri", "0 3 * * 7", "5 4 * * sun#1", "0 0 L * *"]
)
def test_a_line_that_comes_is_taken(cron: str) -> None:
    """
    If only each fourth year.
    """
    assert Calendar(cron) == Calendar.of(every=None, cron=cron, timezone="UTC")


def test_nothing_said_is_no_calendar() -> None:
    """
    Then the job begins only when somebody asks.
    """
    assert Calendar.of(every=None, cron=None, timezone="UTC") is None
