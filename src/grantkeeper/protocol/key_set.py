"""An issuer's published keys (RFC 7517) and how long they may be kept (RFC 9111)."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from grantkeeper.errors import IssuerMisbehaved
from grantkeeper.protocol.message import HttpResponse, json_object

SHORTEST_KEEP = timedelta(minutes=1)
LONGEST_KEEP = timedelta(hours=24)
DEFAULT_KEEP = timedelta(minutes=5)
COOLDOWN = timedelta(seconds=30)
"""How soon an unknown ``kid`` may make us fetch again: strangers choose that value."""

MOST_KEYS = 50
WEAKEST_RSA = 2048
STRONGEST_RSA = 8192
"""Bits; larger ones are not stronger in practice and cost whoever verifies."""

LONGEST_EXPONENT = 32
"""Bits; real ones have 17."""

KINDS: Mapping[str, str] = {"RS256": "RSA", "ES256": "EC"}
"""The algorithms we know, and the ``kty`` each of them needs."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that may have signed."""

    kid: str | None
    kind: str
    algorithm: str | None
    jwk: Mapping[str, Any]
    verifier: RSAKey | ECKey = field(repr=False, compare=False)
    """The same, ready for use: reading a key costs more than verifying with it."""


def matching(keys: tuple[PublicKey, ...], kid: str | None, algorithm: str) -> tuple[PublicKey, ...]:
    """
    Of *keys*, those that may have made a signature with *algorithm*.

    A token without ``kid`` is matched only when one key could have made it.
    Two keys of one ``kid`` are both tried: an issuer's mistake, not a user's.
    """
    fit = tuple(
        key for key in keys if key.kind == KINDS.get(algorithm) and key.algorithm in (None, algorithm)
    )
    if kid is None:
        return fit if len(fit) == 1 else ()
    return tuple(key for key in fit if key.kid == kid)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an issuer, as of one moment."""

    keys: tuple[PublicKey, ...]
    fetched_at: datetime
    fresh_until: datetime

    def for_signature(self, kid: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        """The keys that may have made a signature with *algorithm*; see `matching`."""
        return matching(self.keys, kid, algorithm)

    def may_refetch(self, now: datetime) -> bool:
        """Whether an unknown ``kid`` may cause a new fetch."""
        return now >= self.fetched_at + COOLDOWN or now < self.fetched_at


def _bits(text: str) -> int:
    """Of a number in a JWK, leading zeros not counted; `import_key` is the strict reader."""
    return int.from_bytes(urlsafe_b64decode(text + "==")).bit_length()


def _rsa(entry: Mapping[str, Any]) -> tuple[RSAKey, dict[str, Any]] | None:
    jwk = {"kty": "RSA", "n": entry["n"], "e": entry["e"]}
    # Measured before they are imported, since a huge number is work and a weak one a warning.
    if not WEAKEST_RSA <= _bits(jwk["n"]) <= STRONGEST_RSA or _bits(jwk["e"]) > LONGEST_EXPONENT:
        return None
    return RSAKey.import_key(dict(jwk)), jwk


def _ec(entry: Mapping[str, Any]) -> tuple[ECKey, dict[str, Any]] | None:
    jwk = {"kty": "EC", "crv": entry["crv"], "x": entry["x"], "y": entry["y"]}
    return (ECKey.import_key(dict(jwk)), jwk) if jwk["crv"] == "P-256" else None


READERS = {"RSA": _rsa, "EC": _ec}


def _key(entry: object) -> PublicKey | None:
    """The key in one entry of a set; ``None`` for what we cannot use, which is not an error (RFC 7517 5)."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kty"), str):
        return None
    kid, algorithm, uses = entry.get("kid"), entry.get("alg"), entry.get("key_ops", ["verify"])
    if not isinstance(kid, (str, type(None))) or not isinstance(algorithm, (str, type(None))):
        return None
    if entry.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        return None
    read = READERS.get(entry["kty"])
    try:
        # Of the entry only the public numbers are taken: a private part that slipped in stays out.
        found = None if read is None else read(entry)
    except (JoseError, UnsupportedAlgorithm, KeyError, TypeError, ValueError):
        return None
    return None if found is None else PublicKey(kid, entry["kty"], algorithm, found[1], found[0])


def usable_keys(entries: object) -> tuple[PublicKey, ...] | None:
    """Of a JWK set's ``keys`` those that we can use; ``None`` if it is no list, or absurdly long."""
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        return None
    return tuple(key for key in map(_key, entries) if key is not None)


def keep_for(headers: Mapping[str, str]) -> timedelta:
    """
    How long an answer may be kept: ``max-age`` less ``Age``, within a minute and a day.

    ``no-store`` and ``no-cache`` count as nothing at all, which makes a minute:
    verifying must not become a request for every sign-in.
    """
    directives = headers.get("cache-control", "").lower()
    if re.search(r"(?:^|[\s,])no-(?:store|cache)(?:[\s,;=]|$)", directives):
        return SHORTEST_KEEP
    found = re.search(r'(?:^|[\s,])max-age\s*=\s*"?([0-9]{1,9})', directives)
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
    keys = usable_keys(json_object(response).get("keys"))
    if keys is None:
        raise IssuerMisbehaved("the issuer's keys are not a JWK set")
    if not keys:
        raise IssuerMisbehaved("the issuer's key set has no key that can be used")
    return KeySet(keys, fetched_at=now, fresh_until=now + keep_for(response.headers))
