"""Jobs from being asked for to their end, whatever comes in between."""

import asyncio
from typing import Any

import pytest

from grantkeeper import JobContext, PermanentFailure, PlainJobContext, TryLater, job
from grantkeeper.errors import InvalidRequest
from grantkeeper.ids import uuid7
from grantkeeper.model import Job, JobState, Order
from grantkeeper.testing.jobs import JobKit
from tests.jobs.conftest import DRIVE, Opener

pytestmark = pytest.mark.anyio


async def test_a_job_is_done_with_its_users_token(open_town: Opener) -> None:
    """
    Parameters come as they are annotated, the token opens what the job named, the result is kept.
    """
    seen: list[Any] = []

    @job(scopes=[DRIVE])
    async def greet(ctx: JobContext, name: str, times: int = 2) -> str:
        token = await ctx.token()
        seen.append(token.scopes)
        return f"hello {name} " * times

    town = await open_town(greet)
    grant = await town.signed_in()
    found = await town.until(await town.enqueue("greet", grant, name="Ada"), "done")

    assert "hello Ada hello Ada " == found.result
    assert [frozenset({DRIVE})] == [frozenset(each) for each in seen]


async def test_a_plain_function_blocks_in_a_thread(open_town: Opener) -> None:
    """
    The same context with names that block; steps, progress and credentials.
    """

    @job(scopes=[DRIVE])
    def work(ctx: PlainJobContext) -> dict[str, int]:
        first = ctx.step(len, "four")
        ctx.progress(1, 2, "half of it")
        assert ctx.token().access_token.reveal()
        assert DRIVE in ctx.credentials().scopes
        with ctx.exclusive("place"):
            return {"first": first}

    town = await open_town(work)
    found = await town.until(await town.enqueue("work", await town.signed_in()), "done")

    assert {"first": 4} == found.result
    assert (1, 2, "half of it") == (found.report.done, found.report.of, found.report.doing)


async def test_a_recorded_step_is_not_done_again(open_town: Opener) -> None:
    """
    The job fails after its first step for a reason that may pass; the next run goes on with the second.
    """
    done: list[str] = []

    @job()
    async def work(ctx: JobContext) -> list[int]:
        return [await ctx.step(first), await ctx.named_step("other", second, 2)]

    async def first() -> int:
        done.append("first")
        return 1

    def second(value: int) -> int:
        done.append("second")
        if done.count("second") == 1:
            raise TryLater(0.1)
        return value

    town = await open_town(work)
    found = await town.until(await town.enqueue("work", await town.signed_in()), "done")

    assert [1, 2] == found.result
    assert ["first", "second", "second"] == done
    assert {"first": 1, "other": 2} == found.steps


async def test_a_job_waits_for_consent_and_wakes_by_itself(open_town: Opener) -> None:
    """
    The user takes the access back in the middle; the reason is shown; after a new consent it ends.
    """
    began, go = asyncio.Event(), asyncio.Event()
    here = asyncio.get_running_loop()
    runs: list[int] = []

    @job(scopes=[DRIVE])
    async def work(ctx: JobContext) -> int:
        runs.append(ctx.attempt)
        await ctx.step(wait)
        await ctx.token(min_ttl=3599)
        return len(runs)

    async def wait() -> None:
        here.call_soon_threadsafe(began.set)
        while not go.is_set():
            await asyncio.sleep(0.02)

    town = await open_town(work)
    grant = await town.signed_in()
    waiting = await town.enqueue("work", grant)
    await began.wait()
    others = [await town.enqueue("work", grant) for _ in range(3)]
    town.google.revoke("ada@example.com")
    town.google.advance(3700)
    go.set()

    found = await town.until(waiting, "parked")
    for other in others:
        await town.until(other, "parked")

    assert found.reason == "revoked" or found.reason == "expired"
    assert found.report.remedy and found.report.hint
    assert 1 == len(runs), "the others were parked without being begun"
    again = await town.worker.keeper.redeem(town.google.code("ada@example.com", ("openid", "email", DRIVE)))
    assert grant == again.id
    assert 2 == (await town.until(waiting, "done")).result
    for other in others:
        await town.until(other, "done")


async def test_a_job_without_its_scope_waits_for_it(open_town: Opener) -> None:
    """
    The grant works and lacks what this job needs; a consent that gives it wakes the job.
    """

    @job(scopes=[DRIVE])
    async def work(ctx: JobContext) -> bool:
        return bool(await ctx.token())

    town = await open_town(work)
    grant = await town.signed_in(scopes=("openid", "email"))
    waiting = await town.enqueue("work", grant)
    found = await town.until(waiting, "parked")

    assert "missing_scopes" == found.reason
    await town.signed_in()
    assert (await town.until(waiting, "done")).result


