"""When something that comes again and again is due, by whatever clock it is asked with."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EVERY: Final = {"hour": "0 * * * *", "day": "0 3 * * *", "week": "0 3 * * 1"}
"""By day, people are awake and use their quota themselves."""


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

        try:
            there = croniter(self.cron, now.astimezone(ZoneInfo(self.timezone)))
        except (ValueError, KeyError) as error:
            raise ValueError(f"{self.cron!r} is no crontab line") from error
        # `get_prev` leaves out the very moment itself.
        following: datetime = there.get_next(datetime)
        found: datetime = croniter(self.cron, following).get_prev(datetime)
        return found.astimezone(UTC)
