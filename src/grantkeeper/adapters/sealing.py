"""
Keeps values closed at rest: data keys wrapped by tink's keyset, values sealed by AES-256-GCM.

Every value is bound to its client, owner, field and generation by associated
data, so that one moved to another row or generation does not open (design
section 8). Unwrapped data keys are not kept: unwrapping costs two microseconds,
and a grant that is forgotten leaves no key in memory.

The keys may change while the process runs. What belongs together is one value,
put in its place by one assignment, so that no call waits and none sees half of it.
"""

import asyncio
import hmac
import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from grantkeeper.adapters.keyfile import SETTING, Facts, create_file, facts, read_file
from grantkeeper.adapters.keyset import IndexKey, Keyset
from grantkeeper.adapters.kms import Kms, open_kms
from grantkeeper.errors import GrantkeeperError, SealBroken, SettingsInvalid
from grantkeeper.ports import SealContext

DATA_KEY_SIZE = 32
NONCE_SIZE = 12

VERSION = b"\x01"
"""The first byte of every box: AES-256-GCM, a nonce of 96 bits, then text and tag."""

TINK_PREFIX = 1
"""The first byte of what tink's keysets seal; the key's id follows in four bytes."""


AGAIN_AFTER = 10.0
"""Seconds until a KMS that did not open a new file is asked again."""

MOST_MISSING = 20

BRING = "Copy the newest keys.json to this node; it is read again by itself."


