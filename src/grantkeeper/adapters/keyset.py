"""
The keys of a deployment, as they stand in keys.json: made here, added, taken away, written and read.

``wrap`` is a keyset of tink's (AES256_GCM) that seals data keys, ``index`` the
keys of keyed hashes by version (design section 8). Several of each may be in the
file. Its primary one is used until all nodes agree on a newer one; all of them
open what is there. The whole may be sealed by a KMS (`grantkeeper.adapters.kms`).
"""

import os
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Never, TypeVar

import msgspec

if TYPE_CHECKING:
    from grantkeeper.adapters.kms import Kms

FORMAT = 2
"""Of what is written. Format 1, which had no names, is read as well."""

INDEX_KEY_SIZE = 32
INDEX_BOUND = b"grantkeeper index keys"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Kind = TypeVar("Kind")


class WrongWrapping(ValueError):
    """The file is sealed by a KMS that the settings do not name, or lies open where they name one."""


@dataclass(frozen=True, slots=True)
class WrapKey:
    """
    What is known of a wrapping key beside the key itself.

    Attributes:
        id: tink's; every wrapped data key begins with it.
        created: ``None`` in a file of the first format.
        enabled: A disabled one opens nothing; tink's own tools can disable it.
    """

    id: int
    name: str
    created: datetime | None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class IndexKey:
    """A key of keyed hashes."""

    version: int
    secret: bytes = field(repr=False)
    created: datetime | None = None


class _StoredIndexKey(msgspec.Struct):
    version: int
    key: bytes
    created: datetime | None = None

    def __repr__(self) -> str:
        return f"_StoredIndexKey({self.version}, ****)"


class _Index(msgspec.Struct, omit_defaults=True):
    primary: int
    keys: list[_StoredIndexKey] = []
    sealed: bytes = b""


class _Name(msgspec.Struct):
    id: int
    name: str
    created: datetime | None = None


class _Document(msgspec.Struct, omit_defaults=True):
    version: int
    wrap: msgspec.Raw
    index: _Index
    names: list[_Name] = []
    wrapped_by: str = ""

    def __repr__(self) -> str:
        return "_Document(****)"


class _WrapKeyInfo(msgspec.Struct, rename="camel"):
    key_id: int
    status: str


class _WrapInfo(msgspec.Struct, rename="camel"):
    """What we read of tink's keyset ourselves; the key material is tink's business."""

    primary_key_id: int
    key: list[_WrapKeyInfo]


