"""What a measurement leaves behind: figures with their spread, and the tables they make."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a figure should be: at most, or at least, a limit."""

    most: float | None = None
    least: float | None = None

    def met(self, value: float) -> bool:
        """Whether *value* is as wanted."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    def __str__(self) -> str:
        return f"≥ {shown(self.least)}" if self.least is not None else f"≤ {shown(self.most or 0.0)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of a table: the median of some rounds, and their extremes."""

    what: str
    unit: str
    rounds: tuple[float, ...]
    aim: Aim | None = None

    @classmethod
    def of(cls, what: str, unit: str, rounds: Sequence[float], aim: Aim | None = None) -> "Figure":
        """A figure of these *rounds*, of which there is at least one."""
        return cls(what=what, unit=unit, rounds=tuple(rounds), aim=aim)

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.rounds)

    @property
    def met(self) -> bool | None:
        """Whether the median is as wanted; ``None`` where nothing is wanted."""
        return None if self.aim is None else self.aim.met(self.median)

    def cells(self) -> list[str]:
        """The line, in the order of `COLUMNS`."""
        return [
            self.what,
            f"{shown(self.median)} {self.unit}".rstrip(),
            f"{shown(min(self.rounds))} – {shown(max(self.rounds))}",
            "" if self.aim is None else f"{self.aim} {self.unit}".rstrip(),
            {None: "", True: "yes", False: "no"}[self.met],
        ]

    def record(self) -> dict[str, Any]:
        """The figure as JSON has it."""
        return {
            "what": self.what,
            "unit": self.unit,
            "median": self.median,
            "rounds": list(self.rounds),
            "aim": None if self.aim is None else str(self.aim),
            "met": self.met,
        }


COLUMNS = ("what", "median", "lowest – highest", "wanted", "met")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the measurement: its figures, and what to know when reading them."""

    name: str
    title: str
    about: str
    figures: list[Figure] = field(default_factory=list)

    def text(self) -> str:
        """The part for a terminal."""
        lines = [list(COLUMNS), *(figure.cells() for figure in self.figures)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(COLUMNS))]
        rows = (
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )
        return "\n".join([self.title, "", *rows])

    def markdown(self) -> str:
        """The part for the report."""
        lines = [list(COLUMNS), ["---", "---:", ":---:", "---:", "---"]]
        lines += [figure.cells() for figure in self.figures]
        return "\n".join([f"## {self.title}", "", self.about, "", *(f"| {' | '.join(x)} |" for x in lines)])


def shown(value: float) -> str:
    """Three digits that matter, and no more zeros than that takes."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, ours over theirs."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]
