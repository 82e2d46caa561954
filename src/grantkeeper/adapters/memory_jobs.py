"""The jobs and the shared rates of the store in memory."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from grantkeeper.adapters.memory_tables import Tables, key_of
from grantkeeper.errors import StoreConflict
from grantkeeper.model import Job, JobState
from grantkeeper.ports import JobQuery, Pause


class MemoryJobs:
    """
    The `grantkeeper.ports.JobStore` and `grantkeeper.ports.PaceStore` part of a store in memory.

    What it asks of the whole store: its tables, its seconds, whether it is open, and to tell of changes.
    """

    _tables: Tables
    _time: Callable[[], float]

    def _open(self) -> None:
        raise NotImplementedError

    def _tell(self, kind: str, what: str) -> None:
        raise NotImplementedError

    # -- jobs -------------------------------------------------------------------------------

    async def add_jobs(self, jobs: Sequence[Job]) -> int:
        self._open()
        added = 0
        for job in jobs:
            unique = key_of(job)
            if (
                job.grant_id not in self._tables.grants
                or job.id in self._tables.jobs
                or (unique is not None and unique in self._tables.job_keys)
            ):
                continue
            self._tables.jobs[job.id] = replace(job, version=1)
            if unique is not None:
                self._tables.job_keys[unique] = job.id
            self._tell("job", job.id)
            added += 1
        return added

    async def job(self, job_id: str) -> Job | None:
        self._open()
        return self._tables.jobs.get(job_id)

    async def job_of_key(self, name: str, grant_id: str, key: str, *, caller: str | None) -> Job | None:
        self._open()
        job_id = self._tables.job_keys.get((name, grant_id, key, caller, None))
        return None if job_id is None else self._tables.jobs.get(job_id)

    async def jobs(self, query: JobQuery) -> list[Job]:
        self._open()
        return _by_id(job for job in self._tables.jobs.values() if _fits(job, query))[: query.limit]

    async def change_job(self, job: Job, *, quiet: bool = False) -> Job:
        self._open()
        stored = self._tables.jobs.get(job.id)
        if stored is None or stored.version != job.version:
            raise StoreConflict(f"job {job.id} was changed in between")
        kept = replace(
            job,
            name=stored.name,
            grant_id=stored.grant_id,
            created_at=stored.created_at,
            parameters=stored.parameters,
            scopes=stored.scopes,
            caller=stored.caller,
            batch=stored.batch,
            key=stored.key,
            per_grant=stored.per_grant,
            version=stored.version + 1,
        )
        self._tables.jobs[job.id] = kept
        if not quiet:
            self._tell("job", job.id)
        return kept

    async def ordered_jobs(self, *, limit: int = 200) -> list[Job]:
        self._open()
        return _by_id(job for job in self._tables.jobs.values() if job.order is not None)[:limit]

    async def jobs_told(self, jobs: Sequence[Job]) -> None:
        self._open()
        for job in jobs:
            stored = self._tables.jobs.get(job.id)
            if stored is not None and stored.version == job.version:
                self._tables.jobs[job.id] = replace(stored, order=None)

    async def due_jobs(self, now: datetime, *, limit: int = 200) -> list[Job]:
        self._open()
        due = [
            (job.due_at, job.id)
            for job in self._tables.jobs.values()
            if job.state is JobState.WAITING and job.due_at is not None and job.due_at <= now
        ]
        return [self._tables.jobs[job_id] for _, job_id in sorted(due)[:limit]]

    async def queued_of(self, grant_id: str, *, limit: int = 200) -> list[Job]:
        return await self.jobs(JobQuery(grant_id=grant_id, state=JobState.QUEUED, limit=limit))

    async def count_jobs(self, *, batch: str | None = None) -> Mapping[JobState, int]:
        self._open()
        return Counter(job.state for job in self._tables.jobs.values() if batch in (None, job.batch))

    async def erased_jobs(self, *, limit: int = 200) -> list[str]:
        self._open()
        return sorted(self._tables.erased)[:limit]

    async def drop_erased(self, job_ids: Sequence[str]) -> None:
        self._open()
        for job_id in job_ids:
            self._tables.erased.pop(job_id, None)

    # -- rates and pauses -------------------------------------------------------------------

    async def spend(self, key: str, *, per_second: float, burst: int) -> float:
        self._open()
        now, turn = self._time(), 1 / per_second
        full_at = max(now, self._tables.paces.get(key, now)) + turn
        wait = full_at - now - burst * turn
        # Not compared with 0: the turns of a burst, added up, are off by a rounding.
        if wait > 1e-6:
            return wait
        self._tables.paces[key] = full_at
        return 0.0

    async def pause(self, key: str, *, seconds: float) -> None:
        self._open()
        told = (self._time() + seconds, seconds)
        self._tables.pauses[key] = max(told, self._tables.pauses.get(key, told))

    async def pauses(self, keys: Sequence[str]) -> Mapping[str, Pause]:
        self._open()
        now = self._time()
        found = {key: self._tables.pauses[key] for key in keys if key in self._tables.pauses}
        return {key: Pause(until - now, seconds) for key, (until, seconds) in found.items()}

    async def forget_pauses(self, keys: Sequence[str]) -> None:
        for key, pause in (await self.pauses(keys)).items():
            if pause.left <= 0.0:
                del self._tables.pauses[key]


def _by_id(jobs: Iterable[Job]) -> list[Job]:
    return sorted(jobs, key=lambda job: job.id)


def _fits(job: Job, query: JobQuery) -> bool:
    wanted: list[tuple[str | None, str | None]] = [
        (query.grant_id, job.grant_id),
        (query.name, job.name),
        (query.state, job.state),
        (query.caller, job.caller),
        (query.batch, job.batch),
    ]
    return job.id > query.after and all(want is None or want == has for want, has in wanted)
