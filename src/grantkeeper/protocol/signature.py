"""
Signed tokens of three parts (RFC 7515, compact form): reading the header, proving the payload.

The mathematics is joserfc's work; which algorithms and which keys count is
decided here and by the caller. Nothing in a token chooses its own checks:
``jwk``, ``jku``, ``x5u`` and ``x5c`` in a header are never looked at.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

LARGEST_TOKEN = 16 * 1024


class Unproved(ValueError):
    """
    A token proves nothing.

    Attributes:
        part: The header parameter, ``signature``, or ``token`` for the whole.
        reason: What is wrong with it, as the end of a sentence.
    """

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"the token's {part} {reason}")
        self.part = part
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Header:
    """The part of a token that names its key; ``type`` is in lower case, without ``application/``."""

    algorithm: str
    kid: str | None
    type: str | None = None


class _Registry(jws.JWSRegistry):
    # Real headers may carry a chain of certificates, and a 4096-bit signature has 683 characters.
    max_header_length = 8 * 1024
    max_payload_length = LARGEST_TOKEN
    max_signature_length = 2 * 1024


@lru_cache
def _registry(algorithm: str) -> jws.JWSRegistry:
    # Header parameters that nobody has heard of are ignored (RFC 7515 section 4).
    return _Registry(algorithms=[algorithm], strict_check_header=False)


def _extract(compact: str) -> jws.CompactSignature:
    if len(compact) > LARGEST_TOKEN:
        raise Unproved("token", "is too long")
    try:
        found = jws.extract_compact(compact.encode(), registry=_registry("none"))
    except (JoseError, ValueError, RecursionError):
        raise Unproved("token", "is not a JWS") from None
    if not isinstance(found.headers(), dict):
        raise Unproved("token", "is not a JWS")
    return found


def read_header(compact: str, algorithms: Collection[str]) -> Header:
    """
    The header of a token that is not yet proved to be anybody's.

    Args:
        algorithms: Those that may have signed it here.

    Raises:
        Unproved: It is no JWS of three parts, its algorithm is not one of
            *algorithms*, or it asks for what is not understood here.
    """
    return _header(_extract(compact), algorithms)


def _header(found: jws.CompactSignature, algorithms: Collection[str]) -> Header:
    header = found.headers()
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise Unproved("alg", "is not one that is accepted here")
    if "crit" in header or "b64" in header:
        raise Unproved("crit", "asks for what is not understood here")
    if kid is not None and not isinstance(kid, str):
        raise Unproved("kid", "is not text")
    if kind is not None and not isinstance(kind, str):
        raise Unproved("typ", "is not text")
    return Header(algorithm, kid, None if kind is None else kind.lower().removeprefix("application/"))


def proved(compact: str, header: Header, keys: Iterable[RSAKey | ECKey]) -> dict[str, Any]:
    """
    The claims of a token that one of *keys* signed.

    Args:
        header: What `read_header` found in the same token.
        keys: Those that may have signed it, already chosen by kind and ``kid``.

    Raises:
        Unproved: None of them did, or the payload is no JSON object.
    """
    found, registry = _extract(compact), _registry(header.algorithm)
    if not any(_signed(found, key, registry) for key in keys):
        raise Unproved("signature", "is wrong")
    return _claims(found)


def unproved(compact: str) -> dict[str, Any]:
    """
    The claims of a token, whoever wrote them: to compare with what is known, never to believe.

    Raises:
        Unproved: It is no JWS of three parts, or the payload is no JSON object.
    """
    return _claims(_extract(compact))


def _claims(found: jws.CompactSignature) -> dict[str, Any]:
    try:
        claims = msgspec.json.decode(found.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unproved("token", "has a payload that is not JSON") from None
    if not isinstance(claims, dict):
        raise Unproved("token", "has a payload that is not an object")
    return claims


def _signed(found: jws.CompactSignature, key: RSAKey | ECKey, registry: jws.JWSRegistry) -> bool:
    try:
        return jws.validate_compact(found, key, registry=registry)
    except (JoseError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
