"""A job's row in the hands of the run that works on it."""

import asyncio
from dataclasses import replace
from typing import Any

from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.model import Job, JobState
from grantkeeper.ports import JobStore, Suspended

PAUSE = 0.2
LONGEST_PAUSE = 5.0


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
            Suspended: The job was cancelled or erased.
            StoreUnavailable: The store is away, and we are not patient.
        """
        pause = PAUSE
        while True:
            try:
                self.job = await self._store.change_job(replace(self.job, **fields), quiet=quiet)
                return
            except StoreConflict:
                await self._read(patient)
            except StoreUnavailable:
                if not patient:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _read(self, patient: bool) -> None:
        pause = PAUSE
        while True:
            try:
                found = await self._store.job(self.job.id)
                break
            except StoreUnavailable:
                if not patient:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        if found is None or found.state is JobState.CANCELLED:
            raise Suspended
        self.job = found
