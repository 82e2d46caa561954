"""
What every `Engine` must do: inherit from `EngineConformance` and give it two fixtures.

    class TestMyEngine(EngineConformance):
        @pytest.fixture
        async def engine(self): ...   # not started; stopped afterwards

        @pytest.fixture
        async def other(self): ...    # on the same place; never started
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from grantkeeper.ports import Engine, Run, StepRecord, Steps, StepsDiffer, Suspended, Ticket

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


class EngineConformance:
    """The promises of `grantkeeper.ports.Engine` as tests."""

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

    # -- running ----------------------------------------------------------------------------

    async def test_a_submitted_job_is_run_to_its_end(self, engine: Engine) -> None:
        """
        Each step is done once and recorded under its name.
        """
        play = Play()
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_ended("a-1")

        assert recorded("a-1", "one", "two", "three") == await engine.steps("a-1")
        assert {1} == set(play.made.values())

    async def test_what_was_submitted_before_the_start_is_run(self, engine: Engine, other: Engine) -> None:
        """
        Whoever submits needs no worker, in his process or anywhere.
        """
        play = Play()
        await other.submit([Ticket("a-1", "a"), Ticket("b-1", "b", at_once=None)])
        await self.begin(engine, play)
        await play.until_ended("a-1")
        await play.until_ended("b-1")

        assert recorded("a-1", "one", "two", "three") == await other.steps("a-1")

    async def test_a_job_submitted_twice_is_run_once(self, engine: Engine, other: Engine) -> None:
        """
        Neither while it waits, nor when it is done, nor twice in one call.
        """
        play = Play()
        ticket = Ticket("a-1", "a")
        await engine.submit([ticket, ticket])
        await other.submit([ticket])
        await self.begin(engine, play)
        await play.until_ended("a-1")
        await other.submit([ticket])
        await engine.resume([ticket])
        await engine.submit([Ticket("a-2", "a")])
        await play.until_ended("a-2")

        assert ["a-1", "a-2"] == play.order

    async def test_any_bytes_come_back_as_they_were(self, engine: Engine) -> None:
        """
        Empty ones, zeros, no UTF-8, and many.
        """
        values = {"empty": b"", "zero": b"\0", "all": bytes(range(256)), "many": b"\xff" * 300_000}
        seen: list[dict[str, bytes]] = []
        ended = asyncio.Event()

        async def run(job_id: str, steps: Steps) -> None:
            async def call(value: bytes) -> bytes:
                return value

            seen.append({name: await steps.step(name, partial(call, values[name])) for name in values})
            if len(seen) == 1:
                raise Suspended
            ended.set()

        await self.begin(engine, run)
        await engine.submit([Ticket("a-1", "a")])
        await until_steps(engine, "a-1", 4)
        await engine.resume([Ticket("a-1", "a")])
        async with asyncio.timeout(LIMIT):
            await ended.wait()

        assert [values, values] == seen
        assert values == {record.name: record.value for record in await engine.steps("a-1")}

    async def test_an_unknown_job_has_no_steps(self, engine: Engine) -> None:
        """
        Asking for them is no error.
        """
        assert [] == await engine.steps("nobody-1")

    # -- how many at once -------------------------------------------------------------------

    async def test_jobs_of_a_group_run_one_after_another_in_order(self, engine: Engine) -> None:
        """
        Another group's do not wait for them.
        """
        play = Play(steps=("one",))
        gate = play.hold("a-0", "one")
        await engine.submit([Ticket(f"a-{number}", "a") for number in range(5)])
        await engine.submit([Ticket("b-0", "b")])
        await self.begin(engine, play)
        await play.until_ended("b-0")
        await play.until_made("a-0", "one")
        gate.set()
        await play.until_ended("a-4")

        assert [f"a-{number}" for number in range(5)] == [each for each in play.order if each != "b-0"]
        assert 1 == play.together["a"]

    async def test_as_many_of_a_group_run_at_once_as_its_tickets_say(self, engine: Engine) -> None:
        """
        Two where it is two, all where there is no limit.
        """
        play = Play(steps=("one",))
        gates = [play.hold(f"{group}-{number}", "one") for group in "ab" for number in range(4)]
        await engine.submit([Ticket(f"a-{number}", "a", at_once=2) for number in range(4)])
        await engine.submit([Ticket(f"b-{number}", "b", at_once=None) for number in range(4)])
        await self.begin(engine, play, at_once=8)
        await play.until(lambda: 2 == play.running["a"] and 4 == play.running["b"])
        for gate in gates:
            gate.set()
        await play.until(lambda: 8 == len(play.ended))

        assert {"a": 2, "b": 4} == dict(play.together)

    async def test_a_process_runs_no_more_at_once_than_it_was_told(self, engine: Engine) -> None:
        """
        Over all groups and limits together.
        """
        play = Play(steps=("one", "two"), group=lambda _: "all")
        tickets = [Ticket(f"g{n}-{at_once}", f"g{n}", at_once) for at_once in (1, 2, None) for n in range(4)]
        gates = [play.hold(ticket.id, "one") for ticket in tickets]
        await engine.submit(tickets)
        await self.begin(engine, play, at_once=2)
        await play.until(lambda: 2 == play.running["all"])
        for gate in gates:
            gate.set()
        await play.until(lambda: 12 == len(play.ended))

        assert 2 == play.together["all"]

    async def test_a_group_with_many_jobs_keeps_nobody_waiting(self, engine: Engine) -> None:
        """
        One job of another group comes soon, however many were submitted before it.
        """
        play = Play(steps=("one",))
        await engine.submit([Ticket(f"a-{number}", "a") for number in range(200)])
        await engine.submit([Ticket("b-0", "b")])
        await self.begin(engine, play, at_once=1)
        await play.until_ended("b-0")

        assert play.order.index("b-0") < 100

    # -- suspending -------------------------------------------------------------------------

    async def test_a_suspended_run_goes_on_after_its_recorded_steps(self, engine: Engine) -> None:
        """
        What was recorded before it raised `Suspended` is not done again.
        """
        play = Play()
        play.failing[("a-1", "two")] = Suspended()
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_ended("a-1", "suspended")
        kept = await engine.steps("a-1")
        play.failing.clear()
        await self.until_resumed(engine, play, "a-1")

        assert recorded("a-1", "one") == kept
        assert {("a-1", "one"): 1, ("a-1", "two"): 2, ("a-1", "three"): 1} == dict(play.made)

    async def test_an_error_of_a_step_is_raised_and_not_recorded(self, engine: Engine) -> None:
        """
        The run sees the very error; the step is done again by the next run.
        """
        mistake = ValueError("no such thing")
        seen: list[BaseException] = []
        play = Play()
        play.failing[("a-1", "two")] = mistake

        async def run(job_id: str, steps: Steps) -> None:
            try:
                await play(job_id, steps)
            except ValueError as error:
                seen.append(error)
                raise Suspended from error

        await self.begin(engine, run)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_ended("a-1", "ValueError")
        kept = await until_steps(engine, "a-1", 1)
        play.failing.clear()
        await self.until_resumed(engine, play, "a-1")

        assert [mistake] == seen
        assert seen[0] is mistake
        assert recorded("a-1", "one") == kept
        assert 1 == play.made[("a-1", "one")]
        assert recorded("a-1", "one", "two", "three") == await engine.steps("a-1")

    async def test_an_error_that_escapes_ends_nothing(self, engine: Engine) -> None:
        """
        The job stays suspended, and can be resumed once the mistake is mended.
        """
        play = Play()
        play.failing[("a-1", "three")] = KeyError("a mistake of ours")
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_ended("a-1", "KeyError")
        play.failing.clear()
        await self.until_resumed(engine, play, "a-1")

        assert {("a-1", "one"): 1, ("a-1", "two"): 1, ("a-1", "three"): 2} == dict(play.made)

    async def test_after_a_step_that_failed_no_other_is_done(self, engine: Engine) -> None:
        """
        A run that goes on regardless would record steps at places that the next run has for others.
        """
        seen: list[str] = []
        ended = asyncio.Event()

        async def fails() -> bytes:
            raise ValueError

        async def works() -> bytes:
            seen.append("done")
            return b""

        async def run(job_id: str, steps: Steps) -> None:
            try:
                await steps.step("one", fails)
            except ValueError:
                try:
                    await steps.step("two", works)
                except RuntimeError:
                    seen.append("refused")
            ended.set()
            raise Suspended

        await self.begin(engine, run)
        await engine.submit([Ticket("a-1", "a")])
        async with asyncio.timeout(LIMIT):
            await ended.wait()

        assert ["refused"] == seen
        assert [] == await engine.steps("a-1")

    async def test_a_waiting_job_that_is_suspended_is_not_begun(self, engine: Engine, other: Engine) -> None:
        """
        Not before it is resumed; then it runs as if nothing had been.
        """
        play = Play()
        gate = play.hold("a-1", "one")
        await engine.submit([Ticket("a-1", "a"), Ticket("a-2", "a"), Ticket("a-3", "a")])
        await self.begin(engine, play)
        await play.until_made("a-1", "one")
        await other.suspend(["a-2", "a-2", "nobody-1"])
        gate.set()
        await play.until_ended("a-3")
        before = list(play.order)
        await other.resume([Ticket("a-2", "a")])
        await play.until_ended("a-2")

        assert ["a-1", "a-3"] == before
        assert ["a-1", "a-3", "a-2"] == play.order

    async def test_a_running_job_that_is_suspended_stops_at_its_next_step(
        self, engine: Engine, other: Engine
    ) -> None:
        """
        `Suspended` is raised in it; the step that it was at is not recorded, and done again later.
        """
        play = Play()
        gate = play.hold("a-1", "two")
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_made("a-1", "two")
        await other.suspend(["a-1"])
        gate.set()
        await play.until_ended("a-1", "suspended")
        await self.until_resumed(other, play, "a-1")

        assert 0 == play.ended.count(("a-1", "CancelledError"))
        assert 1 == play.made[("a-1", "one")]
        assert 1 == play.made[("a-1", "three")]
        assert recorded("a-1", "one", "two", "three") == await engine.steps("a-1")

    async def test_a_suspended_job_makes_room_for_the_next(self, engine: Engine) -> None:
        """
        Its group goes on with others.
        """
        play = Play()
        play.failing[("a-1", "one")] = Suspended()
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a"), Ticket("a-2", "a")])
        await play.until_ended("a-2")

        assert ["a-1", "a-2"] == play.order

    async def test_a_job_that_is_resumed_while_it_runs_is_run_once_more(
        self, engine: Engine, other: Engine
    ) -> None:
        """
        Whoever saw that it waits may be faster than the run that said so; nothing is lost then.
        """
        play = Play()
        gate = play.hold("a-1", "two")
        play.failing[("a-1", "two")] = Suspended()
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_made("a-1", "two")
        await other.resume([Ticket("a-1", "a")])
        await other.resume([Ticket("a-1", "a")])
        gate.set()
        await play.until_made("a-1", "two", 2)
        await play.until_ended("a-1", "suspended", 2)
        await engine.submit([Ticket("a-2", "a")])
        await play.until_ended("a-2")

        assert ["a-1", "a-1", "a-2"] == play.order
        assert 1 == play.made[("a-1", "one")]

    async def test_a_job_that_is_resumed_while_it_runs_may_end(self, engine: Engine, other: Engine) -> None:
        """
        If it is done, it is not run again.
        """
        play = Play()
        gate = play.hold("a-1", "two")
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_made("a-1", "two")
        await other.resume([Ticket("a-1", "a")])
        gate.set()
        await play.until_ended("a-1")
        await engine.submit([Ticket("a-2", "a")])
        await play.until_ended("a-2")

        assert ["a-1", "a-2"] == play.order

    async def test_resuming_an_unknown_job_submits_it(self, engine: Engine, other: Engine) -> None:
        """
        Whatever became of the order to submit it.
        """
        play = Play()
        await self.begin(engine, play)
        await other.resume([Ticket("a-1", "a"), Ticket("a-1", "a")])
        await play.until_ended("a-1")

        assert ["a-1"] == play.order

    async def test_a_job_that_is_done_stays_done(self, engine: Engine, other: Engine) -> None:
        """
        Suspending and resuming it afterwards runs nothing, and keeps its steps.
        """
        play = Play()
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_ended("a-1")
        await engine.submit([Ticket("a-2", "a")])
        await play.until_ended("a-2")
        await other.suspend(["a-1"])
        await other.resume([Ticket("a-1", "a")])
        await engine.submit([Ticket("a-3", "a")])
        await play.until_ended("a-3")

        assert ["a-1", "a-2", "a-3"] == play.order
        assert recorded("a-1", "one", "two", "three") == await engine.steps("a-1")

    # -- other steps ------------------------------------------------------------------------

    async def test_a_step_of_another_name_is_told_and_not_done(self, engine: Engine) -> None:
        """
        The code was changed under a job: nothing is done in the place of what is recorded there.
        """
        play = Play()
        play.failing[("a-1", "three")] = Suspended()
        seen: list[str] = []

        async def run(job_id: str, steps: Steps) -> None:
            try:
                await play(job_id, steps)
            except StepsDiffer as error:
                seen.append(str(error))
                raise Suspended from error

        await self.begin(engine, run)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_ended("a-1", "suspended")
        play.failing.clear()
        play.steps = ("one", "another", "three")
        await self.until_resumed(engine, play, "a-1", "StepsDiffer")
        kept = await engine.steps("a-1")
        play.steps = ("one", "two", "three")
        await self.until_resumed(engine, play, "a-1")

        assert {("a-1", "one"): 1, ("a-1", "two"): 1, ("a-1", "three"): 2} == dict(play.made)
        assert recorded("a-1", "one", "two") == kept
        assert "two" in seen[0]
        assert "another" in seen[0]

    # -- forgetting -------------------------------------------------------------------------

    async def test_a_forgotten_job_leaves_nothing(self, engine: Engine, other: Engine) -> None:
        """
        One that is done has no steps then; one that waits is not begun.
        """
        play = Play()
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_ended("a-1")
        gate = play.hold("a-2", "one")
        await engine.submit([Ticket("a-2", "a"), Ticket("a-3", "a"), Ticket("a-4", "a")])
        await play.until_made("a-2", "one")
        await other.forget(["a-1", "a-3", "a-3", "nobody-1"])
        await other.forget(["a-1", "a-3"])
        gate.set()
        await play.until_ended("a-4")

        assert ["a-1", "a-2", "a-4"] == play.order
        assert [] == await engine.steps("a-1")
        assert [] == await engine.steps("a-3")

    async def test_a_running_job_that_is_forgotten_writes_nothing_more(
        self, engine: Engine, other: Engine
    ) -> None:
        """
        `Suspended` is raised in it at its next step, and its steps stay gone.
        """
        play = Play()
        gate = play.hold("a-1", "two")
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_made("a-1", "two")
        await other.forget(["a-1"])
        gate.set()
        await play.until_ended("a-1", "suspended")

        assert [] == await engine.steps("a-1")
        assert 0 == play.made[("a-1", "three")]

    # -- recovering -------------------------------------------------------------------------

    async def test_what_another_executor_runs_is_left_alone(self, engine: Engine, other: Engine) -> None:
        """
        `recover` takes from the dead only.
        """
        play = Play()
        gate = play.hold("a-1", "two")
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_made("a-1", "two")
        taken = await other.recover("somebody-else")
        gate.set()
        await play.until_ended("a-1")

        assert 0 == taken
        assert ["a-1"] == play.order

    async def test_a_run_that_was_taken_away_records_nothing(self, engine: Engine, other: Engine) -> None:
        """
        One believed to be dead that comes back gets `Suspended`; the step it was at is done by the new run.
        """
        play = Play()
        gate = play.hold("a-1", "two")
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_made("a-1", "two")
        taken = await other.recover("first")
        again = await other.recover("first")
        gate.set()
        await play.until_ended("a-1", "suspended")
        await play.until_ended("a-1")

        assert 1 == taken
        assert again in (0, 1)
        assert 1 == play.made[("a-1", "one")]
        assert 1 == play.made[("a-1", "three")]
        assert recorded("a-1", "one", "two", "three") == await engine.steps("a-1")

    async def test_a_recovered_job_is_run_before_its_group_goes_on(
        self, engine: Engine, other: Engine
    ) -> None:
        """
        What was begun first is ended first.
        """
        play = Play()
        gate = play.hold("a-1", "two")
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a"), Ticket("a-2", "a")])
        await play.until_made("a-1", "two")
        await other.recover("first")
        gate.set()
        await play.until_ended("a-2")

        assert ("a-1", "done") in play.ended
        assert play.order[-1] == "a-2"

    # -- stopping ---------------------------------------------------------------------------

    async def test_stopping_waits_for_what_runs_and_begins_nothing_more(self, engine: Engine) -> None:
        """
        What is running within the time is ended; what waits is left.
        """
        play = Play()
        gate = play.hold("a-1", "two")
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a"), Ticket("a-2", "a")])
        await play.until_made("a-1", "two")
        stopping = asyncio.create_task(engine.stop(seconds=LIMIT))
        asyncio.get_running_loop().call_later(0.3, gate.set)
        await stopping

        assert [("a-1", "done")] == play.ended
        assert ["a-1"] == play.order

    async def test_what_does_not_end_in_time_is_left_to_recover(self, engine: Engine, other: Engine) -> None:
        """
        It is cut off, its recorded steps stay, and it can be run again.
        """
        play = Play()
        play.hold("a-1", "two")
        await self.begin(engine, play)
        await engine.submit([Ticket("a-1", "a")])
        await play.until_made("a-1", "two")
        await engine.stop(seconds=0.05)

        assert 1 == await other.recover("first")
        assert recorded("a-1", "one") == await other.steps("a-1")
        assert [("a-1", "CancelledError")] == play.ended

    async def test_an_engine_can_be_stopped_that_was_never_started(self, engine: Engine) -> None:
        """
        And twice.
        """
        await engine.submit([Ticket("a-1", "a")])
        await engine.stop(seconds=1)
        await engine.stop(seconds=1)

    # -- what they share ----------------------------------------------------------------------

    async def until_resumed(self, engine: Engine, play: Play, job_id: str, end: str = "done") -> None:
        """Resume it, once, and wait until it has come to *end*."""
        await engine.resume([Ticket(job_id, play.group(job_id))])
        await play.until_ended(job_id, end)
