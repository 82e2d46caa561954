"""A job for every user at once: ``grantkeeper jobs fan-out`` and how far it is."""

import asyncio
from collections.abc import Mapping
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from grantkeeper.cli.common import HUMAN, OK, Flag, Manner, answer, fields, hint, settings
from grantkeeper.errors import InvalidRequest

if TYPE_CHECKING:
    from grantkeeper.library.local import Keeper
    from grantkeeper.model import JobState

EVERY = 0.5
"""Seconds between two looks of --watch."""


def fan_out(
    job: str,
    /,
    *,
    parameters: str | None = None,
    batch: str | None = None,
    watch: Flag = False,
    manner: Manner = HUMAN,
) -> int:
    """
    Have a job done for every user whose grant is active and opens what it needs.

    Should it be cut off, the same --batch goes on: nobody gets two. It works on the database of this place.

    Parameters
    ----------
    job
        The job's name, as a worker has announced it.
    parameters
        What it is to work on: a JSON object.
    batch
        A name for all of them, by which they are listed; default a new one.
    watch
        Follow the jobs until none of them goes on by itself.
    """
    from grantkeeper.library.local import Keeper

    given, name = _object(parameters), batch or f"{job}@{token_hex(6)}"

    async def work() -> dict[str, object]:
        async with Keeper.open(settings=settings(need_clients=True)) as keeper:
            added = await keeper.jobs.fan_out(job, batch=name, parameters=given)
            counts = await (_follow(keeper, name, manner) if watch else keeper.jobs.count(batch=name))
            return {"batch": name, "added": added, **_told(counts)}

    found = asyncio.run(work())
    if manner.json:
        answer(found)
        return OK
    fields(found)
    if not watch:
        hint(f"its jobs: grantkeeper jobs list --batch {found['batch']}")
    return OK


async def _follow(keeper: "Keeper", batch: str, manner: Manner) -> "Mapping[JobState, int]":
    """Look until all rest; how many of each state there are then."""
    from grantkeeper.cli.jobs_watch import RESTING, Idle, Screen

    screen, idle = Screen(quiet=manner.json), Idle()
    while True:
        counts = await keeper.jobs.count(batch=batch)
        told = "  ".join(f"{state} {count}" for state, count in _told(counts).items())
        screen.show([told, *idle.lines([state for state, count in counts.items() if count])])
        if all(state in RESTING for state, count in counts.items() if count):
            screen.wipe()
            return counts
        await asyncio.sleep(EVERY)


def _told(counts: "Mapping[JobState, int]") -> dict[str, int]:
    """In the order in which a job goes through its states."""
    from grantkeeper.model import JobState

    return {str(state): counts[state] for state in JobState if counts.get(state)}


def _object(text: str | None) -> Mapping[str, Any] | None:
    import msgspec

    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise InvalidRequest("--parameters must be a JSON object") from error
