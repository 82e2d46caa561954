"""Workers that end: what they were at is run elsewhere, whatever has become of them or of the database."""

import asyncio
import threading

import pytest

from grantkeeper import JobContext, job
from grantkeeper.adapters.memory_engine import MemoryEngine
from grantkeeper.errors import StoreUnavailable
from grantkeeper.library.worker import Worker
from grantkeeper.settings import Settings
from tests.jobs.conftest import Opener
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


async def test_a_worker_that_was_taken_for_dead_keeps_nothing(open_town: Opener) -> None:
    """
    The engine gave it a job after the others had looked what it was at: they will not look again.
    """
    here, hangs, begun = asyncio.get_running_loop(), asyncio.Event(), list[str]()

    @job()
    async def work(ctx: JobContext) -> str:
        begun.append("")
        if len(begun) == 1:
            here.call_soon_threadsafe(hangs.set)
            await asyncio.sleep(3600)
        return "ok"

    town = await open_town(work)
    running = await town.enqueue(work, await town.signed_in())
    await hangs.wait()
    dead = town.worker.executor
    town.worker.lost.set()
    await town.worker.stop(seconds=0.0)
    left = await town.engine.recover(dead)
    other = await open_town(work)

    assert 0 == left
    assert "ok" == (await other.until(running, "done")).result


class Away(MemoryEngine):
    """
    Ends while its tables are away.

    Attributes:
        error: What it says of that.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def stop(self, *, seconds: float) -> None:
        await super().stop(seconds=seconds)
        raise self.error


async def test_a_worker_ends_while_the_tables_of_jobs_are_away(settings: Settings) -> None:
    """
    A process that lived on would keep its lease, and what it was at would be run by nobody.
    """
    before = set(threading.enumerate())
    worker = Worker(settings, {}, engine=Away(StoreUnavailable("away")))
    await worker.start()
    at_work = {thread.name for thread in set(threading.enumerate()) - before}
    await worker.stop(seconds=0.0)

    assert {"jobs", "grantkeeper"} <= at_work
    await eventually(lambda: set(threading.enumerate()) <= before)


async def test_a_defect_of_the_engines_leaves_no_worker_behind(settings: Settings) -> None:
    """
    It is told; and all the rest has ended.
    """
    before = set(threading.enumerate())
    worker = Worker(settings, {}, engine=Away(ZeroDivisionError()))
    await worker.start()
    with pytest.raises(ZeroDivisionError):
        await worker.stop(seconds=0.0)

    await eventually(lambda: set(threading.enumerate()) <= before)
