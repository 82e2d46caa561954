"""Workers on jobs, of whom one is killed every few seconds."""

import asyncio
import random
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from grantkeeper.testing.processes import START_LIMIT, Process, ProcessFailed
from tests.chaos import photo_work
from tests.chaos.calls import away
from tests.chaos.parts import Counts
from tests.chaos.town import Town, command, environment

PAUSES = (3.0, 10.0)
"""Seconds between two kills, at least and at most."""

AT_ONCE = 4
ROOT = Path(__file__).parents[2]


class JobWorker(Process):
    """``grantkeeper jobs run``, with the jobs of `tests.chaos.photo_work`."""

    def __init__(self, town: Town, log: Path, seconds: float) -> None:
        ours = environment()
        super().__init__(
            command(["jobs", "run", "--app", photo_work.__name__, "--at-once", str(AT_ONCE)]),
            folder=town.folder,
            environment=ours
            | {
                "PYTHONPATH": f"{ours['PYTHONPATH']}:{ROOT}",
                photo_work.GOOGLE_URL: town.google.url,
                photo_work.SECONDS: str(seconds),
            },
            log=log,
        )

    @property
    def works(self) -> bool:
        """Whether it has said that it is ready."""
        return self.alive and "working on " in self.said()

    def ready(self, seconds: float = START_LIMIT) -> Self:
        """Wait for that."""
        until = time.monotonic() + seconds
        while not self.works:
            if not self.alive or time.monotonic() > until:
                raise ProcessFailed(f"a worker does not start:\n{self.said()[-3000:]}")
            time.sleep(0.02)
        return self


class Crew:
    """
    *count* workers from ``async with`` to its end; each that dies has an heir.

    Args:
        seconds: That improving a photo takes.
        counts: Gets `kills`, and those that ended by themselves: too slow to keep their lease.
    """

    def __init__(self, town: Town, count: int, seconds: float, dice: random.Random, counts: Counts) -> None:
        self._town = town
        self._count = count
        self._seconds = seconds
        self._dice = dice
        self._counts = counts
        self._workers: list[JobWorker] = []
        self._killing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        (self._town.folder / photo_work.PICTURES).mkdir(exist_ok=True)
        self._hire()
        try:
            for worker in self._workers:
                await away(worker.ready)
        except BaseException:
            self._dismiss()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.peace()
            for worker in self._workers:
                if error is None and worker.alive:
                    await away(worker.ready)
                    assert 0 == await away(worker.stop), worker.said()[-3000:]
        finally:
            self._dismiss()

    def war(self) -> None:
        """From now on they are killed."""
        self._killing = asyncio.create_task(self._kill_on())

    async def peace(self) -> None:
        """
        No longer.

        Raises:
            ProcessFailed: An heir did not start.
        """
        killing, self._killing = self._killing, None
        if killing is not None:
            killing.cancel()
            await asyncio.wait([killing])
            if not killing.cancelled():
                killing.result()

    async def _kill_on(self) -> None:
        while True:
            until = time.monotonic() + START_LIMIT
            while not any(worker.works for worker in self._workers):
                assert time.monotonic() < until, "no worker starts"
                self._hire()
                await asyncio.sleep(0.05)
            await asyncio.sleep(self._dice.uniform(*PAUSES))
            self._hire()
            working = [worker for worker in self._workers if worker.works]
            if working:
                working[self._dice.randrange(len(working))].kill()
                self._counts.update(kills=1)

    def _hire(self) -> None:
        """Heirs for those who are dead."""
        for worker in [worker for worker in self._workers if not worker.alive]:
            self._workers.remove(worker)
            if worker.popen.returncode != -9:
                assert worker.works or "taken for dead" in worker.said(), worker.said()[-3000:]
                self._counts.update(workers_that_lost_their_lease=1)
        while len(self._workers) < self._count:
            log = self._town.folder / f"worker-{time.monotonic_ns()}.log"
            self._workers.append(JobWorker(self._town, log, self._seconds))

    def _dismiss(self) -> None:
        for worker in self._workers:
            if worker.alive:
                worker.kill()
