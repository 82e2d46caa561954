"""One run of a job whose store goes away, or whose row somebody else has brought to an end."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.errors import StoreUnavailable
from grantkeeper.jobs import row as rows
from grantkeeper.jobs.parking import park_others
from grantkeeper.jobs.row import Row, patiently
from grantkeeper.model import GrantState, Job, JobState, Order
from grantkeeper.ports import Insert, Replace, Suspended
from grantkeeper.testing.records import a_grant
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
