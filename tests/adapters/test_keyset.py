"""Adding and taking away keys, and replacing the file they are in."""

import json
import os
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grantkeeper.adapters.keyfile import create_file, read_file, replace_file
from grantkeeper.adapters.keyset import Keyset
from grantkeeper.adapters.sealing import KeysetSealer, generate_keys, load_keys
from grantkeeper.errors import SealBroken, SettingsInvalid
from grantkeeper.testing.sealer_conformance import CLIENT, CONTEXT

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_keyset(*names: str) -> Keyset:
    """Keys of these names, each a day younger than the one before, the first one primary."""
    keyset = Keyset.generate(name=names[0], now=NOW)
    for day, name in enumerate(names[1:], 1):
        keyset = keyset.with_wrap_key(name, NOW + timedelta(days=day))
    return keyset


def first_format(keyset: Keyset) -> bytes:
    """*keyset* as the release before wrote it."""
    read = json.loads(keyset.serialise())
    index = {
        "primary": read["index"]["primary"],
        "keys": [{"version": key["version"], "key": key["key"]} for key in read["index"]["keys"]],
    }
    return json.dumps({"version": 1, "wrap": read["wrap"], "index": index}).encode()


def test_a_file_of_the_first_format_is_read() -> None:
    """
    Its keys are called by their ids and count as older than any with a day.
    """
    old = Keyset.parse(first_format(a_keyset("first")))
    new = old.with_wrap_key("second", NOW)

    assert [(str(old.wrap_ids[0]), None)] == [(key.name, key.created) for key in old.wrap_keys]
    assert ["second", str(old.wrap_ids[0])] == [key.name for key in new.wrap_keys]
    assert old.wrap_ids[0] == new.wrap_ids[0]
    assert new.holds(old)


def test_a_new_key_is_not_used_before_it_is_agreed_on() -> None:
    """
    With the file alone a node seals under the key that was primary before.
    """
    before = a_keyset("one")
    after = before.with_wrap_key("two", NOW).with_index_key(NOW)
    sealer = KeysetSealer(after)

    assert before.wrap_ids[0] == sealer.wrap_id(sealer.new_key(CLIENT, "grant-1"))
    assert (1, before.wrap_ids[0]) == (sealer.index_version, sealer.wrap_in_use)
    assert (2, 1) == sealer.index_versions
    assert after.wrap_keys[0].id == sealer.wrap_ids[0]


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["wrap", "index", "drop wrap", "drop index", "write"]), min_size=1, max_size=8)
)
def test_whatever_is_done_to_keys_none_is_lost(steps: list[str]) -> None:
    """
    What was sealed before opens after, unless its own key was dropped, and the file says the same as memory.
    """
    keyset = a_keyset("first")
    sealed: dict[int, tuple[bytes, bytes]] = {}
    for number, step in enumerate(steps):
        match step:
            case "wrap":
                keyset = keyset.with_wrap_key(f"k{number}", NOW + timedelta(days=number + 1))
                keyset = keyset.primed(keyset.wrap_keys[0].id)
            case "index":
                keyset = keyset.with_index_key(NOW)
            case "drop wrap" if len(keyset.wrap_ids) > 1:
                gone = keyset.wrap_keys[-1].id
                keyset = keyset.without_wrap_key(gone, primary=keyset.wrap_keys[0].id)
                sealed.pop(gone, None)
            case "drop index" if len(keyset.index_versions) > 1:
                last = keyset.index_keys[-1].version
                keyset = keyset.without_index_key(last, primary=keyset.index_keys[0].version)
            case "write":
                keyset = Keyset.parse(keyset.serialise())
        sealer = KeysetSealer(keyset)
        key = sealer.new_key(CLIENT, "grant-1")
        sealed[sealer.wrap_id(key)] = key, sealer.seal(key, "1//marker", CONTEXT)
        for data_key, box in sealed.values():
            assert "1//marker" == sealer.unseal(data_key, box, CONTEXT)
    read = Keyset.parse(keyset.serialise())

    assert (keyset.wrap_keys, keyset.index_keys) == (read.wrap_keys, read.index_keys)
    assert (keyset.wrap_ids, keyset.index_versions) == (read.wrap_ids, read.index_versions)


def test_the_order_of_keys_is_that_of_their_days_whatever_the_file_s() -> None:
    """
    Two nodes whose files were merged by hand agree which key is newer.
    """
    keyset = a_keyset("one", "two", "three")
    read = json.loads(keyset.serialise())
    read["wrap"]["key"].reverse()
    read["names"].reverse()

    assert ["three", "two", "one"] == [key.name for key in keyset.wrap_keys]
    assert keyset.wrap_keys == Keyset.parse(json.dumps(read).encode()).wrap_keys


