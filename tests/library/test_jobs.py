"""Jobs as those who ask for them see them, by the library and through a service, on a real database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from grantkeeper import Keeper
from grantkeeper.errors import (
    CallerNotAllowed,
    GrantNotFound,
    InvalidRequest,
    JobEnded,
    JobNotFound,
    JobUnknown,
)
from grantkeeper.library.remote import RemoteKeeper
from grantkeeper.lifecycle import REMEDIES
from grantkeeper.model import Job, JobState, Permission, Reason
from tests.jobs_kit import announce, moved
from tests.library.service import Service, running

DRIVE = "https://www.googleapis.com/auth/drive.appdata"
PHOTOS = "https://www.googleapis.com/auth/photoslibrary.appendonly"
NOWHERE = "01a20485-713f-7161-b4b3-d7f83b58b8cc"

pytestmark = pytest.mark.anyio


@dataclass
class Town:
    """A service, who calls it, and a keeper on the same database."""

    service: Service
    keeper: Keeper
    grant: str

    def calls(self, name: str, **rules: Any) -> RemoteKeeper:
        """A keeper with a new caller's key."""
        return RemoteKeeper(self.service.url, self.service.caller(name, **rules))

    async def moved(self, job_id: str, **changes: Any) -> Job:
        return await self.keeper._carry(lambda core: moved(core.store, job_id, **changes))

    async def told(self, name: str) -> list[tuple[str | None, str | None, dict[str, str]]]:
        """Caller, grant and detail of the audit's events of that name."""

        async def read(core: Any) -> list[Any]:
            await core.audit.flush()
            return [event for _, event in await core.store.events(limit=1000) if event.name == name]

        await self.keeper._carry(read)
        events = await self.service.ask(read)
        return [(one.caller, one.grant_id, dict(one.detail)) for one in events]


@pytest.fixture
def service(options: dict[str, Any]) -> Iterator[Service]:
    with running(options) as service:
        yield service


@pytest.fixture
async def town(service: Service, options: dict[str, Any], google_emulator) -> AsyncIterator[Town]:
    async with Keeper.open(**options) as keeper:
        redeemed = await keeper.redeem(google_emulator.code("mia@example.com"), user="mia")
        await keeper._carry(lambda core: announce(core.store, "export", scopes=[DRIVE]))
        await keeper._carry(lambda core: announce(core.store, "improve", scopes=[PHOTOS]))
        yield Town(service, keeper, redeemed.id)


async def test_both_keepers_tell_the_same_of_a_job(town: Town):
    """
    What the library sees on the database, a caller sees through the service.
    """
    async with town.calls("backend") as remote:
        queued = await remote.jobs.enqueue("export", town.grant, parameters={"since": [2026, 1]}, key="n-1")
        await town.moved(queued.id, state=JobState.DONE, steps=3, done=2, of=2, result=b'{"files": [1]}')
        far, near = await remote.jobs.get(queued.id), await town.keeper.jobs.get(queued.id)

    assert JobState.QUEUED is queued.state
    assert near == far
    assert ("export", town.grant, JobState.DONE, {"since": [2026, 1]}, "n-1", frozenset({DRIVE})) == (
        near.job,
        near.grant,
        near.state,
        near.parameters,
        near.key,
        near.scopes,
    )
    assert ({"files": [1]}, 3, 2, 2) == (near.result, near.steps, near.done, near.of)


async def test_the_same_key_gets_the_same_job(town: Town):
    """
    However often it is sent, and whatever became of the job meanwhile.
    """
    async with town.calls("backend") as remote:
        first = await remote.jobs.enqueue("export", town.grant, key="nightly")
        await town.moved(first.id, state=JobState.DONE)
        again = await remote.jobs.enqueue("export", user="mia", key="nightly")
        other = await remote.jobs.enqueue("export", town.grant, key="nightly-2")

    assert (first.id, JobState.DONE) == (again.id, again.state)
    assert first.id != other.id
    assert 2 == len(await town.told("job.enqueued"))


async def test_a_key_belongs_to_whoever_asked(town: Town):
    """
    Another who sends the same gets a job of its own, with its own parameters, and can look at it.
    """
    async with town.calls("one") as one, town.calls("two") as two:
        jobs = [one.jobs, two.jobs, town.keeper.jobs]
        queued = [
            await asker.enqueue("export", town.grant, parameters={"to": number}, key="invoice-7")
            for number, asker in enumerate(jobs)
        ]
        seen = [await asker.get(job.id) for asker, job in zip(jobs, queued, strict=True)]

    assert 3 == len({job.id for job in queued})
    assert [{"to": 0}, {"to": 1}, {"to": 2}] == [job.parameters for job in seen]


