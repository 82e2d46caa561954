"""When something that comes again and again is due, by whatever clock it is asked with."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EVERY: Final = {"hour": "0 * * * *", "day": "0 3 * * *", "week": "0 3 * * 1"}
"""By day, people are awake and use their quota themselves."""

FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
"""Nothing is due more often than each minute: a due time names its jobs by the minute."""

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""From here on every date comes, a leap day too."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """A crontab line in a time zone."""

    cron: str
    timezone: str = "UTC"

    @staticmethod
    def of(*, every: str | None, cron: str | None, timezone: str) -> "Calendar | None":
        """
        What *every* or *cron* says; ``None`` where neither does.

        Raises:
            ValueError: It says nothing that can be understood.
        """
        if every is not None and cron is not None:
            raise ValueError("say either every or cron")
        if every is not None:
            if every not in EVERY:
                raise ValueError(f"every is one of {', '.join(EVERY)}")
            cron = EVERY[every]
        if cron is None:
            return None
        if len(cron.split()) != len(FIELDS):
            raise ValueError(
                f"{cron!r} is no crontab line: it has five fields, from the minute to the weekday"
            )
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"there is no time zone {timezone}") from None
        found = Calendar(cron, timezone)
        # It comes with the engine (extra `jobs`); where it is missing, no worker is.
        if find_spec("croniter") is not None:
            found.check()
        return found

    def check(self) -> None:
        """
        Look whether the line is one that comes, before somebody waits for it.

        Raises:
            ValueError: It is not; the first field that says nothing is named.
        """
        words = self.cron.split()
        for place, word in enumerate(words):
            alone = ["*"] * len(FIELDS)
            alone[place] = word
            # What begins with an R is another time at each look.
            if word[0] in "rR" or not _comes(" ".join(alone)):
                raise ValueError(f"{self.cron!r} is no crontab line: {word!r} is no {FIELDS[place]}")
        if not _comes(self.cron):
            raise ValueError(f"{self.cron!r} is a crontab line that never comes")

    def last(self, now: datetime) -> datetime:
        """
        The newest time at or before *now* at which it was due, in UTC.

        Raises:
            ValueError: The line is no crontab line.
        """
        from croniter import croniter

        zone = ZoneInfo(self.timezone)
        try:
            there = croniter(self.cron, now.astimezone(zone))
        except (ValueError, KeyError) as error:
            raise ValueError(f"{self.cron!r} is no crontab line") from error
        # `get_prev` leaves out the very moment itself.
        following: datetime = there.get_next(datetime)
        found: datetime = croniter(self.cron, following).get_prev(datetime)
        local = found.astimezone(UTC).astimezone(zone)
        if "*" not in self.cron.split()[1]:
            # An hour that is there twice when clocks go back is due in the first of the two.
            local = local.replace(fold=0)
        return local.astimezone(UTC)


def _comes(line: str) -> bool:
    from croniter import croniter

    try:
        croniter(line, LONG_AGO).get_next()
    except (ValueError, KeyError):
        return False
    return True
