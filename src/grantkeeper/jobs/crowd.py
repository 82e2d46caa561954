"""One job for every user who granted what it needs: a page at a time, and nobody twice."""

from dataclasses import dataclass
from typing import Final, Protocol

from grantkeeper.ids import uuid7
from grantkeeper.model import GrantState, Job, JobState, Order
from grantkeeper.ports import Clock, Dice, GrantQuery, GrantStore, JobStore

PAGE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """
    What each of the users gets.

    Attributes:
        batch: The name of it all, and the key of each job in it: begun again, it goes on.
        parameters: As a JSON object.
    """

    batch: str
    name: str
    scopes: frozenset[str]
    per_grant: int | None = 1
    parameters: bytes = b"{}"


class CrowdStore(GrantStore, JobStore, Protocol):
    """What it takes to go through the users."""


async def add_page(
    store: CrowdStore, clock: Clock, dice: Dice, crowd: Crowd, *, after: str
) -> tuple[int, str | None]:
    """
    Add the jobs of the next page of users, in order of their grants, after *after*.

    Returns:
        How many there were to add, and where to go on; ``None`` when all were gone through.
    """
    grants = await store.search(GrantQuery(state=GrantState.ACTIVE, after=after, limit=PAGE))
    now = clock.now()
    added = await store.add_jobs(
        [
            Job(
                id=uuid7(now, dice.bytes(10)),
                name=crowd.name,
                grant_id=grant.id,
                state=JobState.QUEUED,
                created_at=now,
                parameters=crowd.parameters,
                scopes=crowd.scopes,
                batch=crowd.batch,
                key=crowd.batch,
                per_grant=crowd.per_grant,
                order=Order.SUBMIT,
            )
            for grant in grants
            if crowd.scopes <= grant.granted
        ]
    )
    return added, grants[-1].id if len(grants) == PAGE else None