async def test_nobody_takes_the_place_of_a_fan_out_or_a_schedule(town: Town):
    """
    A caller that knows the name of tonight's batch can neither have its jobs nor keep them from being made.
    """
    night = "sweep@2026-11-29T02:00"
    await town.keeper._carry(lambda core: announce(core.store, "sweep"))
    async with town.calls("backend") as remote:
        taken = await remote.jobs.enqueue("sweep", town.grant, key=night)
        await remote.jobs.cancel(taken.id)
        added = await town.keeper.jobs.fan_out("sweep", batch=night)
        again = await town.keeper.jobs.fan_out("sweep", batch=night)

    assert (1, 0) == (added, again)


async def test_a_job_that_nobody_can_do_is_refused(town: Town):
    """
    A misspelt name is told at once and not found years later in a queue.
    """
    async with town.calls("backend") as remote:
        for keeper in (remote, town.keeper):
            with pytest.raises(JobUnknown):
                await keeper.jobs.enqueue("exprot", town.grant)


async def test_a_caller_sees_its_own_jobs_only(town: Town):
    """
    Another's does not exist for it: to look at, to end, to try again, in its list.
    """
    async with town.calls("one") as one, town.calls("two") as two:
        mine = await one.jobs.enqueue("export", town.grant)
        theirs = await two.jobs.enqueue("export", town.grant)
        ours = await town.keeper.jobs.enqueue("export", town.grant)
        for call in (one.jobs.get, one.jobs.cancel, one.jobs.retry):
            for job_id in (theirs.id, ours.id, NOWHERE, "no id"):
                with pytest.raises(JobNotFound):
                    await call(job_id)
        listed = await one.jobs.list()

    assert [mine.id] == [job.id for job in listed.jobs]
    assert {mine.id, theirs.id, ours.id} == {job.id for job in (await town.keeper.jobs.list()).jobs}


async def test_a_grant_outside_the_client_rule_does_not_exist(town: Town):
    """
    Nothing is enqueued for it; and of a caller that is narrowed later, its old jobs are out of sight.
    """
    async with town.calls("narrow", clients=frozenset({"elsewhere"})) as narrow:
        with pytest.raises(GrantNotFound):
            await narrow.jobs.enqueue("export", town.grant)
        with pytest.raises(GrantNotFound):
            await narrow.jobs.enqueue("export", user="mia")
        with pytest.raises(CallerNotAllowed):
            await narrow.jobs.enqueue("export", subject="1", client="default")
        async with town.calls("wide") as wide:
            job = await wide.jobs.enqueue("export", town.grant)
            await town.service.narrow("wide", clients=frozenset({"elsewhere"}))
            # Every node obeys within a second, as the change feed tells it.
            with pytest.raises(JobNotFound):
                async with asyncio.timeout(30):
                    while True:
                        await wide.jobs.get(job.id)
                        await asyncio.sleep(0.05)
            listed = await wide.jobs.list()

    assert ((), None) == listed


async def test_a_job_wider_than_the_scope_rule_is_refused(town: Town):
    """
    A job would be a way to what no token of the caller's opens.
    """
    async with town.calls("drive", scopes=frozenset({DRIVE, "openid"})) as keeper:
        allowed = await keeper.jobs.enqueue("export", town.grant)
        with pytest.raises(CallerNotAllowed):
            await keeper.jobs.enqueue("improve", town.grant)

    assert JobState.QUEUED is allowed.state


async def test_without_the_permission_no_job_is_shown(town: Town):
    """
    Tokens are one thing, jobs another.
    """
    async with town.calls("tokens", permissions=frozenset({Permission.TOKEN})) as keeper:
        with pytest.raises(CallerNotAllowed):
            await keeper.jobs.list()


async def test_no_grant_no_job(town: Town):
    """
    Neither one that never was nor one that was erased; its jobs have gone with it.
    """
    async with town.calls("backend") as remote:
        job = await remote.jobs.enqueue("export", town.grant)
        with pytest.raises(GrantNotFound):
            await remote.jobs.enqueue("export", NOWHERE)
        await town.keeper.forget(town.grant)
        with pytest.raises(GrantNotFound):
            await remote.jobs.enqueue("export", town.grant)
        with pytest.raises(JobNotFound):
            await remote.jobs.get(job.id)


