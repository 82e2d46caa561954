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
        processes: Of the service, on one PostgreSQL; the last number is the largest.
        uncached: Grants in PostgreSQL read once, from several connections.
        codes: Redeemed in one round.
        expired: Grants whose tokens end together in one round.
        crowd: Grants that stand around those whose refreshes are weighed.
        small, large, huge: Grants stored in PostgreSQL; the last is filled in many minutes.
        idle: Seconds in which nobody asks.
        shared_buffers: PostgreSQL's own memory for pages.
        jobs: Done in one round, of `job_grants` users.
        job_starts: Jobs that are asked for one at a time, for the latency of each.
        parked: Jobs that wait for their users.
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
    processes: tuple[int, ...]
    uncached: int
    codes: int
    expired: int
    crowd: int
    small: int
    large: int
    huge: int
    idle: float
    shared_buffers: str
    jobs: int
    job_grants: int
    job_starts: int
    parked: int


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
    processes=(1, 2, 4),
    uncached=8_000,
    codes=600,
    expired=1_000,
    crowd=200_000,
    small=10_000,
    large=1_000_000,
    huge=10_000_000,
    idle=20.0,
    shared_buffers="2GB",
    jobs=1_000,
    job_grants=200,
    job_starts=40,
    parked=1_000_000,
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
    processes=(1,),
    uncached=40,
    codes=12,
    expired=12,
    crowd=200,
    small=60,
    large=600,
    huge=1_200,
    idle=0.5,
    shared_buffers="32MB",
    jobs=12,
    job_grants=4,
    job_starts=2,
    parked=300,
)
"""Proves that everything runs; its numbers mean nothing."""
