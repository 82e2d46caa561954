"""Jobs that begin by the calendar, for everybody who granted what they need; and that nobody is starved."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from grantkeeper import JobContext, PlainJobContext, job
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.memory_engine import MemoryEngine
from grantkeeper.jobs import crowd, schedules
from grantkeeper.jobs.calendar import Calendar
from grantkeeper.jobs.definition import Definition, by_name
from grantkeeper.jobs.means import Means
from grantkeeper.jobs.schedules import Schedules
from grantkeeper.model import Job, JobState, Lease, Order
from grantkeeper.ports import Insert, JobQuery
from grantkeeper.testing import ManualClock, SeededDice
from grantkeeper.testing.records import a_grant
from tests.jobs.conftest import DRIVE, Opener

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@job(every="day", scopes=[DRIVE])
def nightly(ctx: PlainJobContext, full: bool = False) -> None: ...


class Office:
    """Schedules of two workers on one store, under a clock set by hand."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), ManualClock(NOON)
        self.first, self.second = self.looking(1), self.looking(2)

    def looking(self, number: int, *definitions: Definition) -> Schedules:
        return Schedules(
            Means(
                store=self.store,
                engine=MemoryEngine(),
                http=None,  # type: ignore[arg-type]
                tokens=None,  # type: ignore[arg-type]
                clock=self.clock,
                dice=SeededDice(number),
                definitions=by_name(definitions or [nightly.definition]),
                executor=f"worker-{number}",
            )
        )

    async def grants(self, count: int, **changes: Any) -> list[str]:
        made = [a_grant(number + 1, granted=frozenset({DRIVE}), **changes) for number in range(count)]
        for each in made:
            await self.store.commit(Insert(each))
        return [each.id for each in made]

    async def begun(self) -> list[Job]:
        return await self.store.jobs(JobQuery(limit=10_000))


@pytest.fixture
async def office() -> Office:
    return Office()


async def test_what_was_due_before_anybody_knew_of_it_is_not_made_up_for(office: Office) -> None:
    """
    A schedule is known from the first look on.
    """
    await office.grants(1)
    await office.first.once()
    await office.first.once()

    assert [] == await office.begun()


async def test_each_user_who_granted_it_gets_one(office: Office) -> None:
    """
    Nobody else does; however often and whoever looks. The night names the batch.
    """
    able = await office.grants(3)
    await office.store.commit(Insert(a_grant(9, granted=frozenset({"openid"}))))
    await office.first.once()
    office.clock.advance(DAY)
    for each in (office.first, office.second, office.first):
        await each.once()
    jobs = await office.begun()

    assert able == sorted(each.grant_id for each in jobs)
    assert {("nightly@2026-11-23T03:00", Order.SUBMIT, JobState.QUEUED)} == {
        (each.batch, each.order, each.state) for each in jobs
    }


async def test_missed_nights_are_caught_up_with_once(office: Office) -> None:
    """
    Whoever was away for a week does not do seven nights' work.
    """
    await office.grants(2)
    await office.first.once()
    office.clock.advance(7 * DAY)
    await office.first.once()
    await office.second.once()

    assert ["nightly@2026-11-29T03:00"] * 2 == [each.batch for each in await office.begun()]


