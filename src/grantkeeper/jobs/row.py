"""A job's row in the hands of the run that works on it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.model import Job, JobState
from grantkeeper.ports import JobStore, Suspended

T = TypeVar("T")

PAUSE = 0.2
LONGEST_PAUSE = 5.0


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """What *read* gives, once the store is there: a run that gave up instead would be missed by nobody."""
    pause = PAUSE
    while True:
        try:
            return await read()
        except StoreUnavailable:
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


class Row:
    """
    The row, and what is changed in it.

    A run whose row was cancelled, or is gone with its grant, has nothing more to do.
    """

    def __init__(self, store: JobStore, job: Job) -> None:
        self._store = store
        self.job = job

    async def change(self, *, quiet: bool = False, patient: bool = False, **fields: Any) -> None:
        """
        Change these fields of the row, whatever else was changed meanwhile.

        Args:
            quiet: See `JobStore.change_job`.
            patient: Wait for a store that is away, for as long as it takes.

        Raises:
            Suspended: The job was cancelled or erased, or is done: by another run that took us for dead.
            StoreUnavailable: The store is away, and we are not patient.
        """
        while True:
            change = partial(self._store.change_job, replace(self.job, **fields), quiet=quiet)
            read = partial(self._store.job, self.job.id)
            try:
                self.job = await (patiently(change) if patient else change())
                return
            except StoreConflict:
                found = await (patiently(read) if patient else read())
            if found is None or found.state in (JobState.CANCELLED, JobState.DONE):
                raise Suspended
            self.job = found
