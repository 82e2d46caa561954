"""Vectors, keys and messages that the tests of the ground share."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from grantkeeper.model import Client, Endpoints, Provider, Source
from grantkeeper.protocol.key_set import KeySet, parse_key_set
from grantkeeper.protocol.message import HttpResponse
from grantkeeper.secret import ClientSecret, IdToken

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

ALGORITHMS = ["RS256", "RS384", "PS256", "ES256", "HS256", "none"]


def vectors(name: str) -> list[Any]:
    """The cases of a vector file, each under the name of its outcome."""
    cases = json.loads((Path(__file__).parent / "vectors" / name).read_text(encoding="utf-8"))
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names), f"a name stands twice in {name}"
    return [pytest.param(case, id=case["name"]) for case in cases]


def answer(body: object = None, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """An answer with *body* as JSON, or as it is if it is text or bytes."""
    raw = (
        body
        if isinstance(body, bytes)
        else body.encode("utf-8", "surrogatepass")
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
    return HttpResponse(status, raw, dict(headers or {}))


ENDPOINTS = Endpoints(
    authorization="https://issuer.test/auth",
    token="https://issuer.test/token",
    jwks="https://issuer.test/keys",
    revocation="https://issuer.test/revoke",
)


def client(**other: Any) -> Client:
    """A client of Google's that may use a phone's codes."""
    known: dict[str, Any] = {
        "name": "default",
        "provider": Provider.GOOGLE,
        "client_id": "ours",
        "secrets": (ClientSecret("hush"),),
        "issuer": "https://accounts.google.com",
        "redirects": {Source.IOS: ("",), Source.ANDROID: ("",)},
    }
    return Client(**{**known, **other})


# Making an RSA key takes a while: each is made once for a run.


@cache
def rsa_key(name: str = "one", bits: int = 2048) -> RSAKey:
    """A key pair that belongs to *name*."""
    return RSAKey.generate_key(bits)


@cache
def ec_key(name: str = "one", curve: str = "P-256") -> ECKey:
    """A key pair that belongs to *name*."""
    return ECKey.generate_key(curve)


def public(key: RSAKey | ECKey, kid: str | None = "k1", **other: Any) -> dict[str, Any]:
    """The JWK that an issuer publishes."""
    named = {} if kid is None else {"kid": kid}
    return {**key.as_dict(private=False), **named, **other}


def key_set(*keys: dict[str, Any]) -> KeySet:
    """A key set as it is read from an answer."""
    return parse_key_set(answer({"keys": list(keys)}), now=NOW)


def signed(claims: object, key: Any, **header: Any) -> IdToken:
    """*claims*, signed with *key*; the header is RS256 and ``k1`` unless it says otherwise."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    full = {"alg": "RS256", "kid": "k1", **header}
    full = {name: value for name, value in full.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    return IdToken(jws.serialize_compact(full, payload, key, registry=registry))


def good_claims(**other: Any) -> dict[str, Any]:
    """The claims of an ID token as Google makes them; ``None`` takes one away."""
    known = {
        "iss": "https://accounts.google.com",
        "aud": "ours",
        "azp": "ours",
        "sub": "1234567890",
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
        "email": "ada@example.com",
        "email_verified": True,
        "name": "Ada",
    }
    return {name: value for name, value in {**known, **other}.items() if value is not None}
