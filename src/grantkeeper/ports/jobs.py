"""Where jobs are written down, and how all workers together keep to a rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from grantkeeper.model import Job, JobState


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs to list: in order of id, after *after*; a filter that is ``None`` lets all through."""

    grant_id: str | None = None
    name: str | None = None
    state: JobState | None = None
    caller: str | None = None
    batch: str | None = None
    after: str = ""
    limit: int = 100


class JobStore(Protocol):
    """
    Keeps jobs beside the grants that they are for.

    A job is the grant's: the commit that deletes the grant (`Delete`) drops its jobs and
    remembers their ids for `erased_jobs`; one with `WakeJobs` queues those that are parked.
    Every change is told on the feed as kind ``job``, except of progress alone and of orders struck out.

    Whoever parks a job reads its grant again afterwards: a consent that was committed before
    the job was parked has not woken it, and one that is committed later does.
    """

    async def add_jobs(self, jobs: Sequence[Job]) -> int:
        """
        Save new jobs, at version 1; how many were.

        One whose grant is not there is left out, and so is one whose id, or whose name, grant, key,
        caller and batch, another has: whoever asks has keys of his own.
        """
        ...

    async def job(self, job_id: str) -> Job | None:
        """The job, as last committed."""
        ...

    async def job_of_key(self, name: str, grant_id: str, key: str, *, caller: str | None) -> Job | None:
        """The one job of that name, grant and key that *caller* asked for, by itself and in no batch."""
        ...

    async def jobs(self, query: JobQuery) -> list[Job]:
        """At most ``query.limit`` jobs in order of id."""
        ...

    async def change_job(self, job: Job, *, quiet: bool = False) -> Job:
        """
        Save *job* if its version is still the stored one; returned as it then is, one version later.

        What was asked for stays what it is: name, grant, parameters, scopes, caller, batch, key,
        `per_grant` and `created_at`.

        Args:
            quiet: Tell nobody: only progress changes.

        Raises:
            StoreConflict: It changed meanwhile, or is gone.
        """
        ...

    async def ordered_jobs(self, *, limit: int = 200) -> list[Job]:
        """Jobs of which the engine is still to be told, the oldest first."""
        ...

    async def jobs_told(self, jobs: Sequence[Job]) -> None:
        """
        The engine knows of *jobs*: their order is struck out, of those that have not changed since.

        That is no new version, so that it is in nobody's way.
        """
        ...

    async def due_jobs(self, now: datetime, *, limit: int = 200) -> list[Job]:
        """Waiting jobs whose time has come, the longest due first."""
        ...

    async def queued_of(self, grant_id: str, *, limit: int = 200) -> list[Job]:
        """Jobs of a grant that are queued, in order of id."""
        ...

    async def count_jobs(self, *, batch: str | None = None) -> Mapping[JobState, int]:
        """How many there are of each state; reads all of the batch, or all there are."""
        ...

    async def erased_jobs(self, *, limit: int = 200) -> list[str]:
        """Ids of jobs whose grant was deleted and which the engine may still know."""
        ...

    async def drop_erased(self, job_ids: Sequence[str]) -> None:
        """The engine has forgotten these."""
        ...


@dataclass(frozen=True, slots=True)
class Pause:
    """
    For a while nobody shall use something.

    Attributes:
        left: Seconds from now; 0 or less once it is over.
        seconds: How long it lasts in all.
    """

    left: float
    seconds: float


class PaceStore(Protocol):
    """Rates and pauses that all processes on the database share, by its own clock."""

    async def spend(self, key: str, *, per_second: float, burst: int) -> float:
        """
        Take one turn at *key* (generic cell rate algorithm).

        Returns:
            0.0 if it was taken; else the seconds until one is free, and nothing was taken.
        """
        ...

    async def pause(self, key: str, *, seconds: float) -> None:
        """
        Nobody shall use *key* for *seconds*; a pause that ends later stays.

        It is remembered for at least as long again, unless it is forgotten.
        """
        ...

    async def pauses(self, keys: Sequence[str]) -> Mapping[str, Pause]:
        """The last pauses of those of *keys* that have one; it may be over."""
        ...

    async def forget_pauses(self, keys: Sequence[str]) -> None:
        """Forget the pauses of *keys* that are over."""
        ...
