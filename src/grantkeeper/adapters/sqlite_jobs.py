"""Jobs and shared rates in SQLite: what is read where it is asked, and what is done inside a transaction."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import apsw

from grantkeeper.adapters.job_listing import job_pages, merged_jobs
from grantkeeper.adapters.records import Row, instant, job_of, job_row, job_standing
from grantkeeper.adapters.sqlite_file import rows
from grantkeeper.adapters.sqlite_steps import SQL
from grantkeeper.adapters.sqlite_writer import SqliteWriter
from grantkeeper.errors import StoreConflict
from grantkeeper.model import Job, JobState
from grantkeeper.ports import JobQuery, Pause


class SqliteJobs:
    """
    The `grantkeeper.ports.JobStore` and `grantkeeper.ports.PaceStore` part of a store in SQLite.

    What it asks of the whole store: the rows of a statement by name, and its writer.
    """

    _writer: SqliteWriter

    def _rows(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        raise NotImplementedError

    # -- jobs -------------------------------------------------------------------------------

    async def add_jobs(self, jobs: Sequence[Job]) -> int:
        written = list(jobs)
        return await self._writer.do(lambda db: _add(db, written)) if written else 0

    async def job(self, job_id: str) -> Job | None:
        found = self._rows("job", (job_id,))
        return job_of(found[0]) if found else None

    async def job_of_key(self, name: str, grant_id: str, key: str, *, caller: str | None) -> Job | None:
        found = self._rows("job_of_key", (name, grant_id, key, caller or ""))
        return job_of(found[0]) if found else None

    async def jobs(self, query: JobQuery) -> list[Job]:
        found = [list(map(job_of, self._rows(name, values))) for name, values in job_pages(query)]
        return merged_jobs(found, query.limit)

    async def change_job(self, job: Job, *, quiet: bool = False) -> Job:
        return await self._writer.do(lambda db: _change_job(db, job, quiet))

    async def ordered_jobs(self, *, limit: int = 200) -> list[Job]:
        return [job_of(row) for row in self._rows("ordered_jobs", (limit,))]

    async def jobs_told(self, jobs: Sequence[Job]) -> None:
        versions = [(job.id, job.version) for job in jobs]
        if versions:
            await self._writer.do(lambda db: _each(db, "job_told", versions))

    async def due_jobs(self, now: datetime, *, limit: int = 200) -> list[Job]:
        return [job_of(row) for row in self._rows("due_jobs", (instant(now), limit))]

    async def queued_of(self, grant_id: str, *, limit: int = 200) -> list[Job]:
        return [job_of(row) for row in self._rows("queued_of", (grant_id, limit))]

    async def count_jobs(self, *, batch: str | None = None) -> Mapping[JobState, int]:
        found = self._rows("count_jobs") if batch is None else self._rows("count_jobs_of_batch", (batch,))
        return {JobState(state): count for state, count in found}

    async def erased_jobs(self, *, limit: int = 200) -> list[str]:
        return [job_id for (job_id,) in self._rows("erased_jobs", (limit,))]

    async def drop_erased(self, job_ids: Sequence[str]) -> None:
        gone = [(job_id,) for job_id in job_ids]
        if gone:
            await self._writer.do(lambda db: _each(db, "drop_erased", gone))

    # -- rates and pauses: a machine that dies needs none of them when it is back -------------

    async def spend(self, key: str, *, per_second: float, burst: int) -> float:
        values = (key, 1 / per_second, burst)
        ((wait,),) = await self._writer.do(lambda db: rows(db, SQL["spend"], values), synced=False)
        return float(wait)

    async def pause(self, key: str, *, seconds: float) -> None:
        await self._writer.do(lambda db: _each(db, "pause", [(key, seconds)]), synced=False)

    async def pauses(self, keys: Sequence[str]) -> Mapping[str, Pause]:
        found = self._rows("pauses", (json.dumps(list(keys)),))
        return {key: Pause(left, seconds) for key, left, seconds in found}

    async def forget_pauses(self, keys: Sequence[str]) -> None:
        values = (json.dumps(list(keys)),)
        await self._writer.do(lambda db: _each(db, "forget_pauses", [values]), synced=False)


def _each(db: apsw.Connection, name: str, values: Iterable[Row]) -> None:
    db.executemany(SQL[name], values)


def _add(db: apsw.Connection, jobs: Iterable[Job]) -> int:
    added = []
    for job in jobs:
        db.execute(SQL["add_job"], (*job_row(job, version=1), job.grant_id))
        if db.changes():
            added.append(("job", job.id))
    _each(db, "add_change", added)
    return len(added)


def _change_job(db: apsw.Connection, job: Job, quiet: bool) -> Job:
    db.execute(SQL["change_job"], (*job_standing(job), job.id, job.version))
    if not db.changes():
        raise StoreConflict(f"job {job.id} was changed in between")
    if not quiet:
        _each(db, "add_change", [("job", job.id)])
    return job_of(rows(db, SQL["job"], (job.id,))[0])
