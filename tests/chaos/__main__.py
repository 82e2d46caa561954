"""
``python -m tests.chaos [PART …] [--seed N] [--rounds N] [--resume] [--report FILE]``: `make chaos`.

Round *i* of a part draws from seed + *i*. After every batch of rounds what came of them is written down,
and ``--resume`` goes on from there. Every part takes some minutes and ends by itself; the longest, on the
machine of the report, under 30. The exit status is 1 if a promise was broken. A report tells the last
outcome of every part that was written down.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw

from grantkeeper import __version__
from tests.chaos.many import MANY, MANY_ROUNDS
from tests.chaos.offline import OFFLINE, OFFLINE_ROUNDS
from tests.chaos.parts import PARTS, ROUNDS, Counts
from tests.chaos.postgres_town import PostgresTown
from tests.chaos.sizes import LONG
from tests.chaos.town import Town
from tests.postgres import PostgresServer, binaries

BATCH = 10
"""Rounds between two signs of life, each batch in a new town."""

BATCHES = {"node-kills": 50, "database-crashes": 25, "photo-jobs": 20, "photo-jobs-many": 20}
"""Where a town is worth more rounds than that."""

NOTEBOOK = Path(".build/chaos")

ON_SQLITE = {**PARTS, **OFFLINE}
ALL = {**ON_SQLITE, **MANY}
ALL_ROUNDS = {**ROUNDS, **OFFLINE_ROUNDS, **MANY_ROUNDS}


@dataclass
class Outcome:
    """What became of a part."""

    part: str
    seed: int
    rounds: int
    counts: Counts
    seconds: float
    failure: str | None = None
    day: str = ""

    def write(self) -> None:
        """Into the notebook, in the place of the part's last outcome."""
        NOTEBOOK.mkdir(parents=True, exist_ok=True)
        kept = {**vars(self), "counts": dict(self.counts)}
        (NOTEBOOK / f"{self.part}.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")

    @classmethod
    def read(cls, part: str) -> "Outcome | None":
        """The part's last outcome, if there is one."""
        try:
            text = (NOTEBOOK / f"{part}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        kept = json.loads(text)
        return cls(**{**kept, "counts": Counter(kept["counts"])})


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(ALL)}; default all of them")
    parser.add_argument("--seed", type=int, help="of the first round; default any")
    parser.add_argument("--rounds", type=int, help="how many; default some minutes' worth of each part")
    parser.add_argument("--resume", action="store_true", help="go on where the part was interrupted")
    parser.add_argument("--report", type=Path, help="write a report in Markdown to this file")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.parts) - set(ALL):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    outcomes = []
    for part in asked.parts or ALL:
        last = Outcome.read(part) if asked.resume else None
        begin = Outcome(part, seed, 0, Counter(), 0.0) if last is None else last
        outcomes.append(run(begin, asked.rounds or ALL_ROUNDS[part]))
    if asked.report is not None:
        known = [found for part in ALL if (found := Outcome.read(part)) is not None]
        asked.report.parent.mkdir(parents=True, exist_ok=True)
        asked.report.write_text(report(known), encoding="utf-8")
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def run(outcome: Outcome, rounds: int) -> Outcome:
    """One part from where *outcome* is, batch by batch, until a promise is broken or the rounds are over."""
    outcome.failure = None
    while outcome.rounds < rounds and outcome.failure is None:
        size = min(BATCHES.get(outcome.part, BATCH), rounds - outcome.rounds)
        began = time.monotonic()
        try:
            counts = _in_a_new_town(outcome.part, outcome.seed + outcome.rounds, size)
        except Exception as error:
            outcome.failure = "".join(traceback.format_exception(error, limit=-3))
        else:
            outcome.counts += counts
            outcome.rounds += size
        outcome.seconds += time.monotonic() - began
        outcome.day = f"{datetime.now(UTC):%Y-%m-%d}"
        outcome.write()
        told = ", ".join(f"{name} {count}" for name, count in sorted(outcome.counts.items()))
        print(
            f"{outcome.part}: {outcome.rounds} of {rounds} rounds from seed {outcome.seed}: {told}",
            flush=True,
        )
    if outcome.failure is not None:
        broken = outcome.seed + outcome.rounds
        print(
            f"{outcome.part}: BROKEN in the rounds from seed {broken} on:\n{outcome.failure}", file=sys.stderr
        )
    return outcome


def _in_a_new_town(part: str, seed: int, rounds: int) -> Counts:
    with tempfile.TemporaryDirectory(prefix="grantkeeper-chaos-") as folder:
        if part in ON_SQLITE:
            with Town(Path(folder), patient=True) as town:
                return asyncio.run(ON_SQLITE[part](town, seed, rounds))
        rotating = part.endswith("rotating")
        with (
            PostgresServer() as server,
            PostgresTown(Path(folder), server, rotating=rotating, patient=True) as many,
        ):
            return asyncio.run(MANY[part](many, seed, rounds, LONG))


def _postgres_version() -> str:
    told = subprocess.run([binaries() / "postgres", "--version"], capture_output=True, text=True, check=True)
    return told.stdout.split()[-1]


def report(outcomes: list[Outcome]) -> str:
    """The outcomes for people."""
    made = (
        f'Made by `make chaos ARGS="--report docs/reports/chaos.md"`, grantkeeper {__version__}, Python '
        f"{platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, PostgreSQL {_postgres_version()}, "
        f"{os.cpu_count()} processors."
    )
    lines = [
        "# Crash and race, with real processes",
        "",
        made,
        "",
        "What was sent to Google is counted by the emulator, which is a process of its own.",
        "",
    ]
    for outcome in outcomes:
        promise = " ".join((ALL[outcome.part].__doc__ or "").split())
        seeds = f"{outcome.seed} to {outcome.seed + max(outcome.rounds, 1) - 1}"
        lines += [
            f"## {outcome.part}: {'BROKEN' if outcome.failure else 'held'}",
            "",
            promise,
            "",
            f"{outcome.rounds} rounds, seeds {seeds}, {outcome.seconds:.0f} seconds, {outcome.day}.",
            "",
            "| what | how often |",
            "| --- | ---: |",
            *(f"| {name.replace('_', ' ')} | {count} |" for name, count in sorted(outcome.counts.items())),
            "",
        ]
        if outcome.failure:
            lines += ["```text", outcome.failure.rstrip(), "```", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