@pytest.mark.parametrize("name", ["", "one", "no spaces", "-dash", "x" * 65, "a/b"])
def test_a_bad_or_taken_name_is_refused(name: str) -> None:
    """
    A name is for people and scripts; the id of a key is taken as well.
    """
    with pytest.raises(ValueError, match="name"):
        a_keyset("one").with_wrap_key(name, NOW)


def test_keys_that_share_a_name_are_refused() -> None:
    """
    Nobody could say which one to drop.
    """
    read = json.loads(a_keyset("one", "two").serialise())
    read["names"][1]["name"] = "one"

    with pytest.raises(ValueError, match="share a name"):
        Keyset.parse(json.dumps(read).encode())


def test_the_key_in_use_is_not_dropped() -> None:
    """
    Nor one that is not there.
    """
    keyset = a_keyset("one", "two").with_index_key(NOW)
    one, two = keyset.wrap_keys[1].id, keyset.wrap_keys[0].id

    for drop in (
        lambda: keyset.without_wrap_key(one, primary=one),
        lambda: keyset.without_wrap_key(7, primary=two),
        lambda: keyset.without_index_key(1, primary=1),
        lambda: keyset.without_index_key(7, primary=1),
    ):
        with pytest.raises(ValueError, match="key"):
            drop()


# -- in memory ----------------------------------------------------------------------------------


def test_rewrapping_leaves_the_data_key_as_it_is() -> None:
    """
    What is sealed under it opens as before; what is under the key in use already stays.
    """
    keyset = a_keyset("one", "two")
    sealer = KeysetSealer(keyset)
    key = sealer.new_key(CLIENT, "grant-1")
    box = sealer.seal(key, "1//marker", CONTEXT)
    sealer.use(keyset.wrap_keys[0].id, None)
    moved = sealer.rewrap(key, CLIENT, "grant-1")
    assert moved is not None
    alone = KeysetSealer(keyset.without_wrap_key(keyset.wrap_keys[1].id, primary=keyset.wrap_keys[0].id))

    assert "1//marker" == alone.unseal(moved, box, CONTEXT)
    assert None is sealer.rewrap(moved, CLIENT, "grant-1")
    with pytest.raises(SealBroken, match="does not have"):
        alone.rewrap(key, CLIENT, "grant-1")
    with pytest.raises(SealBroken):
        sealer.rewrap(key, CLIENT, "grant-2")
    assert {keyset.wrap_keys[1].id} == alone.missing


def test_a_node_without_the_key_in_use_opens_and_does_not_seal() -> None:
    """
    What it sealed others might not be able to open; with the newest file it goes on.
    """
    new = a_keyset("one", "two").with_index_key(NOW)
    old = new.without_wrap_key(new.wrap_keys[0].id, primary=new.wrap_keys[1].id).without_index_key(
        2, primary=1
    )
    sealer = KeysetSealer(old)
    key = sealer.new_key(CLIENT, "grant-1")
    box = sealer.seal(key, "1//marker", CONTEXT)
    sealer.use(new.wrap_keys[0].id, 2)

    assert "1//marker" == sealer.unseal(key, box, CONTEXT)
    assert None is sealer.wrap_in_use
    for call in (
        lambda: sealer.new_key(CLIENT, "grant-1"),
        lambda: sealer.digest("code", "x"),
        lambda: sealer.digests("code", "x"),
        lambda: sealer.index_version,
    ):
        with pytest.raises(SealBroken, match=r"keys\.json lacks") as caught:
            call()
        assert "Copy the newest keys.json" in caught.value.hint
    sealer.adopt(new)
    assert new.wrap_keys[0].id == sealer.wrap_id(sealer.new_key(CLIENT, "grant-1"))
    assert 2 == sealer.index_version


def test_keys_change_under_many_threads_and_nobody_sees_half_of_it() -> None:
    """
    Sealing, opening and hashing go on in threads while another changes which keys are used.
    """
    keyset = a_keyset("one", "two").with_index_key(NOW)
    sealer = KeysetSealer(keyset)
    stop, wrong = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            key = sealer.new_key(CLIENT, "grant-1")
            box = sealer.seal(key, "1//marker", CONTEXT)
            if sealer.unseal(key, box, CONTEXT) != "1//marker" or len(set(sealer.digests("a", "b"))) != 2:
                wrong.append(key)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        sealer.use(keyset.wrap_keys[number % 2].id, 1 + number % 2)
        sealer.adopt(keyset)
    stop.set()
    for thread in threads:
        thread.join()

    assert [] == wrong


