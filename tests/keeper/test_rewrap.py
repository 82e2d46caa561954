"""Moving all that is stored to newer keys while a keeper serves, and proving that it is done."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.sealing import KeysetSealer
from grantkeeper.errors import SealBroken, StoreUnavailable
from grantkeeper.keeper.outcomes import owner_of
from grantkeeper.keeper.rewrap import JOURNAL, Progress, Rewrapper, prove
from grantkeeper.keeper.seals import Seals
from grantkeeper.keeper.sessions import OWNER
from grantkeeper.model import KeyKind, seal_owner
from grantkeeper.ports import Replace, SealContext
from grantkeeper.testing.records import a_job, a_redemption, a_signing_key
from tests.keeper.rotation_kit import (
    RotatingIssuer,
    a_core,
    a_node,
    fill,
    means,
    new_alone,
    old_alone,
    open_store,
    two_keys,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind, count", [("memory", 300), ("sqlite", 1000)])
async def test_grants_move_while_they_are_refreshed_and_no_token_is_lost(
    tmp_path: Path, kind: str, count: int
) -> None:
    """
    A keeper serves and rotates refresh tokens all the while; in the end the new keys alone open everything.
    """
    store, keys, issuer = open_store(kind, tmp_path), two_keys(index=True), RotatingIssuer()
    grants = await fill(store, old_alone(keys), count)
    failed: list[Exception] = []
    served = 0
    async with a_core(tmp_path, store, keys, issuer) as core:
        await core.nodes.tick(at_once=True)
        over = asyncio.Event()

        async def serve(seed: int) -> None:
            nonlocal served
            dice = random.Random(seed)
            while not over.is_set():
                try:
                    await core._refresher.refresh(dice.choice(grants), None, lambda *_: False)
                except Exception as error:
                    failed.append(error)
                served += 1

        asking = [asyncio.create_task(serve(seed)) for seed in range(4)]
        other = means(store, keys)
        other.sealer.use(keys.wrap_keys[0].id, 2)
        done = await Rewrapper(other, rate=count).run()
        over.set()
        await asyncio.gather(*asking)
        proof = await prove(other)
        under = proof.under(keys.wrap_keys[1].id), proof.behind(1)
        lonely = Seals(KeysetSealer(new_alone(keys)))
        lonely._sealer.use(None, 2)
        rows = [await store.get(grant) for grant in grants]
        opened = [lonely.refresh_token(row).reveal() for row in rows if row is not None]
        emails = [lonely.profile(row).email for row in rows if row is not None]
        found = [[one.id for one in (await core.grants(email=email))[0]] for email in emails[:20]]

    assert ({}, {}) == under
    assert [] == failed
    assert [] == issuer.reused
    assert served > 0
    assert [issuer.current.get(grant, f"{grant}/0") for grant in grants] == opened
    assert [[grant] for grant in grants[:20]] == found
    assert {2} == {row.index_version for row in rows if row is not None}
    assert all(lonely.lookups(lonely.refresh_token(row)) == row.lookups for row in rows if row is not None)
    assert count >= done.moved["index"] > 0
    assert done.passes >= 2


async def test_every_kind_moves() -> None:
    """
    Redemptions, signing keys and jobs too; what each was bound to stays what it is bound to.
    """
    store, keys = MemoryStore(), two_keys()
    old, new = KeysetSealer(old_alone(keys)), KeysetSealer(new_alone(keys))
    code = b"code"
    redemption = a_redemption(code, data_key=old.new_key("client.example", owner_of(code.hex())))
    signing = replace(a_signing_key(), data_key=old.new_key("", OWNER))
    await store.claim(redemption, seconds=30)
    await store.add_signing_key(signing)
    (grant, *_) = await fill(store, old_alone(keys), 3)
    job, seal_key = a_job(), old.new_key("", seal_owner(a_job().id))
    await store.add_jobs([replace(job, grant_id=grant, seal_key=seal_key)])
    work = means(store, keys)
    work.sealer.use(keys.wrap_keys[0].id, None)
    before = await prove(work)
    done = await Rewrapper(work).run()
    after = await prove(work, journal=[old.new_key("", "entry"), b"damaged"])
    (key,) = await store.data_keys(KeyKind.REDEMPTION)
    (signs,) = await store.signing_keys()
    works = await store.job(job.id)
    address = SealContext("", seal_owner(job.id), "address")
    context = SealContext("client.example", owner_of(code.hex()), "outcome done")

    assert (
        {"grant": 3, "redemption": 1, "signing_key": 1, "job": 1}
        == before.under(keys.wrap_keys[1].id)
        == done.moved
    )
    assert {JOURNAL: 1} == after.under(keys.wrap_keys[1].id)
    assert {JOURNAL: 1} == after.under(0)
    assert {"grant": 3, "redemption": 1, "signing_key": 1, "job": 1} == after.under(keys.wrap_keys[0].id)
    assert "x" == new.unseal(key.wrapped, new.seal(key.wrapped, "x", context), context)
    assert new.seal(signs.data_key, "x", SealContext("", OWNER, "signing key k"))
    assert works is not None and works.seal_key is not None
    assert "x" == new.unseal(works.seal_key, old.seal(seal_key, "x", address), address)


class Halting(MemoryStore):
    """A store that is away for good after some rewraps."""

    def __init__(self, halts_after: int) -> None:
        super().__init__()
        self.left = halts_after

    async def rewrap(self, changes):
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailable("away")
        return await super().rewrap(changes)


async def test_it_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What was moved is not walked over again first, and a last full pass sees to what came meanwhile.
    """
    monkeypatch.setattr("grantkeeper.keeper.rewrap.TRY_PAUSE", 0.0)
    monkeypatch.setattr("grantkeeper.keeper.rewrap.REMEMBER_EVERY", 0.0)
    monkeypatch.setattr("grantkeeper.keeper.rewrap.PAGE", 10)
    store, keys = Halting(5), two_keys()
    await fill(store, old_alone(keys), 100)
    work = means(store, keys)
    work.sealer.use(keys.wrap_keys[0].id, None)
    with pytest.raises(StoreUnavailable):
        await Rewrapper(work).run()
    store.left = 1000
    seen: list[int] = []
    done = await Rewrapper(work, tell=lambda so_far: seen.append(so_far.looked)).run()
    again = await Rewrapper(work).run()

    assert (True, 50) == (done.resumed, done.moved["grant"])
    assert 50 + 100 == done.looked
    assert (False, 0, 1) == (again.resumed, again.total, again.passes)
    assert {} == (await prove(work)).under(keys.wrap_keys[1].id)


