"""A worker that stood still, woke up, and goes on with what another is at by now."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from grantkeeper import JobContext, PermanentFailure, TryLater, job
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.memory_engine import MemoryEngine
from grantkeeper.errors import ConsentRequired, StoreUnavailable
from grantkeeper.jobs.definition import by_name
from grantkeeper.jobs.liveness import LEASE, Liveness
from grantkeeper.jobs.means import Means
from grantkeeper.jobs.row import TakenOver
from grantkeeper.jobs.runner import Runner
from grantkeeper.jobs.yard import Yard
from grantkeeper.model import WORKER_LEASES, Job, JobState, Lease, Order
from grantkeeper.ports import Insert, Suspended
from grantkeeper.testing import ManualClock, SeededDice
from grantkeeper.testing.records import a_grant, a_job
from tests.jobs_kit import means_of

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Forgetful(MemoryStore):
    """Writes, and now and then does not say so."""

    silent = False

    async def change_job(self, job: Job, *, quiet: bool = False) -> Job:
        changed = await super().change_job(job, quiet=quiet)
        if self.silent:
            self.silent = False
            raise StoreUnavailable("no answer")
        return changed


@dataclass
class Town:
    """
    A store with one job, and workers of whom each may be alive or not.

    Attributes:
        begun: The author's code is at it; it goes on when *go* is set.
        end: How it ends: an error that is raised.
        tells: It tells of its progress before that.
        living: Whether the worker that runs it has its lease.
    """

    yard: Yard
    store: Forgetful = field(default_factory=Forgetful)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    end: Exception | None = None
    tells: bool = False
    living: bool = True

    def runner(self) -> Runner:
        home = asyncio.get_running_loop()

        @job()
        async def work(ctx: JobContext) -> str:
            async def wait() -> None:
                self.begun.set()
                await self.go.wait()

            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(wait(), home))
            if self.tells:
                await ctx.progress(1, 2)
            if self.end is not None:
                raise self.end
            return "done"

        means = Means(
            store=self.store,
            engine=MemoryEngine(),
            http=None,  # type: ignore[arg-type]
            tokens=None,  # type: ignore[arg-type]
            clock=ManualClock(NOW),
            dice=SeededDice(1),
            definitions=by_name([work.definition]),
            executor="worker",
        )
        return Runner(means, self.yard, self.lives)

    async def lives(self) -> bool:
        return self.living

    async def run(self) -> None:
        await self.runner().run(a_job().id, None)  # type: ignore[arg-type]

    async def row(self) -> Job:
        found = await self.store.job(a_job().id)
        assert found is not None
        return found

    async def other_begins(self) -> Job:
        """Another worker has taken this one's lease, and begins what it was at."""
        self.living = False
        row = await self.row()
        return await self.store.change_job(replace(row, state=JobState.RUNNING, attempts=row.attempts + 1))


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    yard = Yard(1)
    made = Town(yard)
    await made.store.commit(Insert(a_grant()))
    await made.store.add_jobs([a_job()])
    yield made
    yard.close()


ENDS = [
    None,
    TryLater(5),
    OSError("a disk"),
    PermanentFailure("no"),
    ConsentRequired("gone", reason="revoked"),
]


@pytest.mark.parametrize("tells", [False, True], ids=["silent", "with progress"])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
async def test_what_another_is_at_is_left_alone(town: Town, end: Exception | None, tells: bool) -> None:
    """
    However the run of the one that stood still ends, the row says what the other has written.
    """
    town.end, town.tells = end, tells
    run = asyncio.ensure_future(town.run())
    await town.begun.wait()
    others = await town.other_begins()
    town.go.set()
    with pytest.raises(TakenOver):
        await run

    assert others == await town.row()


async def test_who_comes_late_does_not_begin(town: Town) -> None:
    """
    It was given the job, stood still, and wakes up when another runs it.
    """
    others = await town.other_begins()
    with pytest.raises(TakenOver):
        await town.run()

    assert others == await town.row()
    assert not town.begun.is_set()


