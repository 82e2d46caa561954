"""Whose grant it is: from the verified ID token of the answer, or from proof that somebody vouches for."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from grantkeeper.errors import AppIdTokenRejected, IdentityUnknown, IdTokenRejected
from grantkeeper.keeper.means import Means
from grantkeeper.model import Client, Identity, IdentitySource, Profile, Provider, Subject
from grantkeeper.ports import GrantQuery
from grantkeeper.protocol.id_token import Expectation
from grantkeeper.secret import AccessToken, IdToken

PROOF_AGE = timedelta(minutes=10)
"""How old a phone's own ID token may be when it is the only proof of who signed in."""

ALGORITHMS = {Provider.GOOGLE: frozenset({"RS256"}), Provider.OIDC: frozenset({"RS256", "ES256"})}


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a grant belongs to and what proved it."""

    subject: Subject
    source: IdentitySource
    profile: Profile | None


def expectation(
    means: Means,
    client: Client,
    *,
    nonce: str | None = None,
    access_token: AccessToken | None = None,
    youngest: timedelta | None = None,
    now: datetime | None = None,
) -> Expectation:
    """What an ID token for *client* must say at *now*, by default this moment."""
    return Expectation(
        issuer=client.issuer,
        audience=client.client_id,
        now=now or means.clock.now(),
        parties=client.app_client_ids,
        algorithms=ALGORITHMS[client.provider],
        nonce=nonce,
        access_token=access_token,
        youngest=youngest,
    )


async def from_app(means: Means, client: Client, token: IdToken, *, nonce: str | None = None) -> Identity:
    """
    The identity in an ID token that came with a request, fully verified.

    Raises:
        AppIdTokenRejected: It does not pass; the app's own token is at fault.
        IssuerUnavailable, IssuerMisbehaved: The issuer's keys are not to be had.
    """
    try:
        return await means.issuer.verify(token, expectation(means, client, nonce=nonce))
    except IdTokenRejected as error:
        raise AppIdTokenRejected(error.claim, error.reason, hint=error.hint) from None


async def from_answer(
    means: Means,
    client: Client,
    token: IdToken,
    *,
    nonce: str | None,
    access_token: AccessToken | None,
    at: datetime,
) -> Owner:
    """
    The owner that the answer's own ID token names.

    Args:
        at: When the issuer answered; storing may have had to wait.

    Raises:
        IdTokenRejected: It does not pass; do not trust this answer.
        IssuerUnavailable, IssuerMisbehaved: The issuer's keys are not to be had.
    """
    want = expectation(means, client, nonce=nonce, access_token=access_token, now=at)
    identity = await means.issuer.verify(token, want)
    return Owner(identity.subject, IdentitySource.ANSWER, identity.profile)


async def from_vouching(
    means: Means,
    client: Client,
    *,
    proof: Identity | None,
    token: IdToken | None,
    trusted: bool,
    user: str | None,
    code_hash: bytes,
    at: datetime,
) -> Owner:
    """
    The owner of an answer without an ID token, as far as a trusted caller vouches for one.

    Args:
        proof: What the request's own ID token says, verified.
        trusted: Whether a caller key (or the embedding program) stands behind the request.
        user: The caller's own id of the person.
        code_hash: Of the code whose answer it is: the only one that the proof is good for from here on.
        at: When that request came.

    Raises:
        IdentityUnknown: Nobody vouches, or the proof is too old or was used for another code.
    """
    if not trusted:
        raise IdentityUnknown("the issuer's answer does not say who signed in, and no caller vouches for it")
    if proof is not None and token is not None:
        if proof.issued_at + PROOF_AGE < at:
            raise IdentityUnknown("the request's id_token is older than 10 minutes")
        used = hashlib.sha256(token.reveal().encode()).digest()
        now, until = means.clock.now(), max(proof.expires_at, at) + PROOF_AGE
        if not await means.store.put_once("id_token", used, code_hash, now=now, until=until):
            raise IdentityUnknown("the request's id_token was used as proof of another sign-in")
        return Owner(proof.subject, IdentitySource.REQUEST, proof.profile)
    if user is not None:
        return Owner(await _subject_of_user(means, client, user), IdentitySource.CALLER, None)
    raise IdentityUnknown(
        "the issuer's answer does not say who signed in; send the phone's id_token or your user id"
    )


async def _subject_of_user(means: Means, client: Client, user: str) -> Subject:
    """
    The subject of the one grant that *user* has with this client, or a name of our own.

    The ``sub`` of such a grant is not known; it is filled with the caller's
    word for the person, marked so that it can never meet a real one.
    """
    query = GrantQuery(client_ids=frozenset({client.client_id}), user=user, limit=2)
    grants = await means.store.search(query)
    if len(grants) > 1:
        raise IdentityUnknown(
            "the user has several grants with this client; send the phone's id_token to tell which"
        )
    return grants[0].subject if grants else Subject(client.issuer, f"user:{user}")
