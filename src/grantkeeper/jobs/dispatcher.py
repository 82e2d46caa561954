"""Carrying out what rows order of the engine, and waking what is due. Every worker does it; twice is once."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from grantkeeper.errors import GrantkeeperError, StoreConflict
from grantkeeper.jobs.means import Means
from grantkeeper.model import Job, JobState, Order
from grantkeeper.ports import Ticket

EVERY = 1.0
"""Seconds between two whole looks. Between them orders are looked for, when the feed tells of a job."""

PAUSE = 0.05
"""Seconds after each look: what a crowd of jobs orders meanwhile is carried out together."""

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
        now = asyncio.get_running_loop().time
        next_whole = now()
        while True:
            self._wanted.clear()
            look, more = self.orders, False
            if now() >= next_whole:
                look, next_whole = self.once, now() + EVERY
            try:
                more = await look()
            except GrantkeeperError as error:
                self._means.tell("jobs.dispatch", level=logging.WARNING, outcome=error.code)
            except Exception as error:  # noqa: BLE001 - it would be missed by everybody
                self._means.tell(
                    "jobs.dispatch", level=logging.ERROR, error=error, outcome=type(error).__name__
                )
            await asyncio.sleep(PAUSE)
            if more:
                next_whole = now()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(next_whole - now()):
                    await self._wanted.wait()

    async def once(self) -> bool:
        """A page of everything: what is due, what is ordered, what was erased; whether there is more."""
        store, engine = self._means.store, self._means.engine
        due = await store.due_jobs(self._means.clock.now(), limit=PAGE)
        for job in due:
            try:
                await store.change_job(replace(job, state=JobState.QUEUED, order=Order.RESUME, due_at=None))
            except StoreConflict:
                # Another worker did it, or somebody cancelled it.
                continue
        more = await self.orders()
        erased = await store.erased_jobs(limit=PAGE)
        if erased:
            await engine.forget(erased)
            await store.drop_erased(erased)
        return more or PAGE in (len(due), len(erased))

    async def orders(self) -> bool:
        """A page of orders; whether there are more."""
        store, engine = self._means.store, self._means.engine
        ordered = await store.ordered_jobs(limit=PAGE)
        if ordered:
            await engine.submit(_tickets(ordered, Order.SUBMIT))
            await engine.resume(_tickets(ordered, Order.RESUME))
            await engine.suspend([job.id for job in ordered if job.order is Order.SUSPEND])
            await store.jobs_told(ordered)
        return PAGE == len(ordered)


def _tickets(orders: Iterable[Job], order: Order) -> list[Ticket]:
    return [Ticket(job.id, job.grant_id, job.per_grant) for job in orders if job.order is order]
