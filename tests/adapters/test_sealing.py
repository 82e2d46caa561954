"""The sealer over keys.json, and the file itself."""

import json
import os
import pickle
import stat
import subprocess
import sys
import traceback
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from grantkeeper.adapters.keyfile import create_file, read_file
from grantkeeper.adapters.keyset import Keyset, _Document
from grantkeeper.adapters.sealing import KeysetSealer, generate_keys, load_keys
from grantkeeper.errors import SealBroken, SettingsInvalid
from grantkeeper.ports import SealContext
from grantkeeper.testing.sealer_conformance import CLIENT, CONTEXT, SealerConformance


def document(keyset: Keyset) -> dict[str, Any]:
    """keys.json as a dictionary that a test may change."""
    read: dict[str, Any] = json.loads(keyset.serialise())
    return read


def keyset(changed: dict[str, Any]) -> Keyset:
    return Keyset.parse(json.dumps(changed).encode())


def with_second_wrap_key(first: Keyset, *, primary: int) -> Keyset:
    """*first* and one more wrapping key, the one at *primary* being for new data keys."""
    merged, other = document(first), document(Keyset.generate())
    merged["wrap"]["key"] += other["wrap"]["key"]
    merged["wrap"]["primaryKeyId"] = merged["wrap"]["key"][primary]["keyId"]
    return keyset(merged)


def with_second_index_key(first: Keyset, *, primary: int) -> Keyset:
    merged = document(first)
    merged["index"]["keys"].append({"version": 2, "key": b64encode(os.urandom(32)).decode()})
    merged["index"]["primary"] = primary
    return keyset(merged)


def secrets_of(keys: Keyset) -> list[str]:
    """Every spelling under which key bytes could be seen."""
    read = document(keys)
    raw = [b64decode(one["keyData"]["value"])[2:] for one in read["wrap"]["key"]]
    raw += [b64decode(one["key"]) for one in read["index"]["keys"]]
    return [text for key in raw for text in (repr(key)[2:-1], key.hex(), b64encode(key).decode())]


class TestKeysetSealer(SealerConformance):
    """The one sealer there is passes the suite that others would have to pass."""

    @pytest.fixture
    def sealer(self) -> KeysetSealer:
        return KeysetSealer(Keyset.generate())

    @pytest.fixture
    def stranger(self) -> KeysetSealer:
        return KeysetSealer(Keyset.generate())


class TestKeysetSealerWithOlderKeys(SealerConformance):
    """The same while keys are being changed: two wrapping keys, two index keys."""

    @pytest.fixture
    def sealer(self) -> KeysetSealer:
        return KeysetSealer(
            with_second_index_key(with_second_wrap_key(Keyset.generate(), primary=1), primary=2)
        )

    @pytest.fixture
    def stranger(self) -> KeysetSealer:
        return KeysetSealer(Keyset.generate())


def test_a_newer_keyset_opens_what_the_older_one_sealed() -> None:
    """
    With a second wrapping key as primary, data keys of the first still open; new ones do not on the old node.
    """
    before = Keyset.generate()
    after = with_second_wrap_key(before, primary=1)
    old, new = KeysetSealer(before), KeysetSealer(after)
    old_key = old.new_key(CLIENT, "grant-1")
    box = old.seal(old_key, "1//marker", CONTEXT)
    new_key = new.new_key(CLIENT, "grant-1")

    with pytest.raises(SealBroken) as caught:
        old.unseal(new_key, new.seal(new_key, "1//marker", CONTEXT), CONTEXT)

    assert "1//marker" == new.unseal(old_key, box, CONTEXT)
    assert f"sealed under key {after.wrap_ids[0]}, which keys.json does not have" in caught.value.text
    assert True is caught.value.retry


def test_a_key_that_was_distributed_first_is_not_used_before_it_is_primary() -> None:
    """
    A node that has the new key already, not as primary, seals so that every node can open.
    """
    before = Keyset.generate()
    old, new = KeysetSealer(before), KeysetSealer(with_second_wrap_key(before, primary=0))
    key = new.new_key(CLIENT, "grant-1")

    assert "1//marker" == old.unseal(key, new.seal(key, "1//marker", CONTEXT), CONTEXT)


def test_a_newer_index_key_keeps_older_digests_findable() -> None:
    """
    `digests` has the digest that was stored under the older index key.
    """
    before = Keyset.generate()
    old, new = KeysetSealer(before), KeysetSealer(with_second_index_key(before, primary=2))

    assert [new.digest("code", "4/abc"), old.digest("code", "4/abc")] == list(new.digests("code", "4/abc"))


