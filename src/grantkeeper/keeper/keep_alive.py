"""
Refreshing what nobody uses, before the issuer drops it for that: Google ends a token after six months.
And what is blocked, once a day: whether it still is, only a refresh can say.

A chore of one process at a time, at a rate that grows with the backlog. The
store keeps the day at which each grant is due, so that a round reads only what
is due; a grant that cannot be refreshed now is passed over and tried again when
the round comes to the end and begins anew.
"""

import asyncio
from datetime import datetime, timedelta

from grantkeeper.errors import GrantkeeperError
from grantkeeper.keeper.cache import LiveToken
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.refresh import Refresher
from grantkeeper.lifecycle import keep_alive_at, keep_alive_rate
from grantkeeper.model import Grant

PAGE = 50
AGAIN = timedelta(hours=1)
"""How long a grant rests that could not be refreshed: it has weeks left."""

RECENTLY = timedelta(days=1)


class KeepAlive:
    """Goes through the grants that are due, the longest due first. Belongs to one loop."""

    def __init__(self, means: Means, refresher: Refresher, *, page: int = PAGE) -> None:
        self._means = means
        self._refresher = refresher
        self._page = page
        self._after: datetime | None = None
        self._began_at: datetime | None = None

    async def some(self) -> bool:
        """
        Refresh a page of what is due; whether more may be due now.

        Raises:
            StoreUnavailable: Nothing is known to be due.
        """
        now = self._means.clock.now()
        if self._began_at is None or not self._began_at <= now < self._began_at + AGAIN:
            self._after, self._began_at = None, now
        due = await self._means.store.idle(now, after=self._after, limit=self._page)
        if not due:
            return False
        rate = keep_alive_rate(now - (keep_alive_at(due[0]) or now))
        for grant in due:
            await asyncio.sleep((0.5 + self._means.dice.roll()) / rate)
            await self._one(grant)
            self._after = keep_alive_at(grant) or self._after
        return len(due) == self._page

    async def _one(self, grant: Grant) -> None:
        try:
            await self._refresher.refresh(grant.id, None, _recent)
        except GrantkeeperError as error:
            # A terminal answer is stored like that of any refresh; after another the grant is still due.
            self._means.counters["keep_alive", error.code] += 1
        else:
            self._means.counters["keep_alive", "ok"] += 1


def _recent(token: LiveToken, now: datetime) -> bool:
    """Whether somebody has just refreshed it, so that nothing is left to do."""
    return now - token.obtained_at < RECENTLY
