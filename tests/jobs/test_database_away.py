"""Jobs on PostgreSQL while it crashes, stops, and comes back: nobody and nothing must be started again."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from grantkeeper import JobContext, job
from grantkeeper.errors import StoreUnavailable
from grantkeeper.jobs.definition import by_name
from grantkeeper.library.adapters import migrate
from grantkeeper.library.worker import Worker
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator
from tests.postgres import PostgresServer
from tests.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

JOBS, STEPS = 12, 4
done: Counter[str] = Counter()


@job(per_grant=None)
async def work(ctx: JobContext, number: int) -> list[str]:
    return [await ctx.named_step(f"part {part}", one, f"{number}.{part}") for part in range(STEPS)]


async def one(name: str) -> str:
    await asyncio.sleep(0.25)
    done[name] += 1
    return name


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as found:
        yield found


@pytest.mark.parametrize(("mode", "away"), [("immediate", 0.0), ("fast", 3.0)], ids=["crash", "away"])
async def test_jobs_go_on_when_the_database_is_back(
    settings: Settings, google_emulator: GoogleEmulator, server: PostgresServer, mode: str, away: float
) -> None:
    """
    All connections break in the middle of steps, twice. All jobs end; only what was cut off is done again.
    """
    done.clear()
    settings = replace(settings, database_url=server.url(server.create()))
    await migrate(settings)
    worker = Worker(settings, by_name([work.definition]), at_once=4)
    async with worker:
        keeper = worker.keeper
        grant = (await keeper.redeem(google_emulator.code("ada@example.com"))).id
        asked = [
            (await keeper.jobs.enqueue("work", grant, parameters={"number": number})).id
            for number in range(JOBS)
        ]
        for turn in range(1, 3):
            async with asyncio.timeout(30):
                while done.total() < turn * JOBS * STEPS // 3:
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(server.stop, mode)
            await asyncio.sleep(away)
            await asyncio.to_thread(server.start)
        found = [await _ended(worker, job_id) for job_id in asked]

    wanted = [[f"{number}.{part}" for part in range(STEPS)] for number in range(JOBS)]
    assert wanted == found
    # At a crash four jobs are at a step each.
    assert JOBS * STEPS <= done.total() <= JOBS * STEPS + 2 * 4
    assert not worker.lost.is_set()


async def test_a_worker_ends_while_the_database_is_away(settings: Settings, server: PostgresServer) -> None:
    """
    It cannot give back what it was at; nothing of it goes on that would keep its lease.
    """
    # In a thread, as the stop below: that one stays.
    settings = replace(settings, database_url=server.url(await asyncio.to_thread(server.create)))
    await migrate(settings)
    before = set(threading.enumerate())
    worker = Worker(settings, by_name([work.definition]))
    await worker.start()
    await asyncio.to_thread(server.stop, "immediate")
    await worker.stop(seconds=0)

    await eventually(lambda: set(threading.enumerate()) <= before)


async def _ended(worker: Worker, job_id: str) -> object:
    async with asyncio.timeout(90):
        while True:
            try:
                told = await worker.keeper.jobs.get(job_id)
            except StoreUnavailable:
                told = None
            if told is not None and told.state == "done":
                return told.result
            assert told is None or told.state in ("queued", "running", "waiting"), told
            await asyncio.sleep(0.05)
