"""Which key is used when: nodes that come, go, lack keys and disagree."""

import asyncio
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.adapters.keyfile import replace_file
from grantkeeper.adapters.keyset import Keyset
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.sealing import generate_keys, load_keys
from grantkeeper.errors import SealBroken, SettingsInvalid, StoreUnavailable
from grantkeeper.keeper.nodes import PRIMARY_WRAP, Nodes, Pace, Primary, agreed_on
from tests.keeper.rotation_kit import NOW, QUICK, a_core, a_node, means, new_alone, old_alone, two_keys

pytestmark = pytest.mark.anyio

KEYS = st.permutations([1, 2, 3, 4]).flatmap(lambda keys: st.integers(0, 4).map(lambda n: keys[:n]))


@given(st.lists(st.integers(1, 6), unique=True), st.lists(KEYS), st.none() | st.integers(1, 6))
def test_a_key_is_chosen_only_if_everybody_has_it_and_it_is_newer(
    mine: list[int], others: list[list[int]], current: int | None
) -> None:
    """
    And then it is the newest such; a node without the current key chooses nothing.
    """
    chosen = agreed_on(mine, others, current)
    fit = [
        key
        for place, key in enumerate(mine)
        if all(key in keys for keys in others)
        and (current is None or (current in mine and place < mine.index(current)))
    ]

    assert (fit[0] if fit else None) == chosen


async def test_a_new_key_waits_for_the_last_node() -> None:
    """
    Two nodes, one of which lacks the key: neither seals under it. Once both have it, both do.
    """
    store, keys = MemoryStore(), two_keys(index=True)
    new, old = keys.wrap_keys
    first, last = a_node(store, keys, 1), a_node(store, old_alone(keys), 2)
    await last.tick()
    wrap, index = await first.tick(at_once=True)
    before = [node._means.sealer.wrap_in_use for node in (first, last)]
    last._means.sealer.adopt(keys)  # type: ignore[attr-defined]
    await last.tick()
    after = await first.tick(at_once=True)
    await last.tick()

    assert [last.id] == [node.id for node in wrap.lacking] == [node.id for node in index.lacking]
    assert (False, [old.id] * 2) == (wrap.agreed, before)
    assert [True, True] == [standing.agreed for standing in after]
    assert [new.id] * 2 == [node._means.sealer.wrap_in_use for node in (first, last)]
    assert [2, 2] == [node._means.sealer.index_version for node in (first, last)]


async def test_a_node_watches_for_a_while_before_it_makes_a_key_primary() -> None:
    """
    The first of a fleet that starts does not decide for those that are a second behind it.
    """
    store, keys = MemoryStore(), two_keys()
    node = a_node(store, keys, 1)
    early, _ = await node.tick()
    await asyncio.sleep(QUICK.believed)
    late, _ = await node.tick()

    assert (False, True) == (early.agreed, late.agreed)


async def test_a_node_that_died_is_waited_for_no_longer_than_it_is_believed() -> None:
    """
    And one that left in peace not at all.
    """
    store, keys = MemoryStore(), two_keys()
    dead, gone, node = (a_node(store, old_alone(keys), n) for n in (1, 2, 3))
    node = a_node(store, keys, 3)
    await gone.start()
    await gone.stop()
    await dead.tick()
    early, _ = await node.tick(at_once=True)
    await asyncio.sleep(QUICK.believed)
    late, _ = await node.tick(at_once=True)

    assert [dead.id] == [one.id for one in early.lacking]
    assert (False, True) == (early.agreed, late.agreed)


async def test_nodes_agree_by_themselves_and_hear_of_it_at_once(tmp_path: Path) -> None:
    """
    Three keepers whose files change one after the other; the last one's change decides.
    """
    # Believed so long that a node which a busy machine holds up is not taken for dead.
    pace = Pace(look=0.02, report=0.05, believed=4.0)
    generate_keys(tmp_path / "first.json", name="one", now=NOW)
    replace_file(tmp_path / "first.json", lambda keys: keys, None, None)
    store = MemoryStore()
    files = [tmp_path / f"keys{number}.json" for number in range(3)]
    nodes = []
    for number, file in enumerate(files):
        file.touch(mode=0o600)
        file.write_bytes((tmp_path / "first.json").read_bytes())
        own = means(store, two_keys(), number)
        own.sealer = load_keys(file)
        nodes.append(Nodes(own, release="0.0", pace=pace))
        await nodes[-1].start()
    replace_file(files[0], lambda keys: keys.with_wrap_key("two", NOW + timedelta(days=1)), None, None)
    files[1].write_bytes(files[0].read_bytes())
    await asyncio.sleep(1.5 * pace.believed)
    before = await store.mark(PRIMARY_WRAP)
    assert before is not None
    files[2].write_bytes(files[0].read_bytes())
    async with asyncio.timeout(30):
        while (
            before == await store.mark(PRIMARY_WRAP)
            or len({one._means.sealer.wrap_in_use for one in nodes}) > 1
        ):
            await asyncio.sleep(pace.look)
    used = nodes[0]._means.sealer.wrap_in_use
    for node in nodes:
        await node.stop()

    assert load_keys(tmp_path / "first.json").wrap_ids[0] == msgspec.json.decode(before, type=Primary).key
    assert load_keys(files[0]).wrap_ids[0] == used
    assert [] == await store.nodes()


