"""
Asking the issuer for a new access token, and storing what it says before anyone sees it.

Errors are sorted by blast radius: only what is about this grant changes this
grant, and only while the row still has the refresh token that was sent. A
loser re-reads and adopts; it never destroys.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from grantkeeper.backoff import Condemnations, pause
from grantkeeper.errors import (
    ClientMisconfigured,
    ConsentRequired,
    GrantBlocked,
    IssuerMisbehaved,
    IssuerUnavailable,
    StoreConflict,
    StoreUnavailable,
)
from grantkeeper.issuer import AnswerLost
from grantkeeper.keeper.custody import patiently
from grantkeeper.keeper.gates import Gates
from grantkeeper.keeper.means import LEASE_SECONDS, REFRESH_LIMIT, STORE_LIMIT, Means
from grantkeeper.keeper.refreshed import Answers, Refreshed
from grantkeeper.keeper.seals import Seals
from grantkeeper.keeper.waking import woken
from grantkeeper.lifecycle import REMEDIES, Event, doubtful, ended_with_the_week, next_state
from grantkeeper.model import (
    AuditEvent,
    Client,
    Grant,
    GrantState,
    IdentitySource,
    Lease,
    Provider,
    Reason,
)
from grantkeeper.ports import DropTokens, Note, Replace, Step
from grantkeeper.protocol.id_token import claimed_subject
from grantkeeper.protocol.scopes import Scopes
from grantkeeper.protocol.token_endpoint import BrokenAnswer, Salvage, ScopeRefused, TokenAnswer

RETRY_WITHIN = 3.0
"""Seconds in which a failed refresh is tried again before its waiters are told."""

ATTEMPTS = 3
PROBE_EVERY = timedelta(days=1)
MOST_CONFLICTS = 20


def _same_token(row: Grant, used: Grant) -> bool:
    """Whether *row* still has the refresh token that was sent."""
    if row.refresh_token is None or used.refresh_token is None:
        return False
    return row.refresh_token.generation == used.refresh_token.generation


def _check_owner(grant: Grant, answer: TokenAnswer) -> None:
    """
    Refuse an answer whose ID token names somebody else (OpenID Connect Core 12.2).

    It came from the token endpoint itself, so it is read and not verified; nothing else in it matters.

    Raises:
        IssuerMisbehaved: It would hand one person's data to another.
    """
    if answer.id_token is None or grant.identity_source is IdentitySource.CALLER:
        return
    sub = claimed_subject(answer.id_token)
    if sub is not None and sub != grant.subject.sub:
        raise IssuerMisbehaved("the issuer's answer is for another person than the grant")


class Asking:
    """Asks for a grant whose lease is held. Belongs to one loop."""

    def __init__(self, means: Means, seals: Seals, answers: Answers) -> None:
        self._means = means
        self._seals = seals
        self._answers = answers
        self._gates = Gates(means)
        self._condemnations: dict[str, Condemnations] = {}

    def _condemned(self, client: Client) -> Condemnations:
        return self._condemnations.setdefault(client.client_id, Condemnations(self._means.condemn_limit))

    # -- the issuer ---------------------------------------------------------------------------

    async def refresh(self, grant: Grant, lease: Lease, scopes: Scopes | None) -> None:
        """
        Refresh *grant* at the issuer under *lease*, store what came of it, and give the lease back.

        Args:
            scopes: For a narrower token; ``None`` for all that is granted.

        Raises:
            ConsentRequired, GrantBlocked: The issuer's answer, which is stored.
            IssuerUnavailable, StoreUnavailable, ClientMisconfigured, IssuerMisbehaved, SealBroken: Trouble
                that passes; the lease is still held.
        """
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
            # Opened before the gate, for who passes it must report what came of the call.
            token = self._seals.refresh_token(grant)
            lease = await self._still_ours(lease)
            self._gates.enter(client)
            sent_at = self._means.clock.monotonic()
            try:
                answer = await self._means.issuer.refresh(client, token, scopes)
                _check_owner(grant, answer)
            except ScopeRefused:
                self._gates.report(client, None, sent_at)
                if scopes is None:
                    raise
                # Our record of what is granted is out of date: ask for all, and learn.
                scopes = None
            except (ConsentRequired, GrantBlocked) as error:
                self._gates.report(client, None, sent_at)
                grant = await self._refused(grant, client, error)
            except BrokenAnswer as error:
                self._gates.report(client, None, sent_at)
                await self._answers.keep(self._came(grant, error.salvage, scopes, lease), release=False)
                raise
            except (IssuerUnavailable, IssuerMisbehaved, ClientMisconfigured) as error:
                # Before the gate fills in its own advice, which is meant for the caller.
                wait = pause(attempt, self._means.dice.roll(), error.retry_after)
                self._gates.report(client, error, sent_at)
                rotates = client.provider is not Provider.GOOGLE
                if rotates and isinstance(error, (AnswerLost, IssuerMisbehaved)):
                    await self.doubt(grant)
                    raise
                spent = self._means.clock.monotonic() - began
                again = isinstance(error, IssuerUnavailable) and attempt < ATTEMPTS
                if not again or spent + wait >= RETRY_WITHIN:
                    raise
                await asyncio.sleep(wait)
            else:
                self._gates.report(client, None, sent_at)
                self._condemned(client).refreshed(self._means.clock.monotonic())
                # First of all: a token that was not stored cannot be handed out.
                await self._answers.keep(self._came(grant, answer, scopes, lease), release=True)
                self._means.history.lived(client, grant, self._means.clock.now())
                return

    def _came(
        self, grant: Grant, answer: TokenAnswer | Salvage, scopes: Scopes | None, lease: Lease
    ) -> Refreshed:
        return Refreshed.of(grant, answer, scopes, lease, self._means.clock.now())

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

    # -- storing ------------------------------------------------------------------------------

    async def _refused(self, grant: Grant, client: Client, error: ConsentRequired | GrantBlocked) -> Grant:
        """
        Believe a refusal, unless somebody has stored a newer token or too many are refused at once.

        Returns:
            The row to try again with, where a newer or a waiting token takes the place of the refused.
        """
        now = self._means.clock.monotonic()
        condemnations = self._condemned(client)
        if isinstance(error, ConsentRequired):
            condemnations.refused(grant.id, now)
            if condemnations.paused(now):
                self._means.counters["condemning", "paused"] += 1
                self._means.tell("condemning.paused", level=logging.ERROR, client=client.name, grant=grant.id)
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
                    # The issuer knew the token: there is nothing left to find out but whether it may be used.
                    uncertain_since=None,
                )
                return [Replace(blocked), DropTokens(row.id), self._note(blocked, "grant.blocked")]
            if row.waiting is not None:
                new = replace(
                    row,
                    refresh_token=row.waiting.token,
                    granted=row.waiting.granted,
                    ends_at=row.waiting.ends_at,
                    waiting=None,
                    # The doubt was about the other one: this one is fresh from a sign-in.
                    uncertain_since=None,
                )
                again.append(replace(new, version=row.version + 1))
                changed: list[Step] = [Replace(new), *woken(row, new)]
                return [*changed, DropTokens(row.id), self._note(new, "grant.narrowed")]
            # As in doubt as it was when it was sent: a first try may have settled the row's doubt already.
            doubted = replace(row, uncertain_since=row.uncertain_since or grant.uncertain_since)
            reason = self._reason(doubted, client, Reason(error.reason), when)
            broken = replace(
                row, state=next_state(row.state, Event.REFUSED), reason=reason, uncertain_since=None
            )
            return [Replace(broken), DropTokens(row.id), self._note(broken, "grant.refused")]

        await self._save(grant.id, change)
        if again:
            return again[0]
        if isinstance(error, ConsentRequired):
            reason = self._reason(grant, client, Reason(error.reason), self._means.clock.now())
            self._means.history.died(client, grant, self._means.clock.now())
            raise ConsentRequired(
                error.text, reason=reason, missing_scopes=grant.missing, grant=grant.id, hint=REMEDIES[reason]
            ) from error
        raise error

    def _reason(self, grant: Grant, client: Client, told: Reason, now: datetime) -> Reason:
        """Google never says why (field 55): only what our own record knows can be told more exactly."""
        if told is Reason.REVOKED and grant.reason is Reason.NO_REFRESH_TOKEN:
            # The user signed in after the token died, and no new one came: that is what must be cured.
            return grant.reason
        if told is Reason.REVOKED and grant.ends_at is not None and now >= grant.ends_at:
            return Reason.EXPIRED
        testing = self._means.history.testing(client.client_id)
        if told is Reason.REVOKED and testing and ended_with_the_week(grant, now):
            return Reason.EXPIRED
        rotates = client.provider is not Provider.GOOGLE
        if told is Reason.REVOKED and rotates and doubtful(grant, self._means.restored_at):
            return Reason.ANSWER_LOST
        return told

    def _note(self, grant: Grant, name: str) -> Note:
        detail = {} if grant.reason is None else {"reason": str(grant.reason)}
        return Note(
            AuditEvent(self._means.clock.now(), name, grant.id, client_id=grant.client_id, detail=detail)
        )

    async def doubt(self, grant: Grant) -> None:
        """
        Remember that the stored token may be spent: an issuer that rotates may have replaced it.

        What was lost is not sent for again at once, for a rotated token that
        comes twice ends the grant (RFC 9700 4.14.2). The next who needs the grant finds out.
        Where an answer was stored since *grant* was read, there is nothing to doubt.

        Raises:
            StoreUnavailable: The store failed for too long.
        """
        now = self._means.clock.now()

        def change(row: Grant) -> list[Step]:
            if row.uncertain_since is not None or not _same_token(row, grant):
                return []
            if row.refreshed_at != grant.refreshed_at:
                return []
            if row.state is GrantState.REVOKED:
                return []
            return [Replace(replace(row, uncertain_since=now)), self._note(row, "grant.doubted")]

        await self._save(grant.id, change)

    async def _save(self, grant_id: str, change: Callable[[Grant], list[Step]]) -> None:
        """
        Apply *change* to the row as it is now, again after every conflict.

        Raises:
            StoreUnavailable: The store failed for too long.
        """

        async def once() -> None:
            row = await self._means.store.get(grant_id)
            steps = [] if row is None else change(row)
            if steps:
                await self._means.store.commit(*steps)

        for _ in range(MOST_CONFLICTS):
            try:
                return await patiently(self._means, once)
            except StoreConflict:
                continue
        raise StoreUnavailable("the grant changes faster than it can be saved", retry_after=1.0)
