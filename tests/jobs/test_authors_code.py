"""What the code of a job's author may do, short of what is good, without harm to the worker or to others."""

import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest

from grantkeeper import JobContext, PermanentFailure, PlainJobContext, job
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.errors import StoreUnavailable
from grantkeeper.jobs.row import Row
from grantkeeper.jobs.yard import Yard
from grantkeeper.model import Job
from grantkeeper.server.logs import configure
from grantkeeper.testing.records import a_job
from tests.jobs.conftest import Opener
from tests.jobs_kit import lives

pytestmark = pytest.mark.anyio


@job(attempts=1)
async def leaves(ctx: JobContext) -> None:
    sys.exit(3)


@job(attempts=1)
def leaves_plainly(ctx: PlainJobContext) -> None:
    sys.exit(3)


@job(attempts=1)
def looks_for_more(ctx: PlainJobContext) -> int:
    return next(iter(()))


@job(attempts=1)
async def cancels_itself(ctx: JobContext) -> None:
    task = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    task.cancel()
    await task


@job(attempts=1)
async def ends_itself(ctx: JobContext) -> None:
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(3600)


@job(attempts=1)
async def ends_itself_in_a_step(ctx: JobContext) -> None:
    await ctx.step(_ends)


async def _ends() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(3600)


@job()
async def works(ctx: JobContext) -> str:
    return "ok"


