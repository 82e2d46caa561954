"""
A job's row in the hands of the run that works on it, as long as that is the only one.

A worker that stood still may go on with a run after another has begun the job. Its writes carry the
version that it last read, so the first of them is refused; then our worker's lease says who is right.
It is taken by another *before* the engine gives our jobs away: while it is ours, so is the run.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.model import Job, JobState
from grantkeeper.ports import JobStore, Suspended

T = TypeVar("T")

LARGEST_NUMBER: Final = 2**63 - 1
"""That a database can hold."""

_UNKEPT = re.compile("[\x00\ud800-\udfff]")

PAUSE = 0.2
LONGEST_PAUSE = 5.0


def kept(text: str) -> str:
    """
    *text* as each database takes it: what none or not all can hold becomes U+FFFD.

    That is NUL, and half of a surrogate pair, as names of files have that are no UTF-8.
    """
    return _UNKEPT.sub("\N{REPLACEMENT CHARACTER}", text)


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What *read* gives, once the store is there: a run that gave up instead would be missed by nobody."""
    pause = PAUSE
    while True:
        try:
            return await read()
        except StoreUnavailable:
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


Lives = Callable[[], Awaitable[bool]]
"""Whether our worker's lease is ours, by the database; then no other runs what we are at."""


class TakenOver(asyncio.CancelledError):
    """
    The run is not ours any more, or soon will not be: it ends without a word.

    The engine is not told that it is suspended, which it would believe of a run whose worker nobody
    has missed yet; it is left to `Engine.recover`, as one that was cut off is.
    """


class Row:
    """
    The row, and what is changed in it.

    A run whose row was cancelled, or is gone with its grant, has nothing more to do.
    """

    def __init__(self, store: JobStore, job: Job, lives: Lives) -> None:
        self._store = store
        self._lives = lives
        self.job = job

    async def change(self, *, quiet: bool = False, patient: bool = False, **fields: Any) -> None:
        """
        Change these fields of the row; texts as they are `kept`.

        Args:
            quiet: See `JobStore.change_job`.
            patient: Wait for a store that is away, for as long as it takes.

        Raises:
            Suspended: The job was cancelled or erased, or somebody has decided what becomes of it.
            TakenOver: Another run is at it, or will be.
            StoreUnavailable: The store is away, and we are not patient.
        """
        # What an author said; refused by the database it would have the job begun again without end.
        said = {name: kept(fields[name]) for name in ("reason", "note", "doing") if fields.get(name)}
        while True:
            wanted = replace(self.job, **fields | said)
            change = partial(self._store.change_job, wanted, quiet=quiet)
            read = partial(self._store.job, self.job.id)
            try:
                self.job = await (patiently(change) if patient else change())
                return
            except StoreConflict:
                found = await (patiently(read) if patient else read())
            if found is None:
                raise Suspended
            if found.state is JobState.RUNNING or self._undecided(found):
                if not await (patiently(self._lives) if patient else self._lives()):
                    raise TakenOver
                # It was we who wrote, and the answer was lost; or nobody wrote of what becomes of it.
                self.job = found
            elif found == replace(wanted, version=wanted.version + 1):
                self.job = found
                return
            else:
                raise Suspended

    def _undecided(self, found: Job) -> bool:
        """Whether *found* stands as we read it: only its key was wrapped anew, or its order carried out."""
        as_read = replace(self.job, version=found.version, seal_key=found.seal_key, order=found.order)
        return found == as_read and found.order in (None, self.job.order)
