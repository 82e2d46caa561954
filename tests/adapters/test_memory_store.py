"""The memory store keeps every promise of a store, and forgets when told to."""

from dataclasses import dataclass

import pytest

import grantkeeper.testing
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.retention import FEED_SECONDS, LEASE_SECONDS, PACE_SECONDS
from grantkeeper.model import SOUGHT_LEASES, Change, Lease
from grantkeeper.ports import Insert
from grantkeeper.testing.conformance import StoreConformance
from grantkeeper.testing.conformance_rest import heard
from grantkeeper.testing.records import NOW, a_grant, a_signing_key


@dataclass
class Hand:
    """A clock that a test sets by hand."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


class TestMemoryStore(StoreConformance):
    """On the machine's own clock."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class TestMemoryStoreByHand(StoreConformance):
    """On a clock that only the test moves."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        self.hand = Hand()
        return MemoryStore(monotonic=self.hand)

    async def outlast(self, seconds: float) -> None:
        self.hand.seconds += seconds


@pytest.mark.anyio
async def test_an_old_feed_is_swept_but_for_the_newest_change() -> None:
    """
    Ten minutes of the feed are kept; who was away longer is told to look at everything.
    """
    hand = Hand()
    store = MemoryStore(monotonic=hand)
    await store.commit(Insert(a_grant(1)), Insert(a_grant(2)), Insert(a_grant(3)))
    hand.seconds += FEED_SECONDS - 1
    young = await store.sweep(NOW)
    hand.seconds += 1
    old = await store.sweep(NOW)

    assert (0, 2) == (young, old)
    assert [Change(3, "all", "")] == await heard(store, 0)
    assert [Change(3, "all", "")] == await heard(store, 1)
    assert [Change(3, "grant", a_grant(3).id)] == await heard(store, 2)
    assert [] == await heard(store, 3)


@pytest.mark.anyio
async def test_a_long_feed_is_swept_whatever_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The feed keeps a number of rows at most.
    """
    monkeypatch.setattr("grantkeeper.adapters.memory.FEED_ROWS", 100)
    store = MemoryStore(monotonic=Hand())
    extra = 10
    for number in range(100 + extra):
        await store.add_signing_key(a_signing_key(str(number)))

    assert extra == await store.sweep(NOW)


@pytest.mark.anyio
async def test_leases_long_past_are_forgotten() -> None:
    """
    A lease that nobody gave back goes some minutes after its end; its version is not used again.

    But for those whose orphans are somebody's work.
    """
    hand = Hand()
    store = MemoryStore(monotonic=hand)
    lapsed = await store.take("lapsed", "me", seconds=60)
    for name in SOUGHT_LEASES:
        await store.take(f"{name}1", "me", seconds=60)
    hand.seconds += 60 + LEASE_SECONDS - 1
    young = await store.sweep(NOW)
    hand.seconds += 1
    old = await store.sweep(NOW)
    again = await store.take("lapsed", "you", seconds=60)
    orphans = [await store.orphans(name) for name in SOUGHT_LEASES]

    assert (0, 1) == (young, old)
    assert [[f"{name}1"] for name in SOUGHT_LEASES] == orphans
    assert isinstance(lapsed, Lease)
    assert isinstance(again, Lease)
    assert again.version > lapsed.version


@pytest.mark.anyio
async def test_rates_and_pauses_long_past_are_forgotten() -> None:
    """
    A minute after a rate is full again; after a pause is over as long again as it lasted, and a minute.
    """
    hand = Hand()
    store = MemoryStore(monotonic=hand)
    await store.spend("key", per_second=1, burst=1)
    await store.pause("key", seconds=1)
    hand.seconds += PACE_SECONDS
    swept = [await store.sweep(NOW)]
    for _ in range(2):
        hand.seconds += 1
        swept.append(await store.sweep(NOW))

    assert [0, 1, 1] == swept


def test_the_suites_are_found_in_the_package() -> None:
    """
    Every promised name loads, and a name that is not promised is an ordinary mistake.
    """
    found = {name: getattr(grantkeeper.testing, name).__name__ for name in dir(grantkeeper.testing)}

    assert found == {name: name for name in found}
    assert "GrantStoreConformance" in found
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        grantkeeper.testing.Missing  # noqa: B018 - looking it up is the test
