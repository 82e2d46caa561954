"""
One job for each of many users, page by page.

Each job has the batch for its key, so whoever goes through the pages again, after a crash or by
mistake, gives it to those alone who have none.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from grantkeeper.ids import uuid7
from grantkeeper.model import GrantState, Job, JobState, Order
from grantkeeper.ports import Dice, GrantQuery, GrantStore, JobStore

PAGE: Final = 200


class Register(GrantStore, JobStore, Protocol):
    """Who there is, and where his job is written down."""


@dataclass(frozen=True, slots=True)
class Errand:
    """
    What is to be done for each user.

    Attributes:
        parameters: A JSON object that the job takes.
        scopes: What the job's tokens open, and the user must have granted.
        wanted: What he must have granted beside that.
        batch: What all of them have together; the key of each.
    """

    name: str
    batch: str
    parameters: bytes = b"{}"
    scopes: frozenset[str] = frozenset()
    wanted: frozenset[str] = frozenset()
    per_grant: int | None = 1


async def fan_out(
    store: Register, errand: Errand, *, now: datetime, dice: Dice, after: str = "", limit: int = PAGE
) -> tuple[int, str | None]:
    """
    Write the job down for a page of the users whose grants are active and who granted what it needs.

    Args:
        after: The last grant of the page before.

    Returns:
        How many had none yet, and the last grant of this page; ``None`` in its place after the last page.
    """
    grants = await store.search(GrantQuery(state=GrantState.ACTIVE, after=after, limit=limit))
    jobs = [
        Job(
            id=uuid7(now, dice.bytes(10)),
            name=errand.name,
            grant_id=grant.id,
            state=JobState.QUEUED,
            created_at=now,
            parameters=errand.parameters,
            scopes=errand.scopes,
            batch=errand.batch,
            key=errand.batch,
            per_grant=errand.per_grant,
            order=Order.SUBMIT,
        )
        for grant in grants
        if errand.scopes | errand.wanted <= grant.granted
    ]
    added = await store.add_jobs(jobs) if jobs else 0
    return added, (grants[-1].id if len(grants) == limit else None)
