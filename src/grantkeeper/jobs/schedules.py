"""
Jobs that begin by the calendar, for every user who granted what they need.

One worker of all looks, under a lease. When a schedule is due, the users are gone through page
by page and a job is added for each; how far that has come is a mark, and each job has the due
time as its key: a worker that dies in the middle is followed by another, and nobody gets two.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

import msgspec

from grantkeeper.errors import GrantkeeperError
from grantkeeper.jobs.crowd import Crowd, add_page
from grantkeeper.jobs.definition import Definition
from grantkeeper.jobs.means import Means
from grantkeeper.model import Lease
from grantkeeper.ports import Release

EVERY: Final = 2.0
LEASE: Final = 30.0
NAME: Final = "jobs:schedules"


class Progress(msgspec.Struct, frozen=True):
    """
    How far a schedule has come.

    Attributes:
        due: The newest time at which it was begun.
        after: The last grant that was gone through; ``None``: all were.
    """

    due: datetime
    after: str | None = None


class Schedules:
    """Belongs to the loop of the keeper."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._planned = [each for each in means.definitions.values() if each.calendar is not None]
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if there is anything to begin."""
        if self._planned:
            self._task = asyncio.create_task(self._work(), name="job schedules")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            try:
                await self.once()
            except GrantkeeperError as error:
                self._means.tell("jobs.schedules", level=logging.WARNING, outcome=error.code)
            except Exception as error:  # noqa: BLE001 - then nothing would ever be begun again
                self._means.tell(
                    "jobs.schedules", level=logging.ERROR, error=error, outcome=type(error).__name__
                )
            await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """Begin what is due, unless another worker is at it."""
        store = self._means.store
        claim = await store.take(NAME, self._means.dice.bytes(16).hex(), seconds=LEASE)
        if not isinstance(claim, Lease):
            return
        try:
            for definition in self._planned:
                try:
                    await self._begin(definition, claim)
                except (ValueError, KeyError) as error:
                    # Of its line, its mark or its time zone: the others are begun all the same.
                    self._means.tell("jobs.schedule", level=logging.ERROR, error=error, name=definition.name)
        finally:
            await store.commit(Release(claim))

    async def _begin(self, definition: Definition, lease: Lease) -> None:
        assert definition.calendar is not None
        store, mark = self._means.store, f"jobs:schedule:{definition.name}"
        said = await store.mark(mark)
        due = definition.calendar.last(self._means.clock.now())
        if said is None:
            # Known from now on: what was due before anybody knew of it is not made up for.
            await store.set_mark(mark, msgspec.json.encode(Progress(due)))
            return
        progress = msgspec.json.decode(said, type=Progress)
        if progress.after is None:
            if due <= progress.due:
                return
            # Missed times are caught up with once.
            progress = Progress(due, "")
        crowd = Crowd(
            batch=f"{definition.name}@{progress.due.astimezone(UTC):%Y-%m-%dT%H:%M}",
            name=definition.name,
            scopes=definition.scopes,
            per_grant=definition.per_grant,
            parameters=definition.write({}),
        )
        clock, dice = self._means.clock, self._means.dice
        while progress.after is not None:
            renewed = await store.renew(lease, seconds=LEASE)
            if renewed is None:
                return
            _, after = await add_page(store, clock, dice, crowd, after=progress.after)
            progress = Progress(progress.due, after)
            await store.set_mark(mark, msgspec.json.encode(progress))
        self._means.tell("jobs.scheduled", name=definition.name, due=progress.due)
