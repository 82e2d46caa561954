"""When a job has to wait for its user, and which others then have to as well."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from grantkeeper.errors import StoreConflict
from grantkeeper.jobs.row import patiently
from grantkeeper.model import Grant, GrantState, Job, JobState, Order
from grantkeeper.ports import Store

PAGE = 200

WOKEN: Final[dict[str, Any]] = {
    "state": JobState.QUEUED,
    "order": Order.RESUME,
    "reason": None,
    "note": None,
}
"""What becomes of a parked job whose grant works by now."""


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


async def park_others(store: Store, parked: Job) -> None:
    """
    Park the grant's queued jobs that would only find out the same.

    Each by itself, for a consent may come in between: it wakes those that are parked by then, and those
    that are parked after it are put back here. For that a store that is away is waited for.
    """
    while True:
        found = await patiently(partial(store.queued_of, parked.grant_id, limit=PAGE))
        grant = await patiently(partial(store.get, parked.grant_id))
        hopeless = [job for job in found if grant is not None and not open_for(grant, job.scopes)]
        changed = False
        for job in hopeless:
            # The engine is told nothing. A run that it begins finds the job parked; and an
            # order to suspend, carried out late, would take away what the user has woken.
            wanted = replace(job, state=JobState.PARKED, reason=parked.reason, note=parked.note, order=None)
            changed |= await _changed(store, wanted)
        await _put_back(store, parked.grant_id, hopeless)
        if not changed or len(found) < PAGE:
            return


async def _put_back(store: Store, grant_id: str, parked: Sequence[Job]) -> None:
    """Queue those of *parked* again that their grant opens by now."""
    grant = await patiently(partial(store.get, grant_id))
    for each in parked:
        if grant is None or not open_for(grant, each.scopes):
            continue
        # Read again: an answer to our writing may have been lost, and the consent may have woken it.
        job = await patiently(partial(store.job, each.id))
        if job is not None and job.state is JobState.PARKED:
            await _changed(store, replace(job, **WOKEN))


async def _changed(store: Store, job: Job) -> bool:
    """Whether the row was as we read it, and is changed."""
    try:
        await patiently(partial(store.change_job, job))
    except StoreConflict:
        return False
    return True
