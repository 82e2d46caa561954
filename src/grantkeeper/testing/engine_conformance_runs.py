"""What every engine must do, its first half: running, and how many run at once."""

import asyncio
from functools import partial

from grantkeeper.ports import Engine, Steps, StepsDiffer, Suspended, Ticket
from grantkeeper.testing.engine_play import LIMIT, EngineSuite, Play, recorded, until_steps


class EngineRuns(EngineSuite):
    """Steps are done once and in order, and no more jobs at once than was said."""

    # -- running ----------------------------------------------------------------------------------

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

    # -- how many at once -------------------------------------------------------------------------

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

    # -- other steps ------------------------------------------------------------------------------

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
