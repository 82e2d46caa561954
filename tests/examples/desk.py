"""Jobs without workers: a desk that keeps them in a list, and a context that records its steps."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from grantkeeper.model import Job, JobState


class Killed(BaseException):
    """The worker is no more."""


class Desk:
    """What ``keeper.jobs`` offers to the app; nothing is done by itself."""

    def __init__(self) -> None:
        self.kept: list[Job] = []
        self.retried: list[str] = []

    async def enqueue(
        self, name: str, grant: str, parameters: dict[str, Any] | None = None, *, key: str | None = None
    ) -> Job:
        for job in self.kept:
            if (job.name, job.grant_id, job.key) == (name, grant, key):
                return job
        made = Job(
            id=f"job-{len(self.kept)}",
            name=name,
            grant_id=grant,
            state=JobState.QUEUED,
            created_at=datetime(2026, 11, 28, 6, len(self.kept), tzinfo=UTC),
            parameters=json.dumps(parameters or {}).encode(),
            key=key,
        )
        self.kept.append(made)
        return made

    async def list(self, *, grant: str) -> list[Job]:
        return [job for job in self.kept if job.grant_id == grant]

    async def retry(self, job_id: str) -> None:
        self.retried.append(job_id)

    def change(self, job_id: str, **changes: Any) -> None:
        """A job as a worker would write it down."""
        self.kept = [replace(job, **changes) if job.id == job_id else job for job in self.kept]


class Context:
    """
    The context of one run of a job. Recorded steps outlive it; a step may kill the run.

    Args:
        records: The steps that earlier runs recorded, in order; new ones are added.
        killed: Is asked before and after each step whether the worker dies there.
    """

    def __init__(
        self,
        http: Any,
        records: list[tuple[str, str]],
        *,
        job_id: str = "job-0",
        grant_id: str = "grant-0",
        killed: Callable[[str, str], bool] = lambda step, when: False,
        told: Callable[[int, int, str], None] = lambda done, of, doing: None,
    ) -> None:
        self.id, self.grant_id, self.http = job_id, grant_id, http
        self._records, self._killed, self._told = records, killed, told
        self._at = 0
        self.done: list[str] = []
        """Steps that this run did."""

    async def step(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        place, self._at = self._at, self._at + 1
        if place < len(self._records):
            recorded, value = self._records[place]
            assert recorded == name
            return json.loads(value)
        if self._killed(name, "before"):
            raise Killed(name)
        value = json.dumps(await call())
        self.done.append(name)
        if self._killed(name, "unrecorded"):
            raise Killed(name)
        self._records.append((name, value))
        return json.loads(value)

    async def progress(self, done: int, of: int, doing: str) -> None:
        self._told(done, of, doing)

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        yield


class Hands:
    """
    A worker for a desk: does its queued jobs one after the other, in a thread of its own.

    Args:
        run: Does one job, given the job, what it may record and where it tells its progress.
    """

    def __init__(self, desk: Desk, run: Callable[[Job, Callable[[int, int, str], None]], Awaitable[Any]]) -> None:
        self._desk, self._run = desk, run
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), daemon=True)

    def __enter__(self) -> "Hands":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._thread.join(30)

    async def _work(self) -> None:
        while not self._ending.is_set():
            for job in [one for one in self._desk.kept if one.state is JobState.QUEUED]:
                self._desk.change(job.id, state=JobState.RUNNING)

                def told(done: int, of: int, doing: str, job_id: str = job.id) -> None:
                    self._desk.change(job_id, done=done, of=of, doing=doing)

                result = await self._run(job, told)
                self._desk.change(job.id, state=JobState.DONE, result=json.dumps(result).encode())
            await asyncio.sleep(0.05)