async def test_what_will_not_pass_is_a_dead_letter_that_can_be_tried_again(open_town: Opener) -> None:
    """
    Retry goes on with the step that failed.
    """
    done: list[str] = []

    @job()
    async def work(ctx: JobContext) -> str:
        await ctx.step(first)
        return await ctx.step(second)

    def first() -> None:
        done.append("first")

    def second() -> str:
        done.append("second")
        if done.count("second") == 1:
            raise PermanentFailure("the album is full")
        return "ok"

    town = await open_town(work)
    failing = await town.enqueue("work", await town.signed_in())
    found = await town.until(failing, "failed")
    assert ("error", "the album is full") == (found.reason, found.note)
    await town.worker.keeper.jobs.retry(failing)

    assert "ok" == (await town.until(failing, "done")).result
    assert ["first", "second", "second"] == done


async def test_what_may_pass_is_tried_as_often_as_the_job_says(open_town: Opener) -> None:
    """
    Then it is a dead letter, and says how often it was tried.
    """
    runs: list[int] = []

    @job(attempts=2)
    async def work(ctx: JobContext) -> None:
        runs.append(ctx.attempt)
        raise OSError("a disk is full: /home/ada/secret")

    town = await open_town(work)
    failing = await town.enqueue("work", await town.signed_in())
    # A slow machine may miss that it waits, for its first pause is short.
    await town.until(failing, "waiting", "failed")
    town.google.advance(60)
    found = await town.until(failing, "failed")

    assert [1, 2] == runs
    assert "the job raised OSError; tried 2 times" == found.note


@pytest.mark.parametrize("value", [object(), "x" * (1024 * 1024)], ids=["no JSON", "too large"])
async def test_a_value_that_cannot_be_kept_ends_the_job(open_town: Opener, value: Any) -> None:
    """
    At once: what its step did would be done again eight times, only to be refused again.
    """
    done: list[str] = []

    @job()
    async def work(ctx: JobContext) -> None:
        await ctx.step(returns)

    def returns() -> Any:
        done.append("returns")
        return value

    town = await open_town(work)
    found = await town.run(work, await town.signed_in())

    assert ("failed", 1) == (found.state, len(done))
    assert "step" in (found.note or "")


async def test_a_result_that_cannot_be_kept_ends_the_job(open_town: Opener) -> None:
    """
    The sentence names its kind.
    """

    @job()
    async def work(ctx: JobContext) -> Any:
        return object()

    town = await open_town(work)
    found = await town.run(work, await town.signed_in())

    assert ("failed", "a job returns what JSON can hold, not object") == (found.state, found.note)


async def test_after_a_failed_step_no_other_is_done(open_town: Opener) -> None:
    """
    An error that is caught around a step does not let the job go on to another.
    """

    @job(attempts=1)
    async def work(ctx: JobContext) -> None:
        try:
            await ctx.step(fails)
        except ValueError:
            await ctx.step(len, "no")

    def fails() -> None:
        raise ValueError("no")

    town = await open_town(work)
    found = await town.until(await town.enqueue("work", await town.signed_in()), "failed")

    assert "the job raised RuntimeError; tried 1 times" == found.note


async def test_a_cancelled_job_stops_at_its_next_step(open_town: Opener) -> None:
    """
    What it does in between is its own; nothing of it is recorded afterwards.
    """
    began = asyncio.Event()
    here = asyncio.get_running_loop()
    done: list[str] = []

    @job()
    async def work(ctx: JobContext) -> None:
        await ctx.step(first)
        here.call_soon_threadsafe(began.set)
        while True:
            await asyncio.sleep(0.05)
            await ctx.step(more)

    def first() -> None:
        done.append("first")

    def more() -> None:
        done.append("more")

    town = await open_town(work)
    running = await town.enqueue("work", await town.signed_in())
    await began.wait()
    await town.worker.keeper.jobs.cancel(running)
    async with asyncio.timeout(30):
        count = 0
        while count != len(done):
            count = len(done)
            await asyncio.sleep(0.5)

    assert "cancelled" == (await town.worker.keeper.jobs.get(running)).state


async def test_a_user_who_is_erased_leaves_no_job(open_town: Opener) -> None:
    """
    Neither its row, nor its steps in the engine.
    """

    @job()
    async def work(ctx: JobContext) -> None:
        await ctx.step(len, "personal")
        raise TryLater(3600)

    town = await open_town(work)
    grant = await town.signed_in()
    waiting = await town.enqueue("work", grant)
    await town.until(waiting, "waiting")
    assert await town.engine.steps(waiting)
    await town.worker.keeper.forget(grant)
    async with asyncio.timeout(10):
        while await town.engine.steps(waiting):
            await asyncio.sleep(0.02)

    assert [] == list((await town.worker.keeper.jobs.list(grant=grant)).jobs)


