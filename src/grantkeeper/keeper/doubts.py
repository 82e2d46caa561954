"""
Ending doubts: grants whose last answer may be lost are found and tried, whether anybody asks for them or not.

A process that died at a refresh has left its lease behind; a token that may be
spent is marked `uncertain_since`; a database that was brought back from a backup
is in doubt as a whole, and there only what is used is tried.
"""

import asyncio
import logging
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from grantkeeper.backoff import probe_pause
from grantkeeper.errors import GrantkeeperError, IssuerUnavailable, StoreUnavailable
from grantkeeper.keeper.cache import Cache
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.refresh import Refresher
from grantkeeper.model import REFRESH_LEASES, Grant

ORPHANS_A_ROUND = 100
PROBES_A_ROUND = 50
AT_ONCE = 5
"""Probes under way at one time; callers' refreshes come first."""

ROUND_SECONDS = 20.0
"""After this no probe is begun any more in a round."""

OWN_CHANCE = timedelta(seconds=15)
"""How long a doubt is left to those who use the grant, who settle it by themselves."""

REMEMBERED = 10_000
RESTORED = "restored_at"


class Doubts:
    """The chore of finding orphaned refreshes and trying doubtful grants. Belongs to one loop."""

    def __init__(self, means: Means, refresher: Refresher) -> None:
        self._means = means
        self._refresher = refresher
        self._after: datetime | None = None
        self._resting: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def once(self) -> bool:
        """
        One round: mark what dead processes left, then try some of what is in doubt.

        Returns:
            Whether more is left to do now.

        Raises:
            StoreUnavailable: The store failed; the next round goes on.
        """
        orphans = await self._means.store.orphans(REFRESH_LEASES, limit=ORPHANS_A_ROUND)
        for name in orphans:
            await self._refresher.suspect(name.removeprefix(REFRESH_LEASES))
        await self._probe(await self._due())
        return len(orphans) == ORPHANS_A_ROUND or self._after is not None

    async def _due(self) -> list[Grant]:
        """The next page of grants in doubt, those left out that met trouble a short while ago."""
        now = self._means.clock.now() - OWN_CHANCE
        found = await self._means.store.uncertain(now, after=self._after, limit=PROBES_A_ROUND)
        # At the end of the list the next round begins from the front.
        self._after = found[-1].uncertain_since if len(found) == PROBES_A_ROUND else None
        tick = self._means.clock.monotonic()
        return [grant for grant in found if self._resting.get(grant.id, (0, tick))[1] <= tick]

    async def _probe(self, grants: list[Grant]) -> None:
        until = self._means.clock.monotonic() + ROUND_SECONDS
        waiting = iter(grants)
        away: set[str] = set()

        async def work() -> None:
            for grant in waiting:
                if self._means.clock.monotonic() >= until:
                    return
                if grant.client_id not in away:
                    await self._try(grant, away)

        await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(grants)))))

    async def _try(self, grant: Grant, away: set[str]) -> None:
        try:
            await self._refresher.settle(grant.id)
            outcome = "ok"
        except GrantkeeperError as error:
            outcome = error.code
            if isinstance(error, IssuerUnavailable):
                # The others of this client would fare no better in this round.
                away.add(grant.client_id)
            if error.retry:
                attempt = self._resting.pop(grant.id, (0, 0.0))[0] + 1
                wait = probe_pause(attempt, self._means.dice.roll(), error.retry_after)
                self._resting[grant.id] = (attempt, self._means.clock.monotonic() + wait)
                while len(self._resting) > REMEMBERED:
                    self._resting.popitem(last=False)
        if outcome == "ok":
            self._resting.pop(grant.id, None)
        self._means.counters["probe", outcome] += 1


class Restored:
    """Knows whether the database was brought back from a backup. Belongs to one loop."""

    def __init__(self, means: Means, cache: Cache) -> None:
        self._means = means
        self._cache = cache
        self._reading: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """
        Learn it; what memory holds is read again, with the doubt on it.

        Raises:
            StoreUnavailable: The store does not say.
        """
        told = await self._means.store.mark(RESTORED)
        try:
            at = None if told is None else datetime.fromtimestamp(int(told) / 1e6, UTC)
        except (ValueError, OverflowError, OSError):
            self._means.tell("restored.unreadable", level=logging.ERROR)
            at = None
        if at != self._means.restored_at:
            self._means.restored_at = at
            self._cache.clear()
            # Long known, and no news, to who opens the database later.
            level = logging.WARNING if self._reading is not None else logging.INFO
            self._means.tell("restored", level=level, at=at)

    def heard(self, kind: str, row_id: str) -> None:
        """Listen to the feed."""
        if (kind, row_id) == ("mark", RESTORED) or kind == "all":
            self._cache.clear()
            if self._reading is not None:
                self._reading.cancel()
            self._reading = asyncio.create_task(self._read_again(), name="restored")

    async def stop(self) -> None:
        """End."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading

    async def _read_again(self) -> None:
        while True:
            try:
                return await self.read()
            except StoreUnavailable:
                await asyncio.sleep(0.1)
