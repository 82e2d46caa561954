"""The keeper's own loop thread, with a small resource in the place of the core."""

import asyncio
import gc
import threading
import warnings
from collections.abc import Iterator

import pytest

from grantkeeper.errors import SettingsInvalid
from grantkeeper.library.loop import Home
from tests.waiting import eventually


class Resource:
    """Remembers where it was used; counts openings and closings over all instances of one test."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.thread = threading.current_thread()
        self.loop = asyncio.get_running_loop()
        self.finished = 0

    async def where(self) -> tuple[threading.Thread, asyncio.AbstractEventLoop]:
        return threading.current_thread(), asyncio.get_running_loop()

    async def slow(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        self.finished += 1
        return "done"


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def home(log: list[str]) -> Iterator[Home[Resource]]:
    async def opening() -> Resource:
        log.append("open")
        return Resource(log)

    async def closing(resource: Resource) -> None:
        log.append("close")

    home = Home(opening, closing)
    yield home
    home.close()


def test_nothing_is_opened_before_the_first_call(home, log):
    """Making a home costs no thread and opens nothing."""
    before = threading.active_count()

    assert home.resource is None
    assert [] == log
    assert before == threading.active_count()


def test_a_call_runs_on_the_homes_own_thread_and_loop(home):
    """The caller's thread is never where the resource lives."""
    thread, loop = home.wait(Resource.where)

    assert thread is not threading.current_thread()
    assert home.resource.thread is thread
    assert home.resource.loop is loop


def test_first_calls_at_once_open_once(home, log):
    """Eight threads that come first share one opening."""
    threads = [threading.Thread(target=home.wait, args=(Resource.where,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["open"] == log


@pytest.mark.anyio
async def test_a_call_is_awaited_beside_a_running_loop(home):
    """The caller's loop goes on while it waits: the call ends only when that has gone round."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    ticked = await home.ask(lambda resource: eventually(lambda: ticks >= 3))
    ticking.cancel()

    assert ticked


def test_one_home_serves_several_loops(home):
    """Two asyncio.run() in a row, and the resource stays the same."""
    first = asyncio.run(home.ask(Resource.where))
    second = asyncio.run(home.ask(Resource.where))

    assert first == second


@pytest.mark.anyio
async def test_a_cancelled_caller_does_not_end_its_call(home):
    """A request that is given up leaves the work to its end."""
    begun, go = threading.Event(), threading.Event()

    async def finishes(resource: Resource) -> None:
        begun.set()
        await eventually(go.is_set)
        resource.finished += 1

    call = asyncio.create_task(home.ask(finishes))
    await eventually(begun.is_set)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go.set()
    await eventually(lambda: home.resource.finished)

    assert 1 == home.resource.finished


def test_an_error_keeps_its_type_and_text(home):
    """What the resource raises arrives as it was."""

    async def fails(resource: Resource) -> None:
        raise SettingsInvalid(["one", "two"])

    with pytest.raises(SettingsInvalid) as caught:
        home.wait(fails)

    assert ("one", "two") == caught.value.problems


def test_a_failed_opening_is_told_and_tried_again_by_the_next_call():
    """A database that was away at first is no reason to stay broken."""
    tries: list[int] = []

    async def opening() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("away")
        return "open"

    async def closing(resource: str) -> None: ...

    async def itself(resource: str) -> str:
        return resource

    home = Home(opening, closing)
    with pytest.raises(ConnectionError, match="away"):
        home.wait(itself)
    answer = home.wait(itself)
    home.close()

    assert "open" == answer


def test_blocking_on_the_homes_own_thread_is_refused(home):
    """It would wait for itself for ever, so it says so."""

    async def blocks(resource: Resource) -> None:
        home.wait(Resource.where)

    with pytest.raises(RuntimeError, match="own loop"):
        home.wait(blocks)


def test_awaiting_on_the_homes_own_thread_needs_no_hop(home):
    """A call from inside is run where it is."""

    async def inside(resource: Resource) -> bool:
        return (await home.ask(Resource.where))[0] is threading.current_thread()

    assert home.wait(inside)


def test_closing_waits_for_calls_under_way(home, log):
    """What was begun is finished before the resource is closed."""
    future = home.submit(lambda resource: resource.slow(0.1))
    home.close()

    assert "done" == future.result(timeout=0)
    assert ["open", "close"] == log


def test_closing_does_not_wait_for_ever(log):
    """A call that outlasts the grace is told that it was cut off."""

    async def opening() -> Resource:
        return Resource(log)

    async def closing(resource: Resource) -> None:
        log.append("close")

    home = Home(opening, closing, grace=0.05)
    future = home.submit(lambda resource: resource.slow(60))
    home.close()

    with pytest.raises(RuntimeError, match="closed before"):
        future.result(timeout=30)
    assert ["close"] == log


def test_the_home_is_not_closed_from_inside(home):
    """The thread would wait for its own end."""

    async def closes(resource: Resource) -> None:
        with pytest.raises(RuntimeError, match="own loop"):
            home.close()
        await home.aclose()

    with pytest.raises(RuntimeError, match="own loop"):
        home.wait(closes)


def test_closing_twice_closes_once(home, log):
    """close is idempotent, also from two threads."""
    home.wait(Resource.where)
    other = threading.Thread(target=home.close)
    other.start()
    home.close()
    other.join()

    assert ["open", "close"] == log


def test_closing_what_was_never_opened_starts_nothing(home, log):
    """A home that nobody used ends as it was."""
    home.close()

    assert [] == log


def test_a_closed_home_refuses_calls(home):
    """After close there is an error, not a second life."""
    home.wait(Resource.where)
    home.close()

    assert home.resource is None
    with pytest.raises(RuntimeError, match="closed"):
        home.wait(Resource.where)


@pytest.mark.anyio
async def test_aclose_does_not_block_the_loop(home):
    """Closing is awaited as any call."""
    await home.ask(Resource.where)
    waiting = home.submit(lambda resource: resource.slow(0.1))
    closing = asyncio.create_task(home.aclose())
    await asyncio.sleep(0)
    before = closing.done()
    await closing

    assert not before

    assert "done" == waiting.result(timeout=0)


def test_the_thread_ends_with_close(home):
    """No thread is left behind."""
    thread, _ = home.wait(Resource.where)
    home.close()

    assert not thread.is_alive()


def test_a_dropped_home_warns_and_is_closed(log):
    """A keeper that nobody can reach any more is not left running."""

    async def opening() -> Resource:
        return Resource(log)

    async def closing(resource: Resource) -> None:
        log.append("close")

    home = Home(opening, closing)
    thread, _ = home.wait(Resource.where)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del home
        gc.collect()
    thread.join(timeout=30)

    # Others may be of what the tests before have left to the collector.
    assert 1 == sum("a keeper was dropped" in str(warning.message) for warning in caught)
    assert ["close"] == log
