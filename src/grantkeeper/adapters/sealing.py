"""
Keeps values closed at rest: data keys wrapped by tink's keyset, values sealed by AES-256-GCM.

Every value is bound to its client, owner, field and generation by associated
data, so that one moved to another row or generation does not open (design
section 8). Unwrapped data keys are not kept: unwrapping costs two microseconds,
and a grant that is forgotten leaves no key in memory.
"""

import hmac
import os
from pathlib import Path
from typing import Any, Never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from grantkeeper.adapters.keyset import SETTING, Keyset, create_file, read_file
from grantkeeper.errors import SealBroken, SettingsInvalid
from grantkeeper.ports import SealContext

DATA_KEY_SIZE = 32
NONCE_SIZE = 12

VERSION = b"\x01"
"""The first byte of every box: AES-256-GCM, a nonce of 96 bits, then text and tag."""

TINK_PREFIX = 1
"""The first byte of what tink's keysets seal; the key's id follows in four bytes."""


def _bound(*parts: str) -> bytes:
    """*parts* in one text that no other parts make: each with its length in front."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _value_bound(context: SealContext) -> bytes:
    return _bound("value", context.client_id, context.owner, context.field) + context.generation.to_bytes(
        8, "big", signed=True
    )


class KeysetSealer:
    """The `Sealer` port over the keys of one keys.json. May be used from several threads."""

    __slots__ = ("_index", "_refused", "_wrap", "_wrap_ids")

    def __init__(self, keyset: Keyset) -> None:
        """
        Raises:
            ValueError: The wrapping keys cannot be used.
        """
        from tink import TinkError

        self._refused: type[Exception] = TinkError
        self._wrap = keyset.aead()
        self._wrap_ids = keyset.wrap_ids
        self._index = keyset.index_keys()

    def __repr__(self) -> str:
        return f"KeysetSealer(wrap_ids={self._wrap_ids})"

    def __reduce_ex__(self, protocol: Any) -> Never:
        raise TypeError("KeysetSealer does not pickle or copy; load the keys again")

    def new_key(self, client_id: str, owner: str) -> bytes:
        return bytes(self._wrap.encrypt(os.urandom(DATA_KEY_SIZE), _bound("data_key", client_id, owner)))

    def seal(self, data_key: bytes, value: str, context: SealContext) -> bytes:
        nonce = os.urandom(NONCE_SIZE)
        plain = value.encode("utf-8", "surrogatepass")
        return (
            VERSION + nonce + self._unwrapped(data_key, context).encrypt(nonce, plain, _value_bound(context))
        )

    def unseal(self, data_key: bytes, box: bytes, context: SealContext) -> str:
        if box[:1] != VERSION:
            raise SealBroken(f"the {context.field} of {context.owner} is not sealed in a known way")
        cipher = self._unwrapped(data_key, context)
        try:
            return cipher.decrypt(
                box[1 : 1 + NONCE_SIZE], box[1 + NONCE_SIZE :], _value_bound(context)
            ).decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError):
            raise SealBroken(
                f"the {context.field} of {context.owner} does not open: it is damaged or belongs elsewhere"
            ) from None

    def digest(self, purpose: str, value: str) -> bytes:
        return hmac.digest(self._index[0], _bound(purpose, value), "sha256")

    def digests(self, purpose: str, value: str) -> tuple[bytes, ...]:
        message = _bound(purpose, value)
        return tuple(hmac.digest(key, message, "sha256") for key in self._index)

    def _unwrapped(self, data_key: bytes, context: SealContext) -> AESGCM:
        # The key has no name here: a traceback that shows variables shows none of it.
        try:
            return AESGCM(self._wrap.decrypt(data_key, _bound("data_key", context.client_id, context.owner)))
        except (self._refused, ValueError):
            raise SealBroken(self._why(data_key, context)) from None

    def _why(self, data_key: bytes, context: SealContext) -> str:
        key_id = int.from_bytes(data_key[1:5], "big")
        if data_key[:1] == bytes([TINK_PREFIX]) and len(data_key) > 5 and key_id not in self._wrap_ids:
            return f"{context.owner} is sealed under key {key_id}, which keys.json does not have"
        return f"the data key of {context.owner} does not open: it is damaged or belongs elsewhere"


def generate_keys(path: Path) -> None:
    """
    Make new keys and write them to *path*, mode 600.

    Raises:
        FileExistsError: There is a file; keys are never overwritten.
        OSError: It cannot be written; nothing is left behind.
    """
    create_file(path, Keyset.generate())


def load_keys(path: Path) -> KeysetSealer:
    """
    A sealer with the keys at *path*.

    Raises:
        SettingsInvalid: The file is missing, readable by others, or damaged.
    """
    keyset = read_file(path)
    try:
        return KeysetSealer(keyset)
    except ValueError as error:
        raise SettingsInvalid([f"{SETTING}: the file is damaged: {error}"]) from None
