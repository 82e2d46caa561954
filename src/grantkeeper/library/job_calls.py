"""The calls about jobs, for a keeper in this program and for one behind a service, awaited or blocking."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlencode

from grantkeeper.library import remote_answers as answers
from grantkeeper.model import JobDescription, JobState, QueuedJob

if TYPE_CHECKING:
    from grantkeeper.library.core import KeeperCore
    from grantkeeper.library.remote import Service

T = TypeVar("T")


class JobPage(NamedTuple):
    """Some jobs in the order of making, and the cursor of the next ones; `None` on the last page."""

    jobs: tuple[JobDescription, ...]
    next_cursor: str | None


class JobCalls(ABC):
    """Offline work, asked for: as ``keeper.jobs``. A worker (``grantkeeper jobs run``) does it."""

    @abstractmethod
    async def enqueue(
        self,
        job: str,
        grant_id: str | None = None,
        *,
        subject: str | None = None,
        client: str | None = None,
        user: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> QueuedJob:
        """
        Have *job* done for a grant, by its id, or by *subject* (with *client*), or by *user*.

        Args:
            job: Its name, as a worker has announced it.
            parameters: What it is to work on; a JSON object.
            key: Of one job, grant and key each caller has one job: the same again gets its id.

        Raises:
            JobUnknown: No worker has announced one of that name.
            InvalidRequest: The parameters are not such as it takes.
            GrantNotFound, GrantAmbiguous: No grant fits, or several do.
            CallerNotAllowed: The job needs scopes outside the caller's rule.
        """

    @abstractmethod
    async def get(self, job_id: str) -> JobDescription:
        """
        How a job stands, why, what helps, how far it is, and what came of it.

        Raises:
            JobNotFound: There is no such job.
        """

    @abstractmethod
    async def list(
        self,
        *,
        grant: str | None = None,
        job: str | None = None,
        state: JobState | str | None = None,
        batch: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> JobPage:
        """A page of jobs, filtered."""

    @abstractmethod
    async def cancel(self, job_id: str) -> JobDescription:
        """
        End a job; one that runs stops at its next step. A second time it changes nothing.

        Raises:
            JobNotFound: There is no such job.
            JobEnded: It is done.
        """

    @abstractmethod
    async def retry(self, job_id: str) -> JobDescription:
        """
        Let a job go on now that failed, waits or is parked; what was done is not done again.

        Raises:
            JobNotFound: There is no such job.
            JobEnded: It is done or cancelled.
        """


class LocalCarrier(Protocol):
    """Brings a call to the core and the answer back."""

    def __call__(self, call: "Callable[[KeeperCore], Coroutine[Any, Any, T]]") -> Coroutine[Any, Any, T]: ...


class LocalJobs(JobCalls):
    """The jobs of a keeper in this program."""

    def __init__(self, carry: LocalCarrier) -> None:
        self._carry = carry

    async def enqueue(
        self,
        job: str,
        grant_id: str | None = None,
        *,
        subject: str | None = None,
        client: str | None = None,
        user: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> QueuedJob:
        async def call(core: "KeeperCore") -> QueuedJob:
            grant = await core.resolve(grant=grant_id, subject=subject, client=client, user=user)
            return await core.jobs.enqueue(job, grant, parameters=parameters, key=key)

        return await self._carry(call)

    async def get(self, job_id: str) -> JobDescription:
        return await self._carry(lambda core: core.jobs.get(job_id))

    async def list(
        self,
        *,
        grant: str | None = None,
        job: str | None = None,
        state: JobState | str | None = None,
        batch: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        asked_by: str | None = None,
    ) -> JobPage:
        """
        A page of jobs, filtered.

        Args:
            asked_by: Only those of this caller, by its name or id.
        """
        found, next_cursor = await self._carry(
            lambda core: core.jobs.list(
                grant=grant,
                job=job,
                state=state,
                batch=batch,
                asked_by=asked_by,
                limit=limit,
                cursor=cursor,
            )
        )
        return JobPage(tuple(found), next_cursor)

    async def cancel(self, job_id: str) -> JobDescription:
        return await self._carry(lambda core: core.jobs.cancel(job_id))

    async def retry(self, job_id: str) -> JobDescription:
        return await self._carry(lambda core: core.jobs.retry(job_id))

    async def fan_out(self, job: str, *, batch: str, parameters: Mapping[str, Any] | None = None) -> int:
        """
        Ask for a job for every user who granted what it needs; how many were added.

        Only where the database is opened. Asked again with the same *batch*, it goes on where it was cut.

        Args:
            batch: A name for all of them, by which `list` and `count` find them.

        Raises:
            JobUnknown: No worker has announced one of that name.
            InvalidRequest: The parameters are not such as it takes.
        """

        async def call(core: "KeeperCore") -> int:
            return sum([added async for added in core.jobs.fan_out(job, batch=batch, parameters=parameters)])

        return await self._carry(call)

    async def count(self, *, batch: str | None = None) -> Mapping[JobState, int]:
        """How many jobs there are of each state, of a batch or of all; it reads them all."""
        return await self._carry(lambda core: core.jobs.count(batch=batch))


class RemoteCarrier(Protocol):
    """Brings a call to the service and the answer back."""

    def __call__(self, call: "Callable[[Service], Coroutine[Any, Any, T]]") -> Coroutine[Any, Any, T]: ...


class RemoteJobs(JobCalls):
    """The jobs of a service, as its caller sees them."""

    def __init__(self, carry: RemoteCarrier) -> None:
        self._carry = carry

    async def enqueue(
        self,
        job: str,
        grant_id: str | None = None,
        *,
        subject: str | None = None,
        client: str | None = None,
        user: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> QueuedJob:
        named = {
            "job": job,
            "grant": grant_id,
            "subject": subject,
            "client": client,
            "user": user,
            "parameters": parameters,
            "key": key,
        }
        body = _without_none(named)
        answer = await self._carry(
            lambda service: service.call("POST", "/v1/jobs", answers.Queued, body=body)
        )
        return answer.record()

    async def get(self, job_id: str) -> JobDescription:
        path = _path(job_id)
        answer = await self._carry(lambda service: service.call("GET", path, answers.ToldJob))
        return answer.record()

    async def list(
        self,
        *,
        grant: str | None = None,
        job: str | None = None,
        state: JobState | str | None = None,
        batch: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> JobPage:
        named = {
            "grant": grant,
            "job": job,
            "state": state,
            "batch": batch,
            "limit": limit,
            "cursor": cursor,
        }
        path = f"/v1/jobs?{urlencode(_without_none(named))}"
        answer = await self._carry(lambda service: service.call("GET", path, answers.ListedJobs))
        return JobPage(tuple(job.record() for job in answer.jobs), answer.next_cursor)

    async def cancel(self, job_id: str) -> JobDescription:
        return await self._post(job_id, "cancel")

    async def retry(self, job_id: str) -> JobDescription:
        return await self._post(job_id, "retry")

    async def _post(self, job_id: str, what: str) -> JobDescription:
        path = f"{_path(job_id)}/{what}"
        answer = await self._carry(lambda service: service.call("POST", path, answers.ToldJob, body={}))
        return answer.record()


def _without_none(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if value is not None}


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"
