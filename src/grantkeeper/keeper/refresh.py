"""
One refresh per grant, whoever asks: in this process by a shared flight, across processes by a row lease.

The order is always the same: claim the lease, read the row again, adopt what
another has brought, else check the lease, send, and save the answer by
compare-and-swap before anyone sees it. No transaction is open while the issuer
is asked. Not getting the lease never means refreshing anyway.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from weakref import WeakValueDictionary

from grantkeeper.errors import (
    GrantkeeperError,
    GrantNotFound,
    IssuerUnavailable,
    SealBroken,
    StoreConflict,
    StoreUnavailable,
)
from grantkeeper.keeper.asking import Asking
from grantkeeper.keeper.cache import Cache, Entry, LiveToken
from grantkeeper.keeper.custody import LONGEST_REST, TELL_AGAIN, Custody
from grantkeeper.keeper.feed import SILENCE, Follower
from grantkeeper.keeper.means import LEASE_SECONDS, REFRESH_LIMIT, STORE_LIMIT, Means
from grantkeeper.keeper.refreshed import Answers
from grantkeeper.keeper.seals import Seals
from grantkeeper.lifecycle import stale_margin
from grantkeeper.model import (
    REFRESH_LEASES,
    Grant,
    GrantState,
    Held,
    JournalKind,
    Lease,
    Provider,
    StoredToken,
)
from grantkeeper.ports import Release
from grantkeeper.protocol.scopes import Scopes, scope_key, wire

Satisfied = Callable[[LiveToken, datetime], bool]
Settled = Callable[[Entry], bool]
"""Whether the issuer need not be asked, as things stand."""

POLL_SECONDS = 0.25
"""A waiter looks again this often even if the feed says nothing."""

GRACE = 1.0
"""Seconds that a caller waits for our own journal to deliver what it has of the grant."""

OTHERS_GRACE = LONGEST_REST + STORE_LIMIT
"""
Seconds for the journal of a process that was only cut off to do the same: when the store comes back it
may be at rest, or in the middle of a try that began before.
"""

WAIT_LIMIT = LEASE_SECONDS + 5.0

MOST_READS = 3
"""How often a grant is read again whose reading took too long to be believed."""


def _flight_key(grant_id: str, scopes: Scopes | None) -> tuple[str, str]:
    return grant_id, "" if scopes is None else wire(scopes)


class Refresher:
    """Runs the flights. Belongs to one loop."""

    def __init__(
        self, means: Means, cache: Cache, seals: Seals, follower: Follower, custody: Custody
    ) -> None:
        self.answers = Answers(means, seals, custody)
        self._means = means
        self._custody = custody
        self._cache = cache
        self._seals = seals
        self._follower = follower
        self._asking = Asking(means, seals, self.answers)
        self._flights: dict[tuple[str, str], asyncio.Task[Entry]] = {}
        # A turn lives as long as a flight holds it.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._closing = False

    # -- for the keepers ----------------------------------------------------------------------

    async def load(self, grant_id: str) -> Entry:
        """
        The grant and its tokens as stored now, remembered for the next who asks.

        A token that does not open is left out: the refresh token earns a new one.

        Raises:
            GrantNotFound: There is no such grant.
            StoreUnavailable: The store does not answer, or its answers come too late to be believed.
        """
        _, entry = await self._believed(grant_id)
        return entry

    async def settle(self, grant_id: str) -> Entry:
        """
        Refresh a grant that is in doubt, whatever its state is: it lives if its refresh token works.

        One whose doubt another process has ended meanwhile is left alone.

        Raises:
            As `refresh`.
        """
        return await asyncio.shield(self._settling(grant_id))

    async def refresh(self, grant_id: str, scopes: Scopes | None, satisfied: Satisfied) -> Entry:
        """
        The grant with a token for *scopes* that satisfies, or a brand-new one; ``None`` is all scopes.

        Who waits here may leave; the flight goes on.

        Raises:
            ConsentRequired, GrantBlocked: The issuer's answer, which is stored.
            IssuerUnavailable, StoreUnavailable, ClientMisconfigured, IssuerMisbehaved, SealBroken: Trouble
                that passes.
        """
        return await asyncio.shield(self._fresh(grant_id, scopes, satisfied))

    def beside(self, grant_id: str, scopes: Scopes | None) -> None:
        """Refresh a stale token in the background; what goes wrong is counted and tried again by the next."""
        if not self._closing:
            self._fresh(grant_id, scopes, lambda token, now: now < token.stale_at)

    def settle_beside(self, grant_id: str) -> None:
        """`settle` in the background; whoever needs the grant before finds out as well."""
        if not self._closing:
            self._settling(grant_id)

    def flies(self, grant_id: str, scopes: Scopes | None) -> bool:
        """Whether such a refresh is under way in this process."""
        return _flight_key(grant_id, scopes) in self._flights

    def live(self, grant: Grant, stored: StoredToken) -> LiveToken:
        """*stored*, opened, with the dice thrown for when it counts as stale."""
        margin = stale_margin(stored.expires_at - stored.obtained_at, self._means.dice.roll())
        return LiveToken(
            stored.scope_key,
            self._seals.access_token(grant, stored),
            stored.scopes,
            stored.obtained_at,
            stored.expires_at,
            stored.expires_at - margin,
        )

    async def close(self) -> None:
        """Start no more flights and wait for those in the air."""
        self._closing = True
        if self._flights:
            await asyncio.wait(list(self._flights.values()), timeout=REFRESH_LIMIT + STORE_LIMIT)

    async def _believed(self, grant_id: str) -> tuple[Grant, Entry]:
        for _ in range(MOST_READS):
            began = self._means.clock.monotonic()
            read = await self._read(grant_id)
            # An answer on its way for longer may be of a time when the grant was not yet revoked.
            if self._means.clock.monotonic() - began <= SILENCE:
                return read
        raise StoreUnavailable("the database answers too slowly to say what is true now", retry_after=1.0)

    async def _read(self, grant_id: str) -> tuple[Grant, Entry]:
        ticket = self._cache.ticket()
        row = await self._means.store.read(grant_id)
        if row is None:
            raise GrantNotFound("there is no such grant")
        grant, stored = row
        entry = Entry.of(grant, self._opened(grant, stored), restored_at=self._means.restored_at)
        self._cache.put(entry, ticket)
        return grant, entry

    def _opened(self, grant: Grant, stored: tuple[StoredToken, ...]) -> tuple[LiveToken, ...]:
        now = self._means.clock.now()
        tokens = []
        if grant.state is GrantState.ACTIVE:
            for token in stored:
                with suppress(SealBroken):
                    if now < token.expires_at:
                        tokens.append(self.live(grant, token))
        return tuple(tokens)

    # -- flights ------------------------------------------------------------------------------

    def _fresh(self, grant_id: str, scopes: Scopes | None, satisfied: Satisfied) -> asyncio.Task[Entry]:
        key = _flight_key(grant_id, scopes)
        return self._flight(key, scopes, lambda entry: self._settled(entry, scopes, satisfied))

    def _settling(self, grant_id: str) -> asyncio.Task[Entry]:
        return self._flight((grant_id, "doubt"), None, lambda entry: not entry.uncertain)

    def _flight(self, key: tuple[str, str], scopes: Scopes | None, settled: Settled) -> asyncio.Task[Entry]:
        running = self._flights.get(key)
        if running is not None:
            return running
        if self._closing:
            raise IssuerUnavailable("this process is shutting down", retry_after=1.0)
        task = asyncio.create_task(self._run(key[0], scopes, settled), name=f"refresh {key[0]}")
        self._flights[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return task

    def _landed(self, key: tuple[str, str], task: asyncio.Task[Entry]) -> None:
        self._flights.pop(key, None)
        # Read here, so that a failure nobody waits for is not reported as lost by asyncio.
        error = None if task.cancelled() else task.exception()
        outcome = "ok" if error is None else getattr(error, "code", "crashed")
        self._means.counters["refresh", outcome] += 1
        level = logging.INFO if error is None or isinstance(error, GrantkeeperError) else logging.ERROR
        self._means.tell("grant.refresh", level=level, grant=key[0], outcome=outcome)

    async def _run(self, grant_id: str, scopes: Scopes | None, settled: Settled) -> Entry:
        # Different scope sets of one grant take turns: a rotating issuer punishes two at once.
        turn = self._turns.setdefault(grant_id, asyncio.Lock())
        async with turn:
            return await self._claimed(grant_id, scopes, settled)

    async def _claimed(self, grant_id: str, scopes: Scopes | None, settled: Settled) -> Entry:
        def done(entry: Entry) -> bool:
            return entry.state is GrantState.REVOKED or settled(entry)

        owner = self._means.owner()
        deadline = self._means.clock.monotonic() + WAIT_LIMIT
        await self._delivered(grant_id)
        while True:
            before, entry = await self._believed(grant_id)
            if done(entry):
                return entry
            # Nobody holds a lease who has nothing to send: should he die, his answer would be looked for.
            seen = grant_id, before.version
            claim = await self._means.store.take(
                f"{REFRESH_LEASES}{grant_id}", owner, seconds=LEASE_SECONDS, seen=seen
            )
            if isinstance(claim, Lease):
                break
            await self._wait(claim, grant_id, deadline)
        lease: Lease | None = claim
        told = not claim.orphaned
        try:
            # Again, now that nobody else writes: the row read before the lease may be old.
            grant, entry = await self._read(grant_id)
            if claim.orphaned:
                grant, entry = await self._suspect(before, grant)
                told = True
            if done(entry):
                return entry
            await self._asking.refresh(grant, claim, scopes)
            lease = None
            return await self.load(grant_id)
        finally:
            if lease is not None:
                # It failed, or the row had news: what memory says is not to be believed.
                self._cache.drop(grant_id)
                # Given back while nobody knows of the doubt, it would be forgotten: then it is left to lapse.
                if told:
                    with suppress(StoreUnavailable, StoreConflict):
                        await self._means.store.commit(Release(lease))

    async def _delivered(self, grant_id: str) -> None:
        """
        Wait a moment for an answer of the grant that is in our journal: its token must not be sent before.

        Raises:
            StoreUnavailable: It is still there.
        """
        until = self._means.clock.monotonic() + GRACE
        while self._custody.holds(JournalKind.REFRESH, grant_id):
            if self._means.clock.monotonic() >= until:
                raise StoreUnavailable(
                    "an answer for this grant waits for the database to come back", retry_after=TELL_AGAIN
                )
            await self._follower.changed(grant_id, POLL_SECONDS)

    async def suspect(self, grant_id: str) -> None:
        """
        Mark a grant whose refresh was left by a process that died, so that a probe will find out.

        Raises:
            StoreUnavailable: The store failed for too long; the lease is as it was.
        """
        # Before the lease, as in a flight: what is stored from here on is not lost.
        grant = await self._means.store.get(grant_id)
        claim = await self._means.store.take(
            f"{REFRESH_LEASES}{grant_id}", self._means.owner(), seconds=LEASE_SECONDS
        )
        if not isinstance(claim, Lease):
            return  # Somebody is at it.
        if claim.orphaned and grant is not None:
            await self._asking.doubt(grant)
        with suppress(StoreConflict):
            await self._means.store.commit(Release(claim))

    async def _suspect(self, before: Grant, grant: Grant) -> tuple[Grant, Entry]:
        """
        The row, after the last owner of its lease died at it: its answer may be lost.

        Where refresh tokens rotate, a journal that has it gets a moment to deliver it: the old
        token, sent again, would end the grant. And an answer stored after the row was read as
        *before*, without the lease, is no doubt: a database may end the commit of a dead process.
        """
        rotates = self._means.client_of(grant.client_id).provider is not Provider.GOOGLE
        if rotates and grant.refreshed_at == before.refreshed_at:
            await self._follower.changed(grant.id, OTHERS_GRACE)
        await self._asking.doubt(before)
        return await self._read(grant.id)

    async def _wait(self, held: Held, grant_id: str, deadline: float) -> None:
        left = deadline - self._means.clock.monotonic()
        if left <= 0:
            raise IssuerUnavailable(
                "another process is refreshing this grant and has not come back", retry_after=1.0
            )
        await self._follower.changed(grant_id, min(POLL_SECONDS, max(held.remaining, 0.01), left))

    def _settled(self, entry: Entry, scopes: Scopes | None, satisfied: Satisfied) -> bool:
        """Whether the issuer need not be asked: a token will do, or the grant is not to be refreshed."""
        now = self._means.clock.now()
        if entry.state is GrantState.NEEDS_CONSENT:
            return True
        if entry.state is GrantState.BLOCKED and not (entry.probe_at is not None and now >= entry.probe_at):
            return True
        if entry.uncertain:
            return False
        if scopes is not None and scopes - entry.granted:
            return True
        live = entry.token("" if scopes is None else scope_key(scopes, entry.granted))
        return live is not None and satisfied(live, now)
