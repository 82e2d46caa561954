"""What a store of grants must do."""

import asyncio
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from grantkeeper.errors import StoreConflict
from grantkeeper.model import Grant, GrantState, Sealed, Subject
from grantkeeper.ports import (
    Delete,
    DropTokens,
    Insert,
    Note,
    PutToken,
    Replace,
    Settle,
    Step,
    Store,
)
from grantkeeper.testing.conformance_base import Conformance, outcomes, saved
from grantkeeper.testing.records import (
    ISSUER,
    NOW,
    a_bare_grant,
    a_full_grant,
    a_grant,
    a_redemption,
    a_token,
    an_event,
)

FIXED = {"id", "client_id", "subject", "created_at", "used_at", "version"}
CHANGING = [part.name for part in fields(Grant) if part.name not in FIXED]


@pytest.mark.anyio
class GrantStoreConformance(Conformance):
    """`grantkeeper.ports.GrantStore`, but for its listings."""

    @pytest.mark.parametrize("make", [a_grant, a_full_grant, a_bare_grant])
    async def test_a_grant_comes_back_as_it_was_saved(self, store: Store, make: Callable[[], Grant]) -> None:
        """
        Every field survives, empty or full, to the microsecond.
        """
        grant = make()
        await store.commit(Insert(grant))

        assert replace(grant, version=1) == await store.get(grant.id)

    async def test_an_unknown_grant_is_none(self, store: Store) -> None:
        """
        A grant that is not there is not an error.
        """
        assert await store.get(a_grant().id) is None
        assert await store.read(a_grant().id) is None
        assert await store.find("client.example", Subject(ISSUER, "sub-1")) is None

    async def test_the_first_version_is_one(self, store: Store) -> None:
        """
        An insert decides the version, whatever the record says.
        """
        (stored,) = await saved(store, a_grant(version=41))

        assert 1 == stored.version

    async def test_a_grant_is_found_by_client_and_subject(self, store: Store) -> None:
        """
        Client, issuer and sub must all be the asked ones.
        """
        mine = a_grant(1)
        others = [
            a_grant(2, client_id="other.example", subject=mine.subject),
            a_grant(3, subject=Subject("https://other.example", "sub-1")),
            a_grant(4),
        ]
        (stored, *_) = await saved(store, mine, *others)

        assert stored == await store.find("client.example", Subject(ISSUER, "sub-1"))
        assert await store.find("client.example", Subject("https://other.example", "sub-4")) is None

    @pytest.mark.parametrize(
        "second",
        [
            a_grant(2, subject=Subject(ISSUER, "sub-1")),
            a_grant(1, subject=Subject(ISSUER, "another")),
        ],
        ids=["same subject", "same id"],
    )
    async def test_a_second_insert_is_a_conflict(self, store: Store, second: Grant) -> None:
        """
        Neither an id nor a client's subject can have two grants.
        """
        (stored,) = await saved(store, a_grant(1))
        with pytest.raises(StoreConflict):
            await store.commit(Insert(second))

        assert stored == await store.get(stored.id)

    @pytest.mark.parametrize("make", [a_grant, a_full_grant, a_bare_grant])
    async def test_a_replace_saves_every_field(self, store: Store, make: Callable[[], Grant]) -> None:
        """
        Whatever the grant was before, all of it is as the save says, one version later.
        """
        before = a_full_grant() if make is not a_full_grant else a_bare_grant()
        (stored,) = await saved(store, replace(before, used_at=None))
        wanted = replace(make(), version=1)
        await store.commit(Replace(wanted))

        assert replace(wanted, version=2) == await store.get(stored.id)

    @pytest.mark.parametrize("name", CHANGING)
    async def test_a_replace_saves_a_field_that_changes_alone(self, store: Store, name: str) -> None:
        """
        To a value and back to nothing, with all the others as they were.
        """
        (stored,) = await saved(store, a_bare_grant())
        given = replace(stored, **{name: getattr(a_full_grant(), name)})
        await store.commit(Replace(given))
        full = await store.get(stored.id)
        await store.commit(Replace(replace(stored, version=2)))

        assert replace(given, version=2) == full
        assert replace(stored, version=3) == await store.get(stored.id)

    async def test_a_replace_keeps_what_never_changes(self, store: Store) -> None:
        """
        Client, subject and birthday are the row's identity.
        """
        (stored,) = await saved(store, a_grant())
        await store.commit(
            Replace(
                replace(
                    stored,
                    client_id="other.example",
                    subject=Subject(ISSUER, "other"),
                    created_at=NOW + timedelta(days=1),
                )
            )
        )

        assert replace(stored, version=2) == await store.get(stored.id)
        assert await store.find("other.example", Subject(ISSUER, "other")) is None

    @pytest.mark.parametrize("version", [0, 2, 3])
    async def test_a_replace_of_another_version_is_a_conflict(self, store: Store, version: int) -> None:
        """
        An older and a never seen version are refused alike.
        """
        (stored,) = await saved(store, a_grant())
        with pytest.raises(StoreConflict):
            await store.commit(Replace(replace(stored, user="x", version=version)))

        assert stored == await store.get(stored.id)

    async def test_a_replace_of_nothing_is_a_conflict(self, store: Store) -> None:
        """
        A grant that was deleted does not come back by a save.
        """
        with pytest.raises(StoreConflict):
            await store.commit(Replace(a_grant(version=1)))

        assert await store.get(a_grant().id) is None

    async def test_of_a_hundred_writers_on_one_version_one_wins(self, store: Store) -> None:
        """
        A version is spent by one save; the other ninety-nine hear of a conflict.
        """
        (stored,) = await saved(store, a_grant())
        results = await outcomes(
            *(store.commit(Replace(replace(stored, user=f"writer {number}"))) for number in range(100))
        )
        winners = [number for number, result in enumerate(results) if result is None]
        conflicts = [result for result in results if isinstance(result, StoreConflict)]

        assert (1, 99) == (len(winners), len(conflicts))
        assert replace(stored, user=f"writer {winners[0]}", version=2) == await store.get(stored.id)

    async def test_of_many_first_sign_ins_one_makes_the_grant(self, store: Store) -> None:
        """
        Inserts of one subject under different ids race; the subject ends with one grant.
        """
        subject = Subject(ISSUER, "racer")
        results = await outcomes(
            *(store.commit(Insert(a_grant(number, subject=subject))) for number in range(1, 21))
        )
        winners = [number for number, result in enumerate(results, start=1) if result is None]
        found = await store.find("client.example", subject)

        assert 19 == sum(isinstance(result, StoreConflict) for result in results)
        assert found is not None
        assert [a_grant(winners[0]).id] == [found.id]

    async def test_a_commit_is_all_or_nothing(self, store: Store) -> None:
        """
        One condition that does not hold undoes every step before it, of every kind.
        """
        one, two = await saved(store, a_grant(1), a_grant(2))
        await store.commit(PutToken(a_token(one)))
        before = await store.last_change()
        steps: list[Step] = [
            Insert(a_grant(3)),
            Replace(replace(one, user="changed")),
            PutToken(a_token(one, "other")),
            DropTokens(one.id),
            Delete(two.id, two.version),
            Note(an_event()),
            Settle(a_redemption(b"never claimed")),
        ]
        with pytest.raises(StoreConflict):
            await store.commit(*steps)

        assert (one, (a_token(one),)) == await store.read(one.id)
        assert two == await store.get(two.id)
        assert await store.get(a_grant(3).id) is None
        assert await store.find("client.example", a_grant(3).subject) is None
        assert [] == await store.events()
        assert () == (await store.changes(before, seconds=0)).changes

    async def test_steps_see_the_steps_before_them(self, store: Store) -> None:
        """
        A grant and its token can be born in one commit, and a grant can make room for another.
        """
        first, second = a_grant(1), a_grant(2, subject=a_grant(1).subject)
        await store.commit(Insert(first), PutToken(a_token(first)))
        await store.commit(Delete(first.id, 1), Insert(second), PutToken(a_token(second)))

        assert (replace(second, version=1), (a_token(second),)) == await store.read(second.id)
        assert await store.read(first.id) is None

    async def test_a_conflict_harms_nobody_beside_it(self, store: Store) -> None:
        """
        Commits that are saved together succeed and fail each for itself.
        """
        (stored,) = await saved(store, a_grant(1))
        results = await outcomes(
            *(
                store.commit(Insert(a_grant(number)))
                if number % 2
                else store.commit(Insert(a_grant(number)), Replace(replace(stored, version=7)))
                for number in range(10, 30)
            )
        )
        there = [await store.get(a_grant(number).id) is not None for number in range(10, 30)]

        assert [result is None for result in results] == there
        assert [number % 2 == 1 for number in range(10, 30)] == there

    async def test_a_caller_that_leaves_takes_nobody_along(self, store: Store) -> None:
        """
        Cancelling one waiting save leaves the others whole; its own is done or not done, never half.
        """
        leaving = asyncio.ensure_future(store.commit(Insert(a_grant(1)), PutToken(a_token(a_grant(1)))))
        staying = [asyncio.ensure_future(store.commit(Insert(a_grant(number)))) for number in range(2, 12)]
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(*staying)
        left = await store.read(a_grant(1).id)

        assert all([await store.get(a_grant(number).id) for number in range(2, 12)])
        assert left is None or (a_token(a_grant(1)),) == left[1]

    # -- access tokens ----------------------------------------------------------------------

    async def test_tokens_are_read_with_their_grant(self, store: Store) -> None:
        """
        A grant comes with one token for each scope key, and with no other grant's.
        """
        mine, other = await saved(store, a_grant(1), a_grant(2))
        tokens = {a_token(mine), a_token(mine, "narrow", scopes=frozenset())}
        await store.commit(*(PutToken(token) for token in tokens), PutToken(a_token(other)))
        read = await store.read(mine.id)

        assert read is not None
        assert (mine, tokens) == (read[0], set(read[1]))
        assert 2 == len(read[1])

    async def test_a_token_replaces_the_one_of_its_scope_key(self, store: Store) -> None:
        """
        The newest token of a scope set is the only one.
        """
        (mine,) = await saved(store, a_grant())
        newer = a_token(
            mine,
            sealed=Sealed(b"newer", 5),
            scopes=frozenset({"files"}),
            obtained_at=NOW + timedelta(hours=1),
            expires_at=NOW + timedelta(hours=2),
        )
        await store.commit(PutToken(a_token(mine)))
        await store.commit(PutToken(newer))

        assert (mine, (newer,)) == await store.read(mine.id)

    async def test_a_token_needs_its_grant(self, store: Store) -> None:
        """
        A token of a grant that is gone is a conflict, not an orphan.
        """
        with pytest.raises(StoreConflict):
            await store.commit(PutToken(a_token(a_grant())))

    async def test_dropping_tokens_drops_all_of_one_grant(self, store: Store) -> None:
        """
        The other grant keeps its token, and dropping nothing is no conflict.
        """
        mine, other = await saved(store, a_grant(1), a_grant(2))
        await store.commit(
            PutToken(a_token(mine)), PutToken(a_token(mine, "narrow")), PutToken(a_token(other))
        )
        await store.commit(DropTokens(mine.id), DropTokens(a_grant(3).id))

        assert (mine, ()) == await store.read(mine.id)
        assert (other, (a_token(other),)) == await store.read(other.id)

    # -- deleting ---------------------------------------------------------------------------

    async def test_a_delete_takes_the_tokens_along(self, store: Store) -> None:
        """
        A subject that comes back starts without a token of before.
        """
        (mine,) = await saved(store, a_grant())
        await store.commit(PutToken(a_token(mine)))
        await store.commit(Delete(mine.id, mine.version))
        gone = (await store.get(mine.id), await store.find(mine.client_id, mine.subject))
        await store.commit(Insert(mine))

        assert (None, None) == gone
        assert (mine, ()) == await store.read(mine.id)

    @pytest.mark.parametrize("version", [0, 2])
    async def test_a_delete_of_another_version_is_a_conflict(self, store: Store, version: int) -> None:
        """
        Whoever forgets a grant has seen what it is.
        """
        (mine,) = await saved(store, a_grant())
        with pytest.raises(StoreConflict):
            await store.commit(Delete(mine.id, version))

        assert mine == await store.get(mine.id)

    # -- stamps -----------------------------------------------------------------------------

    async def test_a_touch_is_no_news(self, store: Store) -> None:
        """
        Stamps change neither version nor feed, only forward, and unknown grants are passed over.
        """
        one, two, three = await saved(store, a_grant(1), a_grant(2, used_at=NOW), a_grant(3))
        before = await store.last_change()
        later, earlier = NOW + timedelta(minutes=1), NOW - timedelta(minutes=1)
        await store.touch({one.id: later, two.id: earlier, a_grant(9).id: later})
        await store.touch({})

        assert replace(one, used_at=later) == await store.get(one.id)
        assert two == await store.get(two.id)
        assert three == await store.get(three.id)
        assert before == await store.last_change()

    @pytest.mark.parametrize("minutes", [-1, 0, 1])
    async def test_a_replace_keeps_the_later_stamp(self, store: Store, minutes: int) -> None:
        """
        A save that read the grant before a flush does not turn its stamp back.
        """
        (mine,) = await saved(store, a_grant())
        await store.touch({mine.id: NOW})
        other = NOW + timedelta(minutes=minutes)
        await store.commit(Replace(replace(mine, used_at=other, state=GrantState.BLOCKED)))
        stored = await store.get(mine.id)
        assert stored is not None
        await store.commit(Replace(replace(stored, used_at=None)))
        last = await store.get(mine.id)

        assert last is not None
        assert (max(NOW, other), max(NOW, other)) == (stored.used_at, last.used_at)
