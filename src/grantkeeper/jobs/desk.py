"""Where jobs are asked for: enqueued, looked at, cancelled, tried again. It writes rows, with no engine."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from grantkeeper.errors import (
    CallerNotAllowed,
    GrantNotFound,
    InvalidRequest,
    JobEnded,
    JobNotFound,
    JobUnknown,
    StoreConflict,
)
from grantkeeper.ids import uuid7
from grantkeeper.jobs.crowd import Crowd, CrowdStore, add_page
from grantkeeper.jobs.schema import check
from grantkeeper.model import Job, JobState, Order
from grantkeeper.ports import Clock, Dice, JobQuery, NodeStore

KINDS = "jobs.kinds"

KEPT: Final = timedelta(days=30)
"""How long what is known of a cancelled job is kept."""

UNHEARD: Final = timedelta(days=30)
"""A job that no worker has announced for so long is known no more; each does it daily."""

NEVER: Final = datetime.min.replace(tzinfo=UTC)

LARGEST: Final = 64 * 1024
"""Bytes of a job's parameters."""


class Kind(msgspec.Struct, frozen=True):
    """What a worker has announced of a job, and when the last one did."""

    scopes: tuple[str, ...] = ()
    per_grant: int | None = 1
    schema: dict[str, Any] | None = None
    announced_at: datetime = NEVER


class Shelf(CrowdStore, NodeStore, Protocol):
    """What the desk needs of a store."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Writes what is wanted of a job into its row."""

    store: Shelf
    clock: Clock
    dice: Dice

    async def enqueue(
        self,
        name: str,
        grant_id: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        key: str | None = None,
        caller: str | None = None,
        rule: frozenset[str] = frozenset(),
    ) -> tuple[Job, bool]:
        """The job, and whether it is a new one."""
        kind, encoded = await self._wanted(name, parameters)
        scopes = frozenset(kind.scopes)
        if rule and not (scopes and scopes <= rule):
            raise CallerNotAllowed("the job needs scopes that the caller's rules do not allow")
        now = self.clock.now()
        job = Job(
            id=uuid7(now, self.dice.bytes(10)),
            name=name,
            grant_id=grant_id,
            state=JobState.QUEUED,
            created_at=now,
            parameters=encoded,
            scopes=scopes,
            caller=caller,
            key=key,
            per_grant=kind.per_grant,
            order=Order.SUBMIT,
        )
        if await self.store.add_jobs([job]):
            return job, True
        if key is not None:
            found = await self.store.job_of_key(name, grant_id, key, caller=caller)
            if found is not None:
                return found, False
        raise GrantNotFound("there is no such grant")

    async def fan_out(
        self, name: str, *, batch: str, parameters: Mapping[str, Any] | None = None
    ) -> AsyncIterator[int]:
        """
        One job for every user who granted what it needs; how many were added by each page of users.

        Asked for again with the same *batch* it goes on: whoever has his job gets no other.
        """
        kind, encoded = await self._wanted(name, parameters)
        crowd = Crowd(
            batch=batch,
            name=name,
            scopes=frozenset(kind.scopes),
            per_grant=kind.per_grant,
            parameters=encoded,
        )
        after: str | None = ""
        while after is not None:
            added, after = await add_page(self.store, self.clock, self.dice, crowd, after=after)
            yield added

    async def _wanted(self, name: str, parameters: Mapping[str, Any] | None) -> tuple[Kind, bytes]:
        """What is known of the job, and *parameters* as they are written down."""
        kind = (await self.kinds()).get(name)
        if kind is None:
            raise JobUnknown(f"no worker has announced a job named {name} in the last {UNHEARD.days} days")
        encoded = msgspec.json.encode(parameters or {})
        if len(encoded) > LARGEST:
            raise InvalidRequest(f"the parameters are longer than {LARGEST} bytes")
        if kind.schema is not None:
            check(name, kind.schema, msgspec.json.decode(encoded))
        return kind, encoded

    async def get(self, job_id: str) -> Job:
        job = await self.store.job(job_id)
        if job is None:
            raise JobNotFound("there is no such job")
        return job

    async def list(self, query: JobQuery) -> list[Job]:
        return await self.store.jobs(query)

    async def cancel(self, job_id: str) -> Job:
        while True:
            job = await self.get(job_id)
            if job.state is JobState.CANCELLED:
                return job
            now = self.clock.now()
            if job.state is JobState.DONE:
                raise JobEnded("the job is done and cannot be cancelled", details={"state": job.state})
            changed = replace(
                job,
                state=JobState.CANCELLED,
                order=Order.SUSPEND,
                ended_at=now,
                keep_until=now + KEPT,
                due_at=None,
                seal_key=None,
            )
            try:
                return await self.store.change_job(changed)
            except StoreConflict:
                continue

    async def retry(self, job_id: str) -> Job:
        while True:
            job = await self.get(job_id)
            if job.state in (JobState.DONE, JobState.CANCELLED):
                raise JobEnded(
                    f"the job is {job.state} and cannot be tried again", details={"state": job.state}
                )
            if job.state in (JobState.QUEUED, JobState.RUNNING):
                return job
            changed = replace(
                job,
                state=JobState.QUEUED,
                order=Order.RESUME,
                due_at=None,
                ended_at=None,
                keep_until=None,
                reason=None,
                note=None,
                attempts=0,
                outages=0,
            )
            try:
                return await self.store.change_job(changed)
            except StoreConflict:
                continue

    async def kinds(self) -> Mapping[str, Kind]:
        """The jobs that some worker can do, by name."""
        said = await self.store.mark(KINDS)
        known = {} if said is None else msgspec.json.decode(said, type=dict[str, Kind])
        since = self.clock.now() - UNHEARD
        return {name: kind for name, kind in known.items() if kind.announced_at > since}