class Keyset:
    """
    Wrapping and index keys in memory; prints their names alone and does not pickle.

    Attributes:
        wrap_ids: The ids of the enabled wrapping keys, the primary first, then the newest.
        index_versions: The versions of the index keys, the primary first, then the newest.
        wrap_keys: All wrapping keys, the newest first.
        index_keys: All index keys, the newest first.
    """

    __slots__ = ("_wrap", "index_keys", "index_versions", "wrap_ids", "wrap_keys")

    def __init__(
        self,
        wrap: bytes,
        index: Sequence[tuple[int, bytes]],
        *,
        names: Mapping[int, tuple[str, datetime | None]] | None = None,
        index_created: Mapping[int, datetime | None] | None = None,
    ) -> None:
        """
        Args:
            wrap: tink's JSON of the wrapping keyset.
            index: Version and key, the primary first.
            names: Name and day of wrapping keys; one that has none is called by its id.

        Raises:
            ValueError: The keys cannot be used; says why, and nothing of them.
        """
        info = _decoded(wrap, _WrapInfo, "wrap")
        known, since = names or {}, index_created or {}
        if info.primary_key_id not in [key.key_id for key in info.key if key.status == "ENABLED"]:
            raise ValueError("its wrapping keyset has no enabled primary key")
        if len({key.key_id for key in info.key}) != len(info.key):
            raise ValueError("its wrapping keys share an id")
        if len({version for version, _ in index}) != len(index) or not index:
            raise ValueError("its index keys are none or share a version")
        if any(len(key) != INDEX_KEY_SIZE for _, key in index):
            raise ValueError(f"an index key does not have {INDEX_KEY_SIZE} bytes")
        self._wrap = wrap
        keys = [
            WrapKey(key.key_id, *known.get(key.key_id, (str(key.key_id), None)), key.status == "ENABLED")
            for key in info.key
        ]
        if len({key.name for key in keys}) != len(keys):
            raise ValueError("its wrapping keys share a name")

        def age(key: WrapKey) -> tuple[datetime, bool, int]:
            # The same on every node, whatever the order in its file; keys without a day are the oldest.
            return (key.created or datetime.min.replace(tzinfo=UTC), key.id == info.primary_key_id, key.id)

        self.wrap_keys = tuple(sorted(keys, key=age, reverse=True))
        enabled = [key.id for key in self.wrap_keys if key.enabled]
        self.wrap_ids = tuple(sorted(enabled, key=lambda key_id: key_id != info.primary_key_id))
        self.index_keys = tuple(
            sorted((IndexKey(*key, since.get(key[0])) for key in index), key=lambda key: -key.version)
        )
        first = index[0][0]
        self.index_versions = tuple(
            sorted((key.version for key in self.index_keys), key=lambda version: version != first)
        )

    def __repr__(self) -> str:
        return f"Keyset(wrap_ids={self.wrap_ids}, index_versions={self.index_versions})"

    def __reduce_ex__(self, protocol: Any) -> Never:
        raise TypeError("Keyset does not pickle or copy; write it with create_file")

    # -- made and changed -----------------------------------------------------------------------

    @classmethod
    def generate(cls, *, name: str | None = None, now: datetime | None = None) -> "Keyset":
        """New keys, one of each kind, the wrapping one called *name* and by default by its id."""
        wrap = _new_wrap()
        key_id = _decoded(wrap, _WrapInfo, "wrap").primary_key_id
        names = {key_id: (name or str(key_id), now)}
        return cls(wrap, [(1, os.urandom(INDEX_KEY_SIZE))], names=names, index_created={1: now})

    def with_wrap_key(self, name: str, now: datetime) -> "Keyset":
        """
        These keys and a new wrapping key, which is not the primary one.

        Raises:
            ValueError: There is a key of that name, or it is none.
        """
        if not NAME.fullmatch(name):
            raise ValueError("a key's name has 1 to 64 letters, digits, dots, dashes and underscores")
        if any(name in (key.name, str(key.id)) for key in self.wrap_keys):
            raise ValueError(f"there is a key of the name {name}")
        wrap = msgspec.json.decode(self._wrap)
        added = msgspec.json.decode(_new_wrap())
        while added["primaryKeyId"] in {key.id for key in self.wrap_keys}:
            added = msgspec.json.decode(_new_wrap())
        wrap["key"] += added["key"]
        return self._changed(wrap=wrap, names=self._names() | {added["primaryKeyId"]: (name, now)})

    def with_index_key(self, now: datetime) -> "Keyset":
        """These keys and a new index key, which is not the primary one."""
        version = max(self.index_versions) + 1
        new = IndexKey(version, os.urandom(INDEX_KEY_SIZE), now)
        return self._changed(index=(*self._index(), new))

    def without_wrap_key(self, key_id: int, *, primary: int) -> "Keyset":
        """
        These keys but the one of *key_id*, with *primary* as the primary one.

        Raises:
            ValueError: There is no such key, or *primary* is not left.
        """
        wrap = msgspec.json.decode(self._wrap)
        left = [key for key in wrap["key"] if key["keyId"] != key_id]
        if len(left) == len(wrap["key"]):
            raise ValueError("there is no such wrapping key")
        wrap |= {"key": left, "primaryKeyId": primary}
        return self._changed(wrap=wrap, names={k: v for k, v in self._names().items() if k != key_id})

    def without_index_key(self, version: int, *, primary: int) -> "Keyset":
        """
        These keys but the index key of *version*, with *primary* as the primary one.

        Raises:
            ValueError: There is no such key, or *primary* is not left.
        """
        left = [key for key in self.index_keys if key.version != version]
        if len(left) == len(self.index_keys) or primary not in {key.version for key in left}:
            raise ValueError("there is no such index key, or it is the one in use")
        return self._changed(index=sorted(left, key=lambda key: key.version != primary))

    def primed(self, wrap_id: int) -> "Keyset":
        """
        The same keys with another wrapping key as the primary one.

        Raises:
            ValueError: There is no such key.
        """
        return self._changed(wrap=msgspec.json.decode(self._wrap) | {"primaryKeyId": wrap_id})

    def _names(self) -> dict[int, tuple[str, datetime | None]]:
        return {key.id: (key.name, key.created) for key in self.wrap_keys}

    def _index(self) -> list[IndexKey]:
        """The index keys, the primary one first."""
        return sorted(self.index_keys, key=lambda key: key.version != self.index_versions[0])

    def _changed(
        self,
        *,
        wrap: object = None,
        index: Sequence[IndexKey] = (),
        names: Mapping[int, tuple[str, datetime | None]] | None = None,
    ) -> "Keyset":
        keys = index or self._index()
        return Keyset(
            self._wrap if wrap is None else msgspec.json.encode(wrap),
            [(key.version, key.secret) for key in keys],
            names=self._names() if names is None else names,
            index_created={key.version: key.created for key in keys},
        )

    # -- read and written -----------------------------------------------------------------------

    @classmethod
    def parse(cls, document: bytes, kms: "Kms | None" = None) -> "Keyset":
        """
        The keys in the text of a keys.json.

        Args:
            kms: What opens a file that it sealed; may take a while.

        Raises:
            ValueError: It is damaged or of a later format; says what is wrong, and no value.
            WrongWrapping: It is sealed without *kms*, by another, or not at all.
            SealBroken: *kms* does not open it, or not now.
        """
        read = _decoded(document, _Document, "it")
        if read.version not in (1, FORMAT):
            raise ValueError("it has a format that this release does not know")
        wanted = "" if kms is None else kms.uri
        if read.wrapped_by != wanted:
            raise WrongWrapping(_why_wrong(read.wrapped_by, wanted))
        wrap, stored = bytes(read.wrap), read.index.keys
        if kms is not None:
            wrap = kms.open(wrap)
            stored = _decoded(_index_opened(wrap, read.index.sealed), list[_StoredIndexKey], "its index")
        keys = sorted(stored, key=lambda key: (key.version != read.index.primary, -key.version))
        if not keys or keys[0].version != read.index.primary:
            raise ValueError("its index has no primary key")
        return cls(
            wrap,
            [(key.version, key.key) for key in keys],
            names={one.id: (one.name, one.created) for one in read.names},
            index_created={key.version: key.created for key in keys},
        )

    def serialise(self, kms: "Kms | None" = None) -> bytes:
        """
        The text of the keys.json, sealed by *kms* where there is one.

        Raises:
            SealBroken: *kms* does not seal it, or not now.
        """
        keys = [
            {"version": key.version, "created": key.created, "key": b64encode(key.secret).decode()}
            for key in sorted(self.index_keys, key=lambda key: key.version)
        ]
        index: dict[str, object] = {"primary": self.index_versions[0]}
        document: dict[str, object] = {"version": FORMAT}
        if kms is None:
            document["wrap"] = msgspec.json.decode(self._wrap)
            index["keys"] = keys
        else:
            document["wrapped_by"] = kms.uri
            document["wrap"] = msgspec.json.decode(kms.seal(self._wrap))
            index["sealed"] = b64encode(self.aead().encrypt(msgspec.json.encode(keys), INDEX_BOUND)).decode()
        document["names"] = [
            {"id": key.id, "name": key.name, "created": key.created} for key in reversed(self.wrap_keys)
        ]
        document["index"] = index
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"

    def aead(self) -> Any:
        """
        tink's primitive over all enabled wrapping keys.

        Raises:
            ValueError: tink does not take the keyset.
        """
        return _aead(self._wrap)

    def holds(self, other: "Keyset") -> bool:
        """Whether every key of *other* is here, unchanged."""
        mine, theirs = (
            {key["keyId"]: key["keyData"] for key in msgspec.json.decode(one._wrap)["key"]}
            for one in (self, other)
        )
        return theirs.items() <= mine.items() and {(key.version, key.secret) for key in other.index_keys} <= {
            (key.version, key.secret) for key in self.index_keys
        }