async def test_a_worker_that_dies_between_pages_is_followed_by_another(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It dies when a page is added and not yet marked: everybody gets one, and nobody two.
    """
    monkeypatch.setattr(crowd, "PAGE", 2)
    able = await office.grants(7)
    await office.first.once()
    office.clock.advance(DAY)
    whole, marks = office.store.set_mark, []

    async def dies(name: str, value: bytes | None) -> None:
        marks.append(name)
        if len(marks) == 2:
            raise ConnectionError("killed")
        await whole(name, value)

    monkeypatch.setattr(office.store, "set_mark", dies)
    with pytest.raises(ConnectionError):
        await office.first.once()
    assert 0 < len(await office.begun()) < 7
    await office.second.once()
    await office.second.once()

    assert able == sorted(each.grant_id for each in await office.begun())


async def test_a_schedule_that_cannot_be_read_stops_no_other(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Neither a line that says nothing, nor a mark that another release has left.
    """
    broken = replace(nightly.definition, name="broken", calendar=Calendar("61 * * * *"))
    marked = replace(nightly.definition, name="marked")
    first = office.looking(1, broken, marked, nightly.definition)
    await office.store.set_mark("jobs:schedule:marked", b"no JSON")
    await office.grants(2)
    await first.once()
    office.clock.advance(DAY)
    await first.once()

    assert ["nightly"] * 2 == [each.name for each in await office.begun()]
    assert {"jobs.schedule name=broken", "jobs.schedule name=marked"} == set(caplog.messages)


async def test_a_clock_that_was_years_ahead_silences_no_schedule(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Its own night is begun once, those by the right clock go on, each once, and the log names the mark.

    Also where the wrong clock goes on beside the right one, and looks again and again.
    """
    await office.grants(1)
    wrong = replace(office.second._means, clock=ManualClock(NOON + 3650 * DAY))
    await office.first.once()
    for _ in range(3):
        office.clock.advance(DAY)
        await office.first.once()
        await Schedules(wrong).once()
        await office.first.once()
    nights = [*(f"nightly@2026-11-{day}T03:00" for day in (23, 24, 25)), "nightly@2036-11-19T03:00"]

    assert sorted(nights) == sorted(each.batch or "" for each in await office.begun())
    assert "jobs.schedule_ahead name=nightly due=2036-11-19 03:00:00+00:00" in caplog.messages


async def test_a_clock_that_ran_ahead_for_long_is_not_waited_for(office: Office) -> None:
    """
    Alone and from the first day, so that no time is known which the right clock could go on from.
    """
    await office.grants(1)
    ahead = ManualClock(NOON + 3650 * DAY)
    wrong = Schedules(replace(office.second._means, clock=ahead))
    for _ in range(3):
        await wrong.once()
        ahead.advance(DAY)
    before = len(await office.begun())
    for _ in range(3):
        await office.first.once()
        office.clock.advance(DAY)

    assert before + 2 == len(await office.begun())


async def test_a_clock_that_is_behind_begins_nothing_twice(office: Office) -> None:
    """
    Neither itself, nor because of what it writes; not even once the rows of that night are dropped.
    """
    await office.grants(1)
    behind = Schedules(replace(office.second._means, clock=ManualClock(NOON - 3650 * DAY)))
    await office.first.once()
    office.clock.advance(DAY)
    await office.first.once()
    (night,) = await office.begun()
    await office.store.change_job(replace(night, state=JobState.DONE, keep_until=office.clock.now()))
    await office.store.sweep(office.clock.now())
    for each in (behind, office.first, behind, office.first):
        await each.once()

    assert [] == await office.begun()


async def test_one_who_looks_keeps_the_others_away(office: Office) -> None:
    """
    Whoever does not get the lease leaves it be.
    """
    await office.grants(1)
    await office.first.once()
    office.clock.advance(DAY)
    held = await office.store.take(schedules.NAME, "another", seconds=30)
    await office.first.once()

    assert isinstance(held, Lease)
    assert [] == await office.begun()


async def test_a_scheduled_job_is_done_for_everybody(open_town: Opener) -> None:
    """
    By workers, with the emulator's clock: a night passes, and both users' jobs are done.
    """
    done: list[str] = []

    @job(every="day", scopes=[DRIVE])
    async def export(ctx: JobContext) -> None:
        await ctx.token()
        done.append(ctx.grant_id)

    first, _ = await open_town(export), await open_town(export)
    grants = [await first.signed_in(f"{name}@example.com") for name in ("ada", "ben")]
    home, mark = first.worker.keeper._home, f"jobs:schedule:{export.definition.name}"
    async with asyncio.timeout(20):
        while await home.ask(lambda core: core.store.mark(mark)) is None:
            await asyncio.sleep(0.02)
    first.advance(25 * 3600)
    async with asyncio.timeout(20):
        while len((begun := await first.worker.keeper.jobs.list(job="export")).jobs) < 2:
            await asyncio.sleep(0.02)
    for each in begun.jobs:
        await first.until(each.id, "done")

    assert sorted(grants) == sorted(done)


async def test_ten_thousand_jobs_of_one_user_hold_up_nobody(open_town: Opener) -> None:
    """
    Another user's one job is done while they still wait.
    """

    @job(per_grant=None)
    async def work(ctx: JobContext) -> None:
        await ctx.step(len, "x")

    town = await open_town(work)
    ada, ben = await town.signed_in("ada@example.com"), await town.signed_in("ben@example.com")

    async def fill(core: Any) -> int:
        now = core.clock.now()
        many = [
            Job(
                id=f"0{number:05}",
                name="work",
                grant_id=ada,
                state=JobState.QUEUED,
                created_at=now,
                per_grant=None,
                order=Order.SUBMIT,
            )
            for number in range(10_000)
        ]
        return int(await core.store.add_jobs(many))

    assert 10_000 == await town.worker.keeper._home.ask(fill)
    run = await town.run(work, ben)
    waiting = await town.worker.keeper.jobs.list(grant=ada, state="queued", limit=1000)

    assert "done" == run.state
    assert 1000 == len(waiting.jobs), "thousands still wait"
