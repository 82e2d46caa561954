"""An issuer's published keys (RFC 7517) and how long they may be kept (RFC 9111)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from grantkeeper.errors import IssuerMisbehaved
from grantkeeper.protocol.message import HttpResponse, json_object

SHORTEST_KEEP = timedelta(minutes=1)
LONGEST_KEEP = timedelta(hours=24)
DEFAULT_KEEP = timedelta(minutes=5)
COOLDOWN = timedelta(seconds=30)
"""How soon an unknown ``kid`` may make us fetch again: strangers choose that value."""

MOST_KEYS = 50
WEAKEST_RSA = 2048

KINDS: Mapping[str, str] = {"RS256": "RSA", "ES256": "EC"}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that may have signed."""

    kid: str | None
    kind: str
    algorithm: str | None
    jwk: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an issuer, as of one moment."""

    keys: tuple[PublicKey, ...]
    fetched_at: datetime
    fresh_until: datetime

    def for_signature(self, kid: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        """
        The keys that may have made a signature with *algorithm*.

        A token without ``kid`` is matched only when one key could have made it.
        """
        fit = tuple(
            key
            for key in self.keys
            if key.kind == KINDS.get(algorithm) and key.algorithm in (None, algorithm)
        )
        if kid is None:
            return fit if len(fit) == 1 else ()
        return tuple(key for key in fit if key.kid == kid)

    def may_refetch(self, now: datetime) -> bool:
        """Whether an unknown ``kid`` may cause a new fetch."""
        return now >= self.fetched_at + COOLDOWN or now < self.fetched_at


def _key(entry: object) -> PublicKey | None:
    """The key in one entry of a set; ``None`` for what we cannot use, which is not an error (RFC 7517 5)."""
    if not isinstance(entry, dict):
        return None
    kind, use, kid, algorithm = entry.get("kty"), entry.get("use", "sig"), entry.get("kid"), entry.get("alg")
    if use != "sig" or not isinstance(kid, (str, type(None))) or not isinstance(algorithm, (str, type(None))):
        return None
    if kind == "RSA":
        modulus, exponent = entry.get("n"), entry.get("e")
        if not isinstance(modulus, str) or not isinstance(exponent, str):
            return None
        if len(modulus.rstrip("=")) * 6 < WEAKEST_RSA:
            return None
        return PublicKey(kid, "RSA", algorithm, {"kty": "RSA", "n": modulus, "e": exponent})
    if kind == "EC" and entry.get("crv") == "P-256":
        x, y = entry.get("x"), entry.get("y")
        if not isinstance(x, str) or not isinstance(y, str):
            return None
        return PublicKey(kid, "EC", algorithm, {"kty": "EC", "crv": "P-256", "x": x, "y": y})
    return None


def keep_for(headers: Mapping[str, str]) -> timedelta:
    """How long an answer may be kept: ``max-age`` less ``Age``, within a minute and a day."""
    directives = headers.get("cache-control", "").lower()
    found = re.search(r'(?:^|[\s,])max-age\s*=\s*"?(\d{1,9})', directives)
    if found is None:
        return DEFAULT_KEEP
    age = headers.get("age", "0").strip()
    spent = int(age) if age.isascii() and age.isdigit() and len(age) <= 9 else 0
    return min(max(timedelta(seconds=int(found[1]) - spent), SHORTEST_KEEP), LONGEST_KEEP)


def parse_key_set(response: HttpResponse, *, now: datetime) -> KeySet:
    """
    Read a JWK set.

    Raises:
        IssuerMisbehaved: It is no JWK set, or has no key that we can use.
    """
    if response.status != 200:
        raise IssuerMisbehaved(f"the issuer's keys answered {response.status}")
    entries = json_object(response).get("keys")
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise IssuerMisbehaved("the issuer's keys are not a JWK set")
    keys = tuple(key for key in map(_key, entries) if key is not None)
    if not keys:
        raise IssuerMisbehaved("the issuer's key set has no key that can be used")
    return KeySet(keys, fetched_at=now, fresh_until=now + keep_for(response.headers))
