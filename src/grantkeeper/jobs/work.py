"""
One run of a job, as the keeper's loop sees it: its steps, its tokens, its progress.

The author's code runs elsewhere, on a loop or a thread of its own, where it may block
without holding up leases and tokens; `grantkeeper.jobs.context` carries its wishes here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.jobs.definition import Definition
from grantkeeper.jobs.envelopes import Envelopes
from grantkeeper.jobs.failures import PermanentFailure
from grantkeeper.jobs.means import Means
from grantkeeper.jobs.row import LARGEST_NUMBER, Row, kept
from grantkeeper.jobs.session import UserSession
from grantkeeper.model import Held
from grantkeeper.ports import Release, Steps, Suspended

LARGEST_VALUE: Final = 1024 * 1024
"""Bytes of a step's value."""

TELL_EVERY: Final = 0.5
"""Seconds between two writings of progress."""

LONGEST_DOING: Final = 200

EXCLUSIVE_LEASE: Final = 15.0


class Work:
    """
    What a run may ask for. Belongs to the keeper's loop, but for `step`, which any loop may await.

    Attributes:
        scopes: What its tokens open: what it was asked for with, and what the function needs in this release.
        recorded: How many steps it has behind it.
        done_anew: How many of them this run did.
    """

    def __init__(self, means: Means, row: Row, steps: Steps, definition: Definition) -> None:
        self.means = means
        self.row = row
        self.scopes = row.job.scopes | definition.scopes
        self.recorded = 0
        self.done_anew = 0
        self._steps = steps
        self._failed = False
        self._told_at = float("-inf")
        self._news: dict[str, Any] = {}
        self._telling: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        envelopes = None if means.sealer is None else Envelopes(means.sealer, row, self._writing)
        self.session = UserSession(means, replace(row.job, scopes=self.scopes), envelopes)

    async def step(self, name: str, call: Callable[[], Awaitable[bytes]]) -> bytes:
        """
        The value of the next step, now or from an earlier run.

        Raises:
            RuntimeError: An earlier step of this run failed.
            PermanentFailure: The value is too large to be recorded.
        """
        if self._failed:
            raise RuntimeError(
                "a step of this run has failed: let its error go up, or handle what you expect in the step"
            )
        anew: list[bool] = []

        async def do() -> bytes:
            anew.append(True)
            value = await call()
            if len(value) > LARGEST_VALUE:
                raise PermanentFailure(
                    f"the step {name} returned {len(value)} bytes; keep large things elsewhere "
                    "and return where they are"
                )
            return value

        try:
            value = await self._steps.step(kept(name), do)
        except BaseException:
            self._failed = True
            raise
        self.recorded += 1
        self.done_anew += len(anew)
        return value

    async def progress(self, done: int, of: int, doing: str | None) -> None:
        """
        Write progress; what comes within a moment of another is written after it, the newest alone.

        Numbers are brought to what a row can hold.

        Raises:
            Suspended: The job was cancelled or erased.
        """
        self._news = {
            "done": _counted(done),
            "of": _counted(of),
            "doing": None if doing is None else str(doing)[:LONGEST_DOING],
        }
        wait = self._told_at + TELL_EVERY - self.means.clock.monotonic()
        if wait <= 0.0:
            await self._tell()
        elif self._telling is None:
            self._telling = asyncio.create_task(self._tell_later(wait), name="job progress")

    async def _tell_later(self, wait: float) -> None:
        await asyncio.sleep(wait)
        self._telling = None
        with suppress(Suspended):
            # The next step hears of it.
            await self._tell()

    async def _tell(self) -> None:
        self._told_at = self.means.clock.monotonic()
        # Two at once would be in each other's way.
        async with self._writing:
            news, self._news = self._news, {}
            if news:
                with suppress(StoreUnavailable):
                    await self.row.change(quiet=True, steps=max(self.row.job.steps, self.recorded), **news)

    async def last_news(self) -> dict[str, Any]:
        """What of the progress is not written yet, for the end of the run; nothing is written after this."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
            self._telling = None
        async with self._writing:
            news, self._news = self._news, {}
        return news

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncIterator[None]:
        """Nobody else works under *name* for this grant meanwhile; waits until that is so."""
        store, owner = self.means.store, self.means.dice.bytes(16).hex()
        lease_name = f"job:{self.row.job.grant_id}:{name}"
        claim = await store.take(lease_name, owner, seconds=EXCLUSIVE_LEASE)
        while isinstance(claim, Held):
            await asyncio.sleep(min(claim.remaining, 0.2))
            claim = await store.take(lease_name, owner, seconds=EXCLUSIVE_LEASE)
        me = asyncio.current_task()
        assert me is not None
        lost: list[bool] = []

        async def keep() -> None:
            until = self.means.clock.monotonic() + EXCLUSIVE_LEASE
            while True:
                await asyncio.sleep(EXCLUSIVE_LEASE / 5)
                asked = self.means.clock.monotonic()
                kept = None
                with suppress(StoreUnavailable):
                    kept = await store.renew(claim, seconds=EXCLUSIVE_LEASE)
                    if kept is None:
                        break
                if kept is not None:
                    until = asked + EXCLUSIVE_LEASE
                elif self.means.clock.monotonic() > until - EXCLUSIVE_LEASE / 5:
                    break
            lost.append(True)
            me.cancel()

        keeper = asyncio.create_task(keep(), name=lease_name)
        try:
            yield
        except asyncio.CancelledError:
            if not lost:
                raise
            me.uncancel()
            raise StoreUnavailable("the job's claim could not be kept", retry_after=5.0) from None
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            if not lost:
                with suppress(StoreConflict, StoreUnavailable):
                    await store.commit(Release(claim))


def _counted(number: int) -> int:
    return min(max(0, int(number)), LARGEST_NUMBER)
