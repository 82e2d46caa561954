"""
Turning a one-time code into a grant, exactly once.

No claim, no send: the claim is on disk before the code leaves. One send: no
probing, no second secret, no retry. And no word of success before the row is
stored. From the moment the code is sent, the work goes on in a task that does
not die with the request.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from grantkeeper.errors import (
    CodeAlreadyRedeemed,
    GrantkeeperError,
    IdempotencyMismatch,
    IdentityUnknown,
    IssuerUnavailable,
    OutcomeUnknown,
    StoreConflict,
    StoreUnavailable,
    TooManyRequests,
)
from grantkeeper.keeper import identity
from grantkeeper.keeper.custody import TELL_AGAIN, Custody, patiently
from grantkeeper.keeper.gates import Gates
from grantkeeper.keeper.means import RETENTION, Means
from grantkeeper.keeper.outcomes import Answer, Told
from grantkeeper.keeper.plan import Plan, RedeemRequest, plan_of
from grantkeeper.keeper.refresh import Refresher
from grantkeeper.keeper.sessions import Sessions
from grantkeeper.keeper.settling import Answered, Settler
from grantkeeper.model import (
    AuditEvent,
    GrantState,
    Identity,
    IdentitySource,
    JournalKind,
    RedeemedGrant,
    Redemption,
    RedemptionState,
)
from grantkeeper.ports import Settle
from grantkeeper.protocol.token_endpoint import BrokenAnswer

CLAIM_SECONDS = 26.0
"""After this an unsettled claim's owner counts as dead; sending and storing fit in well."""

AT_ONCE = 64
"""Redemptions under way in one process; more wait a little and are then refused."""

PATIENCE = 5.0
SESSION_WITHIN = timedelta(minutes=10)
ANSWER_WAITS = timedelta(minutes=10)
"""How long an answer waits sealed for proof of whose it is."""

POLL_SECONDS = 0.05


