"""``python -m bench [PART …] [--short] [--rounds N] [--json FILE] [--report FILE]``: `make bench`."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench import asking, footprint, hot, jobs, library, nodes, scale, stored, writes
from bench.figures import Part
from bench.sizes import SHORT, WHOLE, Sizes

PARTS: Final[dict[str, Callable[[Sizes, Path], Part]]] = {
    "bare": hot.bare,
    "usual": hot.usual,
    "library": library.library,
    "memory": footprint.memory,
    "start": footprint.start,
    "scale": scale.scale,
    "nodes": nodes.cached,
    "uncached": nodes.uncached,
    "redeem": asking.redeem,
    "storm": asking.storm,
    "writes": writes.writes,
    "stored": stored.stored,
    "jobs": jobs.jobs,
}

BY_NAME: Final = PARTS | {"stored-large": stored.stored_large}
"""All parts; those that are not in `PARTS` take so long that they run only when they are named."""

ON_POSTGRES: Final = frozenset({"nodes", "uncached", "redeem", "storm", "writes", "stored", "stored-large"})

COMMAND = "make bench"
SERVER = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "apsw", "asyncpg")


def measure(names: Sequence[str], sizes: Sizes, tell: Callable[[str], None] = print) -> list[Part]:
    """Measure the parts of these names, each in a directory of its own that is gone afterwards."""
    parts = []
    for name in names:
        with TemporaryDirectory(prefix="grantkeeper-bench-") as directory:
            part = BY_NAME[name](sizes, Path(directory))
        tell(part.text() + "\n")
        parts.append(part)
    return parts


def machine() -> str:
    """The machine in a sentence, without a name or a path of it."""
    model = platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        lines = cpus.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    packages = ", ".join(f"{name} {version(name)}" for name in SERVER)
    return (
        f"{cores} cores ({model}), {platform.system()} {platform.release().partition('-')[0]}, "
        f"{platform.python_implementation()} {platform.python_version()}; {packages}. "
        f"Load average as it ended: {load:.1f}."
    )


def report(parts: Sequence[Part], sizes: Sizes) -> str:
    """The page in the documentation."""
    names = " ".join(part.name for part in parts)
    how = (
        f'Made by `{COMMAND} ARGS="{names} --rounds {sizes.rounds} --report FILE"`; a part alone is '
        f"`{COMMAND} ARGS=bare`. The parts are {', '.join(f'`{name}`' for name in BY_NAME)}."
    )
    reading = (
        f"Each line is the median of its rounds ({sizes.rounds} for what is served over HTTP) with the "
        "lowest and the highest. What is compared was measured in turns (A B, B A, …) within one run, and "
        "a ratio is made of the two halves of one round, so that a busy machine slows both. The load "
        "generator is a process of its own; *busy* says how much of its time it was working, so that it can "
        "be seen not to be what was measured."
    )
    title = (
        "What it costs on PostgreSQL"
        if ON_POSTGRES.issuperset(part.name for part in parts)
        else "What it costs"
    )
    head = [f"# {title}", how, f"Measured on {machine()}", reading]
    return "\n\n".join([*head, *(part.markdown() for part in parts)]) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Measure and tell; 0 whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what grantkeeper costs.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"any of {', '.join(BY_NAME)}; default all but the last"
    )
    parser.add_argument("--short", action="store_true", help="only prove that it runs")
    parser.add_argument("--rounds", type=int, help="of each side of a comparison")
    parser.add_argument("--json", type=Path, help="write all rounds to this file")
    parser.add_argument("--report", type=Path, help="write the page of the documentation to this file")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.parts if name not in BY_NAME]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    sizes = SHORT if chosen.short else WHOLE
    if chosen.rounds:
        sizes = replace(sizes, rounds=chosen.rounds)
    parts = measure(chosen.parts or list(PARTS), sizes)
    print(machine())
    if chosen.json:
        record = {part.name: [figure.record() for figure in part.figures] for part in parts}
        chosen.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if chosen.report:
        chosen.report.parent.mkdir(parents=True, exist_ok=True)
        chosen.report.write_text(report(parts, sizes), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