async def test_the_rate_is_kept() -> None:
    """
    By sleeping for what it is ahead; small steps, so that no second is all at once.
    """
    store, keys = MemoryStore(), two_keys()
    await fill(store, old_alone(keys), 60)
    work = means(store, keys)
    work.sealer.use(keys.wrap_keys[0].id, None)
    steps: list[int] = []

    def tell(so_far: Progress) -> None:
        steps.append(so_far.total)

    began = work.clock.monotonic()
    await Rewrapper(work, rate=100, tell=tell).run()

    assert work.clock.monotonic() - began >= 0.55
    assert [25, 50, 60] == steps[:3]


async def test_what_does_not_open_is_named_and_left() -> None:
    """
    One damaged row holds up no other, and no pass goes on for ever for its sake.
    """
    store, keys = MemoryStore(), two_keys(index=True)
    grants = await fill(store, old_alone(keys), 5)
    row = await store.get(grants[2])
    assert row is not None
    await store.commit(Replace(replace(row, data_key=b"\x01" + b"\x00" * 60)))
    work = means(store, keys)
    work.sealer.use(keys.wrap_keys[0].id, 2)
    done = await Rewrapper(work).run()

    assert (4, 4, 2) == (done.moved["grant"], done.moved["index"], done.broken_count)
    assert [f"grant {grants[2]}", f"index of {grants[2]}"] == list(done.broken)


async def test_without_the_key_in_use_nothing_moves() -> None:
    """
    It is the command's own file that is old.
    """
    store, keys = MemoryStore(), two_keys()
    await fill(store, old_alone(keys), 1)
    work = means(store, old_alone(keys))
    work.sealer.use(keys.wrap_keys[0].id, None)

    with pytest.raises(SealBroken, match="lacks the wrapping key"):
        await Rewrapper(work).run()


async def test_a_save_that_read_the_row_before_does_not_undo_a_rewrap() -> None:
    """
    Its version is old: it reads again, as every keeper does.
    """
    from grantkeeper.errors import StoreConflict

    store, keys = MemoryStore(), two_keys()
    (grant,) = await fill(store, old_alone(keys), 1)
    row = await store.get(grant)
    assert row is not None
    work = means(store, keys)
    work.sealer.use(keys.wrap_keys[0].id, None)
    await Rewrapper(work).run()

    with pytest.raises(StoreConflict):
        await store.commit(Replace(row))
    assert {} == (await prove(work)).under(keys.wrap_keys[1].id)


async def test_after_forgetting_and_dropping_the_key_a_copy_of_the_row_does_not_open(tmp_path: Path) -> None:
    """
    A backup's row has its own copy of the data key; only the old wrapping key opened it, and that is gone.
    """
    store, keys = MemoryStore(), two_keys()
    kept, forgotten = await fill(store, old_alone(keys), 2)
    backup = await store.get(forgotten)
    assert backup is not None
    before = Seals(KeysetSealer(keys)).refresh_token(backup).reveal()
    async with a_core(tmp_path, store, keys) as core:
        await core.nodes.tick(at_once=True)
        await core.forget(forgotten, revoke=False)
        await Rewrapper(core.means).run()
        proof = await prove(core.means)
        row = await store.get(kept)
        assert row is not None
        alone = Seals(KeysetSealer(new_alone(keys)))
        opened = alone.refresh_token(row).reveal()

        assert {} == proof.under(keys.wrap_keys[1].id)
        assert (f"{forgotten}/0", f"{kept}/0") == (before, opened)
        for look in (alone.refresh_token, alone.profile):
            with pytest.raises(SealBroken, match=r"keys\.json does not have"):
                look(backup)


async def test_a_newer_hash_never_stands_beside_an_older_one() -> None:
    """
    A refresh that brings a token makes the e-mail's hash anew as well, and the row says which key it was.
    """
    store, keys = MemoryStore(), two_keys(index=True)
    (grant,) = await fill(store, old_alone(keys), 1)
    row = await store.get(grant)
    assert row is not None
    node = a_node(store, keys, 1)
    await node.tick(at_once=True)
    seals = Seals(node._means.sealer)
    new = seals.hashed(row)

    assert (1, 2) == (row.index_version, new.index_version)
    assert seals.email_index("user1@example.com") == new.email_index
    assert row.email_index in seals.email_indexes("user1@example.com")
    assert seals.lookups(seals.refresh_token(row)) == new.lookups
    assert new == seals.hashed(new)
