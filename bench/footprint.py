"""What it weighs: memory of a process of the service, and the time that starting takes."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from bench import servers
from bench.figures import Aim, Figure, Part
from bench.load import Load, send
from bench.sizes import Sizes
from bench.stage import furnish

TIMED_IMPORT = "import time; start = time.perf_counter(); import {0}; print(time.perf_counter() - start)"


def memory(sizes: Sizes, directory: Path) -> Part:
    """A process at rest, and with many grants in its memory."""
    stage = furnish(directory, readable=sizes.cached)
    with servers.service(stage) as server:
        url = f"{server.url}/v1/token"
        at_rest = server.resident()
        send(Load(urls=[url], bodies=stage.bodies(0, 1), headers=stage.headers, connections=1, seconds=None))
        after_one = server.resident()
        send(Load(urls=[url], bodies=stage.bodies(), headers=stage.headers, connections=8, seconds=None))
        full = server.resident()
    return Part(
        name="memory",
        title="Memory of one process",
        about=(
            f"Resident memory as the kernel counts it, of `grantkeeper serve`: before any request, and "
            f"after a token of each of {sizes.cached:,} grants was handed out, all of which are then cached. "
            "One round: memory does not vary as time does."
        ),
        figures=[
            Figure.of("at rest", "MB", [at_rest], Aim(most=95)),
            Figure.of("after the first token", "MB", [after_one]),
            Figure.of(f"with {sizes.cached:,} cached grants", "MB", [full]),
            Figure.of("a cached grant", "bytes", [(full - after_one) * 2**20 / sizes.cached]),
        ],
    )


def start(sizes: Sizes, directory: Path) -> Part:
    """Imports, and the command line's help."""
    stage = furnish(directory, readable=0)
    environment = stage.environment
    # What an installed package has, and a source tree has after its first run.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    help_command = [sys.executable, "-m", "grantkeeper.cli", "--help"]
    imports: dict[str, list[float]] = {"grantkeeper": [], "grantkeeper.library.local": []}
    helps, nothing = [], []
    for module in imports:
        _import(module, environment, directory)
    _run(help_command, environment, directory)
    for _ in range(sizes.starts):
        for module, rounds in imports.items():
            rounds.append(_import(module, environment, directory))
        helps.append(_run(help_command, environment, directory))
        nothing.append(_run([sys.executable, "-c", "pass"], environment, directory))
    return Part(
        name="start",
        title="Starting",
        about=(
            "Imports are timed inside a new interpreter, commands from outside, until they have ended. "
            "Bytecode is compiled, as an installation leaves it."
        ),
        figures=[
            Figure.of("import grantkeeper", "ms", imports["grantkeeper"], Aim(most=100)),
            Figure.of("from grantkeeper import Keeper", "ms", imports["grantkeeper.library.local"]),
            Figure.of("grantkeeper --help", "ms", helps, Aim(most=250)),
            Figure.of("python -c pass", "ms", nothing),
        ],
    )


def _import(module: str, environment: Mapping[str, str], directory: Path) -> float:
    command = [sys.executable, "-c", TIMED_IMPORT.format(module)]
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=True)
    return float(done.stdout) * 1e3


def _run(command: list[str], environment: Mapping[str, str], directory: Path) -> float:
    started = perf_counter()
    subprocess.run(command, env=environment, cwd=directory, capture_output=True, check=True)
    return (perf_counter() - started) * 1e3
