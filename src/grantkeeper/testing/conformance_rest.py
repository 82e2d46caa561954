"""What a store of all the rest must do: feed, callers, things good once, keys, audit, upkeep."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.model import Change
from grantkeeper.ports import Delete, Insert, Note, PutToken, Replace, Settle, Store
from grantkeeper.testing.conformance_base import Conformance, outcomes, saved
from grantkeeper.testing.records import (
    NOW,
    a_caller,
    a_grant,
    a_redemption,
    a_signing_key,
    a_token,
    an_event,
)


async def heard(store: Store, after: int, seconds: float = 0) -> list[Change]:
    """The changes after *after*."""
    return list((await store.changes(after, seconds=seconds)).changes)


def named(changes: Iterable[Change]) -> list[tuple[str, str]]:
    """What *changes* are about."""
    return [(change.kind, change.id) for change in changes]


@pytest.mark.anyio
class ChangeFeedConformance(Conformance):
    """`grantkeeper.ports.ChangeFeed`."""

    async def test_an_empty_feed_is_at_zero(self, store: Store) -> None:
        """
        Nothing has happened, and asking ends in its time.
        """
        assert 0 == await store.last_change()
        assert [] == await heard(store, 0, 0.01)

    async def test_the_feed_tells_what_to_look_at_in_order(self, store: Store) -> None:
        """
        Grants, callers and signing keys are told; what has no reader elsewhere is not.
        """
        one, two = a_grant(1), a_grant(2)
        await store.commit(Insert(one), Insert(two))
        await store.commit(Replace(replace(one, version=1)), PutToken(a_token(one)), Note(an_event()))
        await store.commit(Delete(two.id, 1))
        await store.add_caller(a_caller())
        await store.revoke_caller("backend", NOW)
        await store.add_signing_key(a_signing_key())
        await store.take("name", "me", seconds=30)
        await store.claim(a_redemption(), seconds=30)
        changes = await heard(store, 0)

        assert [
            ("grant", one.id),
            ("grant", two.id),
            ("grant", one.id),
            ("grant", two.id),
            ("caller", a_caller().id),
            ("caller", a_caller().id),
            ("signing_key", "kid"),
        ] == named(changes)
        assert sorted({change.seq for change in changes}) == [change.seq for change in changes]
        assert changes[-1].seq == await store.last_change()

    async def test_a_reader_goes_on_where_it_was(self, store: Store) -> None:
        """
        Only what came after its place is told.
        """
        await saved(store, a_grant(1), a_grant(2))
        place = await store.last_change()
        await store.commit(Insert(a_grant(3)))

        assert [("grant", a_grant(3).id)] == named(await heard(store, place))
        assert [] == await heard(store, await store.last_change())

    async def test_a_waiting_reader_is_woken(self, store: Store) -> None:
        """
        A change is heard long before the wait is over, by every reader.
        """
        readers = [asyncio.ensure_future(heard(store, 0, 30)) for _ in range(3)]
        await asyncio.sleep(0.02)
        await store.commit(Insert(a_grant(1)))
        news = await asyncio.wait_for(asyncio.gather(*readers), timeout=5)

        assert [[("grant", a_grant(1).id)]] * 3 == [named(changes) for changes in news]

    async def test_a_quiet_wait_ends_in_its_time(self, store: Store) -> None:
        """
        Silence is an answer too: the store was heard.
        """
        begun = asyncio.get_running_loop().time()
        changes = await heard(store, 0, 0.2)
        took = asyncio.get_running_loop().time() - begun

        assert [] == changes
        assert took >= 0.19

    async def test_a_reader_that_is_ahead_looks_at_everything(self, store: Store) -> None:
        """
        A place beyond the newest means that the store is another than before.
        """
        await saved(store, a_grant(1))
        newest = await store.last_change()

        assert [Change(newest, "all", "")] == await heard(store, newest + 100, 5)


@pytest.mark.anyio
class CallerStoreConformance(Conformance):
    """`grantkeeper.ports.CallerStore`."""

    @pytest.mark.parametrize(
        "caller",
        [
            a_caller(),
            a_caller(clients=frozenset(), scopes=frozenset(), permissions=frozenset(), expires_at=None),
            a_caller(revoked_at=NOW),
        ],
        ids=["rules", "no rules", "revoked"],
    )
    async def test_a_caller_is_found_by_its_key(self, store: Store, caller: object) -> None:
        """
        With every rule it was given, revoked or not.
        """
        await store.add_caller(caller)  # type: ignore[arg-type]

        assert caller == await store.caller(a_caller().key_hash)
        assert await store.caller(b"another key") is None

    async def test_callers_are_listed_by_name(self, store: Store) -> None:
        """
        All of them, revoked ones too.
        """
        callers = [a_caller("b", 1), a_caller("a", 2), a_caller("c", 3, revoked_at=NOW)]
        for caller in callers:
            await store.add_caller(caller)

        assert [callers[1], callers[0], callers[2]] == await store.callers()

    @pytest.mark.parametrize(
        "second",
        [a_caller("backend", 2), a_caller("other", 2, key_hash=b"key 1"), a_caller("other", 1)],
        ids=["name", "key", "id"],
    )
    async def test_a_taken_name_key_or_id_is_a_conflict(self, store: Store, second: object) -> None:
        """
        The first caller stays as it is.
        """
        await store.add_caller(a_caller())
        with pytest.raises(StoreConflict):
            await store.add_caller(second)  # type: ignore[arg-type]

        assert [a_caller()] == await store.callers()

    async def test_of_many_callers_of_one_name_one_is_made(self, store: Store) -> None:
        """
        Two people who create the same caller at once get one key, not two.
        """
        results = await outcomes(*(store.add_caller(a_caller("backend", number)) for number in range(20)))

        assert 1 == results.count(None)
        assert 1 == len(await store.callers())

    @pytest.mark.parametrize("word", ["backend", a_caller().id], ids=["name", "id"])
    async def test_revoking_ends_a_caller_once(self, store: Store, word: str) -> None:
        """
        The first time stays; the name is free again.
        """
        await store.add_caller(a_caller())
        first = await store.revoke_caller(word, NOW)
        again = await store.revoke_caller(word, NOW + timedelta(days=1))
        await store.add_caller(a_caller("backend", 2))

        assert a_caller(revoked_at=NOW) == first == again
        assert first == await store.caller(a_caller().key_hash)

    async def test_revoking_by_name_ends_the_living_caller(self, store: Store) -> None:
        """
        One that was revoked before does not stand in for it.
        """
        later = NOW + timedelta(days=1)
        await store.add_caller(a_caller("backend", 2, created_at=later, revoked_at=NOW))
        await store.add_caller(a_caller("backend", 1))
        revoked = await store.revoke_caller("backend", later)

        assert a_caller("backend", 1, revoked_at=later) == revoked

    async def test_rules_and_end_can_be_changed(self, store: Store) -> None:
        """
        Name and key stay; every node hears of it. A revoked caller, or none, is a conflict.
        """
        await store.add_caller(a_caller())
        place = await store.last_change()
        narrow = a_caller(
            "other name",
            key_hash=b"other key",
            scopes=frozenset({"openid"}),
            clients=frozenset(),
            permissions=frozenset(),
            expires_at=None,
        )
        await store.change_caller(narrow)
        changed = await store.caller(a_caller().key_hash)
        await store.revoke_caller("backend", NOW)

        assert replace(narrow, name="backend", key_hash=a_caller().key_hash) == changed
        assert ("caller", a_caller().id) == named(await heard(store, place))[0]
        for caller in (narrow, a_caller("nobody", 2)):
            with pytest.raises(StoreConflict):
                await store.change_caller(caller)

    async def test_revoking_nobody_is_none(self, store: Store) -> None:
        """
        Neither a name nor an id of anyone.
        """
        assert await store.revoke_caller("nobody", NOW) is None


@pytest.mark.anyio
class OnceStoreConformance(Conformance):
    """`grantkeeper.ports.OnceStore`."""

    async def test_a_value_is_taken_once(self, store: Store) -> None:
        """
        Of many who take it one gets it.
        """
        await store.put_once("state", b"key", b"\x00value", now=NOW, until=NOW + timedelta(minutes=10))
        taken = await outcomes(*(store.take_once("state", b"key", now=NOW) for _ in range(20)))

        assert [b"\x00value"] == [value for value in taken if value is not None]

    async def test_a_kept_key_is_not_put_again(self, store: Store) -> None:
        """
        The first value stays; of many who put it at once one does.
        """
        put = await outcomes(
            *(
                store.put_once("proof", b"key", b"%d" % number, now=NOW, until=NOW + timedelta(minutes=10))
                for number in range(20)
            )
        )

        assert 1 == put.count(True)
        assert b"%d" % put.index(True) == await store.take_once("proof", b"key", now=NOW)

    async def test_the_same_value_may_be_put_again(self, store: Store) -> None:
        """
        By who was not told that it is kept; another value still finds the key taken.
        """
        until = NOW + timedelta(minutes=10)
        put = [
            await store.put_once("proof", b"key", value, now=NOW, until=until)
            for value in (b"\x00one", b"\x00one", b"two")
        ]

        assert [True, True, False] == put
        assert b"\x00one" == await store.take_once("proof", b"key", now=NOW)

    async def test_kinds_are_apart(self, store: Store) -> None:
        """
        A ticket is not a state, even under the same key.
        """
        until = NOW + timedelta(minutes=10)
        put = [await store.put_once(kind, b"key", b"x", now=NOW, until=until) for kind in ("a", "b")]

        assert [True, True] == put
        assert await store.take_once("c", b"key", now=NOW) is None

    @pytest.mark.parametrize(("seconds", "kept"), [(-1, True), (0, False), (1, False)])
    async def test_an_end_is_the_first_moment_without(self, store: Store, seconds: int, kept: bool) -> None:
        """
        At its end a value cannot be taken any more, and its key is free.
        """
        until = NOW + timedelta(minutes=10)
        moment = until + timedelta(seconds=seconds)
        await store.put_once("taken", b"key", b"old", now=NOW, until=until)
        await store.put_once("put", b"key", b"old", now=NOW, until=until)
        taken = await store.take_once("taken", b"key", now=moment)
        put = await store.put_once("put", b"key", b"new", now=moment, until=moment + timedelta(hours=1))

        assert (b"old" if kept else None, not kept) == (taken, put)
        assert (b"old" if kept else b"new") == await store.take_once("put", b"key", now=NOW)


@pytest.mark.anyio
class SigningKeyStoreConformance(Conformance):
    """`grantkeeper.ports.SigningKeyStore`."""

    async def test_signing_keys_come_the_newest_last(self, store: Store) -> None:
        """
        Whole, and in order of birth.
        """
        keys = [
            a_signing_key("b", created_at=NOW + timedelta(days=1)),
            a_signing_key("c", created_at=NOW),
            a_signing_key("a", created_at=NOW + timedelta(days=2)),
        ]
        for key in keys:
            await store.add_signing_key(key)

        assert [keys[1], keys[0], keys[2]] == await store.signing_keys()

    async def test_a_key_id_is_used_once(self, store: Store) -> None:
        """
        A second key of the same id is a conflict.
        """
        await store.add_signing_key(a_signing_key())
        with pytest.raises(StoreConflict):
            await store.add_signing_key(a_signing_key(public_jwk="{}"))

        assert [a_signing_key()] == await store.signing_keys()


@pytest.mark.anyio
class AuditStoreConformance(Conformance):
    """`grantkeeper.ports.AuditStore` and the `Note` step."""

    async def test_events_are_numbered_in_the_order_they_came(self, store: Store) -> None:
        """
        From appends and commits alike, page by page.
        """
        await store.append([an_event(1), an_event(2)])
        await store.commit(Note(an_event(3)))
        await store.append([])
        everything = await store.events()
        first = await store.events(limit=2)
        rest = await store.events(after=first[-1][0], limit=2)

        assert [an_event(1), an_event(2), an_event(3)] == [event for _, event in everything]
        assert everything == first + rest
        assert sorted({number for number, _ in everything}) == [number for number, _ in everything]
        assert [] == await store.events(after=everything[-1][0])

    async def test_events_of_one_caller(self, store: Store) -> None:
        """
        With the numbers they have among all.
        """
        await store.append([an_event(1), replace(an_event(2), caller="other"), an_event(3)])
        everything = await store.events()

        assert [everything[0], everything[2]] == await store.events(caller="backend")
        assert [everything[2]] == await store.events(caller="backend", after=everything[0][0], limit=1)


@pytest.mark.anyio
class UpkeepConformance(Conformance):
    """`grantkeeper.ports.Upkeep`."""

    async def test_an_open_store_is_ready(self, store: Store) -> None:
        """
        Ready says nothing and changes nothing that anybody would hear of.
        """
        await store.ready()

        assert 0 == await store.last_change()

    async def test_a_sweep_drops_what_is_past_its_end(self, store: Store) -> None:
        """
        Redemptions, access tokens and things good once go at their end; grants never do.
        """
        (mine,) = await saved(store, a_grant())
        second = timedelta(seconds=1)
        for name, until in (("gone", NOW), ("stays", NOW + second)):
            key = name.encode()
            await store.claim(a_redemption(key, keep_until=until, key_hash=key), seconds=30)
            await store.commit(PutToken(a_token(mine, name, expires_at=until)))
            await store.put_once("kind", key, b"", now=NOW - second, until=until)
        went = await store.sweep(NOW)
        read = await store.read(mine.id)

        assert 3 == went
        assert read is not None
        assert ["stays"] == [token.scope_key for token in read[1]]
        assert await store.redemption(b"gone") is None
        assert await store.redemption(b"stays") is not None
        assert await store.claim(a_redemption(b"new", key_hash=b"gone"), seconds=30) is None
        assert await store.take_once("kind", b"gone", now=NOW - second) is None
        assert b"" == await store.take_once("kind", b"stays", now=NOW - second)

    async def test_a_sweep_is_bounded(self, store: Store) -> None:
        """
        At most the limit of each kind goes at a time; sweeping again finishes.
        """
        for number in range(5):
            await store.put_once("kind", b"%d" % number, b"", now=NOW, until=NOW)

        assert [2, 2, 1, 0] == [await store.sweep(NOW, limit=2) for _ in range(4)]

    async def test_a_young_feed_and_living_leases_are_not_swept(self, store: Store) -> None:
        """
        Whatever the keeper's clock says, they are judged by the store's own.
        """
        await saved(store, a_grant(1), a_grant(2))
        lease = await store.take("name", "me", seconds=30)
        went = await store.sweep(NOW + timedelta(days=36500))

        assert 0 == went
        assert 2 == len(await heard(store, 0))
        assert lease != await store.take("name", "you", seconds=30)

    async def test_a_closed_store_is_unavailable(self, store: Store) -> None:
        """
        Every kind of call says so, a waiting reader of the feed too; closing again is nothing.
        """
        waiting = asyncio.ensure_future(store.changes(0, seconds=30))
        await asyncio.sleep(0.02)
        await store.close()
        await store.close()
        results = await asyncio.wait_for(
            outcomes(
                waiting,  # type: ignore[arg-type]
                store.get(a_grant().id),
                store.commit(Insert(a_grant())),
                store.claim(a_redemption(), seconds=30),
                store.commit(Settle(a_redemption())),
                store.take("name", "me", seconds=30),
                store.callers(),
                store.ready(),
                store.sweep(NOW),
            ),
            timeout=5,
        )

        assert [StoreUnavailable] * 9 == [type(result) for result in results]

    async def test_closing_finishes_what_is_written(self, store: Store) -> None:
        """
        Saves that were begun before the close are acknowledged.
        """
        saves = [asyncio.ensure_future(store.commit(Insert(a_grant(number)))) for number in range(20)]
        await asyncio.sleep(0)
        await store.close()

        assert [None] * 20 == await asyncio.gather(*saves)