async def test_one_job_of_a_grant_runs_at_a_time(open_town: Opener) -> None:
    """
    Another user's do not wait for them.
    """
    now: dict[str, int] = {}
    most: dict[str, int] = {}

    @job()
    async def work(ctx: JobContext) -> None:
        now[ctx.grant_id] = now.get(ctx.grant_id, 0) + 1
        most[ctx.grant_id] = max(most.get(ctx.grant_id, 0), now[ctx.grant_id])
        await asyncio.sleep(0.05)
        now[ctx.grant_id] -= 1

    town = await open_town(work)
    grants = [await town.signed_in(f"{name}@example.com") for name in ("ada", "ben")]
    jobs = [await town.enqueue("work", grant) for grant in grants for _ in range(4)]
    for each in jobs:
        await town.until(each, "done")

    assert dict.fromkeys(grants, 1) == most


async def test_what_a_dead_worker_was_at_is_done_by_another(open_town: Opener) -> None:
    """
    The recorded step is not done again; the one that was cut off is.
    """
    done: list[str] = []
    hang = asyncio.Event()

    @job()
    async def work(ctx: JobContext) -> str:
        await ctx.step(first)
        await ctx.step(second)
        return "ok"

    def first() -> None:
        done.append("first")

    async def second() -> None:
        done.append("second")
        if done.count("second") == 1:
            hang.set()
            await asyncio.sleep(3600)

    town = await open_town(work)
    running = await town.enqueue("work", await town.signed_in())
    async with asyncio.timeout(10):
        while not hang.is_set():
            await asyncio.sleep(0.02)
    other = await open_town(work)
    await town.worker.stop(seconds=0.0)
    found = await other.until(running, "done")

    assert "ok" == found.result
    assert ["first", "second", "second"] == done


async def put(town: JobKit, name: str, grant: str, parameters: bytes = b"{}") -> str:
    """Write a job down as nobody's desk would: an older release's, or another app's."""

    async def add(core: Any) -> int:
        now = core.clock.now()
        made = Job(
            id=uuid7(now, core.dice.bytes(10)),
            name=name,
            grant_id=grant,
            state=JobState.QUEUED,
            created_at=now,
            parameters=parameters,
            order=Order.SUBMIT,
        )
        ids.append(made.id)
        return int(await core.store.add_jobs([made]))

    ids: list[str] = []
    assert 1 == await town.worker.keeper._home.ask(add)
    return ids[0]


async def test_parameters_that_do_not_fit_are_named(open_town: Opener) -> None:
    """
    At the desk, which refuses them; and by the worker, of a job that was written down by another release.
    """

    @job()
    async def work(ctx: JobContext, photo: str) -> None: ...

    town = await open_town(work)
    grant = await town.signed_in()
    with pytest.raises(InvalidRequest, match="phtoo"):
        await town.enqueue(work, grant, photo="p", phtoo="p")
    found = await town.until(await put(town, "work", grant, b'{"photo": "p", "phtoo": "p"}'))

    assert ("failed", "invalid_request") == (found.state, found.reason)
    assert "phtoo" in (found.note or "")


async def test_a_job_that_this_worker_does_not_know_waits_for_one_that_does(open_town: Opener) -> None:
    """
    Two apps may share a database.
    """

    @job()
    async def other(ctx: JobContext) -> str:
        return "known here"

    @job()
    async def work(ctx: JobContext) -> None: ...

    town = await open_town(work)
    waiting = await put(town, "other", await town.signed_in())
    found = await town.until(waiting)
    assert ("waiting", "job_unknown") == (found.state, found.reason)
    await town.worker.stop(seconds=0.0)
    knowing = await open_town(other)
    knowing.advance(20)

    assert "known here" == (await knowing.until(waiting, "done")).result


async def test_a_crash_in_a_kit_is_a_workers_death(open_town: Opener) -> None:
    """
    What was recorded stays, what was cut off is done again, by another worker.
    """
    done: list[str] = []
    hangs = asyncio.Event()
    here = asyncio.get_running_loop()

    @job()
    async def work(ctx: JobContext) -> None:
        await ctx.step(first)
        await ctx.step(second)

    def first() -> None:
        done.append("first")

    async def second() -> None:
        done.append("second")
        if done.count("second") == 1:
            here.call_soon_threadsafe(hangs.set)
            await asyncio.sleep(3600)

    town = await open_town(work)
    running = await town.enqueue(work, await town.signed_in())
    await hangs.wait()
    dead = town.worker.executor
    await town.crash()

    assert "done" == (await town.until(running, "done")).state
    assert ["first", "second", "second"] == done
    assert dead != town.worker.executor


async def test_jobs_of_one_grant_take_turns_whatever_their_names(open_town: Opener) -> None:
    """
    Of those that say nothing else: two different ones touch the same user's things, too.
    """
    now: list[str] = []
    together: list[int] = []

    async def stays(name: str) -> None:
        now.append(name)
        together.append(len(now))
        await asyncio.sleep(0.1)
        now.remove(name)

    @job()
    async def one(ctx: JobContext) -> None:
        await stays("one")

    @job()
    async def other(ctx: JobContext) -> None:
        await stays("other")

    town = await open_town(one, other)
    grant = await town.signed_in()
    asked = [await town.enqueue(each, grant) for each in (one, other) * 2]
    for each in asked:
        await town.until(each, "done")

    assert [1, 1, 1, 1] == together
