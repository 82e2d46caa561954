"""Carrying out what rows order of the engine, and waking what is due. Every worker does it; twice is once."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

from grantkeeper.errors import GrantkeeperError, StoreConflict
from grantkeeper.jobs.means import Means
from grantkeeper.model import Job, JobState, Order
from grantkeeper.ports import Ticket

EVERY = 1.0
"""Seconds between two looks, where the change feed tells nothing."""

PAGE = 200


class Dispatcher:
    """Belongs to the loop of the keeper."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def heard(self, kind: str, row_id: str) -> None:
        """A line of the change feed."""
        if kind in ("job", "grant", "all"):
            self._wanted.set()

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._work(), name="jobs dispatcher")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._wanted.clear()
            more = False
            try:
                more = await self.once()
            except GrantkeeperError as error:
                self._means.tell("jobs.dispatch", level=logging.WARNING, outcome=error.code)
            except Exception as error:  # noqa: BLE001 - it would be missed by everybody
                self._means.tell(
                    "jobs.dispatch", level=logging.ERROR, error=error, outcome=type(error).__name__
                )
            if more:
                continue
            try:
                async with asyncio.timeout(EVERY):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def once(self) -> bool:
        """A page of everything; whether there is more."""
        store, engine = self._means.store, self._means.engine
        due = await store.due_jobs(self._means.clock.now(), limit=PAGE)
        for job in due:
            try:
                await store.change_job(replace(job, state=JobState.QUEUED, order=Order.RESUME, due_at=None))
            except StoreConflict:
                # Another worker did it, or somebody cancelled it.
                continue
        orders = await store.ordered_jobs(limit=PAGE)
        if orders:
            await engine.submit(_tickets(orders, Order.SUBMIT))
            await engine.resume(_tickets(orders, Order.RESUME))
            await engine.suspend([job.id for job in orders if job.order is Order.SUSPEND])
            await store.jobs_told(orders)
        erased = await store.erased_jobs(limit=PAGE)
        if erased:
            await engine.forget(erased)
            await store.drop_erased(erased)
        return PAGE in (len(due), len(orders), len(erased))


def _tickets(orders: Iterable[Job], order: Order) -> list[Ticket]:
    return [Ticket(job.id, job.grant_id, job.per_grant) for job in orders if job.order is order]
