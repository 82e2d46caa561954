"""
ID tokens: every claim in one table, checked in the order of OpenID Connect Core 3.1.3.7.

The signature is the work of `grantkeeper.protocol.signature`; which algorithms, which
key and what the claims must say is decided here.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from grantkeeper.errors import IdTokenRejected
from grantkeeper.model import Identity, Profile, Subject
from grantkeeper.protocol import signature
from grantkeeper.protocol.discovery import GOOGLE
from grantkeeper.protocol.key_set import KeySet
from grantkeeper.protocol.signature import Header, Unproved
from grantkeeper.secret import AccessToken, IdToken

LEEWAY = timedelta(seconds=30)
"""Clocks differ; google-auth's zero seconds throw on one second of skew (google-facts 5)."""

CLOCKS = "Let NTP set this machine's clock; with an emulator, set GRANTKEEPER_CLOCK_FILE to its --clock-file."
"""What helps where our clock and the issuer's are further apart."""

LONGEST_LIFE = timedelta(hours=24)
LONGEST_SUB = 255
LONGEST_PROPERTY = 4096
TYPES = frozenset({None, "jwt"})
"""What ``typ`` an ID token may have."""

GOOGLE_ISSUERS = frozenset({GOOGLE, "accounts.google.com"})
"""Google's tokens have been seen with both; they are one issuer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """
    What an ID token must say here and now.

    Attributes:
        issuer: The identifier we know the issuer by.
        audience: Our client id.
        parties: Accepted values of ``azp``: our client id and the app's own.
        algorithms: RS256 for Google; ES256 too for others.
        nonce: What was sent with the authorization request, if anything was:
            then absent is as wrong as different.
        access_token: Against ``at_hash``, where the claim is present.
        hosted_domain: The only ``hd`` accepted, for a deployment bound to one.
        youngest: Reject a token issued longer ago than this.
    """

    issuer: str
    audience: str
    now: datetime
    parties: frozenset[str] = frozenset()
    algorithms: frozenset[str] = frozenset({"RS256"})
    nonce: str | None = field(default=None, repr=False)
    access_token: AccessToken | None = None
    hosted_domain: str | None = None
    youngest: timedelta | None = None


def _instant(value: object, claim: str) -> datetime:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise IdTokenRejected(claim, "is not a number")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise IdTokenRejected(claim, "is not a time") from None


def _string(value: object, claim: str, longest: int = 2048) -> str:
    if not isinstance(value, str):
        raise IdTokenRejected(claim, "is not text")
    if not value:
        raise IdTokenRejected(claim, "is empty")
    if len(value) > longest:
        raise IdTokenRejected(claim, "is too long")
    return value


def _check_iss(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    issuer = _string(value, "iss")
    same = {want.issuer} | (GOOGLE_ISSUERS if want.issuer in GOOGLE_ISSUERS else frozenset())
    if issuer not in same:
        raise IdTokenRejected("iss", "is another issuer's")


def _check_sub(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    sub = _string(value, "sub", LONGEST_SUB)
    if not sub.isascii() or not sub.isprintable():
        raise IdTokenRejected("sub", "is not printable ASCII")


def _check_aud(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    # A list with ours and one we do not trust is refused (Core 3.1.3.7, item 3).
    audiences = value if isinstance(value, list) else [value]
    if not audiences or not all(isinstance(one, str) for one in audiences):
        raise IdTokenRejected("aud", "is neither text nor a list of texts")
    if want.audience not in audiences:
        raise IdTokenRejected("aud", "is not this client")
    if set(audiences) - {want.audience} - want.parties:
        raise IdTokenRejected("aud", "names others beside this client")


def _check_azp(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    if value is None:
        if isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1:
            raise IdTokenRejected("azp", "is missing beside several audiences")
        return
    if _string(value, "azp") not in want.parties | {want.audience}:
        raise IdTokenRejected("azp", "is not an app of this client")


def _check_exp(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    expires_at = _instant(value, "exp")
    # The leeway goes to our side: a token may name the last second that a datetime can hold.
    if want.now - LEEWAY >= expires_at:
        raise IdTokenRejected("exp", "is past")
    if expires_at > want.now + LONGEST_LIFE + LEEWAY:
        raise IdTokenRejected("exp", "is too far away")


def _check_iat(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    issued_at = _instant(value, "iat")
    if issued_at > want.now + LEEWAY:
        raise IdTokenRejected("iat", "is in the future", hint=CLOCKS)
    if want.youngest is not None and issued_at + want.youngest + LEEWAY < want.now:
        raise IdTokenRejected("iat", "is too long ago")


def _check_nbf(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    if value is not None and _instant(value, "nbf") > want.now + LEEWAY:
        raise IdTokenRejected("nbf", "is in the future", hint=CLOCKS)


def _check_nonce(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    nonce = None if value is None else _string(value, "nonce")
    if want.nonce is None:
        return
    if nonce is None:
        raise IdTokenRejected("nonce", "is missing")
    if nonce != want.nonce:
        raise IdTokenRejected("nonce", "is not the one that was sent")


def _check_at_hash(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    found = None if value is None else _string(value, "at_hash")
    if found is None or want.access_token is None:
        return
    half = hashlib.sha256(want.access_token.reveal().encode()).digest()[:16]
    if found.rstrip("=") != urlsafe_b64encode(half).decode().rstrip("="):
        raise IdTokenRejected("at_hash", "belongs to another access token")


def _check_hd(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    if value is not None:
        _string(value, "hd")
    if want.hosted_domain is not None and value != want.hosted_domain:
        raise IdTokenRejected("hd", "is not the domain that may sign in")


def _check_email_verified(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    # Older tokens have it as text (google-facts 5); 1 is not true.
    if value is not None and not isinstance(value, bool) and value not in ("true", "false"):
        raise IdTokenRejected("email_verified", "is neither true nor false")


def _check_events(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
    # A logout token or a security event, signed with the same key, says this and no ID token does.
    if value is not None:
        raise IdTokenRejected("events", "makes it another kind of token")


def _property(claim: str) -> Callable[[object, Mapping[str, Any], Expectation], None]:
    def check(value: object, claims: Mapping[str, Any], want: Expectation) -> None:
        if value is not None and not isinstance(value, str):
            raise IdTokenRejected(claim, "is not text")
        if isinstance(value, str) and len(value) > LONGEST_PROPERTY:
            raise IdTokenRejected(claim, "is too long")

    return check


CLAIMS: Mapping[str, Callable[[object, Mapping[str, Any], Expectation], None]] = {
    "iss": _check_iss,
    "aud": _check_aud,
    "azp": _check_azp,
    "exp": _check_exp,
    "iat": _check_iat,
    "nbf": _check_nbf,
    "nonce": _check_nonce,
    "sub": _check_sub,
    "events": _check_events,
    "at_hash": _check_at_hash,
    "hd": _check_hd,
    "email": _property("email"),
    "email_verified": _check_email_verified,
    "name": _property("name"),
    "given_name": _property("given_name"),
    "family_name": _property("family_name"),
    "picture": _property("picture"),
    "locale": _property("locale"),
}
"""Every claim that is looked at, in the order of Core 3.1.3.7, then our own needs."""

IGNORED: frozenset[str] = frozenset({"acr", "amr", "auth_time", "c_hash", "profile", "jti", "sid", "s_hash"})
"""
Claims that are ignored on purpose: nothing was asked that they could answer,
and no decision of ours rests on them. Unknown claims are ignored too (Core 2).
"""


def check_claims(claims: Mapping[str, Any], want: Expectation) -> Identity:
    """
    The identity that *claims* state, after every check of `CLAIMS`.

    Raises:
        IdTokenRejected: A claim is absent, of the wrong type or of the wrong value; it says which.
    """
    for claim, check in CLAIMS.items():
        check(claims.get(claim), claims, want)
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    verified = claims.get("email_verified")
    return Identity(
        subject=Subject(want.issuer, claims["sub"]),
        profile=Profile(
            sub=claims["sub"],
            email=claims.get("email"),
            email_verified=None if verified is None else verified in (True, "true"),
            name=claims.get("name"),
            picture=claims.get("picture"),
            locale=claims.get("locale"),
            family_name=claims.get("family_name"),
            given_name=claims.get("given_name"),
            hd=claims.get("hd"),
        ),
        audience=frozenset(audience),
        authorized_party=claims.get("azp"),
        issued_at=_instant(claims["iat"], "iat"),
        expires_at=_instant(claims["exp"], "exp"),
        nonce=claims.get("nonce"),
    )


def read_header(token: IdToken, want: Expectation) -> Header:
    """
    The header of *token*, which is not yet proved to be anybody's.

    Raises:
        IdTokenRejected: It is no JWS of three parts, its algorithm is not one
            we take, or it is another kind of token.
    """
    try:
        header = signature.read_header(token.reveal(), want.algorithms)
    except Unproved as error:
        raise IdTokenRejected(error.part, error.reason) from None
    # An access token (RFC 9068) or a logout token may be signed with the same key (RFC 8725 3.11).
    if header.type not in TYPES:
        raise IdTokenRejected("typ", "is another kind of token")
    return header


def verify(token: IdToken, keys: KeySet, want: Expectation) -> Identity:
    """
    The identity that *token* proves.

    Args:
        keys: The issuer's, fetched before; `read_header` says which ``kid`` is
            needed, so that a caller may fetch again when it is new.

    Raises:
        IdTokenRejected: Key, signature or a claim does not pass.
    """
    header = read_header(token, want)
    candidates = keys.for_signature(header.kid, header.algorithm)
    if not candidates:
        raise IdTokenRejected("kid", "names no key of the issuer")
    try:
        claims = signature.proved(token.reveal(), header, (key.verifier for key in candidates))
    except Unproved as error:
        raise IdTokenRejected(error.part, error.reason) from None
    return check_claims(claims, want)


def claimed_subject(token: IdToken) -> str | None:
    """
    Whom *token* says it is about; ``None`` where it cannot be read. Nothing of it is proved.

    For an answer to a refresh, whose ID token must name the one who signed in
    (Core 12.2) and is good for nothing else.
    """
    try:
        sub = signature.unproved(token.reveal()).get("sub")
    except Unproved:
        return None
    return sub if isinstance(sub, str) else None
