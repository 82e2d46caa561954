"""What a store of nodes, marks and data keys must do."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from grantkeeper.lifecycle import keep_alive_at
from grantkeeper.model import DataKey, Grant, GrantState, KeyKind, Lease
from grantkeeper.ports import JobQuery, Release, Replace, Settle, Store
from grantkeeper.testing.conformance_base import SHORT, Conformance, saved
from grantkeeper.testing.conformance_rest import heard, named
from grantkeeper.testing.records import NOW, a_grant, a_job, a_node, a_redemption, a_signing_key, job_id

MOMENT = timedelta(microseconds=1)


@pytest.mark.anyio
class NodeStoreConformance(Conformance):
    """`grantkeeper.ports.NodeStore`."""

    async def test_living_nodes_are_listed_in_order_of_start(self, store: Store) -> None:
        """
        As they last reported themselves; a second report replaces the first.
        """
        late = a_node("late", started_at=NOW + timedelta(seconds=1))
        await store.report(late, seconds=30)
        await store.report(a_node("early"), seconds=30)
        await store.report(replace(late, wrap_ids=(9,), index_versions=(2, 1)), seconds=30)

        assert [a_node("early"), replace(late, wrap_ids=(9,), index_versions=(2, 1))] == await store.nodes()

    async def test_a_silent_node_is_not_listed(self, store: Store) -> None:
        """
        Neither one whose time is over nor one that left; each may come back.
        """
        await store.report(a_node("silent"), seconds=SHORT)
        await store.report(a_node("gone"), seconds=30)
        await store.leave("gone")
        await store.leave("never there")
        await self.outlast(SHORT)
        silent = await store.nodes()
        await store.report(a_node("silent"), seconds=30)

        assert [] == silent
        assert [a_node("silent")] == await store.nodes()

    async def test_a_mark_is_what_was_last_written(self, store: Store) -> None:
        """
        Until it is forgotten; every node hears of it.
        """
        before = [await store.mark("name")]
        await store.set_mark("name", b"\x00one")
        await store.set_mark("name", b"two")
        await store.set_mark("other", b"")
        before.append(await store.mark("name"))
        await store.set_mark("name", None)

        assert [None, b"two"] == before
        assert [None, b""] == [await store.mark(name) for name in ("name", "other")]
        assert ["name", "name", "other", "name"] == [what for _, what in named(await heard(store, 0))]
        assert {"mark"} == {kind for kind, _ in named(await heard(store, 0))}

    async def test_a_mark_is_swapped_only_while_it_is_what_it_was(self, store: Store) -> None:
        """
        So many who read it and write it anew lose nothing of each other's; who came too late tells nobody.
        """
        await store.set_mark("there", b"one")
        place = await store.last_change()
        swapped = [
            await store.swap_mark("there", b"new", was=None),
            await store.swap_mark("there", b"new", was=b"other"),
            await store.swap_mark("there", b"two", was=b"one"),
            await store.swap_mark("absent", b"new", was=b"one"),
            await store.swap_mark("absent", b"first", was=None),
        ]

        assert [False, False, True, False, True] == swapped
        assert [b"two", b"first"] == [await store.mark(name) for name in ("there", "absent")]
        assert [("mark", "there"), ("mark", "absent")] == named(await heard(store, place))

    @pytest.mark.parametrize("was", [None, b"old"], ids=["new", "old"])
    async def test_one_of_many_swaps_a_mark(self, store: Store, was: bytes | None) -> None:
        """
        At one moment, of the same value.
        """
        await store.set_mark("name", was)
        swapped = await asyncio.gather(
            *(store.swap_mark("name", b"%d" % number, was=was) for number in range(30))
        )

        assert 1 == swapped.count(True)
        assert b"%d" % swapped.index(True) == await store.mark("name")


@pytest.mark.anyio
class DataKeyStoreConformance(Conformance):
    """`grantkeeper.ports.DataKeyStore`."""

    async def test_data_keys_of_grants_come_page_by_page(self, store: Store) -> None:
        """
        In order of id; a tombstone has none.
        """
        await saved(store, *(a_grant(number, data_key=b"key %d" % number) for number in (3, 1, 2)))
        await saved(store, a_grant(4, data_key=None))
        first = await store.data_keys(KeyKind.GRANT, limit=2)
        rest = await store.data_keys(KeyKind.GRANT, after=first[-1].id, limit=2)

        assert [
            DataKey(KeyKind.GRANT, a_grant(number).id, "client.example", b"key %d" % number)
            for number in (1, 2, 3)
        ] == first + rest

    async def test_data_keys_of_the_other_kinds(self, store: Store) -> None:
        """
        Redemptions by the hash of their code, signing keys by their kid; what has no key is left out.
        """
        await store.claim(a_redemption(b"\xff\x00", data_key=None), seconds=30)
        await store.claim(a_redemption(b"\xfe\x01", data_key=b"one"), seconds=30)
        await store.commit(Settle(a_redemption(b"\xff\x00", data_key=b"two")))
        await store.claim(a_redemption(b"\xfd", data_key=None), seconds=30)
        await store.add_signing_key(a_signing_key("b"))
        await store.add_signing_key(a_signing_key("a"))
        await saved(store, a_grant())
        await store.add_jobs([a_job(2, seal_key=b"two"), a_job(1, seal_key=b"one"), a_job(3)])
        jobs = await store.data_keys(KeyKind.JOB)
        redemptions = await store.data_keys(KeyKind.REDEMPTION)

        assert [
            DataKey(KeyKind.REDEMPTION, "fe01", "client.example", b"one"),
            DataKey(KeyKind.REDEMPTION, "ff00", "client.example", b"two"),
        ] == redemptions
        assert redemptions[1:] == await store.data_keys(KeyKind.REDEMPTION, after="fe01")
        assert [DataKey(KeyKind.SIGNING_KEY, kid, "", b"signing data key") for kid in ("a", "b")] == (
            await store.data_keys(KeyKind.SIGNING_KEY)
        )
        assert [DataKey(KeyKind.JOB, job_id(n), "", key) for n, key in ((1, b"one"), (2, b"two"))] == jobs
        assert jobs[1:] == await store.data_keys(KeyKind.JOB, after=job_id(1), limit=1)

    async def test_a_rewrapped_key_takes_the_place_of_the_one_that_was_read(self, store: Store) -> None:
        """
        Of every kind, and only while it is still as it was read. A grant and a job get a new version, and
        no change is told.
        """
        (mine,) = await saved(store, a_grant())
        await store.claim(a_redemption(b"code"), seconds=30)
        await store.add_signing_key(a_signing_key())
        await store.add_jobs([a_job(1, seal_key=b"old"), a_job(2)])
        place = await store.last_change()
        keys = [key for kind in KeyKind for key in await store.data_keys(kind)]
        done = await store.rewrap([(key, b"new") for key in keys])
        again = await store.rewrap([(key, b"newer") for key in keys])
        now = await store.get(mine.id)

        assert (4, 0) == (done, again)
        assert replace(mine, data_key=b"new", version=mine.version + 1) == now
        assert [(b"new", 2), (None, 1)] == [
            (job.seal_key, job.version) for job in await store.jobs(JobQuery())
        ]
        assert [b"new"] * 4 == [key.wrapped for kind in KeyKind for key in await store.data_keys(kind)]
        assert [] == await heard(store, place)

    async def test_index_versions_are_counted_and_found(self, store: Store) -> None:
        """
        Only what has hashes counts; a grant is found until it is saved with the new version.
        """
        await saved(
            store,
            a_grant(1, email_index=b"e", index_version=1),
            a_grant(2, lookups=(b"l",), index_version=1),
            a_grant(3, email_index=b"f", index_version=2),
            a_grant(4, index_version=1),
        )
        await store.claim(a_redemption(b"code", index_version=2), seconds=30)
        behind = await store.behind_index(2)
        counted = await store.index_versions()
        await store.commit(Replace(replace(behind[0], index_version=2)))

        assert [a_grant(1).id, a_grant(2).id] == [grant.id for grant in behind]
        assert {(KeyKind.GRANT, 1): 2, (KeyKind.GRANT, 2): 1, (KeyKind.REDEMPTION, 2): 1} == counted
        assert [a_grant(2).id] == [grant.id for grant in await store.behind_index(2)]
        assert [a_grant(2).id] == [
            grant.id for grant in await store.behind_index(2, after=a_grant(1).id, limit=1)
        ]


@pytest.mark.anyio
class DueConformance(Conformance):
    """Grants that are due for something: `grantkeeper.ports.GrantStore.idle` and ``uncertain``."""

    async def test_idle_grants_are_found_when_they_are_due(self, store: Store) -> None:
        """
        The longest due first; only active ones with a refresh token.
        """
        old = a_grant(1, refreshed_at=NOW)
        older = a_grant(2, created_at=NOW - timedelta(days=90))
        await saved(
            store,
            old,
            older,
            a_grant(3, created_at=NOW - timedelta(days=900), state=GrantState.NEEDS_CONSENT),
            a_grant(4, created_at=NOW - timedelta(days=900), refresh_token=None),
        )
        at, earlier = due(old), due(older)

        assert [] == await store.idle(earlier - MOMENT)
        assert [older.id] == [grant.id for grant in await store.idle(earlier)]
        assert [older.id, old.id] == [grant.id for grant in await store.idle(at)]
        assert [old.id] == [grant.id for grant in await store.idle(at, after=earlier)]
        assert [older.id] == [grant.id for grant in await store.idle(at, limit=1)]

    async def test_a_refreshed_grant_is_not_idle(self, store: Store) -> None:
        """
        Saving it moves its day.
        """
        (mine,) = await saved(store, a_grant(created_at=NOW - timedelta(days=400)))
        before = await store.idle(NOW)
        await store.commit(Replace(replace(mine, refreshed_at=NOW)))

        assert [mine.id] == [grant.id for grant in before]
        assert [] == await store.idle(NOW)

    async def test_uncertain_grants_are_found(self, store: Store) -> None:
        """
        The longest in doubt first, until a save takes the doubt away.
        """
        later = NOW + timedelta(seconds=5)
        grants = await saved(
            store, a_grant(1, uncertain_since=later), a_grant(2, uncertain_since=NOW), a_grant(3)
        )

        assert [a_grant(2).id] == [grant.id for grant in await store.uncertain(NOW)]
        assert [a_grant(2).id, a_grant(1).id] == [grant.id for grant in await store.uncertain(later)]
        assert [a_grant(1).id] == [grant.id for grant in await store.uncertain(later, after=NOW)]
        await store.commit(Replace(replace(grants[1], uncertain_since=None)))
        assert [a_grant(1).id] == [grant.id for grant in await store.uncertain(later)]


@pytest.mark.anyio
class OrphanConformance(Conformance):
    """Leases whose owners let them lapse."""

    async def test_a_lapsed_lease_is_taken_as_an_orphan(self, store: Store) -> None:
        """
        Who takes it learns that somebody died over it; one that was given back is nobody's.
        """
        first = await store.take("work:1", "me", seconds=30)
        given = await store.take("work:2", "me", seconds=30)
        assert isinstance(first, Lease)
        assert isinstance(given, Lease)
        await store.commit(Release(given))
        before = await store.orphans("work:")
        await store.renew(first, seconds=SHORT)
        await self.outlast(SHORT)
        names = await store.orphans("work:")
        second = await store.take("work:1", "you", seconds=30)
        third = await store.take("work:2", "you", seconds=30)
        assert isinstance(second, Lease)
        assert isinstance(third, Lease)

        assert ([], ["work:1"]) == (before, names)
        assert [False, True, False] == [first.orphaned, second.orphaned, third.orphaned]
        assert [] == await store.orphans("work:")

    async def test_orphans_are_of_one_prefix_and_bounded(self, store: Store) -> None:
        """
        A name that only resembles the prefix is another's.
        """
        for name in ("a_b:1", "a_b:2", "axb:3", "b:4"):
            await store.take(name, "me", seconds=SHORT)
        await self.outlast(SHORT)

        assert ["a_b:1", "a_b:2"] == await store.orphans("a_b:")
        assert ["a_b:1"] == await store.orphans("a_b:", limit=1)


def due(grant: Grant) -> datetime:
    """When *grant* is to be kept alive."""
    at = keep_alive_at(grant)
    assert at is not None
    return at
