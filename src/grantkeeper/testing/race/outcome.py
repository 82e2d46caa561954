"""What a race found: counts from both sides, and a verdict on each defect as far as it shows from outside."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

DEFECTS: Mapping[str, str] = {
    "D1": "no guard across processes",
    "D2": "lock shorter than the call or not renewed",
    "D3": "release or write without owner or version check",
    "D4": "goes on, or fails wrongly, without the lock",
    "D5": "a loser overwrites the winner",
    "D6": "no re-read after waiting",
    "D7": "a refresh dies with its caller",
    "D8": "a valid token refused after an early failure",
    "D9": "permanent and transient errors mixed",
}
"""What nearly every system that refreshes tokens does wrong in one point or another."""


class Verdict(StrEnum):
    """Whether a defect was seen. That it was not seen is no proof that it is not there."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Result:
    """
    What came of a part.

    Attributes:
        counts: Of the issuer's side and of the callers'; seconds where the name says so.
        verdicts: On the defects that this part can show, with the reason in a sentence.
    """

    part: str
    counts: Mapping[str, float]
    verdicts: Mapping[str, tuple[Verdict, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole race."""

    target: str
    seed: int
    nodes: int
    results: Sequence[Result]

    def verdict(self, defect: str) -> tuple[Verdict, str]:
        """On one of `DEFECTS`: shown if any part showed it."""
        found = [result.verdicts[defect] for result in self.results if defect in result.verdicts]
        ranked = sorted(found, key=lambda one: list(Verdict).index(one[0]))
        return next(iter(ranked), (Verdict.CANNOT_TELL, "no part that was run can show it"))

    @property
    def shown(self) -> list[str]:
        """The defects that were seen."""
        return [defect for defect in DEFECTS if self.verdict(defect)[0] is Verdict.SHOWN]

    def count(self, part: str, name: str) -> float:
        """
        One of the counts.

        Raises:
            LookupError: The part was not run, or counts nothing of that name.
        """
        for result in self.results:
            if result.part == part:
                return result.counts[name]
        raise LookupError(f"there was no part {part}")

    def json(self) -> str:
        """Everything, for programs."""
        record = {
            "target": self.target,
            "seed": self.seed,
            "nodes": self.nodes,
            "defects": {
                defect: dict(zip(("verdict", "because"), self.verdict(defect), strict=True))
                for defect in DEFECTS
            },
            "parts": {result.part: dict(result.counts) for result in self.results},
        }
        return json.dumps(record, indent=1)

    def table(self) -> str:
        """Everything, for people."""
        return side_by_side([self])


def side_by_side(outcomes: Sequence[Outcome]) -> str:
    """Races of several services in one table, in Markdown; they must be of the same parts."""
    head = ["", *(outcome.target for outcome in outcomes)]
    rows = [
        [f"{defect} {meaning}", *(str(outcome.verdict(defect)[0]) for outcome in outcomes)]
        for defect, meaning in DEFECTS.items()
    ]
    for result in outcomes[0].results:
        for name in result.counts:
            cells = [_number(outcome.count(result.part, name)) for outcome in outcomes]
            rows.append([f"{result.part}: {name}", *cells])
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [_line(head, widths), "| " + " | ".join("-" * width for width in widths) + " |"]
    return "\n".join(lines + [_line(row, widths) for row in rows])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"
