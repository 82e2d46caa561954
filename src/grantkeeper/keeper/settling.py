"""
From the issuer's answer to a code to a stored grant and a settled redemption, in one commit.

The same code settles an answer that has just come and one that waited in a
journal: everything that counts from the sign-in counts from the moment of the
answer. Whose grant it is comes first; a consent that is older than what is
stored never replaces it, and one from before a revocation revives nothing.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from grantkeeper.errors import (
    CodeRefused,
    GrantkeeperError,
    IdentityUnknown,
    IdTokenRejected,
    IssuerMisbehaved,
    IssuerUnavailable,
    OutcomeUnknown,
    SealBroken,
    StoreConflict,
    StoreUnavailable,
    WrongAccount,
)
from grantkeeper.ids import uuid7
from grantkeeper.keeper import identity
from grantkeeper.keeper.cache import Cache
from grantkeeper.keeper.consent import Consent, Merged, merge
from grantkeeper.keeper.custody import Draft, Holding
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.outcomes import Answer, KeptAnswer, Outcomes, Told
from grantkeeper.keeper.plan import Plan
from grantkeeper.keeper.seals import Seals
from grantkeeper.keeper.waking import woken
from grantkeeper.lifecycle import REMEDIES, Keep, outlived
from grantkeeper.model import (
    AuditEvent,
    Client,
    Grant,
    GrantState,
    Identity,
    IdentitySource,
    JournalKind,
    Profile,
    RedeemedGrant,
    Redemption,
    RedemptionState,
)
from grantkeeper.ports import DropTokens, Insert, Note, PutToken, Replace, Settle, Step
from grantkeeper.protocol.scopes import Scopes, missing
from grantkeeper.secret import IdToken

MOST_CONFLICTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """
    An answer to a code, and all that settling it needs.

    Attributes:
        at: When the issuer answered.
        asked_at: When the request came that the proof is from.
        proof: What the request's own ID token says, verified when it came.
        owner: Whose grant it is, once that is known.
    """

    client: Client
    claim: Redemption
    answer: Answer
    at: datetime
    asked_at: datetime
    requested: Scopes
    nonce: str | None
    id_token: IdToken | None
    trusted: bool
    user: str | None
    expect_subject: str | None
    proof: Identity | None
    owner: identity.Owner | None = None

    def __repr__(self) -> str:
        return f"Answered(****, at={self.at})"

    @staticmethod
    def of(
        plan: Plan,
        claim: Redemption,
        answer: Answer,
        proof: Identity | None,
        *,
        at: datetime,
        asked_at: datetime,
    ) -> "Answered":
        """The *answer* to the code of *plan*."""
        return Answered(
            client=plan.client,
            claim=claim,
            answer=answer,
            at=at,
            asked_at=asked_at,
            requested=plan.requested,
            nonce=plan.nonce,
            id_token=plan.id_token,
            trusted=plan.trusted,
            user=plan.user,
            expect_subject=plan.expect_subject,
            proof=proof,
        )

    def draft(self) -> Draft:
        """This, for the journal."""
        return Draft(
            JournalKind.REDEMPTION,
            self.claim.code_hash.hex(),
            self.client.client_id,
            self.at,
            (self.client.issuer,),
            self._record,
        )

    def _record(self) -> object:
        return msgspec.to_builtins(
            _Kept(
                claim=self.claim,
                answer=KeptAnswer.of(self.answer),
                at=self.at,
                asked_at=self.asked_at,
                requested=self.requested,
                nonce=self.nonce,
                id_token=None if self.id_token is None else self.id_token.reveal(),
                trusted=self.trusted,
                user=self.user,
                expect_subject=self.expect_subject,
                proof=self.proof,
                owner=self.owner,
            )
        )

    @staticmethod
    def from_record(client: Client, record: bytes) -> "Answered":
        """
        What the journal kept of a sign-in with *client*.

        Raises:
            SealBroken: Another release wrote it, in a way that is not known here.
        """
        try:
            kept = msgspec.json.decode(record, type=_Kept)
        except msgspec.MsgspecError as error:
            raise SealBroken("a sign-in in the journal is of another release") from error
        return Answered(
            client=client,
            claim=kept.claim,
            answer=kept.answer.answer(),
            at=kept.at,
            asked_at=kept.asked_at,
            requested=kept.requested,
            nonce=kept.nonce,
            id_token=None if kept.id_token is None else IdToken(kept.id_token),
            trusted=kept.trusted,
            user=kept.user,
            expect_subject=kept.expect_subject,
            proof=kept.proof,
            owner=kept.owner,
        )


class _Kept(msgspec.Struct):
    """An `Answered` in JSON, on its way into a seal."""

    claim: Redemption
    answer: KeptAnswer
    at: datetime
    asked_at: datetime
    requested: frozenset[str]
    nonce: str | None
    id_token: str | None
    trusted: bool
    user: str | None
    expect_subject: str | None
    proof: Identity | None
    owner: identity.Owner | None

    def __repr__(self) -> str:
        return "_Kept(****)"


@dataclass(frozen=True, slots=True)
class Settled:
    """A sign-in that is stored, and what there is to tell of it."""

    grant_id: str
    told: RedeemedGrant
    owner: identity.Owner
    proof_due: bool


class Settler:
    """Settles answers to codes. Belongs to one loop."""

    def __init__(self, means: Means, cache: Cache, seals: Seals) -> None:
        self.outcomes = Outcomes(means.sealer)
        self._means = means
        self._cache = cache
        self._seals = seals

    async def settle(self, answered: Answered, held: Holding) -> Settled:
        """
        Prove whose grant it is, and store it.

        Raises:
            StoreUnavailable: The store does not take it; *held* has it.
            GrantkeeperError: It ended otherwise, as design section 3 says, and that is stored.
        """
        try:
            owner = answered.owner or await self._owner(answered, held)
        except (IdentityUnknown, IssuerUnavailable, IssuerMisbehaved) as error:
            # Who it was may still be proved, and keys be fetched later; the answer waits sealed.
            waiting = self.outcomes.waiting(answered.claim, answered.answer, self._means.clock.now())
            await self._write_outcome(waiting, held)
            raise answered.answer.broken or error from None
        except IdTokenRejected as error:
            raise await self._failed(answered, error, held) from None
        answered = replace(answered, owner=owner)
        held.draft = answered.draft()
        try:
            return await self._store(answered, owner, held)
        except SealBroken:
            # The stored grant does not open here; with the right keys the answer can still be added to it.
            waiting = self.outcomes.waiting(answered.claim, answered.answer, self._means.clock.now())
            await self._write_outcome(waiting, held)
            raise

    async def _owner(self, answered: Answered, held: Holding) -> identity.Owner:
        answer = answered.answer
        if answer.id_token is not None:
            return await identity.from_answer(
                self._means,
                answered.client,
                answer.id_token,
                nonce=answered.nonce,
                access_token=answer.access_token,
                at=answered.at,
            )
        if answered.nonce is not None:
            raise IdTokenRejected("nonce", "cannot be checked, because the answer has no ID token")
        return await held.patiently(
            lambda: identity.from_vouching(
                self._means,
                answered.client,
                proof=answered.proof,
                token=answered.id_token,
                trusted=answered.trusted,
                user=answered.user,
                code_hash=answered.claim.code_hash,
                at=answered.asked_at,
            )
        )

    async def _write_outcome(self, outcome: Redemption, held: Holding) -> None:
        with suppress(StoreConflict):
            await held.patiently(lambda: self._means.store.commit(Settle(outcome)))
        held.stored()

    async def _failed(
        self, answered: Answered, error: GrantkeeperError, held: Holding, grant: Grant | None = None
    ) -> GrantkeeperError:
        """Write down that it failed and how, for who asks again."""
        outcome = self.outcomes.failed(answered.claim, error, self._means.clock.now(), grant)
        await self._write_outcome(outcome, held)
        return error

    async def _store(self, answered: Answered, owner: identity.Owner, held: Holding) -> Settled:
        claim: Redemption | None = answered.claim
        for _ in range(MOST_CONFLICTS):
            stored = await held.patiently(
                lambda: self._means.store.find(answered.client.client_id, owner.subject)
            )
            unfit = _unfit(stored, owner, answered.at)
            if unfit is not None:
                raise await self._failed(answered, unfit, held, stored)
            wrong = _wrong_account(answered, owner, stored)
            merged = self._merged(answered, owner, stored, None if wrong else answered.user)
            error: GrantkeeperError | None = wrong or answered.answer.broken
            told = self._result(answered.client, answered.requested, merged.grant, owner.profile)
            steps = self._steps(claim, answered, merged, told, owner, error, woken(stored, merged.grant))
            try:
                await held.patiently(lambda steps=steps: self._means.store.commit(*steps))  # type: ignore[misc]
            except StoreConflict:
                standing = await self._standing(answered, held)
                if standing is None:
                    # The row that remembered the code has had its time; the grant has not.
                    claim = None
                    continue
                if standing.state not in (RedemptionState.DONE, RedemptionState.FAILED):
                    continue
                # A commit that was reported as failed was none.
                before = self.outcomes.told(standing)
                error, told = before.error, before.result or told
            held.stored()
            self._cache.drop(merged.grant.id)
            self._means.history.signed_in(merged.grant)
            if error is not None:
                raise error
            return Settled(merged.grant.id, told, owner, merged.proof_due)
        raise StoreUnavailable("the grant changes faster than it can be saved", retry_after=1.0)

    async def _standing(self, answered: Answered, held: Holding) -> Redemption | None:
        """
        What is written about the code.

        Raises:
            OutcomeUnknown: It is somebody else's by now, who has the answer, too.
        """
        standing = await held.patiently(lambda: self._means.store.redemption(answered.claim.code_hash))
        if standing is not None and standing.owner != answered.claim.owner:
            held.stored()
            raise OutcomeUnknown("the claim on this code lapsed before its answer was stored")
        return standing

    def _merged(
        self, answered: Answered, owner: identity.Owner, stored: Grant | None, user: str | None
    ) -> Merged:
        answer = answered.answer
        if stored is not None and _superseded(stored, answered.at):
            kept = replace(stored, user=user) if stored.user is None and user is not None else stored
            return Merged(kept, None, False, Keep.STORED)
        consent = Consent(
            client=answered.client,
            subject=owner.subject,
            identity_source=owner.source,
            requested=answered.requested,
            granted=answered.requested if answer.scopes is None else answer.scopes,
            at=answered.at,
            profile=owner.profile,
            access_token=answer.access_token,
            expires_at=answer.expires_at,
            refresh_token=answer.refresh_token,
            refresh_expires_in=answer.refresh_expires_in,
        )
        new_id = uuid7(self._means.clock.now(), self._means.dice.bytes(10))
        return merge(stored, consent, self._seals, new_id=new_id, user=user)

    def _steps(
        self,
        claim: Redemption | None,
        answered: Answered,
        merged: Merged,
        told: RedeemedGrant,
        owner: identity.Owner,
        error: GrantkeeperError | None,
        waking: list[Step],
    ) -> list[Step]:
        grant, now = merged.grant, self._means.clock.now()
        steps: list[Step] = [Insert(grant) if merged.is_new else Replace(grant), *waking]
        if not merged.is_new:
            steps.append(DropTokens(grant.id))
        if merged.token is not None:
            steps.append(PutToken(merged.token))
        if claim is not None and error is not None:
            steps.append(Settle(self.outcomes.failed(claim, error, now, grant)))
        elif claim is not None:
            by_answer = owner.source is IdentitySource.ANSWER
            outcome = Told(told, by_answer=by_answer, proof_due=merged.proof_due)
            # The minutes in which a repeat gets a session count from the sign-in.
            steps.append(Settle(self.outcomes.done(claim, outcome, answered.at)))
        detail: Mapping[str, str] = {"choice": str(merged.choice), "state": str(grant.state)}
        name = "grant.created" if merged.is_new else "grant.reconsented"
        steps.append(Note(AuditEvent(now, name, grant.id, client_id=grant.client_id, detail=detail)))
        return steps

    async def proved(self, plan: Plan, told: RedeemedGrant) -> RedeemedGrant:
        """*told*, with what has become of the grant since a refresh has tried it."""
        grant = await self._means.store.get(told.id)
        return told if grant is None else self._result(plan.client, plan.requested, grant, told.profile)

    @staticmethod
    def _result(client: Client, requested: Scopes, grant: Grant, profile: Profile | None) -> RedeemedGrant:
        return RedeemedGrant(
            id=grant.id,
            client=client.name,
            subject=grant.subject.sub,
            scopes=grant.granted,
            missing_scopes=missing(requested, grant.granted),
            state=grant.state,
            refreshable=grant.refreshable,
            reason=grant.reason,
            hint=None if grant.reason is None else REMEDIES[grant.reason],
            profile=profile,
        )


def _unfit(stored: Grant | None, owner: identity.Owner, at: datetime) -> GrantkeeperError | None:
    """Why a consent of *at* must not touch the *stored* grant, if that is so."""
    if stored is None:
        return None
    if outlived(stored, at):
        return CodeRefused(
            "the access was revoked here after the user had signed in and before that could be stored",
            hint="Sign in again if the user wants the access back.",
        )
    if (
        stored.identity_source is IdentitySource.ANSWER
        and owner.source is not IdentitySource.ANSWER
        and stored.state is not GrantState.REVOKED
    ):
        return IdentityUnknown(
            "a grant that the issuer itself identified is never replaced on another's word",
            hint="Ask the app to request openid, so that the answer says who signed in.",
        )
    return None


def _superseded(stored: Grant, at: datetime) -> bool:
    """Whether the *stored* grant has a consent that is younger than one of *at*."""
    younger = stored.consented_at is not None and stored.consented_at > at
    return younger and stored.state is not GrantState.REVOKED


def _wrong_account(answered: Answered, owner: identity.Owner, stored: Grant | None) -> WrongAccount | None:
    """Whether another person signed in than was meant; the answer is stored, and no link moves."""
    if answered.proof is not None and answered.proof.subject != owner.subject:
        return WrongAccount("the code and the request's id_token are of two accounts")
    if answered.expect_subject is not None and answered.expect_subject != owner.subject.sub:
        return WrongAccount("another account signed in than expect_subject names")
    attached = None if stored is None else stored.user
    if attached is not None and answered.user is not None and attached != answered.user:
        return WrongAccount("this account's grant is attached to another user")
    return None
