"""What every route works with: the core, the guard, the callers, the numbers and the log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from grantkeeper.server.callers import Callers
from grantkeeper.server.guard import Limits, Origins, RequestIds, Transport
from grantkeeper.server.job_counts import JobCounts
from grantkeeper.server.logs import Log
from grantkeeper.server.lookups import Lookups
from grantkeeper.server.metrics import FLUSH_SECONDS, Board, Tally

if TYPE_CHECKING:
    from grantkeeper.library.core import KeeperCore

HITS_EVERY: Final = 10.0
"""Seconds between two log lines about tokens from memory: a line for each would cost more than the token."""


class Service:
    """One node's service, bound to the loop of its core."""

    def __init__(self, core: "KeeperCore", *, log: Log, board: Board | None = None) -> None:
        settings = core.settings
        self.core = core
        self.log = log
        self.board = board
        self.ids = RequestIds()
        self.transport = Transport(settings.trusted_proxies)
        self.origins = Origins(core.clients)
        self.limits = Limits(core.clock, settings.redeem_limit.count, settings.redeem_limit.period)
        self.callers = Callers(core)
        self.lookups = Lookups(core)
        self.tally = Tally(core.counters, core.chores, core.journal_entries)
        self.job_counts = JobCounts(core)
        self._told = 0

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Keep the board and the log up to date meanwhile."""
        tasks = [asyncio.create_task(self._tell_hits(), name="hits")]
        if self.board is not None:
            tasks.append(asyncio.create_task(self._post(self.board), name="numbers"))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            self._tell_new_hits()
            if self.board is not None:
                self.board.put(self.tally.numbers())

    async def _post(self, board: Board) -> None:
        while True:
            board.put(self.tally.numbers())
            await asyncio.sleep(FLUSH_SECONDS)

    async def _tell_hits(self) -> None:
        while True:
            await asyncio.sleep(HITS_EVERY)
            self._tell_new_hits()

    def _tell_new_hits(self) -> None:
        count = self.tally.hits - self._told
        if count:
            self._told += count
            self.log.info("token.served", source="memory", count=count)