def _bound(*parts: str) -> bytes:
    """*parts* in one text that no other parts make: each with its length in front."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _value_bound(context: SealContext) -> bytes:
    return _bound("value", context.client_id, context.owner, context.field) + context.generation.to_bytes(
        8, "big", signed=True
    )


@dataclass(frozen=True, slots=True)
class _Keys:
    """
    The keys of one moment.

    Attributes:
        wrap: tink's primitive; it encrypts with the primary key.
        primary: Id of that key; ``None`` where all seal with one that is not here.
        index: The keys of hashes, the one in use first; empty where that one is not here.
    """

    keyset: Keyset
    wrap: Any
    primary: int | None
    index: tuple[IndexKey, ...]


def _keys(keyset: Keyset, wrap_id: int | None, index_version: int | None) -> _Keys:
    """*keyset* with these in use; ``None`` leaves it to the file."""
    if wrap_id is not None and wrap_id in keyset.wrap_ids and wrap_id != keyset.wrap_ids[0]:
        keyset = keyset.primed(wrap_id)
    primary = keyset.wrap_ids[0]
    current = keyset.index_versions[0] if index_version is None else index_version
    index = tuple(sorted(keyset.index_keys, key=lambda key: key.version != current))
    return _Keys(
        keyset,
        keyset.aead(),
        primary if wrap_id in (None, primary) else None,
        index if index[0].version == current else (),
    )


class KeysetSealer:
    """The `Sealer` port over the keys of one keys.json. May be used from several threads."""

    __slots__ = (
        "_again_at",
        "_facts",
        "_index",
        "_keys",
        "_kms",
        "_missing",
        "_path",
        "_refused",
        "_wrap",
        "trouble",
    )

    def __init__(
        self,
        keyset: Keyset,
        path: Path | None = None,
        kms: Kms | None = None,
        *,
        seen: Facts | None = None,
    ) -> None:
        """
        Args:
            path: Where the keys came from, to be looked at again.
            kms: What opens that file.
            seen: How the file was when it was read.

        Raises:
            ValueError: The wrapping keys cannot be used.
        """
        from tink import TinkError

        self._refused: type[Exception] = TinkError
        self._path, self._kms = path, kms
        self._facts = seen
        self._again_at = 0.0
        self._wrap: int | None = None
        self._index: int | None = None
        self._keys = _keys(keyset, None, None)
        self._missing: frozenset[int] = frozenset()
        self.trouble: str | None = None

    def __repr__(self) -> str:
        return f"KeysetSealer(wrap_ids={self._keys.keyset.wrap_ids})"

    def __reduce_ex__(self, protocol: Any) -> Never:
        raise TypeError("KeysetSealer does not pickle or copy; load the keys again")

    # -- the ring -------------------------------------------------------------------------------

    @property
    def wrap_ids(self) -> tuple[int, ...]:
        return tuple(key.id for key in self._keys.keyset.wrap_keys if key.enabled)

    @property
    def index_versions(self) -> tuple[int, ...]:
        return tuple(key.version for key in self._keys.keyset.index_keys)

    @property
    def wrap_in_use(self) -> int | None:
        return self._keys.primary

    @property
    def index_version(self) -> int:
        return self._index_keys()[0].version

    @property
    def missing(self) -> frozenset[int]:
        return self._missing

    def use(self, wrap_id: int | None, index_version: int | None) -> None:
        if (wrap_id, index_version) != (self._wrap, self._index):
            self._keys = _keys(self._keys.keyset, wrap_id, index_version)
            self._wrap, self._index = wrap_id, index_version

    def adopt(self, keyset: Keyset) -> None:
        """
        Work with *keyset* from now on.

        Raises:
            ValueError: It cannot be used, or lacks a key that is in use; the old keys go on.
        """
        primary, index = self._keys.primary, self._keys.index
        if primary is not None and primary not in keyset.wrap_ids:
            raise ValueError(f"it lacks the wrapping key {primary}, which is in use")
        if index and index[0].version not in keyset.index_versions:
            raise ValueError(f"it lacks version {index[0].version} of the index key, which is in use")
        self._keys = _keys(keyset, self._wrap, self._index)
        self._missing -= set(keyset.wrap_ids)

    async def look(self) -> bool:
        if self._path is None:
            return False
        found = facts(self._path)
        if found == self._facts and not (self._again_at and time.monotonic() >= self._again_at):
            return False
        self._facts, self._again_at = found, 0.0
        try:
            self.adopt(await asyncio.to_thread(read_file, self._path, self._kms))
        except SealBroken as error:
            self._again_at = time.monotonic() + AGAIN_AFTER
            self.trouble = f"{error.text}; the keys read before go on"
        except GrantkeeperError as error:
            self.trouble = f"{error.text}; the keys read before go on"
        except ValueError as error:
            self.trouble = f"{SETTING}: the new file is not used: {error}; the keys read before go on"
        else:
            self.trouble = None
            return True
        return False

    # -- sealing --------------------------------------------------------------------------------

    def new_key(self, client_id: str, owner: str) -> bytes:
        return self._wrapped(os.urandom(DATA_KEY_SIZE), client_id, owner)

    def _wrapped(self, plain: bytes, client_id: str, owner: str) -> bytes:
        keys = self._keys
        if keys.primary is None:
            raise SealBroken(
                f"keys.json lacks the wrapping key {self._wrap}, which all nodes seal with", hint=BRING
            )
        return bytes(keys.wrap.encrypt(plain, _bound("data_key", client_id, owner)))

    def wrap_id(self, data_key: bytes) -> int:
        if data_key[:1] != bytes([TINK_PREFIX]) or len(data_key) <= 5:
            raise SealBroken("a data key is damaged")
        return int.from_bytes(data_key[1:5], "big")

    def rewrap(self, data_key: bytes, client_id: str, owner: str) -> bytes | None:
        if self.wrap_id(data_key) == self._keys.primary:
            return None
        try:
            return self._wrapped(
                self._keys.wrap.decrypt(data_key, _bound("data_key", client_id, owner)), client_id, owner
            )
        except (self._refused, ValueError):
            raise SealBroken(self._why(data_key, owner)) from None

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
        return hmac.digest(self._index_keys()[0].secret, _bound(purpose, value), "sha256")

    def digests(self, purpose: str, value: str) -> tuple[bytes, ...]:
        message = _bound(purpose, value)
        return tuple(hmac.digest(key.secret, message, "sha256") for key in self._index_keys())

    def _index_keys(self) -> tuple[IndexKey, ...]:
        keys = self._keys.index
        if not keys:
            raise SealBroken(
                f"keys.json lacks version {self._index} of the index key, which all nodes hash with",
                hint=BRING,
            )
        return keys

    def _unwrapped(self, data_key: bytes, context: SealContext) -> AESGCM:
        # The key has no name here: a traceback that shows variables shows none of it.
        try:
            return AESGCM(
                self._keys.wrap.decrypt(data_key, _bound("data_key", context.client_id, context.owner))
            )
        except (self._refused, ValueError):
            raise SealBroken(self._why(data_key, context.owner)) from None

    def _why(self, data_key: bytes, owner: str) -> str:
        key_id = int.from_bytes(data_key[1:5], "big")
        if (
            data_key[:1] == bytes([TINK_PREFIX])
            and len(data_key) > 5
            and key_id not in self._keys.keyset.wrap_ids
        ):
            if len(self._missing) < MOST_MISSING:
                self._missing |= {key_id}
            return f"{owner} is sealed under key {key_id}, which keys.json does not have"
        return f"the data key of {owner} does not open: it is damaged or belongs elsewhere"


def generate_keys(
    path: Path, kms_uri: str | None = None, *, name: str | None = None, now: datetime | None = None
) -> None:
    """
    Make new keys and write them to *path*, mode 600, sealed by the KMS key *kms_uri* where one is named.

    Raises:
        FileExistsError: There is a file; keys are never overwritten.
        OSError: It cannot be written; nothing is left behind.
        SealBroken: The KMS does not seal it now.
    """
    create_file(path, Keyset.generate(name=name, now=now), open_kms(kms_uri))


def load_keys(path: Path, kms_uri: str | None = None) -> KeysetSealer:
    """
    A sealer with the keys at *path*, which looks at them again when it is told to.

    Raises:
        SettingsInvalid: The file is missing, readable by others, damaged, or not sealed as *kms_uri* says.
        SealBroken: The KMS does not open it now.
    """
    kms, seen = open_kms(kms_uri), facts(path)
    keyset = read_file(path, kms)
    try:
        return KeysetSealer(keyset, path, kms, seen=seen)
    except ValueError as error:
        raise SettingsInvalid([f"{SETTING}: the file is damaged: {error}"]) from None
