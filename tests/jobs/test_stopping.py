"""Workers that end: what they were at is run elsewhere, whatever has become of them or of the database."""

import asyncio

import pytest

from grantkeeper import JobContext, job
from tests.jobs.conftest import Opener

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
