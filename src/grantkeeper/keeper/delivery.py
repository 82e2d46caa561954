"""
Bringing into the store what the journal holds: in order, once, by the code that stores answers anyway.

Every process delivers what is its own and what it has taken over from dead
ones. An entry that cannot be delivered stays, is told of, and stands in the
way of nothing but later answers for the same grant or code.
"""

import asyncio
import logging
from contextlib import suppress

from grantkeeper.errors import ClientUnknown, GrantkeeperError, SealBroken, StoreUnavailable
from grantkeeper.keeper.custody import LONGEST_REST, Custody, Redelivery
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.refresh import Refresher
from grantkeeper.keeper.refreshed import Refreshed
from grantkeeper.keeper.settling import Answered, Settler
from grantkeeper.model import JournalEntry, JournalKind

EVERY = 0.5
"""Seconds between two looks at the own journal; free while it is empty."""

ADOPT_EVERY = 10.0
"""Seconds between two looks for journals of processes that died."""


class Deliverer:
    """Empties the journal. Belongs to one loop."""

    def __init__(self, means: Means, custody: Custody, refresher: Refresher, settler: Settler) -> None:
        self._means = means
        self._custody = custody
        self._refresher = refresher
        self._settler = settler
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over what dead processes left, and begin to deliver."""
        await self._adopt()
        self._task = asyncio.create_task(self._run(), name="delivery")

    async def stop(self) -> None:
        """Deliver what can be delivered now, and end."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self.once()

    async def once(self, *, stuck: bool = True) -> bool:
        """
        Deliver all that can be delivered now.

        Args:
            stuck: Also try what could not be delivered before: keys and settings may have come back.

        Returns:
            Whether the store took what it was given.
        """
        behind: set[tuple[JournalKind, str]] = set()
        for entry in self._custody.waiting():
            place = (entry.kind, entry.owner)
            if place in behind or (entry.id in self._custody.stuck and not stuck):
                behind.add(place)
                continue
            try:
                await self._deliver(entry)
            except StoreUnavailable:
                return False
            except GrantkeeperError as error:
                behind.add(place)
                self._stuck(entry, error.code)
            except Exception as error:  # noqa: BLE001 - one entry must not stop the others
                behind.add(place)
                self._stuck(entry, type(error).__name__)
        return True

    def _stuck(self, entry: JournalEntry, why: str) -> None:
        if entry.id not in self._custody.stuck:
            self._custody.stuck.add(entry.id)
            self._custody.ended(entry, "undelivered")
            self._means.tell("journal.stuck", level=logging.ERROR, entry=entry.id, outcome=why)

    async def _deliver(self, entry: JournalEntry) -> None:
        if entry.kind is JournalKind.REFRESH:
            await self._refresh(entry)
        else:
            await self._redemption(entry)
        self._custody.ended(entry, "delivered")

    async def _refresh(self, entry: JournalEntry) -> None:
        row = await self._means.store.get(entry.owner)
        if row is None:
            # Forgotten: nobody is left whose answer it could be.
            await self._custody.strike(entry.id)
            return
        record = self._custody.open(entry, (row.subject.issuer, row.subject.sub))
        refreshed = Refreshed.from_record(row, record)
        async with Redelivery(self._custody, self._means, entry, refreshed.draft()) as held:
            await self._refresher.answers.store(refreshed, held)

    async def _redemption(self, entry: JournalEntry) -> None:
        client = self._means.client_of(entry.client_id)
        answered = Answered.from_record(client, self._custody.open(entry, (client.issuer,)))
        try:
            async with Redelivery(self._custody, self._means, entry, answered.draft()) as held:
                settled = await self._settler.settle(answered, held)
        except (StoreUnavailable, SealBroken, ClientUnknown):
            raise
        except GrantkeeperError as error:
            if not held.is_stored:
                raise
            # It ended otherwise than the user hoped, and that is written for who asks again.
            self._means.tell("redeem", client=client.name, outcome=error.code)
            return
        self._means.tell("redeem", client=client.name, outcome="ok", grant=settled.grant_id)
        if settled.proof_due:
            self._refresher.settle_beside(settled.grant_id)

    async def _adopt(self) -> None:
        found = await self._custody.journal.adopt()
        if found:
            self._means.tell("journal.adopted", level=logging.WARNING, entries=found)

    async def _run(self) -> None:
        rest, adopted_at = 0.0, self._means.clock.monotonic()
        while True:
            await asyncio.sleep(rest * (1.0 - self._means.dice.roll() / 2))
            try:
                now = self._means.clock.monotonic()
                again = now - adopted_at >= ADOPT_EVERY
                if again:
                    await self._adopt()
                    adopted_at = now
                taken = await self.once(stuck=again)
            except Exception as error:  # noqa: BLE001 - a loop that ended would be noticed by nobody
                self._means.tell("journal.broken", level=logging.ERROR, exception=type(error).__name__)
                taken = False
            rest = EVERY if taken else min(max(rest, EVERY) * 2, LONGEST_REST)
