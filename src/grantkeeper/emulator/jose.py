"""JSON Web Signature and Key, the few lines of them that the emulator needs (RFC 7515, RFC 7517)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa


def b64(data: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """
    The bytes of base64url *text*.

    Raises:
        ValueError: It is not base64url.
    """
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signing_input(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """The part of a compact JWS that is signed."""
    return f"{b64(msgspec.json.encode(header))}.{b64(msgspec.json.encode(claims))}"


def read(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """
    Header, claims and signature of a compact JWS. Nothing is verified.

    Raises:
        ValueError: It is not a compact JWS with a JSON object in it.
    """
    header, claims, signature = token.split(".")
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    return decode(unb64(header)), decode(unb64(claims)), unb64(signature)


def public_jwk(key: rsa.RSAPublicKey, kid: str) -> dict[str, str]:
    """The public half of an RSA signing key as a JWK."""
    numbers = key.public_numbers()
    return {
        "kid": kid,
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "n": _uint(numbers.n),
        "e": _uint(numbers.e),
    }


def _uint(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
