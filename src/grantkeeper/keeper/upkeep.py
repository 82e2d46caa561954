"""
What has to happen without anybody asking: old rows dropped, owed revocations delivered, doubts ended.

One process of all does it, under a named lease; the others look in now and then.
"""

import asyncio
import logging
from contextlib import suppress

from grantkeeper.errors import GrantkeeperError, StoreConflict
from grantkeeper.keeper.doubts import Doubts
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.revocation import Revoker
from grantkeeper.model import Lease
from grantkeeper.ports import Release

EVERY = 15.0
LEASE = 60.0
NAME = "upkeep"


class Upkeep:
    """The chores of a keeper."""

    def __init__(self, means: Means, revoker: Revoker, doubts: Doubts) -> None:
        self._means = means
        self._revoker = revoker
        self._doubts = doubts
        self._owner = means.owner()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="upkeep")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def once(self) -> None:
        """Do what is due now, if no other process is at it."""
        claim = await self._means.store.take(NAME, self._owner, seconds=LEASE)
        if not isinstance(claim, Lease):
            return
        try:
            await self._means.store.sweep(self._means.clock.now())
            await self._revoker.deliver_due()
            await self._doubts.once()
        finally:
            with suppress(StoreConflict):
                await self._means.store.commit(Release(claim))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY * (0.5 + self._means.dice.roll()))
            try:
                await self.once()
            except GrantkeeperError as error:
                self._means.counters["upkeep", error.code] += 1
                self._means.tell("upkeep", level=logging.WARNING, outcome=error.code)
