"""
Jobs that begin by the calendar, for every user who granted what they need.

One worker of all looks, under a lease. When a schedule is due, the users are gone through page
by page and a job is added for each; how far that has come is a mark, and each job has the due
time as its key: a worker that dies in the middle is followed by another, and nobody gets two.

The mark is written by clocks that may be wrong. So it has two times, and each worker goes on from the
newer one that its own clock has come to: a time from years ahead holds up nobody but whoever wrote it.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
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
MOMENT: Final = timedelta(microseconds=1)
AHEAD: Final = timedelta(hours=1)
"""What workers' clocks may differ by: so far ahead, a time is as good as ours and is waited for."""


class Progress(msgspec.Struct, frozen=True):
    """
    How far a schedule has come.

    Attributes:
        due: The time at which it was begun last.
        after: The last grant that was gone through; ``None``: all were.
        other: One at which it was begun before by another clock, or before a gap.
    """

    due: datetime
    after: str | None = None
    other: datetime | None = None

    def last(self, now: datetime) -> datetime | None:
        """The newer of both times, of those that a clock which says *now* can believe."""
        return max((time for time in (self.due, self.other) if time and time <= now + AHEAD), default=None)

    def next(self, due: datetime, *, last: datetime, gap: bool, now: datetime) -> "Progress":
        """
        *due* is begun, after *last*.

        Args:
            gap: There were others in between: so it is when nobody worked, and when a clock is wrong.
        """
        other = self.other if last == self.due else self.due
        if gap and (other is None or other <= now + AHEAD):
            other = last
        return Progress(due, "", other)


class Schedules:
    """Belongs to the loop of the keeper."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._planned = [each for each in means.definitions.values() if each.calendar is not None]
        self._told: set[tuple[str, datetime]] = set()
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
        now = self._means.clock.now()
        due = definition.calendar.last(now)
        if said is None:
            # Known from now on: what was due before anybody knew of it is not made up for.
            await store.set_mark(mark, msgspec.json.encode(Progress(due)))
            return
        progress = msgspec.json.decode(said, type=Progress)
        if progress.after is None:
            if progress.due > now + AHEAD:
                self._tell_ahead(definition.name, progress.due)
            last = progress.last(now)
            if last is None:
                # As if nobody knew of it yet: all that was ever begun is of other clocks.
                await store.set_mark(mark, msgspec.json.encode(Progress(due, other=progress.due)))
                return
            if due <= last:
                return
            # Missed times are caught up with once.
            gap = definition.calendar.last(due - MOMENT) > last
            progress = progress.next(due, last=last, gap=gap, now=now)
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
            progress = msgspec.structs.replace(progress, after=after)
            await store.set_mark(mark, msgspec.json.encode(progress))
        self._means.tell("jobs.scheduled", name=definition.name, due=progress.due)

    def _tell_ahead(self, name: str, due: datetime) -> None:
        """Once for each such time: somebody must look at the clocks."""
        if (name, due) not in self._told:
            self._told.add((name, due))
            self._means.tell("jobs.schedule_ahead", level=logging.ERROR, name=name, due=due)
