"""How a token that an API refused is named to whoever handed it out (design section 3)."""

import hashlib
from base64 import urlsafe_b64encode

from grantkeeper.secret import AccessToken


def fingerprint(token: AccessToken) -> str:
    """Its SHA-256 in base64url without padding: it says which token, and is none."""
    return urlsafe_b64encode(hashlib.sha256(token.reveal().encode()).digest()).decode().rstrip("=")
