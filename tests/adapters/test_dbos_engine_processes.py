"""Workers on one database are killed and held up, and their jobs go on elsewhere."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from grantkeeper.adapters.dbos_engine import DbosEngine
from grantkeeper.ports import StepRecord, Ticket
from grantkeeper.testing.processes import Process, without_settings

WORKER = Path(__file__).with_name("engine_worker.py")
ROOT = Path(__file__).parents[2]
LIMIT = 120.0

pytestmark = [pytest.mark.anyio, pytest.mark.processes]


class Workshop:
    """Workers on one database, and what they write into one diary."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self.url = url
        self.folder = folder
        self.engine = DbosEngine(url)
        self._stack = stack

    def worker(self, executor: str) -> Process:
        """Another one; it is gone after the test."""
        command = [sys.executable, str(WORKER), self.url, executor, str(self.folder)]
        log = self.folder / f"log-{executor}"
        process = Process(command, folder=ROOT, environment=without_settings(), log=log)
        self._stack.callback(process.kill)
        return process

    def hold(self, step: str) -> None:
        """Whoever is at *step* stays there."""
        (self.folder / f"hold-{step}").touch()

    def let_go(self, step: str) -> None:
        """Whoever is at *step* goes on."""
        (self.folder / f"hold-{step}").unlink()

    def diary(self) -> list[str]:
        """Its lines so far."""
        path = self.folder / "diary"
        return path.read_text().splitlines() if path.exists() else []

    async def until(self, done: Callable[[list[str]], bool]) -> list[str]:
        """The diary, once it is so."""
        async with asyncio.timeout(LIMIT):
            while True:
                if done(lines := self.diary()):
                    return lines
                await asyncio.sleep(0.02)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'grants.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def workshop(url, tmp_path):
    with ExitStack() as stack:
        workshop = Workshop(url, tmp_path, stack)
        yield workshop
        await workshop.engine.stop(seconds=0)


async def test_what_a_killed_worker_ran_is_ended_by_another(workshop: Workshop) -> None:
    """
    Each step that was recorded when it died was done once in all; those that it was at are done again.
    """
    jobs = [f"job-{number}" for number in range(6)]
    workshop.hold("two")
    await workshop.engine.submit([Ticket(job, f"grant-{job}") for job in jobs])
    first = workshop.worker("first")
    await workshop.until(lambda lines: 4 == sum(line.startswith("first two") for line in lines))
    first.kill()
    kept = {job: await workshop.engine.steps(job) for job in jobs}
    begun = {line.split()[2] for line in workshop.diary()}
    workshop.worker("second")
    recovered = await workshop.engine.recover("first")
    workshop.let_go("two")
    lines = await workshop.until(lambda lines: 6 == sum(line.startswith("second done") for line in lines))

    # It may have taken one more, which waited for a slot.
    assert 4 == len(begun)
    assert recovered in (4, 5, 6)
    assert 0 == await workshop.engine.recover("first")
    assert {job: [StepRecord("one", b"first")] if job in begun else [] for job in jobs} == kept
    for job in jobs:
        assert 1 == sum(line.endswith(f" one {job}") for line in lines)
        assert (2 if job in begun else 1) == sum(line.endswith(f" two {job}") for line in lines)
        assert 1 == sum(line.endswith(f" three {job}") for line in lines)
        assert ["one", "two", "three"] == [record.name for record in await workshop.engine.steps(job)]


async def test_a_worker_that_comes_back_too_late_does_no_harm(workshop: Workshop) -> None:
    """
    It stood still and was taken for dead: what it brings is not recorded, its run ends, and it works on.
    """
    workshop.hold("two")
    await workshop.engine.submit([Ticket("job-1", "grant")])
    first = workshop.worker("first")
    await workshop.until(lambda lines: "first two job-1" in lines)
    first.stall()
    second = workshop.worker("second")
    recovered = await workshop.engine.recover("first")
    workshop.let_go("two")
    await workshop.until(lambda lines: "second done job-1" in lines)
    second.stop()
    first.resume()
    await workshop.engine.submit([Ticket("job-2", "grant")])
    lines = await workshop.until(
        lambda lines: "first done job-2" in lines and "first suspended job-1" in lines
    )

    assert 1 == recovered
    assert [StepRecord("one", b"first"), StepRecord("two", b"second"), StepRecord("three", b"second")] == (
        await workshop.engine.steps("job-1")
    )
    assert "first three job-1" not in lines


async def test_a_worker_that_is_told_to_end_leaves_nothing_behind(workshop: Workshop) -> None:
    """
    What it runs is ended, what waits is left for others, and there is nothing to recover.
    """
    workshop.hold("two")
    await workshop.engine.submit([Ticket("job-1", "grant"), Ticket("job-2", "grant")])
    first = workshop.worker("first")
    await workshop.until(lambda lines: "first two job-1" in lines)
    first.signal()
    workshop.let_go("two")
    status = first.stop()
    workshop.worker("second")
    lines = await workshop.until(lambda lines: "second done job-2" in lines)

    assert 0 == status
    assert "first done job-1" in lines
    assert "first begun job-2" not in lines
    assert 0 == await workshop.engine.recover("first")
    assert "" == first.said()