async def test_the_first_to_come_decides_whose_database_it_is(tmp_path: Path) -> None:
    """
    A node with another deployment's keys seals nothing in it, from the first moment on, and is not ready.
    """
    store, keys = MemoryStore(), two_keys()
    async with a_core(tmp_path, store, keys) as ours, a_core(tmp_path, store, Keyset.generate()) as foreign:
        with pytest.raises(SealBroken, match=f"lacks the wrapping key {ours.sealer.wrap_in_use}"):
            foreign.sealer.new_key("client.example", "grant")
        ready = [(await core.ready())["keys"] for core in (ours, foreign)]

    assert "ok" == ready[0]
    assert "lacks the wrapping key" in ready[1]


async def test_a_database_whose_grants_our_keys_do_not_open_is_not_opened(tmp_path: Path) -> None:
    """
    Nothing says yet which key is in use, as in one of the first release: its grants do.
    """
    from tests.keeper.rotation_kit import fill

    keys = two_keys()
    ours, wrong = MemoryStore(), MemoryStore()
    for store in (ours, wrong):
        await fill(store, keys, 1)
    with pytest.raises(SettingsInvalid, match="opens nothing in the database") as caught:
        async with a_core(tmp_path, wrong, Keyset.generate()):
            pass
    async with a_core(tmp_path, ours, keys) as core:
        ready = (await core.ready())["keys"]

    assert str(keys.wrap_keys[1].id) in str(caught.value)
    assert "ok" == ready


async def test_a_node_that_comes_with_old_keys_seals_nothing(tmp_path: Path) -> None:
    """
    Nobody goes back to the older key for its sake; it says what it lacks, and works once it has it.
    """
    store, keys = MemoryStore(), two_keys()
    first = a_node(store, keys, 1)
    await first.tick(at_once=True)
    async with a_core(tmp_path, store, old_alone(keys)) as late:
        await first.tick(at_once=True)
        with pytest.raises(SealBroken, match=f"lacks the wrapping key {keys.wrap_keys[0].id}"):
            late.sealer.new_key("client.example", "grant")
        ready = (await late.ready())["keys"]
        late.sealer.adopt(keys)  # type: ignore[attr-defined]
        mended = (await late.ready())["keys"]

    assert keys.wrap_keys[0].id == first._means.sealer.wrap_in_use
    assert "lacks the wrapping key" in ready
    assert "ok" == mended


async def test_a_foreign_keys_json_stops_no_one() -> None:
    """
    A node of another deployment on this database has no key of ours: the others go on as they were.
    """
    store, keys = MemoryStore(), two_keys()
    stranger, node = a_node(store, Keyset.generate(), 1), a_node(store, keys, 2)
    await stranger.tick()
    wrap, _ = await node.tick(at_once=True)

    assert keys.wrap_keys[1].id == node._means.sealer.wrap_in_use
    assert [stranger.id] == [one.id for one in wrap.lacking]


async def test_without_the_marks_a_node_does_not_start() -> None:
    """
    It would not know what it may seal with.
    """
    store = MemoryStore()
    node = a_node(store, two_keys(), 1)
    await store.close()

    with pytest.raises(StoreUnavailable):
        await node.start()


async def test_readyz_names_a_key_that_something_stored_needs(tmp_path: Path) -> None:
    """
    The node works for all else, so it stays ready; the row is a 503 that may be asked for again.
    """
    from tests.keeper.rotation_kit import fill

    store, keys = MemoryStore(), two_keys()
    (grant,) = await fill(store, keys, 1)
    before = await store.get(grant)
    await a_node(store, keys, 1).tick(at_once=True)
    async with a_core(tmp_path, store, new_alone(keys)) as core:
        with pytest.raises(SealBroken) as caught:
            await core.access_token(grant)
        said = (await core.ready())["keys"]
        after = await store.get(grant)

    assert True is caught.value.retry
    assert said.startswith("ok, but something stored is sealed under keys that keys.json does not have")
    assert str(keys.wrap_keys[1].id) in said
    assert before == after
