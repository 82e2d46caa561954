"""Jobs as rows."""

from collections.abc import Sequence
from typing import Any

from grantkeeper.adapters.records.values import (
    Row,
    at_instant,
    instant,
    maybe_at,
    maybe_instant,
    set_of,
    set_text,
)
from grantkeeper.model import Job, JobState, Order

JOB_ASKED = (
    "id",
    "name",
    "grant_id",
    "created_at",
    "parameters",
    "scopes",
    "caller",
    "batch",
    "job_key",
    "per_grant",
)
"""What no change of a job changes."""

JOB_STANDING = (
    "state",
    "reason",
    "note",
    "attempts",
    "outages",
    "due_at",
    "steps",
    "done",
    "total",
    "doing",
    "result",
    "ordered",
    "started_at",
    "ended_at",
    "keep_until",
    "seal_key",
)
"""How it stands; every change writes it."""

JOB = (*JOB_ASKED, *JOB_STANDING, "version")

JOB_NUMBERS = frozenset({
    "created_at", "per_grant", "attempts", "outages", "due_at", "steps", "done", "total", "started_at",
    "ended_at", "keep_until", "version",
})  # fmt: skip
JOB_BYTES = frozenset({"parameters", "result", "seal_key"})
"""Columns of these two kinds; all others are text."""

_STATES = {state.value: state for state in JobState}

_ORDERS: dict[str | None, Order | None] = {None: None, **{order.value: order for order in Order}}


def job_standing(job: Job) -> Row:
    """`JOB_STANDING` of *job*."""
    return (
        job.state.value,
        job.reason,
        job.note,
        job.attempts,
        job.outages,
        maybe_instant(job.due_at),
        job.steps,
        job.done,
        job.of,
        job.doing,
        job.result,
        None if job.order is None else job.order.value,
        maybe_instant(job.started_at),
        maybe_instant(job.ended_at),
        maybe_instant(job.keep_until),
        job.seal_key,
    )


def job_row(job: Job, *, version: int) -> Row:
    """`JOB` of *job* at *version*."""
    return (
        job.id,
        job.name,
        job.grant_id,
        instant(job.created_at),
        job.parameters,
        set_text(job.scopes),
        job.caller,
        job.batch,
        job.key,
        job.per_grant,
        *job_standing(job),
        version,
    )


def job_of(row: Sequence[Any]) -> Job:
    """The job in a row of `JOB`."""
    return Job(
        id=row[0],
        name=row[1],
        grant_id=row[2],
        created_at=at_instant(row[3]),
        parameters=row[4],
        scopes=set_of(row[5]),
        caller=row[6],
        batch=row[7],
        key=row[8],
        per_grant=row[9],
        state=_STATES[row[10]],
        reason=row[11],
        note=row[12],
        attempts=row[13],
        outages=row[14],
        due_at=maybe_at(row[15]),
        steps=row[16],
        done=row[17],
        of=row[18],
        doing=row[19],
        result=row[20],
        order=_ORDERS[row[21]],
        started_at=maybe_at(row[22]),
        ended_at=maybe_at(row[23]),
        keep_until=maybe_at(row[24]),
        seal_key=row[25],
        version=row[26],
    )
