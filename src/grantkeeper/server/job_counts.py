"""
How many jobs there are of each state, for whoever scrapes.

Counting reads them all, so it is done for a scrape and for nothing else, and rarely:
what was counted is told again for `KEPT_SECONDS`, and where that is longer, for so long
that counting takes a hundredth of one connection's time. Every worker would count the
same rows, so the one that is scraped tells its own count and no sum.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from grantkeeper.errors import StoreUnavailable
from grantkeeper.model import JobState

if TYPE_CHECKING:
    from grantkeeper.library.core import KeeperCore

KEPT_SECONDS: Final = 15.0
SHARE: Final = 0.01
"""Of the time, spent on counting at most."""
LONGEST_SECONDS: Final = 5.0
"""What a scrape waits for; scrapers hang up after ten."""


class JobCounts:
    """The last count. It belongs to the core's loop."""

    def __init__(self, core: "KeeperCore") -> None:
        self._core = core
        self._known: Mapping[JobState, int] = {}
        self._until = float("-inf")
        self._counting = asyncio.Lock()

    async def read(self) -> Mapping[JobState, int]:
        """
        The number of each state, zeros included; empty as long as none has been counted.

        A store that does not answer leaves the last count: a scrape fails for nobody's database.
        """
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(LONGEST_SECONDS), self._counting:
                began = self._core.clock.monotonic()
                if began >= self._until:
                    await self._count(began)
        return self._known

    async def _count(self, began: float) -> None:
        try:
            found = await self._core.store.count_jobs()
            self._known = {state: found.get(state, 0) for state in JobState}
        finally:
            ended = self._core.clock.monotonic()
            self._until = ended + max(KEPT_SECONDS, (ended - began) / SHARE)
