"""
The parent of several workers: it binds once, spawns, replaces who dies, and passes signals on.

It answers no request and holds no connection, so a worker is never a copy of
anything that is open. A worker that loses its parent ends by itself: it watches
a pipe that only the parent holds open.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grantkeeper.backoff import pause
from grantkeeper.server.logs import Log
from grantkeeper.server.metrics import Board
from grantkeeper.server.node import GRACE_SECONDS

if TYPE_CHECKING:
    from grantkeeper.settings import Settings

ENDING: Final = (signal.SIGINT, signal.SIGTERM)
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = GRACE_SECONDS + 10.0
POLL_SECONDS: Final = 0.05
GOOD_LIFE: Final = 30.0
"""A worker that lived so long is replaced at once when it dies; others with growing pauses."""


def prepare(settings: "Settings") -> None:
    """
    Open the database and try the keys, and let go of both again, before anybody is spawned.

    A SQLite file is migrated by that; PostgreSQL that was not is refused.

    Raises:
        SettingsInvalid: Something named in the settings cannot be used.
        StoreUnavailable: The database cannot be opened.
    """
    from grantkeeper.library import adapters

    async def once() -> None:
        store = await adapters.store(settings)
        await store.close()

    adapters.sealer(settings)
    asyncio.run(once())


@dataclass(slots=True)
class Worker:
    """
    One process.

    Attributes:
        word: The end of the pipe on which it says that it is ready.
        failures: How often in a row it did not live long.
    """

    process: subprocess.Popen[bytes]
    word: int
    started: float
    failures: int
    ready: bool = False


class Supervisor:
    """
    Keeps *count* workers alive on one listening socket.

    Args:
        directory: Where workers put their numbers for one another.
    """

    def __init__(self, listener: socket.socket, url: str, count: int, directory: Path, log: Log) -> None:
        self._listener = listener
        self._url = url
        self._count = count
        self._directory = directory
        self._board = Board(directory)
        self._log = log
        self._workers: list[Worker] = []
        self._due: list[tuple[float, int]] = []
        self._stopping = threading.Event()
        self._life, self._held = os.pipe()

    def run(self, on_ready: Callable[[], None]) -> int:
        """
        Supervise until a signal, and say once that all are ready.

        Returns:
            0 after a signal; 1 if the workers could not start.
        """
        with self._signals():
            try:
                for _ in range(self._count):
                    self._spawn(failures=0)
                if not self._all_start():
                    return 0 if self._stopping.is_set() else 1
                on_ready()
                while not self._stopping.wait(POLL_SECONDS):
                    self._replace()
                return 0
            finally:
                self._stop()
                os.close(self._held)
                os.close(self._life)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Stop on a signal, and be deaf to more of them once the workers have ended; see `Server.hearing`."""

        def stop(number: int, frame: object) -> None:
            self._stopping.set()

        for number in ENDING:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number in ENDING:
                signal.signal(number, signal.SIG_IGN)

    def _spawn(self, failures: int) -> None:
        word, said = os.pipe()
        fds = (self._listener.fileno(), said, self._life)
        command = [sys.executable, "-P", "-m", "grantkeeper.server.worker", *map(str, fds)]
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [*command, self._url, str(self._directory)], stdin=subprocess.DEVNULL, pass_fds=fds
            )
        finally:
            os.close(said)
        os.set_blocking(word, False)
        self._workers.append(Worker(process, word, time.monotonic(), failures))

    def _listen_to(self, worker: Worker) -> None:
        with suppress(BlockingIOError):
            worker.ready = worker.ready or os.read(worker.word, 1) == b"r"

    def _all_start(self) -> bool:
        """Wait for everybody's word; ``False`` if one ends before it, or a signal comes."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and not self._stopping.wait(POLL_SECONDS):
            for worker in self._workers:
                self._listen_to(worker)
                status = worker.process.poll()
                if status is not None:
                    self._log.error("worker.not_started", pid=worker.process.pid, status=status)
                    return False
            if all(worker.ready for worker in self._workers):
                return True
        return False

    def _replace(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            self._listen_to(worker)
            status = worker.process.poll()
            if status is None:
                continue
            self._bury(worker)
            lived = now - worker.started
            failures = 1 if worker.ready and lived >= GOOD_LIFE else worker.failures + 1
            wait = 0.0 if failures == 1 else pause(failures - 1, random.random())  # noqa: S311 - jitter
            self._log.warning(
                "worker.died",
                pid=worker.process.pid,
                status=status,
                lived=round(lived, 1),
                again_in=round(wait, 1),
            )
            self._due.append((now + wait, failures))
        for due in [each for each in self._due if each[0] <= now]:
            self._due.remove(due)
            self._spawn(failures=due[1])

    def _bury(self, worker: Worker) -> None:
        self._workers.remove(worker)
        os.close(worker.word)
        self._board.bury(worker.process.pid)

    def _stop(self) -> None:
        """Tell everybody to finish, wait, and end who does not."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                self._log.error("worker.killed", pid=worker.process.pid)
                worker.process.kill()
                worker.process.wait()
            os.close(worker.word)
        self._workers.clear()