class Redeemer:
    """Redeems codes. Belongs to one loop."""

    def __init__(
        self, means: Means, settler: Settler, custody: Custody, refresher: Refresher, sessions: Sessions
    ) -> None:
        self._means = means
        self._settler = settler
        self._custody = custody
        self._refresher = refresher
        self._sessions = sessions
        self._room = asyncio.Semaphore(AT_ONCE)
        self._gates = Gates(means)
        self._running: set[asyncio.Task[RedeemedGrant]] = set()
        self._releasing: set[asyncio.Task[None]] = set()
        self._closing = False

    async def redeem(self, request: RedeemRequest) -> RedeemedGrant:
        """
        Redeem a code, or tell again what came of it.

        Raises:
            GrantkeeperError: Any of design section 3's for ``/v1/redeem``.
        """
        return await self.carry_out(plan_of(request, self._means))

    async def carry_out(self, plan: Plan) -> RedeemedGrant:
        """
        Redeem as *plan* says.

        Raises:
            GrantkeeperError: As `redeem`.
        """
        try:
            result = await self._redeem(plan)
        except GrantkeeperError as error:
            self._means.counters["redeem", error.code] += 1
            self._means.tell("redeem", client=plan.client.name, source=plan.source, outcome=error.code)
            raise
        self._means.counters["redeem", "ok"] += 1
        self._means.tell("redeem", client=plan.client.name, source=plan.source, outcome="ok", grant=result.id)
        return result

    async def close(self) -> None:
        """Begin no more and wait for those under way."""
        self._closing = True
        if self._running:
            await asyncio.wait(list(self._running), timeout=CLAIM_SECONDS)
        if self._releasing:
            await asyncio.wait(list(self._releasing))

    # -- before the code is sent --------------------------------------------------------------

    async def _redeem(self, plan: Plan) -> RedeemedGrant:
        known = await self._known(plan)
        if known is not None and known.state is not RedemptionState.ANSWERED:
            return await self._again(plan, known)
        proof = await self._proof(plan)
        if known is not None:
            return await self._again(plan, known, proof)
        issuer = self._means.issuer
        # What can fail without the code is done before it: discovery and keys.
        await issuer.prepare(plan.client)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._room.acquire()
        except TimeoutError:
            raise TooManyRequests("too many sign-ins are under way", retry_after=1.0) from None
        if self._closing:
            self._room.release()
            raise IssuerUnavailable("this process is shutting down", retry_after=1.0)
        task = asyncio.create_task(self._claim_and_send(plan, proof), name="redemption")
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[RedeemedGrant]) -> None:
        self._running.discard(task)
        self._room.release()
        # Read, so that an outcome whose request has left is not reported as lost.
        _ = None if task.cancelled() else task.exception()

    async def _proof(self, plan: Plan) -> Identity | None:
        if plan.id_token is None:
            return None
        return await identity.from_app(self._means, plan.client, plan.id_token)

    async def _claim_and_send(self, plan: Plan, proof: Identity | None) -> RedeemedGrant:
        now = self._means.clock.now()
        claim = Redemption(
            code_hash=(code_hash := self._code_hashes(plan)[0]),
            client_id=plan.client.client_id,
            owner=self._means.owner(),
            state=RedemptionState.CLAIMED,
            created_at=now,
            keep_until=now + RETENTION,
            key_hash=next(iter(self._key_hashes(plan)), None),
            fingerprint=self._fingerprints(plan)[0],
            index_version=self._means.sealer.index_version,
            # A node that lacks the key all seal with finds out before the code is sent.
            data_key=self._settler.outcomes.new_key(plan.client.client_id, code_hash),
        )
        try:
            standing = await self._means.store.claim(claim, seconds=CLAIM_SECONDS)
            if standing is None:
                standing = await self._other_claim(plan, claim)
            if standing is None:
                # Only here, where the code is about to be sent: who passes the gate must report.
                self._gates.enter(plan.client)
        except GrantkeeperError:
            # A claim that was reported as failed may stand all the same.
            await self._release(claim)
            raise
        if standing is not None:
            return await self._again(plan, standing, proof)
        return await self._send(plan, claim, proof)

    async def _release(self, claim: Redemption) -> None:
        """
        Take back a claim that sent nothing: the code must not be spent by that.

        Where the store fails, it is tried on beside, so that nobody waits for it in the place of others.
        """

        def unclaim() -> Awaitable[None]:
            return self._means.store.unclaim(claim.code_hash, owner=claim.owner)

        async def later() -> None:
            with suppress(StoreUnavailable):
                await patiently(self._means, unclaim)

        try:
            await unclaim()
        except StoreUnavailable:
            task = asyncio.create_task(later(), name="unclaim")
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    def _code_hashes(self, plan: Plan) -> tuple[bytes, ...]:
        """What the code is filed under, by every index key; a new claim takes the first."""
        return self._means.sealer.digests("code", f"{plan.client.client_id} {plan.code.reveal()}")

    def _key_hashes(self, plan: Plan) -> tuple[bytes, ...]:
        """The same of the Idempotency-Key; none where none came."""
        if plan.key is None:
            return ()
        return self._means.sealer.digests("idempotency-key", f"{plan.client.client_id} {plan.key}")

    def _fingerprints(self, plan: Plan) -> tuple[bytes, ...]:
        """All that must be equal for a repeat, in one value, by every index key."""
        id_token = "" if plan.id_token is None else plan.id_token.reveal()
        parts = (plan.caller or "", plan.user or "", plan.source, plan.redirect_uri, id_token)
        return self._means.sealer.digests("redemption", "\n".join(f"{len(part)}:{part}" for part in parts))

    async def _other_claim(self, plan: Plan, claim: Redemption) -> Redemption | None:
        """One filed under another index key in the same moment: both claim, then look, and one steps back."""
        for code_hash in self._code_hashes(plan)[1:]:
            other = await self._means.store.redemption(code_hash)
            if other is not None:
                await self._release(claim)
                return other
        return None

    async def _known(self, plan: Plan) -> Redemption | None:
        """What stands in the way of this code, under whichever index key it was filed."""
        for code_hash in self._code_hashes(plan):
            found = await self._means.store.redemption(code_hash)
            if found is not None:
                return found
        return None

    # -- a code that was seen before ----------------------------------------------------------

    async def _again(self, plan: Plan, known: Redemption, proof: Identity | None = None) -> RedeemedGrant:
        if known.code_hash not in self._code_hashes(plan):
            raise IdempotencyMismatch("this Idempotency-Key came before with another code")
        same_key = known.key_hash in self._key_hashes(plan)
        if same_key and known.state is RedemptionState.ANSWERED:
            return await self._claim_answer(plan, known, proof)
        if not same_key or known.fingerprint not in self._fingerprints(plan):
            await self._note_repeat(plan, known)
            raise CodeAlreadyRedeemed("this code was posted before")
        while known.state is RedemptionState.CLAIMED:
            if self._custody.holds(JournalKind.REDEMPTION, known.code_hash.hex()):
                raise StoreUnavailable(
                    "the issuer's answer to this code waits for the database to come back",
                    hint="Send the same code and Idempotency-Key again after the time in Retry-After.",
                    retry_after=TELL_AGAIN,
                )
            if known.lapsed:
                raise OutcomeUnknown("who sent this code first did not live to tell what came of it")
            await asyncio.sleep(POLL_SECONDS)
            later = await self._known(plan)
            if later is None:
                # The first found out, before sending, that it could not send: anyone may start anew.
                raise IssuerUnavailable("the first try sent nothing; try again", retry_after=1.0)
            known = later
        if known.state is RedemptionState.ANSWERED:
            return await self._claim_answer(plan, known, proof)
        return await self._told(plan, known, self._settler.outcomes.told(known))

    async def _note_repeat(self, plan: Plan, known: Redemption) -> None:
        event = AuditEvent(
            self._means.clock.now(),
            "code.repeated",
            known.grant_id,
            plan.caller,
            plan.client.client_id,
            {"source": str(plan.source)},
        )
        with suppress(StoreUnavailable):
            await self._means.store.append([event])

    async def _claim_answer(self, plan: Plan, known: Redemption, proof: Identity | None) -> RedeemedGrant:
        """The issuer answered, but not who it was; this request may bring what the first had not."""
        if known.settled_at is None or known.settled_at + ANSWER_WAITS < self._means.clock.now():
            raise IdentityUnknown(
                "the answer waited 10 minutes for proof of who signed in, and is gone",
                hint="Sign in again for a new code, and send the phone's id_token with a caller key.",
            )
        if proof is None:
            proof = await self._proof(plan)
        answer, owner = self._settler.outcomes.answer(known), self._means.owner()
        mine = await self._means.store.reclaim(
            known.code_hash, owner=known.owner, new_owner=owner, seconds=CLAIM_SECONDS
        )
        if not mine:
            raise IssuerUnavailable("another request is working on this code", retry_after=1.0)
        claim = replace(known, owner=owner, fingerprint=self._fingerprints(plan)[0])
        now = self._means.clock.now()
        answered = Answered.of(plan, claim, answer, proof, at=known.settled_at, asked_at=now)
        return await self._keep(plan, answered)

    async def _told(self, plan: Plan, redemption: Redemption, told: Told) -> RedeemedGrant:
        if told.error is not None:
            raise told.error
        assert told.result is not None
        result = await self._proved(plan, told.result) if told.proof_due else told.result
        settled_at = redemption.settled_at or redemption.created_at
        young = self._means.clock.now() <= settled_at + SESSION_WITHIN
        if not (young and told.by_answer and result.state is GrantState.ACTIVE):
            return result
        return await self._sessions.attach(result, plan.client, plan.nonce)

    # -- sending and after --------------------------------------------------------------------

    async def _send(self, plan: Plan, claim: Redemption, proof: Identity | None) -> RedeemedGrant:
        issuer, sent_at = self._means.issuer, self._means.clock.monotonic()
        try:
            got = await issuer.redeem(plan.client, plan.code, plan.redirect_uri, plan.verifier)
            answer = Answer.whole(got)
        except IssuerUnavailable as error:
            # Nothing was sent: the code is as good as before.
            self._gates.report(plan.client, error, sent_at)
            await self._release(claim)
            raise
        except BrokenAnswer as error:
            answer = Answer.salvaged(error)
        except GrantkeeperError as error:
            self._gates.report(plan.client, error, sent_at)
            raise await self._failed(claim, error) from None
        self._gates.report(plan.client, None, sent_at)
        now = self._means.clock.now()
        return await self._keep(plan, Answered.of(plan, claim, answer, proof, at=now, asked_at=now))

    async def _failed(self, claim: Redemption, error: GrantkeeperError) -> GrantkeeperError:
        """Write down how it failed, for who asks again; the issuer gave nothing that could be lost."""
        outcome = self._settler.outcomes.failed(claim, error, self._means.clock.now(), None)
        with suppress(StoreConflict, StoreUnavailable):
            await patiently(self._means, lambda: self._means.store.commit(Settle(outcome)))
        return error

    async def _keep(self, plan: Plan, answered: Answered) -> RedeemedGrant:
        """Store what the issuer gave, and tell of it."""
        try:
            async with self._custody.hold(answered.draft()) as held:
                settled = await self._settler.settle(answered, held)
        except StoreUnavailable as error:
            error.retry_after = error.retry_after or TELL_AGAIN
            raise
        told = await self._proved(plan, settled.told) if settled.proof_due else settled.told
        if told.state is not GrantState.ACTIVE or settled.owner.source is not IdentitySource.ANSWER:
            return told
        return await self._sessions.attach(told, plan.client, plan.nonce)

    async def _proved(self, plan: Plan, told: RedeemedGrant) -> RedeemedGrant:
        """
        *told*, once a refresh has decided which token is better, or whether the grant lives.

        The first and whoever repeats it wait for one and the same refresh. Undecided, all is kept.
        """
        with suppress(GrantkeeperError):
            await self._refresher.settle(told.id)
        return await self._settler.proved(plan, told)
