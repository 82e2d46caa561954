"""
What came of a redemption, sealed, so that who asks again gets the same answer.

Three things are kept: a success to tell again, a failure to tell again, and an
issuer's answer that still waits for proof of whose it is.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from grantkeeper.errors import GrantkeeperError, IssuerMisbehaved, SealBroken, from_record
from grantkeeper.model import Grant, RedeemedGrant, Redemption, RedemptionState
from grantkeeper.ports import SealContext, Sealer
from grantkeeper.protocol.scopes import Scopes
from grantkeeper.protocol.token_endpoint import BrokenAnswer, TokenAnswer
from grantkeeper.secret import AccessToken, IdToken, RefreshToken


def owner_of(code_hash: str) -> str:
    """What the data key of a redemption is bound to; *code_hash* in hex."""
    return f"redemption {code_hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    The issuer's answer to a code, or what is good of it.

    Attributes:
        broken: What is wrong with the rest, to be told once the good part is stored.
    """

    scopes: Scopes | None
    id_token: IdToken | None
    refresh_token: RefreshToken | None
    refresh_expires_in: int | None
    access_token: AccessToken | None = None
    expires_at: datetime | None = None
    broken: IssuerMisbehaved | None = None

    @staticmethod
    def whole(answer: TokenAnswer) -> "Answer":
        """All of a good answer."""
        return Answer(
            scopes=answer.scopes,
            id_token=answer.id_token,
            refresh_token=answer.refresh_token,
            refresh_expires_in=answer.refresh_expires_in,
            access_token=answer.access_token,
            expires_at=answer.expires_at,
        )

    @staticmethod
    def salvaged(error: BrokenAnswer) -> "Answer":
        """What a broken answer brought that must not be lost."""
        good = error.salvage
        return Answer(
            scopes=good.scopes,
            id_token=good.id_token,
            refresh_token=good.refresh_token,
            refresh_expires_in=good.refresh_expires_in,
            broken=IssuerMisbehaved(error.text),
        )


class KeptAnswer(msgspec.Struct):
    """An `Answer` in JSON, on its way into a seal."""

    scopes: list[str] | None
    id_token: str | None
    refresh_token: str | None
    refresh_expires_in: int | None
    access_token: str | None
    expires_at: datetime | None
    broken: str | None

    @staticmethod
    def of(answer: Answer) -> "KeptAnswer":
        """*answer*, opened for the seal."""
        return KeptAnswer(
            scopes=None if answer.scopes is None else sorted(answer.scopes),
            id_token=None if answer.id_token is None else answer.id_token.reveal(),
            refresh_token=None if answer.refresh_token is None else answer.refresh_token.reveal(),
            refresh_expires_in=answer.refresh_expires_in,
            access_token=None if answer.access_token is None else answer.access_token.reveal(),
            expires_at=answer.expires_at,
            broken=None if answer.broken is None else answer.broken.text,
        )

    def answer(self) -> Answer:
        """The answer again."""
        return Answer(
            scopes=None if self.scopes is None else frozenset(self.scopes),
            id_token=None if self.id_token is None else IdToken(self.id_token),
            refresh_token=None if self.refresh_token is None else RefreshToken(self.refresh_token),
            refresh_expires_in=self.refresh_expires_in,
            access_token=None if self.access_token is None else AccessToken(self.access_token),
            expires_at=self.expires_at,
            broken=None if self.broken is None else IssuerMisbehaved(self.broken),
        )

    def __repr__(self) -> str:
        return "KeptAnswer(****)"


@dataclass(frozen=True, slots=True)
class Told:
    """What is told again: a result or an error."""

    result: RedeemedGrant | None = None
    error: GrantkeeperError | None = None
    by_answer: bool = field(default=False)
    """Whether the issuer's own ID token said who it was: without, there is no session."""
    proof_due: bool = False
    """Whether it is from before the refresh that decides what became of the grant."""


class Outcomes:
    """Seals and opens outcomes; each redemption has a data key of its own."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def new_key(self, client_id: str, code_hash: bytes) -> bytes:
        """A data key for a redemption."""
        return self._sealer.new_key(client_id, owner_of(code_hash.hex()))

    def done(self, claim: Redemption, told: Told, now: datetime) -> Redemption:
        """*claim*, settled with a success."""
        result = told.result
        assert result is not None
        value = {
            "result": msgspec.to_builtins(replace(result, session=None)),
            "by_answer": told.by_answer,
            "proof_due": told.proof_due,
        }
        return replace(self._sealed(claim, RedemptionState.DONE, value), settled_at=now, grant_id=result.id)

    def failed(
        self, claim: Redemption, error: GrantkeeperError, now: datetime, grant: Grant | None
    ) -> Redemption:
        """*claim*, settled with a failure; *grant* where one was stored all the same."""
        settled = self._sealed(claim, RedemptionState.FAILED, error.as_record())
        return replace(settled, settled_at=now, grant_id=None if grant is None else grant.id)

    def waiting(self, claim: Redemption, answer: Answer, now: datetime) -> Redemption:
        """*claim*, with an answer that waits for proof of whose it is, since the first try."""
        sealed = self._sealed(claim, RedemptionState.ANSWERED, msgspec.to_builtins(KeptAnswer.of(answer)))
        return replace(sealed, settled_at=claim.settled_at or now)

    def told(self, redemption: Redemption) -> Told:
        """
        What a settled redemption has to tell.

        Raises:
            SealBroken: It does not open, or another release wrote it.
        """
        value = self._opened(redemption)
        try:
            if redemption.state is RedemptionState.FAILED:
                return Told(error=from_record(value))
            result = msgspec.convert(value["result"], RedeemedGrant)
        except (KeyError, msgspec.ValidationError) as error:
            raise SealBroken("a redemption's outcome is of another release") from error
        return Told(result, by_answer=value["by_answer"] is True, proof_due=value.get("proof_due") is True)

    def answer(self, redemption: Redemption) -> Answer:
        """
        The answer that waits in an ANSWERED redemption.

        Raises:
            SealBroken: It does not open.
        """
        return msgspec.convert(self._opened(redemption), KeptAnswer).answer()

    @staticmethod
    def _owner(redemption: Redemption) -> str:
        return owner_of(redemption.code_hash.hex())

    def _context(self, redemption: Redemption, state: RedemptionState) -> SealContext:
        return SealContext(redemption.client_id, self._owner(redemption), f"outcome {state}")

    def _sealed(self, claim: Redemption, state: RedemptionState, value: object) -> Redemption:
        try:
            # A new one each time, for a rewrap may have changed the stored one since it was read.
            data_key = self.new_key(claim.client_id, claim.code_hash)
        except SealBroken:
            # An answer in hand is not lost because the keys changed since its code was sent.
            if claim.data_key is None:
                raise
            data_key = claim.data_key
        text = msgspec.json.encode(value).decode()
        box = self._sealer.seal(data_key, text, self._context(claim, state))
        return replace(claim, state=state, data_key=data_key, outcome=box)

    def _opened(self, redemption: Redemption) -> Any:
        if redemption.data_key is None or redemption.outcome is None:
            raise SealBroken("a redemption has no outcome")
        context = self._context(redemption, redemption.state)
        return msgspec.json.decode(self._sealer.unseal(redemption.data_key, redemption.outcome, context))
