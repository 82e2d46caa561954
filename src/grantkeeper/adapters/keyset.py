"""
The keys of a deployment: one file, keys.json, made once, readable by its owner alone.

``wrap`` is a keyset of tink's (AES256_GCM) that seals data keys, ``index`` the
keys of keyed hashes by version (design section 8). Several of each may be in the
file; the primary one is used for what is new, all of them for what is there.
"""

import os
import stat
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Never, TypeVar

import msgspec

from grantkeeper.errors import SettingsInvalid

FORMAT = 1
INDEX_KEY_SIZE = 32
LARGEST_FILE = 1024 * 1024

SETTING = "GRANTKEEPER_KEYS"

Kind = TypeVar("Kind")


class _IndexKey(msgspec.Struct):
    version: int
    key: bytes

    def __repr__(self) -> str:
        return f"_IndexKey({self.version}, ****)"


class _Index(msgspec.Struct):
    primary: int
    keys: list[_IndexKey]


class _Document(msgspec.Struct):
    version: int
    wrap: msgspec.Raw
    index: _Index

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
        wrap_ids: The ids of the enabled wrapping keys, the primary first.
        index_versions: The versions of the index keys, the primary first.
    """

    __slots__ = ("_index", "_wrap", "index_versions", "wrap_ids")

    def __init__(self, wrap: bytes, index: Sequence[tuple[int, bytes]]) -> None:
        """
        Args:
            wrap: tink's JSON of the wrapping keyset.
            index: Version and key, the primary first.

        Raises:
            ValueError: The keys cannot be used; says why, and nothing of them.
        """
        info = _decoded(wrap, _WrapInfo, "wrap")
        enabled = [key.key_id for key in info.key if key.status == "ENABLED"]
        if info.primary_key_id not in enabled:
            raise ValueError("its wrapping keyset has no enabled primary key")
        if len({version for version, _ in index}) != len(index) or not index:
            raise ValueError("its index keys are none or share a version")
        if any(len(key) != INDEX_KEY_SIZE for _, key in index):
            raise ValueError(f"an index key does not have {INDEX_KEY_SIZE} bytes")
        self._wrap = wrap
        self._index = tuple(key for _, key in index)
        self.wrap_ids = tuple(sorted(enabled, key=lambda key_id: key_id != info.primary_key_id))
        self.index_versions = tuple(version for version, _ in index)

    def __repr__(self) -> str:
        return f"Keyset(wrap_ids={self.wrap_ids}, index_versions={self.index_versions})"

    def __reduce_ex__(self, protocol: Any) -> Never:
        raise TypeError("Keyset does not pickle or copy; write it with create_file")

    @classmethod
    def generate(cls) -> "Keyset":
        """New keys, one of each kind."""
        import tink
        from tink import aead, json_proto_keyset_format, secret_key_access

        aead.register()
        handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
        wrap = json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
        return cls(wrap.encode(), [(1, os.urandom(INDEX_KEY_SIZE))])

    @classmethod
    def parse(cls, document: bytes) -> "Keyset":
        """
        The keys in the text of a keys.json.

        Raises:
            ValueError: It is damaged or of a later format; says what is wrong, and no value.
        """
        read = _decoded(document, _Document, "it")
        if read.version != FORMAT:
            raise ValueError("it has a format that this release does not know")
        keys = sorted(read.index.keys, key=lambda key: (key.version != read.index.primary, -key.version))
        if not keys or keys[0].version != read.index.primary:
            raise ValueError("its index has no primary key")
        return cls(bytes(read.wrap), [(key.version, key.key) for key in keys])

    def serialise(self) -> bytes:
        """The text of the keys.json."""
        keys = [
            {"version": version, "key": b64encode(key).decode()}
            for version, key in zip(self.index_versions, self._index, strict=True)
        ]
        document = {
            "version": FORMAT,
            "wrap": msgspec.json.decode(self._wrap),
            "index": {"primary": self.index_versions[0], "keys": keys},
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"

    def aead(self) -> Any:
        """
        tink's primitive over all enabled wrapping keys.

        Raises:
            ValueError: tink does not take the keyset.
        """
        from tink import TinkError, aead, json_proto_keyset_format, secret_key_access

        aead.register()
        try:
            handle = json_proto_keyset_format.parse(self._wrap.decode(), secret_key_access.TOKEN)
            return handle.primitive(aead.Aead)
        except TinkError:
            # tink's own text may quote the keyset.
            raise ValueError("its wrapping keyset is damaged") from None

    def index_keys(self) -> tuple[bytes, ...]:
        """The keys of keyed hashes, the primary first."""
        return self._index


def _decoded(document: bytes, kind: type[Kind], what: str) -> Kind:
    try:
        return msgspec.json.decode(document, type=kind, strict=True)
    except msgspec.ValidationError as error:
        # msgspec names the place and the types, never a value.
        raise ValueError(f"{what} is not as it should be: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError(f"{what} is not JSON") from None


def create_file(path: Path, keyset: Keyset) -> None:
    """
    Write *keyset* to a new file that only its owner can read, and to the disk before this returns.

    Raises:
        FileExistsError: There is a file; keys are never overwritten.
        OSError: It cannot be written; nothing is left behind.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(keyset.serialise())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_file(path: Path) -> Keyset:
    """
    The keys in the file at *path*.

    Raises:
        SettingsInvalid: It is missing, readable by others, or damaged.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SettingsInvalid(
            [f"{SETTING}: there is no such file, and without a key nothing starts"],
            hint="Run `grantkeeper init` for a new installation; a further node needs a copy of the first's.",
        ) from None
    except OSError as error:
        raise SettingsInvalid([f"{SETTING}: the file cannot be opened ({error.strerror})"]) from None
    try:
        return Keyset.parse(_contents(descriptor, path))
    except ValueError as error:
        raise SettingsInvalid(
            [f"{SETTING}: the file is damaged: {error}"],
            hint="Bring the file back from its safe copy; without it nothing that is stored can be read.",
        ) from None
    finally:
        os.close(descriptor)


def _contents(descriptor: int, path: Path) -> bytes:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise SettingsInvalid([f"{SETTING}: this is not a file"])
    if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsInvalid(
            [f"{SETTING}: others may read or change the file (mode {stat.S_IMODE(facts.st_mode):03o})"],
            hint=f"Run `chmod 600 {path}`; if others really could read it, make new keys.",
        )
    if facts.st_size > LARGEST_FILE:
        raise SettingsInvalid([f"{SETTING}: the file is too large to hold keys"])
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read()
