"""Starts the processes that are measured, each alone on a free port, and ends them."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import ROOT
from bench.stage import Stage

START_SECONDS = 60.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:[1-9]\d*")


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers at *url*."""

    url: str
    pid: int

    def resident(self) -> float:
        """Its resident memory in megabytes."""
        return self._status("VmRSS") / 1024

    def cpu(self) -> float:
        """How many seconds it has worked so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise LookupError(name)


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> Iterator[Server]:
    """
    Run a Python command that says its address in its first lines; it has ended when this is left.

    Raises:
        RuntimeError: It ended, or said nothing, instead.
    """
    running = subprocess.Popen(
        [sys.executable, *command],
        env=dict(environment),
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None
    overdue = threading.Timer(START_SECONDS, running.kill)
    overdue.start()
    said = []
    # Whatever it says later must not fill the pipe.
    drain = threading.Thread(target=running.stdout.read, daemon=True)
    try:
        for line in running.stdout:
            said.append(line)
            if found := ADDRESS.search(line):
                break
        else:
            raise RuntimeError(f"{' '.join(command)} did not start: {''.join(said)[-2000:]}")
        overdue.cancel()
        drain.start()
        yield Server(found[0], running.pid)
    finally:
        overdue.cancel()
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        if drain.ident is not None:
            drain.join()
        running.stdout.close()


@contextmanager
def service(stage: Stage) -> Iterator[Server]:
    """One process of grantkeeper, as ``grantkeeper serve`` starts it."""
    command = ["-m", "grantkeeper.cli", "serve", "--port", "0"]
    with process(command, stage.environment, stage.directory) as server:
        yield server


@contextmanager
def bare(size: int, *, guarded: bool = False) -> Iterator[Server]:
    """An application that answers every request with the same *size* bytes."""
    command = ["-m", "bench.bare", str(size), *(["guarded"] if guarded else [])]
    with process(command, os.environ, ROOT) as server:
        yield server


@contextmanager
def together(*starting: AbstractContextManager[Server]) -> Iterator[list[Server]]:
    """Several processes, started at the same time."""
    with ExitStack() as stack:
        with ThreadPoolExecutor(len(starting)) as pool:
            entered = [pool.submit(one.__enter__) for one in starting]
        for one, future in zip(starting, entered, strict=True):
            if future.exception() is None:
                stack.push(one)
        yield [future.result() for future in entered]


def nodes(stage: Stage, count: int) -> AbstractContextManager[list[Server]]:
    """So many processes of grantkeeper on one database, each a node of its own."""
    return together(*(service(stage) for _ in range(count)))


@contextmanager
def emulator(directory: Path, clock_file: Path) -> Iterator[Server]:
    """The issuer: ``grantkeeper emulator``, whose clock others may follow."""
    command = ["-m", "grantkeeper.cli", "emulator", "--port", "0", "--clock-file", str(clock_file)]
    with process(command, os.environ, directory) as server:
        yield server


@contextmanager
def handwritten(environment: Mapping[str, str], module: str = "bench.handwritten") -> Iterator[Server]:
    """The usual service, written by hand."""
    with process(["-m", module], {**os.environ, **environment}, ROOT) as server:
        yield server


def usual(environment: Mapping[str, str], count: int) -> AbstractContextManager[list[Server]]:
    """So many processes of the usual service for PostgreSQL, all on one database."""
    return together(*(handwritten(environment, "bench.handwritten_postgres") for _ in range(count)))
