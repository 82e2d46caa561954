"""What is told of a job to whoever may see it: how it stands, why, who can mend it, and what comes next."""

from collections.abc import Mapping

import msgspec

from grantkeeper.errors import ERRORS
from grantkeeper.lifecycle import REMEDIES
from grantkeeper.model import Job, JobDescription, JobState, Reason

NEXT: Mapping[JobState, str] = {
    JobState.PARKED: "The job goes on by itself within seconds when the user has consented.",
    JobState.WAITING: "The job goes on by itself at the time it is due; retry lets it go on now.",
    JobState.FAILED: "Retry goes on with the step that failed; those before it are not done again.",
}
"""What becomes of a job in each state in which somebody may ask himself that."""


def remedy(job: Job) -> str | None:
    """Who can mend what *job* is parked, waiting or failed for; ``None`` where its note has to do."""
    if job.reason is None:
        return None
    if job.reason in set(Reason):
        return REMEDIES[Reason(job.reason)]
    kind = ERRORS.get(job.reason)
    return None if kind is None else kind.advice


def consent_hint(job: Job) -> str | None:
    """What comes next; of a parked job also which permissions the user has to give for it."""
    said = NEXT.get(job.state)
    if said is None or job.state is not JobState.PARKED or not job.scopes:
        return said
    return f"{said} It needs: {' '.join(sorted(job.scopes))}."


def described(job: Job) -> JobDescription:
    """The report about *job*; nothing in it is older or newer than the rest."""
    return JobDescription(
        id=job.id,
        job=job.name,
        grant=job.grant_id,
        state=job.state,
        created_at=job.created_at,
        parameters=msgspec.json.decode(job.parameters, type=dict),
        scopes=job.scopes,
        batch=job.batch,
        key=job.key,
        reason=job.reason,
        note=job.note,
        remedy=remedy(job),
        hint=consent_hint(job),
        attempts=job.attempts + job.outages,
        steps=job.steps,
        done=job.done,
        of=job.of,
        doing=job.doing,
        result=None if job.result is None else msgspec.json.decode(job.result),
        started_at=job.started_at,
        due_at=job.due_at,
        ended_at=job.ended_at,
        keep_until=job.keep_until,
    )