def test_a_disabled_wrapping_key_opens_nothing() -> None:
    """
    tink's own way to take a key out of use is respected.
    """
    both = with_second_wrap_key(Keyset.generate(), primary=0)
    key = KeysetSealer(both).new_key(CLIENT, "grant-1")
    changed = document(both)
    changed["wrap"]["primaryKeyId"] = changed["wrap"]["key"][1]["keyId"]
    changed["wrap"]["key"][0]["status"] = "DISABLED"

    with pytest.raises(SealBroken, match="which keys.json does not have"):
        KeysetSealer(keyset(changed)).seal(key, "1//marker", CONTEXT)


# -- the file ----------------------------------------------------------------------------------


def test_generated_keys_load_and_last(tmp_path: Path) -> None:
    """
    What one process sealed, another with the same file opens.
    """
    path = tmp_path / "keys.json"
    generate_keys(path)
    first = load_keys(path)
    key = first.new_key(CLIENT, "grant-1")
    box = first.seal(key, "1//marker", CONTEXT)

    assert "1//marker" == load_keys(path).unseal(key, box, CONTEXT)
    assert first.digest("code", "4/abc") == load_keys(path).digest("code", "4/abc")


def test_new_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    """
    The file has mode 600 whatever the umask.
    """
    before = os.umask(0)
    try:
        generate_keys(tmp_path / "keys.json")
    finally:
        os.umask(before)

    assert 0o600 == stat.S_IMODE((tmp_path / "keys.json").stat().st_mode)


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    """
    A file that is there stays as it is, even an empty one or a link to nowhere.
    """
    (tmp_path / "keys.json").write_text("")
    (tmp_path / "link.json").symlink_to(tmp_path / "nowhere.json")

    for name in ("keys.json", "link.json"):
        with pytest.raises(FileExistsError):
            generate_keys(tmp_path / name)

    assert "" == (tmp_path / "keys.json").read_text()
    assert not (tmp_path / "nowhere.json").exists()


class Unwritable(Keyset):
    """Keys whose writing fails, as on a full disk."""

    def serialise(self, kms: object = None) -> bytes:
        raise OSError(28, "No space left on device")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    """
    Else the next attempt would find half a file and refuse to overwrite it.
    """
    read = document(Keyset.generate())
    with pytest.raises(OSError, match="No space"):
        create_file(tmp_path / "keys.json", Unwritable(json.dumps(read["wrap"]).encode(), [(1, bytes(32))]))

    assert [] == list(tmp_path.iterdir())


def test_the_file_has_the_documented_parts(tmp_path: Path) -> None:
    """
    A version, tink's keyset and the index keys, so that tink's own tools can read the middle.
    """
    generate_keys(tmp_path / "keys.json")
    read = json.loads((tmp_path / "keys.json").read_text())

    assert ["version", "wrap", "names", "index"] == list(read)
    assert 2 == read["version"]
    assert "type.googleapis.com/google.crypto.tink.AesGcmKey" == read["wrap"]["key"][0]["keyData"]["typeUrl"]
    assert [1] == [key["version"] for key in read["index"]["keys"]]


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    """
    No key, no start, and the way out is in the hint.
    """
    with pytest.raises(SettingsInvalid) as caught:
        load_keys(tmp_path / "keys.json")

    assert "GRANTKEEPER_KEYS" in caught.value.text
    assert "`grantkeeper init`" in caught.value.hint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o620, 0o602, 0o610])
def test_a_file_that_others_can_reach_is_refused_with_the_chmod_to_run(tmp_path: Path, mode: int) -> None:
    """
    Any bit for group or world is one too many.
    """
    path = tmp_path / "keys.json"
    generate_keys(path)
    path.chmod(mode)

    with pytest.raises(SettingsInvalid) as caught:
        load_keys(path)

    assert f"chmod 600 {path}" in caught.value.hint


def test_a_path_through_a_file_cannot_be_opened(tmp_path: Path) -> None:
    """
    The system's reason is passed on, the path is not.
    """
    (tmp_path / "marker").write_text("")
    with pytest.raises(SettingsInvalid) as caught:
        load_keys(tmp_path / "marker" / "keys.json")

    assert ("GRANTKEEPER_KEYS: the file cannot be opened (Not a directory)",) == caught.value.problems


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """
    A database named by mistake is refused at once.
    """
    path = tmp_path / "keys.json"
    path.touch(mode=0o600)
    os.truncate(path, 1 << 40)

    with pytest.raises(SettingsInvalid, match="too large"):
        load_keys(path)


def test_a_directory_is_not_a_key_file(tmp_path: Path) -> None:
    """
    A wrong kind of file gets a sentence, not a traceback, and a pipe does not hang the start.
    """
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SettingsInvalid) as caught:
            load_keys(path)

        assert ("GRANTKEEPER_KEYS: this is not a file",) == caught.value.problems


