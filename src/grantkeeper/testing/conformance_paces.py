"""What a store of rates and pauses that all share must do."""

import pytest

from grantkeeper.ports import Store
from grantkeeper.testing.conformance_base import SHORT, Conformance, outcomes


@pytest.mark.anyio
class PaceStoreConformance(Conformance):
    """`grantkeeper.ports.PaceStore`."""

    async def test_a_burst_is_free_and_then_there_is_a_wait(self, store: Store) -> None:
        """
        Another key is another rate; who is told to wait has taken nothing.
        """
        turns = [await store.spend("key", per_second=0.1, burst=3) for _ in range(3)]
        waits = [await store.spend("key", per_second=0.1, burst=3) for _ in range(3)]

        assert [0.0] * 3 == turns
        assert all(5 < wait < 11 for wait in waits)
        assert 0.0 == await store.spend("other", per_second=0.1, burst=1)

    async def test_turns_come_back_with_time(self, store: Store) -> None:
        """
        One each *1 / per_second*, and never more than the burst.
        """
        taken = await store.spend("key", per_second=1 / SHORT, burst=1)
        await self.outlast(SHORT)
        again = await store.spend("key", per_second=1 / SHORT, burst=1)
        await self.outlast(3 * SHORT)
        later = [await store.spend("key", per_second=0.01, burst=2) for _ in range(3)]

        assert [0.0, 0.0] == [taken, again]
        assert [0.0, 0.0] == later[:2]
        assert 50 < later[2] < 101

    async def test_of_many_who_spend_at_once_as_many_win_as_may(self, store: Store) -> None:
        """
        The burst, and not one more.
        """
        waits = await outcomes(*(store.spend("key", per_second=0.001, burst=5) for _ in range(40)))

        assert 5 == waits.count(0.0)
        assert all(isinstance(wait, float) for wait in waits)

    async def test_a_pause_lasts_its_time(self, store: Store) -> None:
        """
        By the store's clock.
        """
        await store.pause("short", seconds=SHORT)
        await store.pause("long", seconds=600)
        await store.pause("other", seconds=600)
        await self.outlast(SHORT)
        found = await store.pauses(["short", "long", "never"])

        assert {"short": SHORT, "long": 600.0} == {key: pause.seconds for key, pause in found.items()}
        assert found["short"].left <= 0.0
        assert 500 < found["long"].left < 601
        assert {} == await store.pauses([])

    async def test_a_longer_pause_stays(self, store: Store) -> None:
        """
        Whichever came first.
        """
        await store.pause("one", seconds=60)
        await store.pause("one", seconds=1)
        await store.pause("two", seconds=1)
        await store.pause("two", seconds=60)

        found = await store.pauses(["one", "two"])

        assert [60.0, 60.0] == [pause.seconds for pause in found.values()]
        assert all(pause.left > 50 for pause in found.values())

    async def test_a_pause_that_is_over_is_remembered_until_it_is_forgotten(self, store: Store) -> None:
        """
        Another one may begin before; one that lasts is not forgotten.
        """
        for key in ("kept", "over", "again"):
            await store.pause(key, seconds=SHORT)
        await store.pause("long", seconds=600)
        await self.outlast(SHORT)
        await store.pause("again", seconds=SHORT / 2)
        await self.outlast(SHORT / 2)
        seen = await store.pauses(["again"])
        await store.forget_pauses(["over", "long", "never"])
        await store.forget_pauses([])

        assert SHORT / 2 == seen["again"].seconds
        assert {"kept", "again", "long"} == set(await store.pauses(["kept", "over", "again", "long"]))
