"""
Which workers live: each has a lease for as long as it does; what a dead one was at is run elsewhere.

On PostgreSQL a killed process is noticed at once, on SQLite when its lease has run out.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from grantkeeper.errors import GrantkeeperError, StoreConflict, StoreUnavailable
from grantkeeper.jobs.means import Means
from grantkeeper.jobs.row import patiently
from grantkeeper.model import WORKER_LEASES, Held, Lease
from grantkeeper.ports import Release

LEASE = 6.0
RENEWED_AFTER = 1.5
LOOK_EVERY = 1.0
SILENCE = 3.0
"""After this long without an answer of the store, leases of the living may have lapsed as well."""

BACK = 2 * RENEWED_AFTER + 1.0
"""Seconds that they get then to renew them."""


class Liveness:
    """
    Our own lease, and an eye on those of others.

    Args:
        lost: Called when our lease is lost: others run our jobs now, and we must end.
    """

    def __init__(self, means: Means, lost: Callable[[], None]) -> None:
        self._means = means
        self._lost = lost
        self._lease: Lease | None = None
        self._gone = False
        self._heard_at = float("-inf")
        self._trusts_at = float("-inf")
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """
        Take our lease; before the engine is started.

        Raises:
            StoreUnavailable: It cannot be had now.
        """
        claim = await self._take()
        if not isinstance(claim, Lease):
            raise StoreUnavailable("another worker has our name", retry_after=LEASE)
        self._lease = claim
        self._heard_at = asyncio.get_running_loop().time()
        self._tasks = [
            asyncio.create_task(self._keep(), name="worker lease"),
            asyncio.create_task(self._look(), name="dead workers"),
        ]

    async def lives(self) -> bool:
        """
        Whether our lease is ours, and so what the engine gave us.

        Raises:
            StoreUnavailable: Nobody can say now.
        """
        if self._lease is None or self._gone:
            return False
        return await self._means.store.renew(self._lease, seconds=LEASE, lapsed=True) is not None

    async def stop(self, *, idle: bool) -> None:
        """
        End; after the engine.

        Args:
            idle: Nothing was left running: the lease is given back. Else it is left to run out,
                and another worker recovers what was.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if idle and self._lease is not None:
            with suppress(StoreConflict, StoreUnavailable):
                await self._means.store.commit(Release(self._lease))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEWED_AFTER)
            try:
                if not await self.lives():
                    break
            except StoreUnavailable:
                # Nobody can take it meanwhile; what lapsed is ours until somebody has.
                continue
            except Exception as error:  # noqa: BLE001 - then nobody would hear that it is lost
                self._means.tell(
                    "worker.keep", level=logging.ERROR, error=error, outcome=type(error).__name__
                )
        self._gone = True
        self._means.tell("worker.lost", level=logging.ERROR, executor=self._means.executor)
        self._lost()
        # What the engine gave us after others had looked what we were at would be missed by nobody: they look
        # again once this has run out.
        while True:
            claim = await patiently(self._take)
            if isinstance(claim, Lease):
                self._lease = claim
                return
            await asyncio.sleep(RENEWED_AFTER)

    async def _take(self) -> Lease | Held:
        executor = self._means.executor
        return await self._means.store.take(WORKER_LEASES + executor, executor, seconds=LEASE)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.once()
            except GrantkeeperError as error:
                self._means.tell("worker.look", level=logging.WARNING, outcome=error.code)
            except Exception as error:  # noqa: BLE001 - then nobody would look
                self._means.tell(
                    "worker.look", level=logging.ERROR, error=error, outcome=type(error).__name__
                )

    async def once(self) -> int:
        """Have the engine run again what dead workers were at; how many jobs that were."""
        store, count = self._means.store, 0
        orphans = await store.orphans(WORKER_LEASES)
        now = asyncio.get_running_loop().time()
        if now > self._heard_at + SILENCE:
            self._trusts_at = now + BACK
        self._heard_at = now
        if now < self._trusts_at:
            return 0
        for name in orphans:
            if name == WORKER_LEASES + self._means.executor:
                # `_keep` renews it, or finds out that it is lost.
                continue
            claim = await store.take(name, self._means.executor, seconds=LEASE)
            if not isinstance(claim, Lease):
                continue
            dead = name.removeprefix(WORKER_LEASES)
            found = await self._means.engine.recover(dead)
            await store.commit(Release(claim))
            self._means.tell("worker.dead", level=logging.WARNING, executor=dead, jobs=found)
            count += found
        return count