async def test_a_parked_job_says_what_helps(town: Town):
    """
    Why, who can mend it, which permissions it needs, and that it goes on by itself.
    """
    async with town.calls("backend") as remote:
        job = await remote.jobs.enqueue("export", town.grant)
        await town.moved(job.id, state=JobState.PARKED, reason=Reason.REVOKED, note="taken back")
        said = await remote.jobs.get(job.id)

    assert ("revoked", "taken back", REMEDIES[Reason.REVOKED]) == (said.reason, said.note, said.remedy)
    assert "by itself" in (said.hint or "")
    assert DRIVE in (said.hint or "")


async def test_a_failed_job_goes_on_when_it_is_told_to(town: Town):
    """
    A dead letter is found by its state, looked at, and tried again; an event says who did.
    """
    async with town.calls("backend") as remote:
        job = await remote.jobs.enqueue("export", town.grant)
        await town.moved(
            job.id, state=JobState.FAILED, reason="invalid_request", note="no such folder", steps=2
        )
        letters = (await remote.jobs.list(state="failed")).jobs
        after = await remote.jobs.retry(job.id)

    assert [(job.id, "no such folder")] == [(one.id, one.note) for one in letters]
    assert "Retry" in (letters[0].hint or "")
    assert (JobState.QUEUED, None, 2) == (after.state, after.reason, after.steps)
    assert [("backend", town.grant, {"job": job.id, "name": "export"})] == await town.told("job.retried")


async def test_a_cancelled_job_stays_cancelled(town: Town):
    """
    A second time nothing changes and nothing is told; it cannot be tried again.
    """
    async with town.calls("backend") as remote:
        job = await remote.jobs.enqueue("export", town.grant)
        first, second = await remote.jobs.cancel(job.id), await remote.jobs.cancel(job.id)
        with pytest.raises(JobEnded) as caught:
            await remote.jobs.retry(job.id)

    assert (JobState.CANCELLED, first) == (first.state, second)
    assert "cancelled" == caught.value.details["state"]
    assert 1 == len(await town.told("job.cancelled"))


async def test_what_is_done_is_not_cancelled(town: Town):
    """
    Whoever is too late is told that the work is done.
    """
    job = await town.keeper.jobs.enqueue("export", town.grant)
    await town.moved(job.id, state=JobState.DONE)
    for call in (town.keeper.jobs.cancel, town.keeper.jobs.retry):
        with pytest.raises(JobEnded) as caught:
            await call(job.id)
        assert "done" == caught.value.details["state"]


async def test_a_list_comes_in_pages(town: Town):
    """
    In the order of making, each job once, filtered by all that the port can.
    """
    async with town.calls("backend") as remote:
        made = [(await remote.jobs.enqueue("export", town.grant)).id for _ in range(5)]
        await remote.jobs.enqueue("improve", town.grant)
        pages, cursor = [], None
        while True:
            page = await remote.jobs.list(job="export", grant=town.grant, limit=2, cursor=cursor)
            pages.append([job.id for job in page.jobs])
            cursor = page.next_cursor
            if cursor is None:
                break

    assert [2, 2, 1] == [len(page) for page in pages]
    assert sorted(made) == [job_id for page in pages for job_id in page]
    assert () == (await town.keeper.jobs.list(batch="none")).jobs


@pytest.mark.parametrize(
    "wrong", [{"state": "sleeping"}, {"limit": 0}, {"limit": 1001}, {"cursor": "a\x00b"}]
)
async def test_a_wrong_filter_is_told(town: Town, wrong: dict[str, Any]):
    """
    By the library as by the service.
    """
    async with town.calls("backend") as remote:
        for keeper in (remote, town.keeper):
            with pytest.raises(InvalidRequest):
                await keeper.jobs.list(**wrong)


def test_blocking_calls_do_the_same(service: Service, options: dict[str, Any], google_emulator):
    """
    Of a keeper here and of one behind a service.
    """
    with Keeper.open_sync(**options) as near, RemoteKeeper.open_sync(service.url, service.caller("b")) as far:
        grant = near.redeem(google_emulator.code("mia@example.com"))
        near._keeper._home.wait(lambda core: announce(core.store, "export", scopes=[DRIVE]))
        job = far.jobs.enqueue("export", grant.id, parameters={"n": 1})
        cancelled = far.jobs.cancel(job.id)
        ours = near.jobs.enqueue("export", grant.id)

        assert (JobState.CANCELLED, {"n": 1}) == (cancelled.state, far.jobs.get(job.id).parameters)
        assert [job.id, ours.id] == [one.id for one in near.jobs.list().jobs]
        assert JobState.QUEUED is near.jobs.retry(ours.id).state