def _new_wrap() -> bytes:
    import tink
    from tink import aead, json_proto_keyset_format, secret_key_access

    aead.register()
    handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
    made: str = json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    return made.encode()


def _aead(wrap: bytes) -> Any:
    from tink import TinkError, aead, json_proto_keyset_format, secret_key_access

    aead.register()
    try:
        handle = json_proto_keyset_format.parse(wrap.decode(), secret_key_access.TOKEN)
        return handle.primitive(aead.Aead)
    except TinkError:
        # tink's own text may quote the keyset.
        raise ValueError("its wrapping keyset is damaged") from None


def _index_opened(wrap: bytes, sealed: bytes) -> bytes:
    from tink import TinkError

    try:
        return bytes(_aead(wrap).decrypt(sealed, INDEX_BOUND))
    except TinkError:
        raise ValueError("its index keys do not open with its wrapping keys") from None


def _why_wrong(found: str, wanted: str) -> str:
    if not wanted:
        return "it is sealed by a KMS, and GRANTKEEPER_KEYS_WRAPPED_BY does not say which"
    if not found:
        return "it lies open, though GRANTKEEPER_KEYS_WRAPPED_BY says that a KMS seals it"
    return "it is sealed by another KMS key than GRANTKEEPER_KEYS_WRAPPED_BY names"


def _decoded(document: bytes, kind: type[Kind], what: str) -> Kind:
    try:
        return msgspec.json.decode(document, type=kind, strict=True)
    except msgspec.ValidationError as error:
        # msgspec names the place and the types, never a value.
        raise ValueError(f"{what} is not as it should be: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError(f"{what} is not JSON") from None
