"""
Our own session tokens: a signed statement for an app's backend that this user just signed in.

Design section 3: an ES256 JWT of its own type, which lives at most five
minutes. It is accepted nowhere in grantkeeper; `verify_session` is for the
backends that receive it, and says what they have to check.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey

from grantkeeper.model import SigningKey, Subject
from grantkeeper.protocol.key_set import matching, usable_keys
from grantkeeper.protocol.signature import Unproved, proved, read_header
from grantkeeper.secret import SessionToken

TYPE = "gk-session+jwt"
"""``typ`` of the header (RFC 8725 3.11): no other token of ours or of the issuer's can be taken for one."""

ALGORITHM = "ES256"
LONGEST_LIFE = timedelta(seconds=300)
LEEWAY = timedelta(seconds=30)
"""How far the clocks of two machines may differ."""


class SessionRejected(ValueError):
    """
    A session token must not be believed.

    Attributes:
        claim: The claim or header parameter, ``signature`` or ``token`` for the whole.
        reason: What is wrong with it, as the end of a sentence.
    """

    def __init__(self, claim: str, reason: str) -> None:
        super().__init__(f"the session token's {claim} {reason}")
        self.claim = claim
        self.reason = reason


# -- making -------------------------------------------------------------------------------------


def session_claims(
    *,
    issuer: str,
    client_id: str,
    subject: Subject,
    grant: str,
    jti: str,
    now: datetime,
    lifetime: timedelta = LONGEST_LIFE,
    nonce: str | None = None,
) -> dict[str, Any]:
    """
    What a session token says.

    Args:
        issuer: Our public URL.
        client_id: The OAuth client id that the user signed in for.
        subject: Who it is; its issuer becomes ``sub_iss``.
        grant: The grant's id.
        jti: A value never used before, so that a backend can refuse a second use.
        lifetime: Whole seconds count.
        nonce: What the app sent with its sign-in, if anything.

    Raises:
        ValueError: *lifetime* is not between a second and five minutes.
    """
    seconds = int(lifetime.total_seconds())
    if not 0 < seconds <= LONGEST_LIFE.total_seconds():
        raise ValueError("a session token lives between 1 and 300 seconds")
    # Rounded down, so that the second of its making does not lengthen its life.
    issued_at = int(now.timestamp())
    claims = {
        "iss": issuer,
        "aud": client_id,
        "sub": subject.sub,
        "sub_iss": subject.issuer,
        "grant": grant,
        "jti": jti,
        "iat": issued_at,
        "exp": issued_at + seconds,
    }
    return claims if nonce is None else {**claims, "nonce": nonce}


def sign_session(claims: Mapping[str, Any], private_jwk: Mapping[str, Any], kid: str) -> SessionToken:
    """
    The token that says *claims*.

    Args:
        private_jwk: An EC key on P-256 with its ``d``; it comes unsealed for this line alone.
        kid: Under which `public_jwks` shows its public part.
    """
    return SessionToken(sign_statement(claims, private_jwk, kid, TYPE))


def sign_statement(statement: Mapping[str, Any], private_jwk: Mapping[str, Any], kid: str, kind: str) -> str:
    """
    The compact JWS that says *statement*.

    Args:
        private_jwk, kid: As for `sign_session`.
        kind: ``typ`` of the header: what it can be taken for, and nothing else.
    """
    header = {"alg": ALGORITHM, "typ": kind, "kid": kid}
    key = ECKey.import_key({name: str(private_jwk[name]) for name in ("kty", "crv", "x", "y", "d")})
    return jws.serialize_compact(header, msgspec.json.encode(statement), key, [ALGORITHM])


def public_jwk(private_jwk: Mapping[str, Any], kid: str) -> dict[str, str]:
    """The part of a signing key that everybody may see."""
    numbers = {name: str(private_jwk[name]) for name in ("kty", "crv", "x", "y")}
    return {**numbers, "kid": kid, "use": "sig", "alg": ALGORITHM}


def public_jwks(keys: Iterable[SigningKey]) -> dict[str, Any]:
    """The JWK set at ``/.well-known/jwks.json``; whatever is stored, only public members come out."""
    return {"keys": [public_jwk(msgspec.json.decode(key.public_jwk), key.kid) for key in keys]}


# -- believing ----------------------------------------------------------------------------------


def verify_session(
    token: SessionToken | str,
    jwks: Mapping[str, Any],
    *,
    issuer: str,
    audience: str,
    now: datetime,
    nonce: str | None = None,
) -> dict[str, Any]:
    """
    The claims of a session token, as the app's backend must check them.

    Args:
        jwks: What ``/.well-known/jwks.json`` answered.
        issuer: The public URL of the grantkeeper that is trusted.
        audience: The OAuth client id of the app that is served.
        nonce: What the app was given for this sign-in, if anything: then
            absent is as wrong as different.

    Raises:
        SessionRejected: It proves nothing; it says why.
    """
    compact = token.reveal() if isinstance(token, SessionToken) else token
    claims = verify_statement(compact, jwks, TYPE)
    _check(claims, issuer, audience, now, nonce)
    return claims


def verify_statement(compact: str, jwks: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """
    What a `sign_statement` says.

    Args:
        jwks: The public keys of the grantkeeper that is said to have made it, past ones too.

    Raises:
        SessionRejected: It proves nothing; it says why.
    """
    try:
        header = read_header(compact, (ALGORITHM,))
        if header.type != kind:
            raise SessionRejected("typ", f"is not {kind}")
        keys = matching(usable_keys(jwks.get("keys")) or (), header.kid, ALGORITHM)
        if header.kid is None or not keys:
            raise SessionRejected("kid", "names no key of this grantkeeper")
        return proved(compact, header, (key.verifier for key in keys))
    except Unproved as error:
        raise SessionRejected(error.part, error.reason) from None


def _check(claims: Mapping[str, Any], issuer: str, audience: str, now: datetime, nonce: str | None) -> None:
    for name, value in (("iss", issuer), ("aud", audience)):
        if claims.get(name) != value:
            raise SessionRejected(name, "is another's")
    for name in ("sub", "sub_iss", "grant", "jti"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise SessionRejected(name, "is not text")
    for name in ("iat", "exp"):
        if type(claims.get(name)) is not int:
            raise SessionRejected(name, "is not a number of seconds")
    seconds, leeway = now.timestamp(), LEEWAY.total_seconds()
    if claims["iat"] > seconds + leeway:
        raise SessionRejected("iat", "is in the future")
    if claims["exp"] > claims["iat"] + LONGEST_LIFE.total_seconds():
        raise SessionRejected("exp", "is too far away")
    if claims["exp"] + leeway <= seconds:
        raise SessionRejected("exp", "is past")
    if nonce is not None and claims.get("nonce") != nonce:
        raise SessionRejected("nonce", "is not the one that was sent")
