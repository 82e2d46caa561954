"""How large the parts on PostgreSQL are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """How large a part is."""

    grants: int = 1000
    requests: int = 20_000
    away_seconds: float = 60.0
    rewrapped: int = 100_000


LONG = Size()
SHORT = Size(grants=40, requests=600, away_seconds=4.0, rewrapped=1500)
