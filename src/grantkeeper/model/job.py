"""Offline work for one grant, as it is written down."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class JobState(StrEnum):
    """How a job stands."""

    QUEUED = "queued"
    """Waits for a worker."""
    RUNNING = "running"
    WAITING = "waiting"
    """Goes on by itself at `Job.due_at`: a quota is used up, or something failed that may pass."""
    PARKED = "parked"
    """Goes on by itself when the user consents again; costs nothing meanwhile."""
    FAILED = "failed"
    """A dead letter: somebody must look at it; ``retry`` goes on with the step that failed."""
    DONE = "done"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.FAILED, JobState.DONE, JobState.CANCELLED})
"""States from which nothing goes on by itself."""


class Order(StrEnum):
    """What the engine is still to be told of a job; written in the commit that wants it."""

    SUBMIT = "submit"
    RESUME = "resume"
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One piece of work.

    Attributes:
        parameters: What the app gave, as a JSON object.
        scopes: What the job's tokens open, and no more.
        caller: Id of the caller that asked for it; ``None`` for our own people and schedules.
        batch: What a fan-out made together.
        key: Of one name, grant and key there is one job of each caller and of each batch: whoever adds it
            again changes nothing.
        per_grant: How many jobs of this lane run at once for one grant; ``None``: any number.
        reason: Of being parked, waiting or failed: a word of the error table.
        note: The same as a sentence for people, without anything personal.
        attempts: How often it failed by itself, or its worker died, since it last got a step further.
        outages: How often something outside was away in that time: Google, the issuer, the database.
        due_at: When a waiting job goes on.
        steps: How many of its steps are recorded.
        done, of: Progress, as the job itself tells it; `of` is 0 where it does not know.
        doing: What it tells that it is at.
        result: What it returned, as JSON.
        order: What the engine is still to be told.
        keep_until: When an ended job is dropped.
        seal_key: The wrapped key of addresses that its steps recorded closed; ``None``: none yet, or no more.
    """

    id: str
    name: str
    grant_id: str
    state: JobState
    created_at: datetime
    parameters: bytes = field(default=b"{}", repr=False)
    scopes: frozenset[str] = frozenset()
    caller: str | None = None
    batch: str | None = None
    key: str | None = None
    per_grant: int | None = 1
    reason: str | None = None
    note: str | None = None
    attempts: int = 0
    outages: int = 0
    due_at: datetime | None = None
    steps: int = 0
    done: int = 0
    of: int = 0
    doing: str | None = None
    result: bytes | None = field(default=None, repr=False)
    order: Order | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    keep_until: datetime | None = None
    seal_key: bytes | None = field(default=None, repr=False)
    version: int = 1


def seal_owner(job_id: str) -> str:
    """What a job's `seal_key`, and all that is sealed with it, is bound to."""
    return f"job:{job_id}"
