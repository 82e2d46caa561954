"""Which jobs a command is about, and doing one thing to each of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cyclopts import Parameter

from grantkeeper.errors import InvalidRequest, JobEnded, JobNotFound

if TYPE_CHECKING:
    from grantkeeper.library.calls import Calls
    from grantkeeper.library.job_calls import JobPage
    from grantkeeper.model import JobDescription

PAGE: Final = 20
"""Jobs that are changed at once."""


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    """
    Which jobs.

    Parameters
    ----------
    grant
        Only of this grant.
    job
        Only of this name.
    state
        Only queued, running, waiting, parked, failed, done or cancelled ones; failed are the dead letters.
    batch
        Only those that were made together under this id.
    caller
        Only those that this caller asked for, by its name or id; where the database is opened.
    """

    grant: str | None = None
    job: str | None = None
    state: str | None = None
    batch: str | None = None
    caller: str | None = None


ALL = Which()


@dataclass(frozen=True, slots=True)
class Change:
    """
    What can be done to many jobs.

    Attributes:
        usual: The states of those it is done to when nobody says which, in the order of looking.
        possible: The states that somebody may say.
        until_none: Look again until none is left: whoever is passed over, because it changes its state
            meanwhile, is met then.
    """

    done: str
    one: "Callable[[Calls, str], Awaitable[JobDescription]]"
    usual: Sequence[str]
    possible: Sequence[str]
    until_none: bool


_NOT_DONE: Final = ("queued", "running", "waiting", "parked", "failed")

CANCEL: Final = Change(
    "cancelled", lambda keeper, job_id: keeper.jobs.cancel(job_id), _NOT_DONE, _NOT_DONE, until_none=True
)
RETRY: Final = Change(
    "retried",
    lambda keeper, job_id: keeper.jobs.retry(job_id),
    ("failed",),
    ("failed", "waiting", "parked"),
    # One that fails once more would be tried for ever.
    until_none=False,
)


async def page(keeper: "Calls", which: Which, *, limit: int, cursor: str | None = None) -> "JobPage":
    """
    A page of them.

    Raises:
        InvalidRequest: A filter is wrong, or asks a service for what only the database tells.
    """
    from grantkeeper.library.job_calls import LocalJobs

    jobs, more = keeper.jobs, {}
    if which.caller is not None:
        if not isinstance(jobs, LocalJobs):
            raise InvalidRequest(
                "a service shows a caller its own jobs: --caller needs the database",
                hint="Run it where the service runs, without GRANTKEEPER_URL.",
            )
        more = {"asked_by": which.caller}
    return await jobs.list(
        grant=which.grant,
        job=which.job,
        state=which.state,
        batch=which.batch,
        limit=limit,
        cursor=cursor,
        **more,
    )


def states(change: Change, which: Which) -> Sequence[str]:
    """
    The states of those that *change* is to be done to.

    Raises:
        InvalidRequest: Nothing says which, or they are in a state in which it cannot be done.
    """
    if which == ALL:
        raise InvalidRequest(
            "give the id of one job, or say which: --job, --batch, --grant, --caller, --state"
        )
    if which.state is None:
        return change.usual
    if which.state not in change.possible:
        raise InvalidRequest(
            f"what is {which.state} cannot be {change.done}; --state may be {', '.join(change.possible)}"
        )
    return (which.state,)


async def for_each(
    keeper: "Calls", change: Change, which: Which, states: Sequence[str], *, quiet: bool
) -> int:
    """Do *change* to all of them, and show how many it was done to; cut off, it is begun again."""
    from grantkeeper.cli.jobs_watch import Screen

    screen, count, before = Screen(quiet=quiet), 0, -1
    while count > before:
        before = count
        for state in states:
            async for ids in _pages(keeper, replace(which, state=state)):
                count += sum(await asyncio.gather(*(_done(keeper, change, one) for one in ids)))
                screen.show([f"{change.done} {count}"])
        if not change.until_none:
            break
    screen.wipe()
    return count


async def _pages(keeper: "Calls", which: Which) -> AsyncIterator[Sequence[str]]:
    found = await page(keeper, which, limit=PAGE)
    while True:
        yield [job.id for job in found.jobs]
        if found.next_cursor is None:
            return
        found = await page(keeper, which, limit=PAGE, cursor=found.next_cursor)


async def _done(keeper: "Calls", change: Change, job_id: str) -> bool:
    try:
        await change.one(keeper, job_id)
    except (JobEnded, JobNotFound):
        return False
    return True