async def test_what_another_has_decided_stands(town: Town) -> None:
    """
    It began and ended while this one stood still.
    """
    town.end = PermanentFailure("no")
    run = asyncio.ensure_future(town.run())
    await town.begun.wait()
    begun = await town.other_begins()
    others = await town.store.change_job(replace(begun, state=JobState.WAITING, due_at=NOW))
    town.go.set()
    with pytest.raises(Suspended):
        await run

    assert others == await town.row()


async def test_who_takes_over_begins_whatever_the_row_says(town: Town) -> None:
    """
    The one before it is said to run it still.
    """
    await town.store.change_job(replace(await town.row(), state=JobState.RUNNING))
    run = asyncio.ensure_future(town.run())
    await town.begun.wait()
    town.go.set()
    await run

    assert JobState.DONE is (await town.row()).state


@pytest.mark.parametrize("end", [None, TryLater(5)], ids=["done", "waiting"])
@pytest.mark.parametrize("tells", [False, True], ids=["its end", "its progress"])
async def test_an_answer_that_is_lost_is_not_another_run(
    town: Town, end: Exception | None, tells: bool
) -> None:
    """
    What we find in the row is what we wrote ourselves.
    """
    town.end, town.tells = end, tells
    run = asyncio.ensure_future(town.run())
    await town.begun.wait()
    town.store.silent = True
    town.go.set()
    await asyncio.gather(run, return_exceptions=True)

    assert (JobState.DONE if end is None else JobState.WAITING) is (await town.row()).state


async def test_an_order_to_resume_is_not_struck_out_by_who_begins(town: Town) -> None:
    """
    It may be meant for a later run than this one; carried out twice, it changes nothing.
    """
    await town.store.change_job(replace(await town.row(), order=Order.RESUME))
    town.go.set()
    await town.run()

    assert Order.RESUME is (await town.row()).order


def a_worker(store: MemoryStore, clock: ManualClock, executor: str, lost: list[str]) -> Liveness:
    return Liveness(means_of(store, MemoryEngine(), clock, executor), lambda: lost.append(executor))


async def test_a_worker_lives_as_long_as_it_has_its_lease() -> None:
    """
    By what stands in the database, whatever the worker believes; it may lapse, if nobody takes it.
    """
    clock = ManualClock(NOW)
    store = MemoryStore(monotonic=clock.monotonic)
    liveness = a_worker(store, clock, "worker", [])
    before = await liveness.lives()
    await liveness.start()
    living = await liveness.lives()
    clock.tick(LEASE + 1)
    lapsed = await liveness.lives()
    clock.tick(LEASE + 1)
    taken = await store.take(WORKER_LEASES + "worker", "another", seconds=LEASE)
    after = await liveness.lives()
    await liveness.stop(idle=True)

    assert isinstance(taken, Lease)
    assert (False, True, True, False) == (before, living, lapsed, after)


async def test_workers_outlive_a_store_that_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    All their leases have lapsed when it is back: nobody takes another for dead before that one had its say.
    """

    class Away(MemoryStore):
        away = False

        def _open(self) -> None:
            super()._open()
            if self.away:
                raise StoreUnavailable("away")

    times = {"RENEWED_AFTER": 0.01, "LOOK_EVERY": 0.01, "SILENCE": 0.2, "BACK": 4.0}
    for name, seconds in times.items():
        monkeypatch.setattr(f"grantkeeper.jobs.liveness.{name}", seconds)
    clock, lost = ManualClock(NOW), list[str]()
    store = Away(monotonic=clock.monotonic)
    workers = [a_worker(store, clock, executor, lost) for executor in ("first", "second")]
    for worker in workers:
        await worker.start()
    dead = await store.take(WORKER_LEASES + "dead", "dead", seconds=LEASE)
    store.away = True
    clock.tick(LEASE + 1)
    await asyncio.sleep(2 * times["SILENCE"])
    store.away = False
    await asyncio.sleep(0.2)
    left_alone = await store.orphans(WORKER_LEASES)
    async with asyncio.timeout(30):
        while await store.orphans(WORKER_LEASES):
            await asyncio.sleep(0.01)
    for worker in workers:
        await worker.stop(idle=True)

    assert isinstance(dead, Lease)
    assert [WORKER_LEASES + "dead"] == left_alone
    assert [] == lost
