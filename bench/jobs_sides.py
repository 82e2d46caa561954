"""The two sides of the comparison of jobs: our workers, and workers of the engine alone."""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bench import engine_alone
from bench.load import ROOT
from bench.servers import Server
from bench.stage import Stage
from grantkeeper.ids import uuid7
from grantkeeper.library import adapters
from grantkeeper.model import Job, JobState, Order
from grantkeeper.ports import JobQuery, Store
from grantkeeper.settings import load_settings
from grantkeeper.testing.processes import START_LIMIT, Process, ProcessFailed

AT_ONCE = 64
"""Jobs that a worker runs together: so many that no worker waits for the next poll."""

OURS, ALONE = "grantkeeper", "engine alone"


class Worker(Process):
    """A worker, ready once it has said so."""

    def ready(self, seconds: float = START_LIMIT) -> "Worker":
        """Wait for that."""
        until = time.monotonic() + seconds
        while "working on " not in self.said():
            if not self.alive or time.monotonic() > until:
                raise ProcessFailed(f"a worker does not start:\n{self.said()[-3000:]}")
            time.sleep(0.02)
        return self


class Jobs(Protocol):
    """One side: where work is asked for, and by whom it is done."""

    name: str

    def worker(self, number: int) -> Worker:
        """A new worker."""
        ...

    def enqueue(self, name: str, count: int) -> list[str]:
        """Ask for *count* of that name, of as many users in turns as there are; their ids."""
        ...

    def ended(self, since: float) -> tuple[int, float]:
        """How many of those asked for since then are done, and when the last was."""
        ...

    def result(self, job_id: str) -> float:
        """What came of one that is done."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


@contextmanager
def working(side: Jobs, count: int) -> Iterator[list[Server]]:
    """*count* workers, ready."""
    started: list[Worker] = []
    try:
        started += [side.worker(number) for number in range(count)]
        for worker in started:
            worker.ready()
        yield [Server("", worker.popen.pid) for worker in started]
    finally:
        for worker in started:
            if worker.alive:
                worker.signal()
        for worker in started:
            worker.stop()


class OurJobs:
    """``grantkeeper jobs run``, on a stage."""

    name = OURS

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._runner = asyncio.Runner()
        settings = load_settings(stage.environment, directory=stage.directory)
        self._store: Store = self._runner.run(adapters.store(settings))
        self._batch = ""

    def worker(self, number: int) -> Worker:
        command = [sys.executable, "-m", "grantkeeper.cli", "jobs", "run"]
        return Worker(
            [*command, "--app", "bench.jobs_app", "--at-once", str(AT_ONCE)],
            folder=ROOT,
            environment=self._stage.environment,
            log=self._stage.directory / f"worker-{number}.log",
        )

    def enqueue(self, name: str, count: int) -> list[str]:
        now = datetime.now(UTC)
        self._batch = os.urandom(8).hex()
        people = self._stage.readable
        jobs = [
            Job(
                id=uuid7(now, os.urandom(10)),
                name=name,
                grant_id=people[number % len(people)],
                state=JobState.QUEUED,
                created_at=now,
                batch=self._batch,
                order=Order.SUBMIT,
            )
            for number in range(count)
        ]
        assert count == self._runner.run(self._store.add_jobs(jobs))
        return [job.id for job in jobs]

    def ended(self, since: float) -> tuple[int, float]:
        counted = self._runner.run(self._store.count_jobs(batch=self._batch))
        done = counted.get(JobState.DONE, 0)
        if sum(counted.values()) > done:
            return done, 0.0
        query = JobQuery(batch=self._batch, state=JobState.DONE, limit=done)
        found = self._runner.run(self._store.jobs(query))
        return done, max(job.ended_at.timestamp() for job in found if job.ended_at is not None)

    def result(self, job_id: str) -> float:
        job = self._runner.run(self._store.job(job_id))
        assert job is not None
        assert job.result is not None, job
        return float(job.result)

    def close(self) -> None:
        self._runner.run(self._store.close())
        self._runner.close()


class EngineJobs:
    """`bench.engine_alone`."""

    name = ALONE

    def __init__(self, url: str, directory: Path, groups: Sequence[str]) -> None:
        self._url = url
        self._directory = directory
        self._groups = list(groups)
        self._client: Any = None
        if url.startswith("sqlite:"):
            # As we make ours; DBOS by itself leaves SQLite's journal as it is.
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
                db.execute("PRAGMA journal_mode=WAL")

    def worker(self, number: int) -> Worker:
        return Worker(
            [sys.executable, "-m", "bench.engine_alone", self._url, str(AT_ONCE)],
            folder=ROOT,
            environment=os.environ,
            log=self._directory / f"engine-{number}.log",
        )

    def _asked(self) -> engine_alone.Client:
        # The first worker has made the tables.
        if self._client is None:
            self._client = engine_alone.Client(self._url)
        return self._client

    def enqueue(self, name: str, count: int) -> list[str]:
        groups = self._groups
        return self._asked().enqueue(name, [groups[number % len(groups)] for number in range(count)])

    def ended(self, since: float) -> tuple[int, float]:
        return self._asked().ended(since)

    def result(self, job_id: str) -> float:
        return float(self._asked().result(job_id))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
