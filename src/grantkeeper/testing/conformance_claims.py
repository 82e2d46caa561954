"""What a store of claims must do: redemptions and leases, judged by the store's own clock."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from grantkeeper.errors import StoreConflict
from grantkeeper.model import Held, Lease, Redemption, RedemptionState
from grantkeeper.ports import Insert, Release, Settle, Store
from grantkeeper.testing.conformance_base import SHORT, Conformance, outcomes
from grantkeeper.testing.records import NOW, a_grant, a_redemption


def settled(redemption: Redemption, state: RedemptionState = RedemptionState.DONE) -> Redemption:
    """*redemption* with everything that settling writes."""
    return replace(
        redemption,
        state=state,
        keep_until=NOW + timedelta(days=3),
        fingerprint=b"better proof",
        data_key=b"another key",
        outcome=b"\x00outcome",
        settled_at=NOW + timedelta(seconds=2),
        grant_id=a_grant().id,
    )


@pytest.mark.anyio
class RedemptionStoreConformance(Conformance):
    """`grantkeeper.ports.RedemptionStore` and the `Settle` step."""

    async def test_a_claim_is_remembered_as_it_was_made(self, store: Store) -> None:
        """
        Every field of a claim comes back, and it has not lapsed.
        """
        claim = a_redemption(key_hash=b"key")
        won = await store.claim(claim, seconds=30)

        assert won is None
        assert claim == await store.redemption(claim.code_hash)
        assert await store.redemption(b"another code") is None

    async def test_a_second_claim_gets_the_first(self, store: Store) -> None:
        """
        Whoever comes second is shown what stands in the way, and changes nothing.
        """
        first = a_redemption(owner="first", key_hash=b"key")
        await store.claim(first, seconds=30)

        assert first == await store.claim(a_redemption(owner="second"), seconds=30)
        assert first == await store.redemption(first.code_hash)

    async def test_a_key_with_another_code_gets_the_code_it_was_used_with(self, store: Store) -> None:
        """
        An Idempotency-Key belongs to one code; the second code is not claimed.
        """
        first = a_redemption(b"code 1", key_hash=b"key")
        await store.claim(first, seconds=30)

        assert first == await store.claim(a_redemption(b"code 2", key_hash=b"key"), seconds=30)
        assert await store.redemption(b"code 2") is None

    async def test_the_same_code_counts_before_the_same_key(self, store: Store) -> None:
        """
        With both in the way it is the code's redemption that is shown.
        """
        one, two = a_redemption(b"code 1", key_hash=b"key 1"), a_redemption(b"code 2", key_hash=b"key 2")
        await store.claim(one, seconds=30)
        await store.claim(two, seconds=30)

        assert two == await store.claim(a_redemption(b"code 2", key_hash=b"key 1"), seconds=30)

    async def test_claims_without_a_key_do_not_meet(self, store: Store) -> None:
        """
        No key is not a key that all share.
        """
        await store.claim(a_redemption(b"code 1"), seconds=30)

        assert await store.claim(a_redemption(b"code 2"), seconds=30) is None

    async def test_of_fifty_claims_at_once_one_wins(self, store: Store) -> None:
        """
        The others all see the winner.
        """
        results = await outcomes(
            *(store.claim(a_redemption(owner=f"owner {number}"), seconds=30) for number in range(50))
        )
        winners = [number for number, result in enumerate(results) if result is None]
        seen = {result.owner for result in results if result is not None}

        assert 1 == len(winners)
        assert {f"owner {winners[0]}"} == seen

    async def test_an_unsettled_claim_lapses(self, store: Store) -> None:
        """
        Its owner's time is over by the store's clock; it still stands in the way, and says so.
        """
        claim = a_redemption()
        await store.claim(claim, seconds=SHORT)
        await self.outlast(SHORT)
        lapsed = replace(claim, lapsed=True)

        assert lapsed == await store.redemption(claim.code_hash)
        assert lapsed == await store.claim(a_redemption(owner="second"), seconds=30)

    async def test_settling_writes_the_outcome(self, store: Store) -> None:
        """
        State, outcome and proof are as settled; code, key and birthday as claimed.
        """
        claim = a_redemption(key_hash=b"key")
        await store.claim(claim, seconds=30)
        done = settled(claim)
        await store.commit(Settle(replace(done, client_id="x", key_hash=b"x", created_at=NOW + timedelta(1))))

        assert done == await store.redemption(claim.code_hash)
        assert done == await store.claim(a_redemption(b"other", key_hash=b"key"), seconds=30)

    async def test_what_is_settled_does_not_lapse(self, store: Store) -> None:
        """
        Only a claim at which somebody may still work can be given up.
        """
        claim = a_redemption()
        await store.claim(claim, seconds=SHORT)
        await store.commit(Settle(settled(claim)))
        await self.outlast(SHORT)

        assert settled(claim) == await store.redemption(claim.code_hash)

    async def test_an_owner_may_settle_late(self, store: Store) -> None:
        """
        An answer that came after the claim lapsed is still worth saving, if nobody else has.
        """
        claim = a_redemption()
        await store.claim(claim, seconds=SHORT)
        await self.outlast(SHORT)
        await store.commit(Settle(settled(claim)))

        assert settled(claim) == await store.redemption(claim.code_hash)

    @pytest.mark.parametrize("state", [RedemptionState.DONE, RedemptionState.FAILED])
    async def test_what_is_settled_for_good_stays(self, store: Store, state: RedemptionState) -> None:
        """
        A second settling is a conflict, of its owner's too.
        """
        claim = a_redemption()
        await store.claim(claim, seconds=30)
        await store.commit(Settle(settled(claim, state)))
        with pytest.raises(StoreConflict):
            await store.commit(Settle(replace(settled(claim), outcome=b"second")))

        assert settled(claim, state) == await store.redemption(claim.code_hash)

    async def test_only_the_owner_settles(self, store: Store) -> None:
        """
        Somebody else's settling is a conflict and undoes what came with it.
        """
        await store.claim(a_redemption(owner="mine"), seconds=30)
        with pytest.raises(StoreConflict):
            await store.commit(Insert(a_grant()), Settle(settled(a_redemption(owner="theirs"))))

        assert a_redemption(owner="mine") == await store.redemption(b"code")
        assert await store.get(a_grant().id) is None

    async def test_an_answered_redemption_can_change_hands_once(self, store: Store) -> None:
        """
        Who knows the last owner takes it over, for a time; the last owner has lost it.
        """
        claim = a_redemption(owner="first")
        answered = settled(claim, RedemptionState.ANSWERED)
        await store.claim(claim, seconds=30)
        await store.commit(Settle(answered))
        taken = await outcomes(
            *(
                store.reclaim(b"code", owner="first", new_owner=f"heir {number}", seconds=SHORT)
                for number in range(20)
            )
        )
        heir = f"heir {taken.index(True)}"
        with pytest.raises(StoreConflict):
            await store.commit(Settle(settled(claim)))
        held = await store.redemption(b"code")
        await self.outlast(SHORT)
        lapsed = await store.redemption(b"code")
        await store.commit(Settle(replace(settled(claim), owner=heir)))

        assert 1 == taken.count(True)
        # On a slow machine its short time may be over already.
        assert held is not None
        assert replace(answered, owner=heir) == replace(held, lapsed=False)
        assert replace(answered, owner=heir, lapsed=True) == lapsed
        assert replace(settled(claim), owner=heir) == await store.redemption(b"code")

    async def test_who_works_on_an_answered_redemption_keeps_it(self, store: Store) -> None:
        """
        It is free once its owner has settled it, or has let his time go by.
        """
        claim = a_redemption(owner="first")
        await store.claim(claim, seconds=30)
        await store.commit(Settle(settled(claim, RedemptionState.ANSWERED)))
        free = await store.redemption(b"code")
        took = await store.reclaim(b"code", owner="first", new_owner="second", seconds=30)
        held = await store.reclaim(b"code", owner="second", new_owner="third", seconds=30)
        await store.commit(Settle(replace(settled(claim, RedemptionState.ANSWERED), owner="second")))
        after = await store.reclaim(b"code", owner="second", new_owner="third", seconds=SHORT)
        await self.outlast(SHORT)
        late = await store.reclaim(b"code", owner="third", new_owner="fourth", seconds=30)

        assert free is not None
        assert free.lapsed
        assert (True, False, True, True) == (took, held, after, late)

    async def test_only_an_answered_redemption_changes_hands(self, store: Store) -> None:
        """
        A claim that may have sent its code, lapsed or not, is nobody's to take, nor is a settled one.
        """
        claim = a_redemption(owner="first")
        await store.claim(claim, seconds=SHORT)
        await self.outlast(SHORT)
        claimed = await store.reclaim(b"code", owner="first", new_owner="heir", seconds=30)
        await store.commit(Settle(settled(claim)))
        done = await store.reclaim(b"code", owner="first", new_owner="heir", seconds=30)
        nothing = await store.reclaim(b"no such", owner="first", new_owner="heir", seconds=30)

        assert (False, False, False) == (claimed, done, nothing)

    async def test_an_unclaimed_code_can_be_claimed_anew(self, store: Store) -> None:
        """
        Code and key are as if never used.
        """
        await store.claim(a_redemption(key_hash=b"key"), seconds=30)
        await store.unclaim(b"code", owner="owner")

        assert await store.redemption(b"code") is None
        assert await store.claim(a_redemption(b"code 2", key_hash=b"key"), seconds=30) is None
        assert await store.claim(a_redemption(owner="second"), seconds=30) is None

    async def test_only_the_owner_unclaims_and_only_before_the_answer(self, store: Store) -> None:
        """
        A redemption with an outcome is never dropped by hand.
        """
        claim = a_redemption()
        await store.claim(claim, seconds=30)
        await store.unclaim(b"code", owner="somebody")
        untouched = await store.redemption(b"code")
        await store.commit(Settle(settled(claim, RedemptionState.ANSWERED)))
        await store.unclaim(b"code", owner="owner")
        await store.unclaim(b"no such", owner="owner")

        answered = replace(settled(claim, RedemptionState.ANSWERED), lapsed=True)
        assert claim == untouched
        assert answered == await store.redemption(b"code")


def the_lease(taken: Lease | Held | None) -> Lease:
    """*taken*, which must be a lease."""
    assert isinstance(taken, Lease)
    return taken


@pytest.mark.anyio
class LeaseStoreConformance(Conformance):
    """`grantkeeper.ports.LeaseStore` and the `Release` step."""

    async def test_a_free_lease_is_taken(self, store: Store) -> None:
        """
        It has its whole time before it.
        """
        lease = the_lease(await store.take("name", "me", seconds=30))

        assert ("name", "me") == (lease.name, lease.owner)
        assert 20 < lease.remaining <= 30
        assert 20 < await store.check(lease) <= 30

    async def test_a_held_lease_is_held_against_all(self, store: Store) -> None:
        """
        Against its owner too, who must renew instead; other names are free.
        """
        await store.take("name", "me", seconds=30)
        results = [await store.take("name", owner, seconds=30) for owner in ("me", "you")]
        held = [result for result in results if isinstance(result, Held)]

        assert ["name", "name"] == [result.name for result in held]
        assert all(20 < result.remaining <= 30 for result in held)
        assert isinstance(await store.take("other", "you", seconds=30), Lease)

    async def test_of_a_hundred_takers_one_gets_it(self, store: Store) -> None:
        """
        The others are told how long to wait.
        """
        results = await outcomes(*(store.take("name", f"{number}", seconds=600) for number in range(100)))

        assert 1 == sum(isinstance(result, Lease) for result in results)
        assert 99 == sum(isinstance(result, Held) and result.remaining > 500 for result in results)

    async def test_a_lapsed_lease_is_taken_over(self, store: Store) -> None:
        """
        The new owner's version is greater; the old one has nothing left and cannot renew.
        """
        old = the_lease(await store.take("name", "old", seconds=SHORT))
        await self.outlast(SHORT)
        left, renewed = await store.check(old), await store.renew(old, seconds=30)
        new = the_lease(await store.take("name", "new", seconds=30))

        assert (0.0, None) == (left, renewed)
        assert new.version > old.version
        assert 0.0 == await store.check(old)
        assert await store.renew(old, seconds=30) is None

    async def test_a_lease_is_not_taken_by_who_saw_another_version(self, store: Store) -> None:
        """
        The grant was changed since, or is gone: look again. Who saw it as it is takes the lease.
        """
        await store.commit(Insert(a_grant(1)))
        stored = await store.get(a_grant(1).id)
        assert stored is not None
        stale, gone = (stored.id, stored.version + 1), ("nobody", 1)
        refused = [await store.take("name", "me", seconds=30, seen=seen) for seen in (stale, gone)]
        lease = await store.take("name", "me", seconds=30, seen=(stored.id, stored.version))
        held = await store.take("name", "you", seconds=30, seen=stale)

        assert [Held("name", 0.0)] * 2 == refused
        assert isinstance(lease, Lease)
        assert isinstance(held, Held)

    async def test_a_lapsed_lease_can_be_renewed_until_it_is_taken(self, store: Store) -> None:
        """
        By its owner, who says that it may have lapsed; it is as good as before.
        """
        lease = the_lease(await store.take("name", "me", seconds=SHORT))
        await self.outlast(SHORT)
        renewed = the_lease(await store.renew(lease, seconds=30, lapsed=True))
        held = await store.take("name", "you", seconds=30)
        await store.renew(lease, seconds=SHORT)
        await self.outlast(SHORT)
        await store.take("name", "you", seconds=30)

        assert (lease.version, lease.owner) == (renewed.version, renewed.owner)
        assert isinstance(held, Held)
        assert await store.renew(lease, seconds=30, lapsed=True) is None

    async def test_a_renewed_lease_has_a_new_end(self, store: Store) -> None:
        """
        Later than its first one, with the same version.
        """
        lease = the_lease(await store.take("name", "me", seconds=30))
        renewed = the_lease(await store.renew(lease, seconds=600))

        assert (lease.version, lease.owner) == (renewed.version, renewed.owner)
        assert 500 < renewed.remaining <= 600
        assert 500 < await store.check(lease) <= 600
        assert isinstance(await store.take("name", "you", seconds=30), Held)

    async def test_a_renewal_may_be_shorter(self, store: Store) -> None:
        """
        The new end counts from now, whatever the old one was.
        """
        lease = the_lease(await store.take("name", "me", seconds=30))
        await store.renew(lease, seconds=SHORT)
        await self.outlast(SHORT)

        assert isinstance(await store.take("name", "you", seconds=30), Lease)

    async def test_a_released_lease_is_free_at_once(self, store: Store) -> None:
        """
        Its next taking has a greater version, whoever takes it.
        """
        first = the_lease(await store.take("name", "me", seconds=30))
        await store.commit(Release(first))
        left = await store.check(first)
        second = the_lease(await store.take("name", "me", seconds=30))

        assert 0.0 == left
        assert second.version > first.version

    async def test_a_lost_lease_is_released_without_effect(self, store: Store) -> None:
        """
        Neither another owner nor an older version frees it, and neither is a conflict.
        """
        old = the_lease(await store.take("name", "me", seconds=30))
        await store.commit(Release(old))
        new = the_lease(await store.take("name", "me", seconds=30))
        await store.commit(
            Release(old), Release(replace(new, owner="you")), Release(replace(new, name="other"))
        )

        assert 20 < await store.check(new) <= 30

    async def test_only_the_owner_renews(self, store: Store) -> None:
        """
        An owner, a version and a name must all be right.
        """
        lease = the_lease(await store.take("name", "me", seconds=30))
        wrong = [
            replace(lease, owner="you"),
            replace(lease, version=lease.version + 1),
            replace(lease, name="other"),
        ]

        assert [None] * 3 == [await store.renew(other, seconds=30) for other in wrong]
        assert [0.0] * 3 == [await store.check(other) for other in wrong]

    async def test_a_release_and_a_save_are_one_step(self, store: Store) -> None:
        """
        When the save conflicts, the lease is still held.
        """
        lease = the_lease(await store.take("name", "me", seconds=30))
        with pytest.raises(StoreConflict):
            await store.commit(Release(lease), Settle(a_redemption()))
        await asyncio.sleep(0)

        assert 20 < await store.check(lease) <= 30
