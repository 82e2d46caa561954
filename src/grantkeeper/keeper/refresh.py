"""
One refresh per grant, whoever asks: in this process by a shared flight, across processes by a row lease.

The order is always the same: claim the lease, read the row again, adopt what
another has brought, else check the lease, send, and save the answer by
compare-and-swap before anyone sees it. No transaction is open while the issuer
is asked. Not getting the lease never means refreshing anyway.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from grantkeeper.backoff import Circuit, Condemnations, Gate, Trouble, pause
from grantkeeper.errors import (
    ClientMisconfigured,
    ConsentRequired,
    GrantBlocked,
    GrantkeeperError,
    GrantNotFound,
    IssuerMisbehaved,
    IssuerUnavailable,
    SealBroken,
    StoreConflict,
    StoreUnavailable,
)
from grantkeeper.keeper.cache import Cache, Entry, LiveToken
from grantkeeper.keeper.feed import Follower
from grantkeeper.keeper.means import LEASE_SECONDS, REFRESH_LIMIT, STORE_LIMIT, Means
from grantkeeper.keeper.seals import Seals
from grantkeeper.lifecycle import REMEDIES, Event, announced_end, next_state, stale_margin
from grantkeeper.model import AuditEvent, Client, Grant, GrantState, Held, Lease, Reason, StoredToken
from grantkeeper.ports import DropTokens, Note, PutToken, Release, Replace, Step
from grantkeeper.protocol.scopes import Scopes, scope_key, wire
from grantkeeper.protocol.token_endpoint import BrokenAnswer, ScopeRefused, TokenAnswer
from grantkeeper.secret import RefreshToken

Satisfied = Callable[[LiveToken, datetime], bool]


def _same_token(row: Grant, used: Grant) -> bool:
    """Whether *row* still has the refresh token that was sent."""
    if row.refresh_token is None or used.refresh_token is None:
        return False
    return row.refresh_token.generation == used.refresh_token.generation


def _never(token: LiveToken, now: datetime) -> bool:
    return False


RETRY_WITHIN = 3.0
"""Seconds in which a failed refresh is tried again before its waiters are told."""

ATTEMPTS = 3
POLL_SECONDS = 0.25
"""A waiter looks again this often even if the feed says nothing."""

WAIT_LIMIT = LEASE_SECONDS + 5.0
PROBE_EVERY = timedelta(days=1)
MOST_CONFLICTS = 20


@dataclass(slots=True)
class Health:
    """How a client fares at its issuer, in this process."""

    circuit: Circuit
    condemnations: Condemnations


class Refresher:
    """Runs the flights. Belongs to one loop."""

    def __init__(self, means: Means, cache: Cache, seals: Seals, follower: Follower) -> None:
        self._means = means
        self._cache = cache
        self._seals = seals
        self._follower = follower
        self._flights: dict[tuple[str, str], asyncio.Task[Entry]] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._health: dict[str, Health] = {}
        self._closing = False

    # -- for the keepers ----------------------------------------------------------------------

    async def load(self, grant_id: str) -> Entry:
        """
        The grant and its tokens as stored now, remembered for the next who asks.

        A token that does not open is left out: the refresh token earns a new one.

        Raises:
            GrantNotFound: There is no such grant.
        """
        ticket = self._cache.ticket()
        row = await self._means.store.read(grant_id)
        if row is None:
            raise GrantNotFound("there is no such grant")
        entry = self._opened(*row)
        self._cache.put(entry, ticket)
        return entry

    async def prove(self, grant_id: str) -> Entry:
        """
        Refresh whatever the state is: a broken or doubtful grant lives if its refresh token works.

        Raises:
            As `refresh`.
        """
        return await asyncio.shield(self._flight(grant_id, None, _never, proof=True))

    async def refresh(self, grant_id: str, scopes: Scopes | None, satisfied: Satisfied) -> Entry:
        """
        The grant with a token for *scopes* that satisfies, or a brand-new one; ``None`` is all scopes.

        Who waits here may leave; the flight goes on.

        Raises:
            ConsentRequired, GrantBlocked: The issuer's answer, which is stored.
            IssuerUnavailable, StoreUnavailable, ClientMisconfigured, IssuerMisbehaved, SealBroken: Trouble
                that passes.
        """
        return await asyncio.shield(self._flight(grant_id, scopes, satisfied))

    def beside(self, grant_id: str, scopes: Scopes | None) -> None:
        """Refresh a stale token in the background; what goes wrong is counted and tried again by the next."""
        if not self._closing:
            self._flight(grant_id, scopes, lambda token, now: now < token.stale_at)

    def health(self, client_id: str) -> Health:
        """The circuit and the condemnations of a client."""
        if client_id not in self._health:
            self._health[client_id] = Health(Circuit(), Condemnations(self._means.condemn_limit))
        return self._health[client_id]

    def live(self, grant: Grant, stored: StoredToken) -> LiveToken:
        """*stored*, opened, with the dice thrown for when it counts as stale."""
        margin = stale_margin(stored.expires_at - stored.obtained_at, self._means.dice.roll())
        return LiveToken(
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

    # -- flights ------------------------------------------------------------------------------

    def _flight(
        self, grant_id: str, scopes: Scopes | None, satisfied: Satisfied, *, proof: bool = False
    ) -> asyncio.Task[Entry]:
        key = (grant_id, "proof" if proof else "" if scopes is None else wire(scopes))
        running = self._flights.get(key)
        if running is not None:
            return running
        if self._closing:
            raise IssuerUnavailable("this process is shutting down", retry_after=1.0)
        task = asyncio.create_task(self._run(grant_id, scopes, satisfied, proof), name=f"refresh {grant_id}")
        self._flights[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return task

    def _landed(self, key: tuple[str, str], task: asyncio.Task[Entry]) -> None:
        self._flights.pop(key, None)
        # Read here, so that a failure nobody waits for is not reported as lost by asyncio.
        error = None if task.cancelled() else task.exception()
        self._means.counters["refresh", "ok" if error is None else getattr(error, "code", "crashed")] += 1

    async def _run(self, grant_id: str, scopes: Scopes | None, satisfied: Satisfied, proof: bool) -> Entry:
        # Different scope sets of one grant take turns: a rotating issuer punishes two at once.
        turn = self._turns.setdefault(grant_id, asyncio.Lock())
        try:
            async with turn:
                return await self._claimed(grant_id, scopes, satisfied, proof)
        finally:
            if not turn.locked() and not getattr(turn, "_waiters", None):
                self._turns.pop(grant_id, None)

    async def _claimed(
        self, grant_id: str, scopes: Scopes | None, satisfied: Satisfied, proof: bool
    ) -> Entry:
        owner = self._means.owner()
        deadline = self._means.clock.monotonic() + WAIT_LIMIT
        while True:
            entry = await self.load(grant_id)
            if self._settled(entry, scopes, satisfied, proof):
                return entry
            claim = await self._means.store.take(f"refresh:{grant_id}", owner, seconds=LEASE_SECONDS)
            if isinstance(claim, Lease):
                break
            await self._wait(claim, grant_id, deadline)
        lease: Lease | None = claim
        try:
            # Again, now that nobody else writes: the row read before the lease may be old.
            entry = await self.load(grant_id)
            if self._settled(entry, scopes, satisfied, proof):
                return entry
            entry = await self._ask(entry.grant, claim, scopes)
            lease = None
            return entry
        finally:
            if lease is not None:
                with suppress(StoreUnavailable, StoreConflict):
                    await self._means.store.commit(Release(lease))

    async def _wait(self, held: Held, grant_id: str, deadline: float) -> None:
        left = deadline - self._means.clock.monotonic()
        if left <= 0:
            raise IssuerUnavailable(
                "another process is refreshing this grant and has not come back", retry_after=1.0
            )
        await self._follower.changed(grant_id, min(POLL_SECONDS, max(held.remaining, 0.01), left))

    def _settled(self, entry: Entry, scopes: Scopes | None, satisfied: Satisfied, proof: bool) -> bool:
        """Whether the issuer need not be asked: a token will do, or the grant is not to be refreshed."""
        grant, now = entry.grant, self._means.clock.now()
        if grant.state is GrantState.REVOKED:
            return True
        if proof:
            return False
        if grant.state is GrantState.NEEDS_CONSENT:
            return True
        if grant.state is GrantState.BLOCKED and not (grant.probe_at is not None and now >= grant.probe_at):
            return True
        if grant.uncertain_since is not None:
            return False
        if scopes is not None and scopes - grant.granted:
            return True
        live = entry.tokens.get("" if scopes is None else scope_key(scopes, grant.granted))
        return live is not None and satisfied(live, now)

    # -- the issuer ---------------------------------------------------------------------------

    async def _ask(self, grant: Grant, lease: Lease, scopes: Scopes | None) -> Entry:
        client = self._means.client_of(grant.client_id)
        began = self._means.clock.monotonic()
        attempt = 0
        while True:
            attempt += 1
            if grant.refresh_token is None:
                raise ConsentRequired(
                    "the grant has no refresh token and its access token has run out",
                    reason=Reason.NO_REFRESH_TOKEN,
                    grant=grant.id,
                    hint=REMEDIES[Reason.NO_REFRESH_TOKEN],
                )
            lease = await self._still_ours(lease)
            self._pass_gate(client)
            try:
                answer = await self._means.issuers[client.client_id].refresh(
                    client, self._seals.refresh_token(grant), scopes
                )
            except ScopeRefused:
                if scopes is None:
                    raise
                # Our record of what is granted is out of date: ask for all, and learn.
                self._report(client, None)
                scopes = None
            except (ConsentRequired, GrantBlocked) as error:
                self._report(client, None)
                grant = await self._refused(grant, client, error, lease)
            except BrokenAnswer as error:
                self._report(client, None)
                await self._salvage(grant, error, lease)
                raise
            except (IssuerUnavailable, IssuerMisbehaved, ClientMisconfigured) as error:
                self._report(client, error)
                wait = pause(attempt, self._means.dice.roll(), error.retry_after)
                spent = self._means.clock.monotonic() - began
                again = (
                    isinstance(error, IssuerUnavailable)
                    and attempt < ATTEMPTS
                    and spent + wait < RETRY_WITHIN
                )
                if not again:
                    raise
                await asyncio.sleep(wait)
            else:
                self._report(client, None)
                self.health(client.client_id).condemnations.refreshed(self._means.clock.monotonic())
                return await self._store_answer(grant, answer, scopes, lease)

    async def _still_ours(self, lease: Lease) -> Lease:
        """
        *lease* with time enough for one more call.

        Raises:
            IssuerUnavailable: It was lost; whoever has it now will refresh.
        """
        if await self._means.store.check(lease) > REFRESH_LIMIT + STORE_LIMIT:
            return lease
        renewed = await self._means.store.renew(lease, seconds=LEASE_SECONDS)
        if renewed is None:
            raise IssuerUnavailable("the claim on this refresh lapsed before it was sent", retry_after=1.0)
        return renewed

    def _pass_gate(self, client: Client) -> None:
        health, now = self.health(client.client_id), self._means.clock.monotonic()
        gate = health.circuit.gate(now)
        if gate is Gate.PROBE:
            health.circuit = health.circuit.probing(now)
        elif gate is Gate.SHUT:
            wait = health.circuit.wait(now)
            if health.circuit.trouble is Trouble.MISCONFIGURED:
                raise ClientMisconfigured("the issuer refused this client a moment ago", retry_after=wait)
            raise IssuerUnavailable("the issuer failed several times in a row", retry_after=wait)

    def _report(self, client: Client, error: GrantkeeperError | None) -> None:
        health, now = self.health(client.client_id), self._means.clock.monotonic()
        if error is None:
            health.circuit = health.circuit.succeeded()
            return
        trouble = Trouble.MISCONFIGURED if isinstance(error, ClientMisconfigured) else Trouble.UNAVAILABLE
        roll = self._means.dice.roll()
        health.circuit = health.circuit.failed(trouble, now, roll, error.retry_after)
        if health.circuit.trips and error.retry_after is None:
            error.retry_after = health.circuit.wait(now)

    # -- storing ------------------------------------------------------------------------------

    async def _store_answer(
        self, grant: Grant, answer: TokenAnswer, scopes: Scopes | None, lease: Lease
    ) -> Entry:
        """Save the answer, then open it to the waiters: a token that was not stored cannot be handed out."""

        def change(row: Grant) -> list[Step]:
            if row.state is GrantState.REVOKED or not _same_token(row, grant):
                # A newer consent, or the end, was stored meanwhile: only a rotated token is worth keeping.
                return self._rotated(row, grant, answer.refresh_token)
            now = self._means.clock.now()
            granted = row.granted if scopes is not None or answer.scopes is None else answer.scopes
            new = replace(
                row,
                state=next_state(row.state, Event.REFRESHED),
                reason=None,
                granted=granted,
                refreshed_at=now,
                probe_at=None,
                uncertain_since=None,
                # The stored token opens more than the one that waits, and it works: the wait is over.
                waiting=None,
            )
            if answer.refresh_token is not None:
                new = self.with_refresh_token(new, answer.refresh_token)
            if answer.refresh_expires_in is not None:
                new = replace(new, ends_at=announced_end(answer.refresh_expires_in, now))
            asked = scopes if scopes is not None else granted
            key = "" if scopes is None else scope_key(asked, granted)
            token = StoredToken(
                grant.id,
                key,
                self._seals.seal_access_token(new, answer.access_token, key),
                asked if answer.scopes is None else answer.scopes,
                now,
                answer.expires_at,
            )
            # A change of scopes makes what was cached under "all" wrong.
            drop: list[Step] = [DropTokens(grant.id)] if granted != row.granted else []
            event = AuditEvent(now, "grant.refreshed", grant.id, client_id=grant.client_id)
            return [Replace(new), *drop, PutToken(token), Note(event)]

        await self._save(grant.id, change, lease)
        return await self.load(grant.id)

    async def _refused(
        self, grant: Grant, client: Client, error: ConsentRequired | GrantBlocked, lease: Lease
    ) -> Grant:
        """
        Believe a refusal, unless somebody has stored a newer token or too many are refused at once.

        Returns:
            The row to try again with, where a newer or a waiting token takes the place of the refused.
        """
        now = self._means.clock.monotonic()
        condemnations = self.health(client.client_id).condemnations
        if isinstance(error, ConsentRequired):
            condemnations.refused(grant.id, now)
            if condemnations.paused(now):
                self._means.counters["condemning", "paused"] += 1
                raise IssuerUnavailable(
                    "the issuer refuses so many grants at once that it may be wrong", retry_after=60.0
                ) from error
        again: list[Grant] = []

        def change(row: Grant) -> list[Step]:
            again.clear()
            if row.state is GrantState.REVOKED:
                return []
            if not _same_token(row, grant):
                again.append(row)
                return []
            when = self._means.clock.now()
            if isinstance(error, GrantBlocked):
                blocked = replace(
                    row,
                    state=next_state(row.state, Event.BLOCKED),
                    reason=Reason.ADMIN_POLICY_ENFORCED,
                    probe_at=when + PROBE_EVERY,
                )
                return [Replace(blocked), DropTokens(row.id), self._note(blocked, "grant.blocked")]
            if row.waiting is not None:
                new = replace(
                    row,
                    refresh_token=row.waiting.token,
                    granted=row.waiting.granted,
                    ends_at=row.waiting.ends_at,
                    waiting=None,
                )
                again.append(replace(new, version=row.version + 1))
                return [Replace(new), DropTokens(row.id), self._note(new, "grant.narrowed")]
            reason = self._reason(row, Reason(error.reason), when)
            broken = replace(
                row, state=next_state(row.state, Event.REFUSED), reason=reason, uncertain_since=None
            )
            return [Replace(broken), DropTokens(row.id), self._note(broken, "grant.refused")]

        await self._save(grant.id, change, lease, release=False)
        self._cache.drop(grant.id)
        if again:
            return again[0]
        if isinstance(error, ConsentRequired):
            reason = self._reason(grant, Reason(error.reason), self._means.clock.now())
            raise ConsentRequired(
                error.text, reason=reason, missing_scopes=grant.missing, grant=grant.id, hint=REMEDIES[reason]
            ) from error
        raise error

    @staticmethod
    def _reason(grant: Grant, told: Reason, now: datetime) -> Reason:
        """Google never says why (field 55): the announced end is the one cause that our own record knows."""
        if told is Reason.REVOKED and grant.ends_at is not None and now >= grant.ends_at:
            return Reason.EXPIRED
        return told

    def _note(self, grant: Grant, name: str) -> Note:
        detail = {} if grant.reason is None else {"reason": str(grant.reason)}
        return Note(
            AuditEvent(self._means.clock.now(), name, grant.id, client_id=grant.client_id, detail=detail)
        )

    async def _salvage(self, grant: Grant, broken: BrokenAnswer, lease: Lease) -> None:
        """Keep the refresh token of an answer that is broken elsewhere: the old one may be spent."""
        token = broken.salvage.refresh_token
        await self._save(grant.id, lambda row: self._rotated(row, grant, token), lease, release=False)

    def _rotated(self, row: Grant, used: Grant, token: RefreshToken | None) -> list[Step]:
        if token is None or not _same_token(row, used) or row.data_key is None:
            return []
        return [Replace(self.with_refresh_token(row, token))]

    def with_refresh_token(self, grant: Grant, token: RefreshToken) -> Grant:
        """*grant* with a newer refresh token in use."""
        generation = grant.generation + 1
        return replace(
            grant,
            generation=generation,
            refresh_token=self._seals.seal_refresh_token(grant, token, generation),
            lookups=self._seals.lookups(token),
        )

    async def _save(
        self, grant_id: str, change: Callable[[Grant], list[Step]], lease: Lease, *, release: bool = True
    ) -> None:
        """
        Apply *change* to the row as it is now, again after every conflict, and give the lease back with it.

        An answer of the issuer is in our hands and nowhere else: a store that
        fails is tried again for a while.
        """
        give_up = self._means.clock.monotonic() + STORE_LIMIT
        attempt = 0
        while True:
            attempt += 1
            try:
                row = await self._means.store.get(grant_id)
                steps: list[Step] = [] if row is None else change(row)
                if release:
                    steps.append(Release(lease))
                if steps:
                    await self._means.store.commit(*steps)
                return
            except StoreConflict:
                if attempt >= MOST_CONFLICTS:
                    raise StoreUnavailable(
                        "the grant changes faster than it can be saved", retry_after=1.0
                    ) from None
            except StoreUnavailable:
                if self._means.clock.monotonic() >= give_up:
                    raise
                await asyncio.sleep(pause(attempt, self._means.dice.roll()) / 2)

    def _opened(self, grant: Grant, stored: tuple[StoredToken, ...]) -> Entry:
        now = self._means.clock.now()
        tokens = {}
        if grant.state is GrantState.ACTIVE:
            for token in stored:
                with suppress(SealBroken):
                    if now < token.expires_at:
                        tokens[token.scope_key] = self.live(grant, token)
        return Entry(grant, MappingProxyType(tokens))
