"""When something that comes again and again is due, by whatever clock it is asked with."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EVERY: Final = {"hour": "0 * * * *", "day": "0 3 * * *", "week": "0 3 * * 1"}
"""By day, people are awake and use their quota themselves."""

FIELDS: Final = 5
"""Nothing is due more often than each minute: a due time names its jobs by the minute."""


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
        if len(cron.split()) != FIELDS:
            raise ValueError(
                f"{cron!r} is no crontab line: it has five fields, from the minute to the weekday"
            )
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"there is no time zone {timezone}") from None
        return Calendar(cron, timezone)

    def last(self, now: datetime) -> datetime:
        """
        The newest time at or before *now* at which it was due, in UTC.

        Raises:
            ValueError: The line is no crontab line.
        """
        # Comes with the engine (extra `jobs`): only a worker asks.
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
