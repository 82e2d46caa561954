"""How fast an API may be asked, by the jobs of all workers together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiRate:
    """
    So many requests a second; at most a second's worth of them, and no less than one, at once.

    Attributes:
        host: Of the API, such as ``photoslibrary.googleapis.com``.
        per_user: Whether each grant has its own; else all share one.
    """

    host: str
    per_second: float
    per_user: bool = False

    @property
    def burst(self) -> int:
        """How many at once."""
        return max(1, int(self.per_second))

    def key(self, grant_id: str) -> str:
        """Under which turns are counted."""
        return f"rate:{self.host}:{grant_id}" if self.per_user else f"rate:{self.host}"