@pytest.mark.parametrize(
    ("odd", "note"),
    [
        (leaves, "the job raised RuntimeError; tried 1 times"),
        (leaves_plainly, "the job raised RuntimeError; tried 1 times"),
        (looks_for_more, "the job raised RuntimeError; tried 1 times"),
        (cancels_itself, "the job raised RuntimeError; tried 1 times"),
        (ends_itself, "the job raised RuntimeError; tried 1 times"),
        (ends_itself_in_a_step, "the job raised RuntimeError; tried 1 times"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_what_ends_a_program_ends_a_job(open_town: Opener, odd: Any, note: str) -> None:
    """
    It fails by it, and the worker does the next one.
    """
    town = await open_town(odd, works, at_once=1)
    grant = await town.signed_in()
    failed = await town.run(odd, grant)

    assert ("failed", note) == (failed.state, failed.note)
    assert "ok" == (await town.run(works, grant)).result


async def test_the_newest_progress_is_the_one_that_is_shown(open_town: Opener) -> None:
    """
    Of many in a moment the last is written after it, although nothing more is told; and so it is at the end.
    """
    go = asyncio.Event()
    here: list[asyncio.AbstractEventLoop] = []

    @job()
    async def work(ctx: JobContext) -> None:
        here.append(asyncio.get_running_loop())
        for number in range(50):
            await ctx.progress(number, 100, "counting")
        await go.wait()
        await ctx.progress(60, 100, "nearly")
        await ctx.progress(61, 100, "nearly")

    town = await open_town(work)
    asked = await town.enqueue(work, await town.signed_in())
    async with asyncio.timeout(10):
        while (await town.worker.keeper.jobs.get(asked)).done != 49:
            await asyncio.sleep(0.05)
    here[0].call_soon_threadsafe(go.set)
    ended = await town.until(asked, "done")

    assert (61, "nearly") == (ended.report.done, ended.report.doing)


@pytest.mark.parametrize("odd", ["\0", "\udce9", "\ud800"])
async def test_what_no_database_holds_is_marked_in_what_a_job_says(
    open_town: Opener, caplog: pytest.LogCaptureFixture, odd: str
) -> None:
    """
    Names of files have it. Refused by the database, a failure for good would be tried without end.
    """
    # The log has the text as it was raised, which those who run tests in parallel cannot pass on.
    caplog.set_level(logging.CRITICAL, "grantkeeper.jobs")

    @job()
    async def work(ctx: JobContext) -> None:
        await ctx.progress(1, 2, f"caf{odd}.jpg")
        await ctx.named_step(f"read caf{odd}.jpg", read)
        raise PermanentFailure(f"cannot read caf{odd}.jpg")

    def read() -> None: ...

    town = await open_town(work)
    failed = await town.run(work, await town.signed_in())

    assert ("failed", "cannot read caf\ufffd.jpg") == (failed.state, failed.note)
    assert "caf\ufffd.jpg" == failed.report.doing
    assert ["read caf\ufffd.jpg"] == list(failed.steps)


@pytest.mark.parametrize(
    ("told", "kept"),
    [((2**70, 2**71), (2**63 - 1, 2**63 - 1)), ((-1, -(2**70)), (0, 0)), ((1.5, 3.0), (1, 3))],
)
async def test_numbers_that_no_database_holds_are_brought_to_some(
    open_town: Opener, told: Any, kept: tuple[int, int]
) -> None:
    """
    Progress is for people to look at; no job fails by it.
    """

    @job()
    async def work(ctx: JobContext) -> None:
        await ctx.progress(*told)

    town = await open_town(work)
    done = await town.run(work, await town.signed_in())

    assert ("done", kept) == (done.state, (done.report.done, done.report.of))


async def test_who_stops_waiting_for_a_place_is_not_given_it_later(open_town: Opener) -> None:
    """
    A time-out around `exclusive` leaves no claim behind that nobody gives back.
    """
    inside, outside = threading.Event(), threading.Event()

    @job(per_grant=None)
    async def holds(ctx: JobContext) -> None:
        async with ctx.exclusive("album"):
            inside.set()
            await asyncio.to_thread(outside.wait, 10)

    @job(per_grant=None)
    async def waits(ctx: JobContext) -> str:
        try:
            async with asyncio.timeout(0.3), ctx.exclusive("album"):
                return "inside"
        except TimeoutError:
            return "gave up"

    @job(per_grant=None)
    def comes(ctx: PlainJobContext) -> str:
        with ctx.exclusive("album"):
            return "inside"

    town = await open_town(holds, waits, comes)
    grant = await town.signed_in()
    holding = await town.enqueue(holds, grant)
    await asyncio.to_thread(inside.wait, 10)
    gave_up = await town.run(waits, grant)
    outside.set()
    await town.until(holding, "done")

    assert "gave up" == gave_up.result
    assert "inside" == (await town.run(comes, grant)).result


class _LosesTheClaim:
    """A `Work` whose claim to a place is lost as soon as it is had."""

    def __init__(self, job: Job) -> None:
        self.row = Row(MemoryStore(), job, lives)

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncIterator[None]:
        me = asyncio.current_task()
        assert me is not None
        asyncio.get_running_loop().call_later(0.05, me.cancel)
        try:
            yield
        except asyncio.CancelledError:
            raise StoreUnavailable(f"{name} could not be kept") from None


async def test_a_lost_claim_cuts_off_what_is_inside() -> None:
    """
    What is inside no longer has the place to itself: it stops, and the error says why.
    """
    yard = Yard(1)
    work: Any = _LosesTheClaim(a_job())
    context = JobContext(work, asyncio.get_running_loop(), yard)
    cut: list[str] = []

    async def body() -> None:
        async with context.exclusive("album"):
            try:
                await asyncio.sleep(30)
            finally:
                cut.append("inside")

    try:
        with pytest.raises(StoreUnavailable, match="album could not be kept"):
            await yard.run(body())
    finally:
        yard.close()

    assert ["inside"] == cut


async def test_a_worker_logs_what_was_said_and_what_was_raised(open_town: Opener) -> None:
    """
    With the job's ids; the text of an error is for its author, and in no row.
    """
    out = io.StringIO()
    configure("json", out)

    @job(attempts=1)
    async def work(ctx: JobContext) -> None:
        ctx.log.info("began with %s", "p-17")
        raise OSError("the disk is full")

    town = await open_town(work)
    failed = await town.run(work, await town.signed_in())
    lines = {line["event"]: line for line in map(json.loads, out.getvalue().splitlines())}

    assert "the job raised OSError; tried 1 times" == failed.note
    assert (failed.id, "work", "began with p-17") == tuple(
        lines["job.says"][name] for name in ("job", "name", "text")
    )
    assert (failed.id, "OSError", "the disk is full") == tuple(
        lines["job.raised"][name] for name in ("job", "exception", "said")
    )
    assert "test_authors_code.py" in lines["job.raised"]["where"]


async def test_an_engine_does_not_put_its_threads_in_the_place_of_ours() -> None:
    """
    What an author's code sends to a thread must not wait for an engine's own work, nor hold it up.
    """
    yard = Yard(1)
    with ThreadPoolExecutor(1, thread_name_prefix="engine") as others:

        async def work() -> str:
            asyncio.get_running_loop().set_default_executor(others)
            return await asyncio.to_thread(lambda: threading.current_thread().name)

        try:
            name = await yard.run(work())
        finally:
            yard.close()

    assert name.startswith("job")
