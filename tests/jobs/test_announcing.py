"""What workers say that they can do."""

import asyncio
from typing import Any

import pytest

from grantkeeper import JobContext, job
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.memory_engine import MemoryEngine
from grantkeeper.jobs.announcing import announce
from grantkeeper.jobs.definition import by_name
from grantkeeper.jobs.desk import Desk
from grantkeeper.jobs.means import Means
from grantkeeper.testing import ManualClock, SeededDice

pytestmark = pytest.mark.anyio


class Slow(MemoryStore):
    """Between a reading and a writing others have their turn."""

    async def mark(self, name: str) -> bytes | None:
        found = await super().mark(name)
        await asyncio.sleep(0)
        return found


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


async def test_what_is_known_already_is_not_written_again() -> None:
    """
    A thousand workers that start again tell nobody anything new.
    """
    store = MemoryStore()
    await announce(means(store, named("work")))
    place = await store.last_change()
    await announce(means(store, named("work")))

    assert place == await store.last_change()
