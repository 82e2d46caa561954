"""A clock set by hand."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """
    The `Clock` port, standing still until a test moves it.

    The time of day and monotonic time are moved apart, as they are in life: an
    administrator moves the first, and nobody the second.
    """

    def __init__(
        self, now: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC), monotonic: float = 1000.0
    ) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta | float) -> None:
        """Move the time of day by *by*, a time span or seconds; negative is back."""
        self._now += by if isinstance(by, timedelta) else timedelta(seconds=by)

    def set(self, now: datetime) -> None:
        """Move the time of day to *now*."""
        self._now = now

    def tick(self, seconds: float) -> None:
        """Let monotonic time pass."""
        if seconds < 0:
            raise ValueError("monotonic time does not go back")
        self._monotonic += seconds