# -- the file -----------------------------------------------------------------------------------


def test_a_replaced_file_is_whole_and_its_owner_s_alone(tmp_path: Path) -> None:
    """
    Mode 600, no other file left, and a link still leads to it.
    """
    (tmp_path / "real").mkdir()
    path = tmp_path / "keys.json"
    path.symlink_to(tmp_path / "real" / "keys.json")
    create_file(tmp_path / "real" / "keys.json", a_keyset("one"))
    replace_file(path, lambda keys: keys.with_wrap_key("two", NOW + timedelta(days=1)), None, None)

    assert ["two", "one"] == [key.name for key in read_file(path).wrap_keys]
    assert path.is_symlink()
    assert [tmp_path / "real" / "keys.json"] == list((tmp_path / "real").iterdir())
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """
    A full disk, and a bug that would lose a key.
    """
    path = tmp_path / "keys.json"
    create_file(path, a_keyset("one"))
    before = path.read_bytes()

    class Full(Keyset):
        def serialise(self, kms: object = None) -> bytes:
            raise OSError(28, "No space left on device")

    class Other(Keyset):
        def serialise(self, kms: object = None) -> bytes:
            return a_keyset("other").serialise()

    for kind, said in ((Full, "No space"), (Other, "does not hold its keys")):
        wrap = json.dumps(json.loads(before)["wrap"]).encode()
        with pytest.raises(SettingsInvalid, match=said):
            replace_file(path, lambda keys, kind=kind, wrap=wrap: kind(wrap, [(1, bytes(32))]), None, None)  # type: ignore[misc]

    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


ADD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from grantkeeper.adapters.keyfile import replace_file
name = sys.argv[2]
for number in range(5):
    new = f"{name}-{number}"
    replace_file(Path(sys.argv[1]), lambda keys: keys.with_wrap_key(new, datetime.now(UTC)), None, None)
"""


def test_two_that_add_keys_at_once_lose_none(tmp_path: Path) -> None:
    """
    They take turns, and each adds to what the other wrote.
    """
    path = tmp_path / "keys.json"
    create_file(path, a_keyset("first"))
    adders = [subprocess.Popen([sys.executable, "-c", ADD, str(path), name]) for name in "ab"]

    assert [0, 0] == [adder.wait(60) for adder in adders]
    assert {"first", *(f"{name}-{number}" for name in "ab" for number in range(5))} == {
        key.name for key in read_file(path).wrap_keys
    }


@pytest.mark.anyio
async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """
    Only when it has changed; memory then has the new keys as well.
    """
    path = tmp_path / "keys.json"
    generate_keys(path, name="one", now=NOW)
    sealer = load_keys(path)
    first = await sealer.look()
    replace_file(path, lambda keys: keys.with_wrap_key("two", NOW + timedelta(days=1)), None, None)

    assert [False, True, False] == [first, await sealer.look(), await sealer.look()]
    assert 2 == len(sealer.wrap_ids)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _gone(path: Path) -> None:
    path.unlink()


def _open_to_all(path: Path) -> None:
    path.chmod(0o644)


def _other_keys(path: Path) -> None:
    path.write_bytes(a_keyset("other").serialise())


def _no_index(path: Path) -> None:
    read = json.loads(path.read_bytes())
    read["index"] = {"primary": 2, "keys": [read["index"]["keys"][0] | {"version": 2}]}
    path.write_text(json.dumps(read))


@pytest.mark.anyio
@pytest.mark.parametrize("harm", [_cut, _gone, _open_to_all, _other_keys, _no_index])
async def test_a_broken_file_keeps_the_old_keys_until_it_is_mended(tmp_path: Path, harm) -> None:
    """
    What was read before goes on, the reason is there to be told, and a good file ends it.
    """
    path = tmp_path / "keys.json"
    generate_keys(path)
    good = path.read_bytes()
    sealer = load_keys(path)
    harm(path)
    key = sealer.new_key(CLIENT, "grant-1")
    taken = await sealer.look()
    said = sealer.trouble
    box = sealer.seal(key, "1//marker", CONTEXT)
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    path.write_bytes(good)

    assert not taken
    assert said is not None
    assert "the keys read before go on" in said
    assert "1//marker" == sealer.unseal(key, box, CONTEXT)
    assert True is await sealer.look()
    assert None is sealer.trouble
