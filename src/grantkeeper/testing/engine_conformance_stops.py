"""What every engine must do, its second half: suspending, forgetting, recovering and stopping."""

import asyncio

from grantkeeper.ports import Engine, Steps, Suspended, Ticket
from grantkeeper.testing.engine_play import LIMIT, EngineSuite, Play, recorded, until_steps


class EngineStops(EngineSuite):
    """Whatever ends a run before its end, what was recorded stays and nothing is done twice."""

    # -- suspending -------------------------------------------------------------------------------

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

    # -- forgetting -------------------------------------------------------------------------------

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

    # -- recovering -------------------------------------------------------------------------------

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

    # -- stopping ---------------------------------------------------------------------------------

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
