"""Jobs without workers: a desk that keeps them in a list, and a context that records its steps."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from grantkeeper import JobContext
from grantkeeper.errors import JobNotFound
from grantkeeper.library.job_calls import JobPage
from grantkeeper.model import JobDescription, JobState, QueuedJob


class Killed(BaseException):
    """The worker is no more."""


class Desk:
    """What ``keeper.jobs`` offers to the app; nothing is done by itself."""

    def __init__(self) -> None:
        self.kept: list[JobDescription] = []
        self.retried: list[str] = []

    async def enqueue(
        self, job: str, grant_id: str, *, parameters: dict[str, Any], key: str | None = None
    ) -> QueuedJob:
        for one in self.kept:
            if (one.job, one.grant, one.key) == (job, grant_id, key):
                return QueuedJob(id=one.id, state=one.state)
        made = JobDescription(
            id=f"job-{len(self.kept)}",
            job=job,
            grant=grant_id,
            state=JobState.QUEUED,
            created_at=datetime(2026, 11, 28, 6, len(self.kept), tzinfo=UTC),
            parameters=parameters,
            key=key,
        )
        self.kept.append(made)
        return QueuedJob(id=made.id, state=made.state)

    async def get(self, job_id: str) -> JobDescription:
        for one in self.kept:
            if one.id == job_id:
                return one
        raise JobNotFound(job_id)

    async def list(self, *, grant: str, job: str, cursor: str | None = None) -> JobPage:
        """One job on a page, so that there are several."""
        mine = [one for one in self.kept if (one.grant, one.job) == (grant, job)]
        at = int(cursor or 0)
        return JobPage(tuple(mine[at : at + 1]), str(at + 1) if at + 1 < len(mine) else None)

    async def retry(self, job_id: str) -> None:
        self.retried.append(job_id)

    def change(self, job_id: str, **changes: Any) -> None:
        """A job as a worker would write it down."""
        self.kept = [replace(one, **changes) if one.id == job_id else one for one in self.kept]


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

    def as_job(self) -> JobContext:
        """The same for the type checker: what a job's function asks of its context is here."""
        return cast("JobContext", self)

    async def step(self, function: Callable[..., Any], *args: Any) -> Any:
        async def call() -> Any:
            value = function(*args)
            return await value if inspect.isawaitable(value) else value

        return await self.named_step(getattr(function, "__name__", "step"), call)

    async def named_step(self, name: str, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        place, self._at = self._at, self._at + 1
        if place < len(self._records):
            recorded, value = self._records[place]
            assert recorded == name
            return json.loads(value)
        if self._killed(name, "before"):
            raise Killed(name)
        value = json.dumps(await function(*args))
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
