"""A run to test engines with, and what the parts of their suite share."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from grantkeeper.ports import Engine, Run, StepRecord, Steps, Suspended, Ticket

LIMIT = 60.0
"""Seconds after which something that ought to come counts as never coming."""


@dataclass
class Play:
    """
    A run for tests that writes down what happens, and can be held at any step.

    Attributes:
        made: How often each step was done, by job and name.
        order: Jobs in the order in which runs of them began.
        ended: What each run came to: ``done``, ``suspended``, or an error's name.
        together: The most runs that there were at once, of a group.
    """

    steps: tuple[str, ...] = ("one", "two", "three")
    group: Callable[[str], str] = lambda job_id: job_id.split("-")[0]
    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    together: Counter[str] = field(default_factory=Counter)
    running: Counter[str] = field(default_factory=Counter)
    gates: dict[tuple[str, str], asyncio.Event] = field(default_factory=dict)
    failing: dict[tuple[str, str], BaseException] = field(default_factory=dict)
    _told: asyncio.Condition = field(default_factory=asyncio.Condition)

    def hold(self, job_id: str, step: str) -> asyncio.Event:
        """The run of *job_id* waits in *step* until the event is set."""
        gate = self.gates[(job_id, step)] = asyncio.Event()
        return gate

    async def __call__(self, job_id: str, steps: Steps) -> None:
        group = self.group(job_id)
        self.order.append(job_id)
        self.running[group] += 1
        self.together[group] = max(self.together[group], self.running[group])
        await self._tell()
        end = "done"
        try:
            for name in self.steps:
                await steps.step(name, self._call(job_id, name))
        except BaseException as error:
            end = "suspended" if isinstance(error, Suspended) else type(error).__name__
            raise
        finally:
            self.running[group] -= 1
            self.ended.append((job_id, end))
            await self._tell()

    def _call(self, job_id: str, name: str) -> Callable[[], Awaitable[bytes]]:
        async def call() -> bytes:
            self.made[(job_id, name)] += 1
            await self._tell()
            if (job_id, name) in self.gates:
                await self.gates[(job_id, name)].wait()
            if (job_id, name) in self.failing:
                raise self.failing[(job_id, name)]
            return f"{job_id} {name}".encode()

        return call

    async def _tell(self) -> None:
        async with self._told:
            self._told.notify_all()

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until *done*, which is asked whenever something has happened."""
        async with asyncio.timeout(LIMIT), self._told:
            await self._told.wait_for(done)

    async def until_made(self, job_id: str, step: str, times: int = 1) -> None:
        """Wait until *step* was begun that often."""
        await self.until(lambda: self.made[(job_id, step)] >= times)

    async def until_ended(self, job_id: str, end: str = "done", times: int = 1) -> None:
        """Wait until that many runs came to this end."""
        await self.until(lambda: self.ended.count((job_id, end)) >= times)


def recorded(job_id: str, *names: str) -> list[StepRecord]:
    """Steps of *job_id* as a `Play` makes them."""
    return [StepRecord(name, f"{job_id} {name}".encode()) for name in names]


async def until_steps(engine: Engine, job_id: str, count: int) -> list[StepRecord]:
    """The recorded steps, once there are *count*."""
    async with asyncio.timeout(LIMIT):
        while True:
            found = await engine.steps(job_id)
            if len(found) >= count:
                return found
            await asyncio.sleep(0.02)


class EngineSuite:
    """The root of the suites: on asyncio, with an ``engine`` and an ``other`` that the user's class gives."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Engines run on asyncio."""
        return "asyncio"

    @pytest.fixture
    def engine(self) -> Engine:
        """The engine under test, not started."""
        raise NotImplementedError("give the test class a fixture named engine")

    @pytest.fixture
    def other(self) -> Engine:
        """Another one on the same place, as a process without workers has it."""
        raise NotImplementedError("give the test class a fixture named other")

    async def begin(self, engine: Engine, run: Run, *, at_once: int = 4) -> None:
        """Start it as ``first``."""
        await engine.start(run, executor="first", at_once=at_once)

    async def until_resumed(self, engine: Engine, play: Play, job_id: str, end: str = "done") -> None:
        """Resume it, once, and wait until it has come to *end*."""
        await engine.resume([Ticket(job_id, play.group(job_id))])
        await play.until_ended(job_id, end)
