"""
Telling everybody which jobs there are: a mark in the store, which the desk reads.

Workers say it again every day, so that a job that none of them has any more is forgotten.
"""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final

import msgspec

from grantkeeper.errors import GrantkeeperError
from grantkeeper.jobs.desk import KINDS, Kind
from grantkeeper.jobs.means import Means

AGAIN: Final = timedelta(days=1)
LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the keeper's clock, which costs nothing."""


async def announce(means: Means) -> None:
    """
    Write down the jobs of this worker beside those that others have announced, if that is news or a day old.

    Two apps that use one name for different jobs would get each other's: the last one to say so stands.
    """
    while True:
        now = means.clock.now()
        said = await means.store.mark(KINDS)
        known = {} if said is None else msgspec.json.decode(said, type=dict[str, Kind])
        wanted = dict(known)
        for name, each in means.definitions.items():
            ours = Kind(tuple(sorted(each.scopes)), each.per_grant, dict(each.schema), now)
            before = known.get(name)
            # An announcement from the future was made by a wrong clock.
            if (
                before is None
                or before != msgspec.structs.replace(ours, announced_at=before.announced_at)
                or abs(now - before.announced_at) >= AGAIN
            ):
                wanted[name] = ours
        if wanted == known:
            return
        # Another app may announce its own at this moment: then we look again.
        await means.store.swap_mark(KINDS, msgspec.json.encode(wanted), was=said)


class Announcer:
    """Announces as long as the worker works; belongs to the loop of the keeper."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """
        Announce, and begin.

        Raises:
            StoreUnavailable: The store is away.
        """
        now = self._means.clock.now()
        await announce(self._means)
        self._task = asyncio.create_task(self._work(now), name="announcing jobs")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self, last: datetime) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = self._means.clock.now()
            if abs(now - last) < AGAIN:
                continue
            try:
                await announce(self._means)
                last = now
            except GrantkeeperError as error:
                self._means.tell("jobs.announce", level=logging.WARNING, outcome=error.code)
            except Exception as error:  # noqa: BLE001 - the jobs would be unknown in a month
                self._means.tell(
                    "jobs.announce", level=logging.ERROR, error=error, outcome=type(error).__name__
                )
