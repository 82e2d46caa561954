"""
What has to happen without anybody asking: a list of chores, each on its own.

A shared chore is done by one process of all, under a lease of its own that is
renewed while it works; the others look in now and then. A chore that fails is
counted, told, and tried again in its time; it holds up no other.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from grantkeeper.errors import GrantkeeperError, StoreConflict, StoreUnavailable
from grantkeeper.keeper.means import Means
from grantkeeper.model import Lease
from grantkeeper.ports import Release

EVERY = 15.0
SOON = 0.2
"""Seconds until a chore goes on that has left something to do."""

SWEPT_AT_ONCE = 1000
"""Rows of each kind that a sweep drops at most, so that nobody waits behind it."""

LEASE = 60.0
RENEWED_AFTER = LEASE / 3
RENEW_AGAIN = 2.0


@dataclass(frozen=True, slots=True)
class Chore:
    """
    Something to do again and again.

    Attributes:
        name: In leases, logs and metrics.
        do: Does a bounded part of it; says whether more is left to do now.
        every: Seconds between two rounds, spread by half to both sides.
        shared: Whether one process does it for all; else each does its own.
    """

    name: str
    do: Callable[[], Awaitable[bool]]
    every: float = EVERY
    shared: bool = True


@dataclass(slots=True)
class Record:
    """How often a chore was done here and failed here, and when it last succeeded."""

    runs: int = 0
    errors: int = 0
    last_success: datetime | None = None


class _Lost(StoreUnavailable):
    """The claim on a chore is lost: another process may be at it."""


class Upkeep:
    """The chores of a keeper. Belongs to one loop."""

    def __init__(self, means: Means, chores: Iterable[Chore] = ()) -> None:
        self._means = means
        self._chores = list(chores)
        self._owner = means.owner()
        self._tasks: list[asyncio.Task[None]] = []
        self.records: dict[str, Record] = {chore.name: Record() for chore in self._chores}

    def add(self, chore: Chore) -> None:
        """One more, before `start`."""
        self._chores.append(chore)
        self.records[chore.name] = Record()

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(self._run(chore), name=f"upkeep {chore.name}") for chore in self._chores
        ]

    async def stop(self) -> None:
        """End; what a chore has sent to an issuer is waited for by whoever runs the flight."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def once(self) -> None:
        """A round of every chore now, one after the other; what fails is counted and does not stop it."""
        for chore in self._chores:
            await self._round(chore)

    async def _run(self, chore: Chore) -> None:
        more = False
        while True:
            wait = SOON if more else chore.every
            await asyncio.sleep(wait * (0.5 + self._means.dice.roll()))
            more = await self._round(chore)

    async def _round(self, chore: Chore) -> bool:
        """Do a part of *chore*, unless another process is at it; whether more is left for us to do."""
        record = self.records[chore.name]
        try:
            more = await self._shared(chore) if chore.shared else await chore.do()
        except GrantkeeperError as error:
            self._failed(chore, record, error.code)
            return False
        except Exception as error:  # noqa: BLE001 - a chore that ended would be missed by nobody for months
            self._failed(chore, record, type(error).__name__)
            return False
        if more is None:
            return False
        record.runs += 1
        record.last_success = self._means.clock.now()
        self._means.counters["upkeep", f"{chore.name}_ok"] += 1
        return more

    def _failed(self, chore: Chore, record: Record, outcome: str) -> None:
        record.runs += 1
        record.errors += 1
        self._means.counters["upkeep", f"{chore.name}_{outcome}"] += 1
        self._means.tell("upkeep", level=logging.WARNING, chore=chore.name, outcome=outcome)

    async def _shared(self, chore: Chore) -> bool | None:
        claim = await self._means.store.take(f"upkeep:{chore.name}", self._owner, seconds=LEASE)
        if not isinstance(claim, Lease):
            return None
        work = asyncio.ensure_future(chore.do())
        keep = asyncio.create_task(self._renew(claim), name=f"lease {chore.name}")
        try:
            await asyncio.wait([work, keep], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                keep.result()
            return await work
        finally:
            for task in (work, keep):
                task.cancel()
            await asyncio.gather(work, keep, return_exceptions=True)
            with suppress(StoreConflict, StoreUnavailable):
                await self._means.store.commit(Release(claim))

    async def _renew(self, lease: Lease) -> None:
        """
        Keep *lease* for as long as this runs.

        Raises:
            StoreUnavailable: It cannot be kept; the work must stop.
        """
        wait, until = RENEWED_AFTER, self._means.clock.monotonic() + LEASE
        while True:
            await asyncio.sleep(wait)
            asked = self._means.clock.monotonic()
            try:
                if await self._means.store.renew(lease, seconds=LEASE) is None:
                    raise _Lost("the chore's lease was lost")
                wait, until = RENEWED_AFTER, asked + LEASE
            except _Lost:
                raise
            except StoreUnavailable:
                if self._means.clock.monotonic() + RENEW_AGAIN >= until - RENEWED_AFTER:
                    raise _Lost("the chore's lease could not be renewed") from None
                wait = RENEW_AGAIN
