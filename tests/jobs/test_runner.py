"""One run of a job whose store goes away, or whose row somebody else has brought to an end."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.errors import StoreUnavailable
from grantkeeper.jobs import row as rows
from grantkeeper.jobs.parking import park_others
from grantkeeper.jobs.row import Row, TakenOver, patiently
from grantkeeper.model import GrantState, Job, JobState, KeyKind, Order
from grantkeeper.ports import Insert, Replace, Suspended, WakeJobs
from grantkeeper.testing.records import a_grant, a_job
from tests.jobs_kit import lives

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


async def stored(state: JobState = JobState.RUNNING, **changes: Any) -> tuple[MemoryStore, Job]:
    """A store with one grant and one job."""
    store, grant = MemoryStore(), a_grant()
    await store.commit(Insert(grant))
    job = Job(id="j", name="work", grant_id=grant.id, state=state, created_at=NOW, **changes)
    await store.add_jobs([job])
    return store, job


async def test_a_run_waits_for_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Given up, it would be suspended in the engine while its row says that it runs, and nobody would look.
    """
    monkeypatch.setattr(rows, "PAUSE", 0.0)
    answers: list[Any] = [StoreUnavailable("away"), StoreUnavailable("away"), "there"]

    async def read() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert "there" == await patiently(read)


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.DONE])
async def test_what_has_ended_is_not_brought_back(state: JobState) -> None:
    """
    A run that was taken for dead wakes up: what another has made of the job stands.
    """
    store, job = await stored()
    await store.change_job(replace(job, state=state))
    with pytest.raises(Suspended):
        await Row(store, job, lives).change(state=JobState.PARKED)

    found = await store.job("j")
    assert found is not None and state is found.state


async def test_a_change_is_made_whatever_else_was_changed() -> None:
    """
    Both stand.
    """
    store, job = await stored()
    await store.change_job(replace(job, doing="sharpening"))
    row = Row(store, job, lives)
    await row.change(done=3)

    assert ("sharpening", 3) == (row.job.doing, row.job.done)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.PARKED, JobState.RUNNING])
async def test_a_key_that_is_wrapped_anew_is_no_decision(state: JobState) -> None:
    """
    A row that says that it is queued, of a job whose run believes that somebody else has it, is lost.
    """
    store, job = await stored(state, seal_key=b"old")
    row = Row(store, job, lives)
    [key] = await store.data_keys(KeyKind.JOB)
    await store.rewrap([(key, b"new")])
    await row.change(state=JobState.RUNNING)

    found = await store.job("j")
    assert found == row.job
    assert (JobState.RUNNING, b"new") == (row.job.state, row.job.seal_key)


async def test_an_order_that_was_carried_out_meanwhile_is_no_decision() -> None:
    """
    The run that it began had read the row before: it begins all the same.
    """
    store, job = await stored(JobState.QUEUED, order=Order.RESUME, seal_key=b"old")
    row = Row(store, job, lives)
    await store.jobs_told([job])
    [key] = await store.data_keys(KeyKind.JOB)
    await store.rewrap([(key, b"new")])
    await row.change(state=JobState.RUNNING, order=None)

    assert (JobState.RUNNING, None) == (row.job.state, row.job.order)


async def test_a_job_that_was_parked_and_woken_meanwhile_is_left_to_whoever_is_resumed() -> None:
    """
    The order to resume it still stands: the run that it asks for is another.
    """
    store, job = await stored(JobState.QUEUED)
    parked = await store.change_job(replace(job, state=JobState.PARKED))
    await store.change_job(replace(parked, state=JobState.QUEUED, order=Order.RESUME))
    with pytest.raises(Suspended):
        await Row(store, job, lives).change(state=JobState.RUNNING)


async def test_a_worker_that_was_missed_begins_nothing_whose_key_was_wrapped_anew() -> None:
    """
    Whoever took its lease has the job run.
    """

    async def missed() -> bool:
        return False

    store, job = await stored(JobState.QUEUED, seal_key=b"old")
    row = Row(store, job, missed)
    [key] = await store.data_keys(KeyKind.JOB)
    await store.rewrap([(key, b"new")])
    with pytest.raises(TakenOver):
        await row.change(state=JobState.RUNNING)


async def test_parking_others_tells_the_engine_nothing() -> None:
    """
    An order to suspend could be carried out late, after the user has woken them: they would be lost.
    """
    store, job = await stored(JobState.QUEUED, order=Order.SUBMIT)
    submitted = replace(job, id="k", order=None)
    await store.add_jobs([submitted])
    grant = await store.get(job.grant_id)
    assert grant is not None
    await store.commit(Replace(replace(grant, state=GrantState.NEEDS_CONSENT)))
    await park_others(store, replace(job, reason="revoked", note="taken back"))

    assert [] == await store.ordered_jobs()
    parked = [await store.job(each) for each in ("j", "k")]
    assert [(JobState.PARKED, "revoked")] * 2 == [(each.state, each.reason) for each in parked if each]


class Consenting(MemoryStore):
    """
    The user consents while jobs are parked.

    Attributes:
        before: He does so before as many more of them are.
        deaf: Nor is it said that the next one is.
    """

    before = 0
    deaf = False

    async def change_job(self, job: Job, *, quiet: bool = False) -> Job:
        if job.state is JobState.PARKED:
            if self.before == 0:
                grant = await self.get(job.grant_id)
                assert grant is not None
                await self.commit(Replace(replace(grant, state=GrantState.ACTIVE)), WakeJobs(grant.id))
            self.before -= 1
        changed = await super().change_job(job, quiet=quiet)
        if self.deaf and job.state is JobState.PARKED:
            self.deaf = False
            raise StoreUnavailable("no answer")
        return changed


@pytest.mark.parametrize("deaf", [False, True], ids=["heard", "an answer is lost"])
@pytest.mark.parametrize("before", [0, 1, 2])
async def test_nobody_is_parked_beside_a_grant_that_works(
    before: int, deaf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The user consented after the grant was read: who was parked by then is woken, and so are the others.
    """
    monkeypatch.setattr(rows, "PAUSE", 0.0)
    store, grant = Consenting(), a_grant(state=GrantState.NEEDS_CONSENT)
    await store.commit(Insert(grant))
    jobs = [a_job(number) for number in range(3)]
    await store.add_jobs(jobs)
    store.before, store.deaf = before, deaf
    await park_others(store, replace(a_job(9), reason="revoked", note="taken back"))

    found = [await store.job(job.id) for job in jobs]
    assert [(JobState.QUEUED, Order.RESUME, None, None)] * 3 == [
        (each.state, each.order, each.reason, each.note) for each in found if each
    ]
