"""What workers say that they can do."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from grantkeeper import JobContext, job
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.memory_engine import MemoryEngine
from grantkeeper.errors import JobUnknown, StoreUnavailable
from grantkeeper.jobs import announcing
from grantkeeper.jobs.announcing import AGAIN, Announcer, announce
from grantkeeper.jobs.definition import by_name
from grantkeeper.jobs.desk import UNHEARD, Desk
from grantkeeper.jobs.means import Means
from grantkeeper.testing import ManualClock, SeededDice

MOMENT = timedelta(microseconds=1)

pytestmark = pytest.mark.anyio


class Slow(MemoryStore):
    """Between a reading and a writing others have their turn."""

    async def mark(self, name: str) -> bytes | None:
        found = await super().mark(name)
        await asyncio.sleep(0)
        return found


class Away(MemoryStore):
    """Is away when it is told something, so often."""

    away = 0

    async def swap_mark(self, name: str, value: bytes, *, was: bytes | None) -> bool:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away", retry_after=1.0)
        return await super().swap_mark(name, value, was=was)


def means(store: MemoryStore, *jobs: Any) -> Means:
    return Means(
        store=store,
        engine=MemoryEngine(),
        http=None,  # type: ignore[arg-type]
        tokens=None,  # type: ignore[arg-type]
        clock=ManualClock(),
        dice=SeededDice(1),
        definitions=by_name(each.definition for each in jobs),
        executor="worker",
    )


def named(name: str) -> Any:
    @job(name=name)
    async def work(ctx: JobContext) -> None: ...

    return work


async def test_apps_that_announce_at_one_moment_are_all_heard() -> None:
    """
    Each reads what is known, adds its own and writes it: none writes over what another has added.
    """
    store = Slow()
    names = [f"job {number}" for number in range(10)]
    await asyncio.gather(*(announce(means(store, named(name))) for name in names))

    assert set(names) == set(await Desk(store, ManualClock(), SeededDice(1)).kinds())


async def test_a_job_that_no_worker_has_any_more_is_unknown() -> None:
    """
    A month after the last worker said so, to the moment; one that works on says it again each day.
    """
    store, clock = MemoryStore(), ManualClock()
    await announce(replace(means(store, named("old"), named("new")), clock=clock))
    desk = Desk(store, clock, SeededDice(1))
    clock.advance(AGAIN)
    await announce(replace(means(store, named("new")), clock=clock))
    clock.advance(UNHEARD - AGAIN - MOMENT)
    before = set(await desk.kinds())
    clock.advance(MOMENT)

    assert ({"old", "new"}, {"new"}) == (before, set(await desk.kinds()))
    with pytest.raises(JobUnknown):
        await desk.enqueue("old", "grant")


async def test_a_worker_that_works_on_says_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By the keeper's clock; a store that is away keeps it from nothing.
    """
    monkeypatch.setattr(announcing, "LOOK_EVERY", 0.001)
    store, clock = Away(), ManualClock()
    announcer = Announcer(replace(means(store, named("work")), clock=clock))
    await announcer.start()
    for _ in range(2):
        store.away = 1
        clock.advance(UNHEARD)
        async with asyncio.timeout(20):
            while not await Desk(store, clock, SeededDice(1)).kinds():
                await asyncio.sleep(0.001)
        assert 0 == store.away
    await announcer.stop()


async def test_what_a_clock_from_the_future_said_is_said_again() -> None:
    """
    Else a job would be known until then.
    """
    store, clock = MemoryStore(), ManualClock()
    await announce(
        replace(means(store, named("work")), clock=ManualClock(clock.now() + timedelta(days=3650)))
    )
    await announce(replace(means(store, named("work")), clock=clock))

    assert clock.now() == (await Desk(store, clock, SeededDice(1)).kinds())["work"].announced_at


async def test_what_is_known_already_is_not_written_again() -> None:
    """
    A thousand workers that start again tell nobody anything new.
    """
    store = MemoryStore()
    await announce(means(store, named("work")))
    place = await store.last_change()
    await announce(means(store, named("work")))

    assert place == await store.last_change()
