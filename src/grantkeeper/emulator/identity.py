"""The identity a token carries: the claims of an ID token and of the userinfo answers."""

import hashlib
from datetime import timedelta
from typing import Any

from grantkeeper.emulator.jose import b64
from grantkeeper.emulator.records import User
from grantkeeper.emulator.scopes import EMAIL, PROFILE
from grantkeeper.emulator.world import World

ID_TOKEN_LIFE = timedelta(hours=1)


def claims_about(user: User, scopes: frozenset[str]) -> dict[str, Any]:
    """What *scopes* let an app know about *user*, under the names of OpenID Connect Core 5.1."""
    claims: dict[str, Any] = {"sub": user.sub}
    if PROFILE in scopes:
        claims["name"] = user.name
        claims["given_name"] = user.given_name
        claims["family_name"] = user.family_name
        claims["picture"] = user.picture
    if EMAIL in scopes:
        claims["email"] = user.email
        claims["email_verified"] = user.email_verified
        if user.hd is not None:
            claims["hd"] = user.hd
    return claims


def id_token_claims(
    world: World,
    user: User,
    scopes: frozenset[str],
    *,
    aud: str,
    azp: str,
    nonce: str | None = None,
    access_token: str | None = None,
) -> dict[str, Any]:
    """The claims of an ID token (OpenID Connect Core 2), with a marker in ``jti``."""
    now = world.now()
    claims: dict[str, Any] = {"iss": world.issuer, "azp": azp, "aud": aud, **claims_about(user, scopes)}
    if access_token is not None:
        claims["at_hash"] = at_hash(access_token)
    if nonce is not None:
        claims["nonce"] = nonce
    claims["iat"] = int(now.timestamp())
    claims["exp"] = int((now + ID_TOKEN_LIFE).timestamp())
    claims["jti"] = world.secret("", "id")
    return claims


def at_hash(access_token: str) -> str:
    """The left half of the hash of *access_token* (OpenID Connect Core 3.1.3.6)."""
    return b64(hashlib.sha256(access_token.encode("ascii")).digest()[:16])
