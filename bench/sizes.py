"""How long and how large a measurement is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """
    The amounts of every part.

    Attributes:
        rounds: How often each side of a comparison is measured, in turns.
        seconds: How long one such round lasts.
        connections: How many requests are under way at once under load.
        calls: Calls in one round inside a process.
        starts: How often a process is started for its import time.
        cached: Grants in the memory of the process whose memory is read.
        few, many: Grants stored in the smaller and the larger database.
        distinct: Grants read once, one after the other, from each of them.
    """

    rounds: int
    seconds: float
    connections: int
    calls: int
    starts: int
    cached: int
    few: int
    many: int
    distinct: int


WHOLE = Sizes(
    rounds=7,
    seconds=3.0,
    connections=16,
    calls=100_000,
    starts=15,
    cached=100_000,
    few=1_000,
    many=1_000_000,
    distinct=1_000,
)

SHORT = Sizes(
    rounds=1,
    seconds=0.3,
    connections=4,
    calls=500,
    starts=1,
    cached=300,
    few=60,
    many=600,
    distinct=50,
)
"""Proves that everything runs; its numbers mean nothing."""
