"""
Rounds of load, and who worked meanwhile.

Everything that is measured shares one machine: the processes of a service, the
database, the issuer and the load generator. So each round tells how much of the
machine each of them took, and a figure that the emulator or the load generator
held down can be seen to be one.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bench.figures import Figure
from bench.load import Load, Outcome, send
from bench.servers import Server

GENERATOR = "load generator"

Watch = Callable[[], float]
"""The processor seconds that somebody has used so far."""


def cores() -> int:
    """How many processors there are to share."""
    return len(os.sched_getaffinity(0))


def all_of(servers: Iterable[Server]) -> Watch:
    """What several processes have used together."""
    watched = tuple(servers)
    return lambda: sum(server.cpu() for server in watched)


@dataclass(frozen=True, slots=True)
class Round:
    """What came back, and the processor seconds that each one used for it."""

    outcome: Outcome
    used: Mapping[str, float]

    def each(self, who: str) -> float:
        """Microseconds of processor time for an answer."""
        return self.used[who] / self.outcome.answers * 1e6

    def share(self, who: str) -> float:
        """How many processors it kept busy."""
        return self.used[who] / self.outcome.seconds

    @property
    def busy(self) -> float:
        """The part of the whole machine that was busy."""
        return sum(self.used.values()) / self.outcome.seconds / cores()


def around(watched: Mapping[str, Watch], load: Load) -> Round:
    """Send *load* and see who works."""
    before = {who: watch() for who, watch in watched.items()}
    outcome = send(load)
    used = {who: watch() - before[who] for who, watch in watched.items()}
    return Round(outcome, used | {GENERATOR: outcome.busy * outcome.seconds})


@dataclass(slots=True)
class Side:
    """
    One side of a comparison.

    Attributes:
        name: Who answers.
        work: Those whose processor time is told for each answer; for all others it is how many
            processors they kept busy.
    """

    name: str
    work: tuple[str, ...]
    rounds: list[Round] = field(default_factory=list)

    @property
    def per_second(self) -> list[float]:
        """Answers a second, round by round."""
        return [one.outcome.per_second for one in self.rounds]

    def figures(self, what: str = "requests") -> list[Figure]:
        """What is told of one side alone."""
        found = [
            Figure.of(f"{self.name}: {what}", "per second", self.per_second),
            Figure.of(f"{self.name}: p50", "ms", [one.outcome.p50 for one in self.rounds]),
            Figure.of(f"{self.name}: p99", "ms", [one.outcome.p99 for one in self.rounds]),
        ]
        for who in self.rounds[0].used:
            told = f"{self.name}: {who}"
            if who in self.work:
                found.append(Figure.of(told, "µs of CPU each", [one.each(who) for one in self.rounds]))
            else:
                found.append(Figure.of(told, "cores busy", [one.share(who) for one in self.rounds]))
        return [*found, Figure.of(f"{self.name}: machine busy", "", [one.busy for one in self.rounds])]


def in_turns(rounds: int, *measures: Callable[[int], None]) -> None:
    """Call each with the number of the round, one after the other and back again: A B, B A, …"""
    for number in range(rounds):
        for measure in measures if number % 2 == 0 else measures[::-1]:
            measure(number)
