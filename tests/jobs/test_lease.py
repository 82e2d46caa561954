"""A worker's lease: it is kept, or lost, and never in between."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.memory_engine import MemoryEngine
from grantkeeper.jobs.liveness import LEASE, Liveness
from grantkeeper.model import WORKER_LEASES, Held, Lease
from grantkeeper.ports import Release
from grantkeeper.testing import ManualClock
from tests.jobs_kit import means_of
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NAME = WORKER_LEASES + "worker"


class Store(MemoryStore):
    """
    Tells of takings, and may break.

    Attributes:
        taken: The names that were asked for, one for each time.
        broken: How often it breaks yet.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(monotonic=monotonic)
        self.taken: list[str] = []
        self.broken = 0

    async def take(
        self, name: str, owner: str, *, seconds: float, seen: tuple[str, int] | None = None
    ) -> Lease | Held:
        self.taken.append(owner)
        return await super().take(name, owner, seconds=seconds, seen=seen)

    async def renew(self, lease: Lease, *, seconds: float, lapsed: bool = False) -> Lease | None:
        if self.broken:
            self.broken -= 1
            raise ZeroDivisionError
        return await super().renew(lease, seconds=seconds, lapsed=lapsed)


async def a_lost_one(
    monkeypatch: pytest.MonkeyPatch, broken: int = 0
) -> tuple[Liveness, Store, ManualClock, list[str], Lease]:
    """One whose lease another has taken, who gives it back when he had the engine run what it was at."""
    monkeypatch.setattr("grantkeeper.jobs.liveness.RENEWED_AFTER", 0.01)
    clock, lost = ManualClock(NOW), list[str]()
    store = Store(clock.monotonic)
    liveness = Liveness(means_of(store, MemoryEngine(), clock, "worker"), lambda: lost.append("worker"))
    await liveness.start()
    clock.tick(LEASE + 1)
    claim = await store.take(NAME, "another", seconds=LEASE)
    assert isinstance(claim, Lease)
    store.broken = broken
    return liveness, store, clock, lost, claim


async def test_who_lost_its_lease_is_missed_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The engine may have given it something since; and the worker itself may be killed before it ends.
    """
    liveness, store, clock, lost, claim = await a_lost_one(monkeypatch)
    await eventually(lambda: store.taken[:4] == ["worker", "another", "worker", "worker"])
    await store.commit(Release(claim))
    await eventually(lambda: liveness._lease is not None and liveness._lease.version > claim.version)
    living = await liveness.lives()
    clock.tick(LEASE + 1)
    orphans = await store.orphans(WORKER_LEASES)
    await liveness.stop(idle=True)

    assert (["worker"], False) == (lost, living)
    assert [NAME] == orphans
    assert [] == await store.orphans(WORKER_LEASES)


async def test_an_error_of_ours_does_not_hide_that_the_lease_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever goes on without it does what others do as well.
    """
    liveness, store, _, lost, _ = await a_lost_one(monkeypatch, broken=2)
    await eventually(lambda: lost)
    await liveness.stop(idle=True)

    assert (["worker"], 0) == (lost, store.broken)