def _empty(read: dict[str, Any]) -> None:
    read.clear()


def _later(read: dict[str, Any]) -> None:
    read["version"] = 3


def _no_primary(read: dict[str, Any]) -> None:
    read["wrap"]["primaryKeyId"] = 1


def _no_wrap_keys(read: dict[str, Any]) -> None:
    read["wrap"]["key"] = []


def _wrap_garbage(read: dict[str, Any]) -> None:
    read["wrap"]["key"][0]["keyData"]["value"] = "AAAA"


def _wrap_text(read: dict[str, Any]) -> None:
    read["wrap"] = "marker"


def _wrong_kind(read: dict[str, Any]) -> None:
    read["wrap"]["key"][0]["keyData"]["typeUrl"] = "type.googleapis.com/google.crypto.tink.HmacKey"


def _short_index(read: dict[str, Any]) -> None:
    read["index"]["keys"][0]["key"] = b64encode(b"marker").decode()


def _index_not_base64(read: dict[str, Any]) -> None:
    read["index"]["keys"][0]["key"] = "marker!"


def _index_primary_absent(read: dict[str, Any]) -> None:
    read["index"]["primary"] = 7


def _index_twice(read: dict[str, Any]) -> None:
    read["index"]["keys"] *= 2


def _no_index(read: dict[str, Any]) -> None:
    read["index"]["keys"] = []


@pytest.mark.parametrize(
    "damage",
    [
        _empty,
        _later,
        _no_primary,
        _no_wrap_keys,
        _wrap_garbage,
        _wrap_text,
        _wrong_kind,
        _short_index,
        _index_not_base64,
        _index_primary_absent,
        _index_twice,
        _no_index,
    ],
)
def test_damaged_keys_are_refused_and_not_quoted(tmp_path: Path, damage: Any) -> None:
    """
    Every kind of damage is `SettingsInvalid`; nothing that stands in the file stands in the error.
    """
    read = document(Keyset.generate())
    damage(read)
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(read))
    path.chmod(0o600)

    with pytest.raises(SettingsInvalid) as caught:
        load_keys(path)

    said = "".join(traceback.format_exception(caught.value))
    assert "GRANTKEEPER_KEYS: the file is damaged" in caught.value.text
    assert "marker" not in said
    assert "AAAA" not in said


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    """
    As left by a full disk.
    """
    path = tmp_path / "keys.json"
    path.write_bytes(Keyset.generate().serialise().rstrip()[:size])
    path.chmod(0o600)

    with pytest.raises(SettingsInvalid):
        load_keys(path)


# -- what is never seen ------------------------------------------------------------------------


def test_key_bytes_are_not_in_reprs() -> None:
    """
    Neither the keyset nor the sealer prints a key.
    """
    keys = with_second_wrap_key(Keyset.generate(), primary=1)
    parsed = msgspec.json.decode(keys.serialise(), type=_Document)
    said = f"{keys!r} {keys} {KeysetSealer(keys)!r} {[keys]} {parsed!r} {parsed.index!r}"

    assert [] == [secret for secret in secrets_of(keys) if secret in said]


def test_keys_do_not_pickle() -> None:
    """
    A pickle of keys, made by a worker pool or a cache, would be a copy without a lock.
    """
    keys = Keyset.generate()
    for value in (keys, KeysetSealer(keys)):
        with pytest.raises(TypeError, match="does not pickle"):
            pickle.dumps(value)


def test_a_traceback_with_variables_shows_no_key_bytes() -> None:
    """
    Even a reporter that prints the variables of every frame prints no key and no value.
    """
    keys = Keyset.generate()
    sealer = KeysetSealer(keys)
    key = sealer.new_key(CLIENT, "grant-1")
    box = sealer.seal(key, "1//marker", CONTEXT)
    try:
        sealer.unseal(key, box, SealContext(CLIENT, "grant-1", "access_token"))
    except SealBroken as error:
        said = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert "data_key" in said
    assert [] == [secret for secret in [*secrets_of(keys), "marker"] if secret in said.split("sealer = ")[-1]]


def test_tink_is_loaded_only_when_keys_are() -> None:
    """
    Importing the adapter must not cost tink's import time.
    """
    script = "import sys, grantkeeper.adapters.sealing; print('tink' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False" == done.stdout.strip()


def test_read_file_keeps_the_order_of_keys(tmp_path: Path) -> None:
    """
    The primary keys are named first whatever their place in the file.
    """
    keys = with_second_index_key(with_second_wrap_key(Keyset.generate(), primary=1), primary=1)
    path = tmp_path / "keys.json"
    path.write_bytes(keys.serialise())
    path.chmod(0o600)

    assert (keys.wrap_ids, (1, 2)) == (read_file(path).wrap_ids, read_file(path).index_versions)
