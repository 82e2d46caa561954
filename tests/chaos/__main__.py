"""
``python -m tests.chaos [PART] [--seed N] [--rounds N] [--report FILE]``: the long form, `make chaos`.

Round *i* of a part draws from seed + *i*: a run that ended goes on with the seed it was told last. Every
part takes some minutes and ends by itself. The exit status is 1 if a promise was broken.
"""

import argparse
import asyncio
import os
import platform
import random
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
from tests.chaos.parts import PARTS, ROUNDS, Counts
from tests.chaos.town import Town

BATCH = 10
"""Rounds between two signs of life, each batch in a new town."""


@dataclass
class Outcome:
    """What became of a part."""

    part: str
    seed: int
    rounds: int
    counts: Counts
    seconds: float
    failure: str | None = None


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("part", nargs="?", choices=[*PARTS], help="only this part; default all of them")
    parser.add_argument("--seed", type=int, help="of the first round; default any")
    parser.add_argument("--rounds", type=int, help="how many; default some minutes' worth of each part")
    parser.add_argument("--report", type=Path, help="write a report in Markdown to this file")
    asked = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    began = datetime.now(UTC)
    outcomes = [
        run(part, seed, asked.rounds or ROUNDS[part]) for part in ([asked.part] if asked.part else PARTS)
    ]
    if asked.report is not None:
        asked.report.parent.mkdir(parents=True, exist_ok=True)
        asked.report.write_text(report(outcomes, began), encoding="utf-8")
    return 1 if any(outcome.failure for outcome in outcomes) else 0


def run(part: str, seed: int, rounds: int) -> Outcome:
    """One part, batch by batch, until a promise is broken or the rounds are over."""
    counts: Counts = Counter()
    began, done = time.monotonic(), 0
    failure = None
    while done < rounds and failure is None:
        size = min(BATCH, rounds - done)
        try:
            with (
                tempfile.TemporaryDirectory(prefix="grantkeeper-chaos-") as folder,
                Town(Path(folder), patient=True) as town,
            ):
                counts += asyncio.run(PARTS[part](town, seed + done, size))
        except Exception as error:
            failure = "".join(traceback.format_exception(error, limit=-3))
        else:
            done += size
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"{part}: {done} of {rounds} rounds from seed {seed}: {told}", flush=True)
    if failure is not None:
        print(f"{part}: BROKEN in the rounds from seed {seed + done} on:\n{failure}", file=sys.stderr)
    return Outcome(part, seed, done, counts, time.monotonic() - began, failure)


def report(outcomes: list[Outcome], began: datetime) -> str:
    """The outcomes for people."""
    made = (
        f'Made by `make chaos ARGS="--report docs/reports/chaos.md"` on {began:%Y-%m-%d}, grantkeeper '
        f"{__version__}, Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, "
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
        promise = (PARTS[outcome.part].__doc__ or "").strip().splitlines()[0]
        seeds = f"{outcome.seed} to {outcome.seed + max(outcome.rounds, 1) - 1}"
        lines += [
            f"## {outcome.part}: {'BROKEN' if outcome.failure else 'held'}",
            "",
            promise,
            "",
            f"{outcome.rounds} rounds, seeds {seeds}, {outcome.seconds:.0f} seconds.",
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
