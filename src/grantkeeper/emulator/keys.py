"""The keys that sign ID tokens: two are published, one signs, and they rotate."""

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from grantkeeper.emulator.jose import b64, public_jwk, read, signing_input

_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "emulator.grantkeeper.invalid")])


class SigningKey:
    """One RSA key, published as a JWK and as an X.509 certificate under the same ``kid``."""

    def __init__(self, bits: int = 2048) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        public = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.kid = hashlib.sha256(public).hexdigest()[:40]

    @cached_property
    def jwk(self) -> dict[str, str]:
        """The public half as a JWK."""
        return public_jwk(self.private.public_key(), self.kid)

    @cached_property
    def pem(self) -> str:
        """The public half as a self-signed certificate, valid whatever a test does to the clock."""
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            _NAME, _NAME, self.private.public_key(), x509.random_serial_number()
        )
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(
            now + timedelta(days=7300)
        )
        certificate = builder.sign(self.private, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
        """A compact JWS of *claims*; *header* replaces the usual one."""
        text = signing_input(header or {"alg": "RS256", "kid": self.kid, "typ": "JWT"}, claims)
        signature = self.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{b64(signature)}"

    def verifies(self, token: str) -> bool:
        """Whether the signature of the compact JWS *token* is of this key."""
        text, _, _ = token.rpartition(".")
        try:
            _, _, signature = read(token)
            self.private.public_key().verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True


class KeyRing:
    """The published keys, newest first. They are made at first use, so that starting costs nothing."""

    def __init__(self) -> None:
        self._keys: list[SigningKey] = []
        self._lock = threading.Lock()

    @property
    def published(self) -> list[SigningKey]:
        """Both keys; the first one signs."""
        with self._lock:
            while len(self._keys) < 2:
                self._keys.append(SigningKey())
            return list(self._keys)

    @cached_property
    def weak(self) -> SigningKey:
        """A key that no verifier should accept, for the fault of that name. It is not published."""
        return SigningKey(bits=1024)

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        return self.published[0]

    def rotate(self) -> list[SigningKey]:
        """Begin to sign with a new key. The one before stays published, the oldest one goes."""
        previous = self.current
        with self._lock:
            self._keys = [SigningKey(), previous]
        return self.published

    def find(self, kid: object) -> SigningKey | None:
        """The published key named *kid*."""
        return next((key for key in self.published if key.kid == kid), None)
