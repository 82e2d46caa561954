"""
Jobs as those who ask for them see them: within a caller's rule, and written into the audit.

What a job is and may become is for `grantkeeper.jobs` to say. What a caller may know of, by its
clients, only the edges know, for clients are settings.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from grantkeeper.errors import GrantNotFound, InvalidRequest, JobNotFound
from grantkeeper.jobs.desk import Desk
from grantkeeper.jobs.telling import described
from grantkeeper.model import AuditEvent, Caller, Job, JobDescription, JobState, QueuedJob, caller_meant
from grantkeeper.ports import JobQuery

if TYPE_CHECKING:
    from grantkeeper.library.core import KeeperCore

MOST_LISTED: Final = 1000
LONGEST_ID: Final = 255


class Offline:
    """
    The desk of a core. *caller* is who asks; ``None`` for our own people, who may see everything.

    A caller sees the jobs that it asked for itself, of grants that its rule lets it know of.
    """

    def __init__(self, core: "KeeperCore") -> None:
        self._core = core
        self._desk = Desk(core.store, core.clock, core.dice)

    async def enqueue(
        self,
        job: str,
        grant_id: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        key: str | None = None,
        caller: Caller | None = None,
    ) -> QueuedJob:
        """
        Write a job down for the workers.

        Args:
            grant_id: One that *caller* may know of; finding it is not done here.
            key: Of one job, grant and key there is one job of each caller; the first one's parameters stand.

        Raises:
            JobUnknown: No worker has announced one of that name.
            InvalidRequest: The parameters are not such as it takes.
            CallerNotAllowed: It needs scopes that the caller's rules do not allow.
            GrantNotFound: The grant is gone.
        """
        found, new = await self._desk.enqueue(
            job,
            grant_id,
            parameters=parameters,
            key=key,
            caller=None if caller is None else caller.id,
            rule=frozenset() if caller is None else caller.scopes,
        )
        if new:
            self._note("job.enqueued", found, caller)
        return QueuedJob(found.id, found.state)

    async def get(self, job_id: str, *, caller: Caller | None = None) -> JobDescription:
        """
        The report about a job.

        Raises:
            JobNotFound: There is none, or none that *caller* may see.
        """
        return described(await self._seen(job_id, caller))

    async def list(
        self,
        *,
        grant: str | None = None,
        job: str | None = None,
        state: str | None = None,
        batch: str | None = None,
        asked_by: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        caller: Caller | None = None,
    ) -> tuple[list[JobDescription], str | None]:
        """
        A page of reports in order of id, which is that of making, and the cursor of the next page.

        A page may be shorter than *limit* where the caller's rule leaves some out.

        Args:
            asked_by: Only those of a caller, by its name or id; for our own people.

        Raises:
            InvalidRequest: *state*, *asked_by*, *limit* or *cursor* is wrong.
        """
        if not 1 <= limit <= MOST_LISTED:
            raise InvalidRequest(f"limit must be 1 to {MOST_LISTED}")
        try:
            wanted = None if state is None else JobState(state)
        except ValueError:
            raise InvalidRequest(f"state must be one of {', '.join(JobState)}") from None
        if cursor is not None and not _is_id(cursor):
            raise InvalidRequest("cursor must be the next_cursor of the page before")
        if caller is not None:
            asked_by = caller.id
        elif asked_by is not None:
            asked_by = await self._caller(asked_by)
        query = JobQuery(
            grant_id=grant,
            name=job,
            state=wanted,
            caller=asked_by,
            batch=batch,
            after=cursor or "",
            limit=limit + 1,
        )
        found = await self._desk.list(query)
        page = found[:limit]
        seen = await self._of_seen_grants(page, caller)
        return [described(one) for one in seen], (page[-1].id if len(found) > limit else None)

    async def cancel(self, job_id: str, *, caller: Caller | None = None) -> JobDescription:
        """
        End a job: one that waits is not begun, one that runs stops at its next step.

        Raises:
            JobNotFound: There is none, or none that *caller* may see.
            JobEnded: It is done.
        """
        before = await self._seen(job_id, caller)
        after = await self._desk.cancel(job_id)
        if after.state is not before.state:
            self._note("job.cancelled", after, caller)
        return described(after)

    async def retry(self, job_id: str, *, caller: Caller | None = None) -> JobDescription:
        """
        Let a job go on now that failed, waits or is parked; what was done is not done again.

        Raises:
            JobNotFound: There is none, or none that *caller* may see.
            JobEnded: It is done or cancelled.
        """
        before = await self._seen(job_id, caller)
        after = await self._desk.retry(job_id)
        if after.state is not before.state:
            self._note("job.retried", after, caller)
        return described(after)

    async def fan_out(
        self, job: str, *, batch: str, parameters: Mapping[str, Any] | None = None
    ) -> AsyncIterator[int]:
        """
        See `grantkeeper.jobs.desk.Desk.fan_out`; for our own people alone.

        Raises:
            InvalidRequest: The batch has no name, or the parameters are not such as the job takes.
            JobUnknown: No worker has announced one of that name.
        """
        if not _is_id(batch):
            raise InvalidRequest("a batch has a name of visible characters")
        total = 0
        async for added in self._desk.fan_out(job, batch=batch, parameters=parameters):
            total += added
            yield added
        now, detail = self._core.clock.now(), {"name": job, "batch": batch, "added": str(total)}
        self._core.audit.note(AuditEvent(now, "job.fanned_out", detail=detail))
        self._core.means.tell("job.fanned_out", name=job, batch=batch, added=total)

    async def count(self, *, batch: str | None = None) -> Mapping[JobState, int]:
        """How many jobs there are of each state, of a batch or of all; it reads them all."""
        return await self._core.store.count_jobs(batch=batch)

    async def _caller(self, name_or_id: str) -> str:
        """The id of the caller that is meant."""
        meant = caller_meant(await self._core.store.callers(), name_or_id)
        if meant is None:
            raise InvalidRequest(
                f"there is no caller {name_or_id}", hint="grantkeeper callers list shows them."
            )
        return meant.id

    async def _seen(self, job_id: str, caller: Caller | None) -> Job:
        if not _is_id(job_id):
            raise JobNotFound("there is no such job")
        job = await self._desk.get(job_id)
        if caller is not None and (job.caller != caller.id or not await self._sees(caller, job.grant_id)):
            raise JobNotFound("there is no such job")
        return job

    async def _of_seen_grants(self, jobs: Sequence[Job], caller: Caller | None) -> Sequence[Job]:
        if caller is None or not caller.clients:
            return jobs
        grants = {one.grant_id for one in jobs}
        seen = {grant_id for grant_id in grants if await self._sees(caller, grant_id)}
        return [one for one in jobs if one.grant_id in seen]

    async def _sees(self, caller: Caller, grant_id: str) -> bool:
        if not caller.clients:
            return True
        try:
            return self._core.visible(await self._core.grant(grant_id), caller.clients)
        except GrantNotFound:
            return False

    def _note(self, event: str, job: Job, caller: Caller | None) -> None:
        now = self._core.clock.now()
        who = None if caller is None else caller.id
        self._core.audit.note(
            AuditEvent(now, event, job.grant_id, who, detail={"job": job.id, "name": job.name})
        )
        self._core.means.tell(event, job=job.id, grant=job.grant_id, caller=who)


def _is_id(text: str) -> bool:
    """Whether a store may be asked for it: not every database takes every character."""
    return text.isascii() and text.isprintable() and 0 < len(text) <= LONGEST_ID
