"""Jobs and shared rates in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from grantkeeper.adapters.job_listing import job_pages, merged_jobs
from grantkeeper.adapters.postgres_feed import Notifier
from grantkeeper.adapters.postgres_steps import NAMES
from grantkeeper.adapters.postgres_work import PostgresWork
from grantkeeper.adapters.records import instant, job_of, job_row, job_standing
from grantkeeper.errors import StoreConflict
from grantkeeper.model import Job, JobState
from grantkeeper.ports import JobQuery, Pause


class PostgresJobs:
    """
    The `grantkeeper.ports.JobStore` and `grantkeeper.ports.PaceStore` part of a store in PostgreSQL.

    What it asks of the whole store: somebody who runs statements, and who rings at the other nodes.
    """

    _work: PostgresWork
    _notifier: Notifier

    # -- jobs -------------------------------------------------------------------------------

    async def add_jobs(self, jobs: Sequence[Job]) -> int:
        if not jobs:
            return 0
        columns = zip(*(job_row(job, version=1) for job in jobs), strict=True)
        added = await self._work.write("add_jobs", *map(list, columns))
        self._notifier.poke()
        return len(added)

    async def job(self, job_id: str) -> Job | None:
        rows = await self._work.read("job", job_id)
        return job_of(rows[0]) if rows else None

    async def job_of_key(self, name: str, grant_id: str, key: str, *, caller: str | None) -> Job | None:
        rows = await self._work.read("job_of_key", name, grant_id, key, caller or "")
        return job_of(rows[0]) if rows else None

    async def jobs(self, query: JobQuery) -> list[Job]:
        found = []
        for name, values in job_pages(query):
            rows = await self._work.read(name, *(values[each] for each in NAMES[name]))
            found.append([job_of(row) for row in rows])
        return merged_jobs(found, query.limit)

    async def change_job(self, job: Job, *, quiet: bool = False) -> Job:
        standing = job_standing(job)
        if job.state is JobState.PARKED:
            rows = await self._work.write("park_job", job.id, *standing, job.version, quiet)
        else:
            rows = await self._work.write("change_job", *standing, job.id, job.version, quiet)
        if not rows:
            raise StoreConflict(f"job {job.id} was changed in between")
        if not quiet:
            self._notifier.poke()
        return job_of(rows[0])

    async def ordered_jobs(self, *, limit: int = 200) -> list[Job]:
        return [job_of(row) for row in await self._work.read("ordered_jobs", limit)]

    async def jobs_told(self, jobs: Sequence[Job]) -> None:
        if jobs:
            await self._work.write("jobs_told", [job.id for job in jobs], [job.version for job in jobs])

    async def due_jobs(self, now: datetime, *, limit: int = 200) -> list[Job]:
        return [job_of(row) for row in await self._work.read("due_jobs", instant(now), limit)]

    async def queued_of(self, grant_id: str, *, limit: int = 200) -> list[Job]:
        return [job_of(row) for row in await self._work.read("queued_of", grant_id, limit)]

    async def count_jobs(self, *, batch: str | None = None) -> Mapping[JobState, int]:
        if batch is None:
            rows = await self._work.read("count_jobs")
        else:
            rows = await self._work.read("count_jobs_of_batch", batch)
        return {JobState(state): count for state, count in rows}

    async def erased_jobs(self, *, limit: int = 200) -> list[str]:
        return [job_id for (job_id,) in await self._work.read("erased_jobs", limit)]

    async def drop_erased(self, job_ids: Sequence[str]) -> None:
        if job_ids:
            await self._work.write("drop_erased", list(job_ids))

    # -- rates and pauses -------------------------------------------------------------------

    async def spend(self, key: str, *, per_second: float, burst: int) -> float:
        ((wait,),) = await self._work.write("spend", key, 1 / per_second, burst)
        return float(wait)

    async def pause(self, key: str, *, seconds: float) -> None:
        await self._work.write("pause", key, float(seconds))

    async def pauses(self, keys: Sequence[str]) -> Mapping[str, Pause]:
        found = await self._work.read("pauses", list(keys))
        return {key: Pause(left, seconds) for key, left, seconds in found}

    async def forget_pauses(self, keys: Sequence[str]) -> None:
        await self._work.write("forget_pauses", list(keys))
