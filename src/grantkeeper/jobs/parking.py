"""When a job has to wait for its user, and which others then have to as well."""

from dataclasses import replace

from grantkeeper.errors import StoreConflict
from grantkeeper.model import Grant, GrantState, Job, JobState
from grantkeeper.ports import Store

PAGE = 200


def open_for(grant: Grant, scopes: frozenset[str]) -> bool:
    """Whether *grant* works, as far as its row says, and opens *scopes*."""
    return grant.state is GrantState.ACTIVE and grant.refreshable and scopes <= grant.granted


async def granted(store: Store, job: Job) -> bool:
    """
    Whether the grant of *job* opens all that it named.

    Once it is parked in its row: whether the user consented between our finding out and our writing down.
    """
    grant = await store.get(job.grant_id)
    return grant is not None and open_for(grant, job.scopes)


async def park_others(store: Store, parked: Job) -> int:
    """
    Park the grant's queued jobs that would only find out the same; how many were.

    Each by itself, for a consent may come in between; then it stops.
    """
    count = 0
    while True:
        found = await store.queued_of(parked.grant_id, limit=PAGE)
        grant = await store.get(parked.grant_id)
        hopeless = [job for job in found if grant is not None and not open_for(grant, job.scopes)]
        if not hopeless:
            return count
        changed = 0
        for job in hopeless:
            try:
                await store.change_job(
                    replace(
                        job,
                        state=JobState.PARKED,
                        reason=parked.reason,
                        note=parked.note,
                        # The engine is told nothing. A run that it begins finds the job parked; and an
                        # order to suspend, carried out late, would take away what the user has woken.
                        order=None,
                    )
                )
                changed += 1
            except StoreConflict:
                continue
        count += changed
        if not changed or len(found) < PAGE:
            return count
