"""
The keys of backends that ask: how they look and what is kept of them.

A key is ``gk_`` and 256 random bits, so a plain SHA-256 of it is look-up and
proof at once: there is nothing in it to guess.
"""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from grantkeeper.secret import CallerKey

PREFIX = "gk_"
SIZE = 32
FORM = re.compile(rb"gk_[A-Za-z0-9_-]{43}")


def caller_key(random: bytes) -> CallerKey:
    """
    The key that *random* is.

    Args:
        random: 32 unpredictable bytes.

    Raises:
        ValueError: They are fewer or more.
    """
    if len(random) != SIZE:
        raise ValueError(f"a caller key needs {SIZE} random bytes")
    return CallerKey(PREFIX + urlsafe_b64encode(random).decode().rstrip("="))


def key_hash(key: bytes) -> bytes:
    """What is stored of a key, and found by it."""
    return sha256(key).digest()
