"""One job for every user who granted what it needs."""

import pytest

from grantkeeper import JobContext, job
from grantkeeper.errors import InvalidRequest, JobUnknown
from grantkeeper.jobs import crowd
from grantkeeper.library.job_calls import LocalJobs
from tests.jobs.conftest import Opener

pytestmark = pytest.mark.anyio

DRIVE = "https://www.googleapis.com/auth/drive.appdata"


async def test_everybody_who_can_have_it_gets_one(open_town: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Page by page; whoever lacks the scope gets none; the same batch again adds only who is new.
    """
    monkeypatch.setattr(crowd, "PAGE", 2)

    @job(scopes=[DRIVE])
    async def greet(ctx: JobContext, word: str = "hello") -> str:
        return word

    town = await open_town(greet)
    jobs = town.worker.keeper.jobs
    assert isinstance(jobs, LocalJobs)
    for number in range(3):
        await town.signed_in(f"user{number}@example.com", scopes=("openid", "email", DRIVE))
    await town.signed_in("other@example.com", scopes=("openid", "email"))

    assert 3 == await jobs.fan_out("greet", batch="spring", parameters={"word": "hi"})
    assert 0 == await jobs.fan_out("greet", batch="spring", parameters={"word": "hi"})
    await town.signed_in("new@example.com", scopes=("openid", "email", DRIVE))
    assert 1 == await jobs.fan_out("greet", batch="spring")
    for each in (await jobs.list(batch="spring")).jobs:
        await town.until(each.id, "done")

    assert {"done": 4} == {
        state: count for state, count in (await jobs.count(batch="spring")).items() if count
    }


async def test_what_cannot_be_fanned_out_is_refused_before_anybody_gets_it(open_town: Opener) -> None:
    """
    An unknown job, wrong parameters, a batch without a name.
    """

    @job()
    async def greet(ctx: JobContext, word: str) -> str:
        return word

    town = await open_town(greet)
    jobs = town.worker.keeper.jobs
    assert isinstance(jobs, LocalJobs)
    with pytest.raises(JobUnknown):
        await jobs.fan_out("other", batch="b")
    with pytest.raises(InvalidRequest):
        await jobs.fan_out("greet", batch="b", parameters={"word": 1})
    with pytest.raises(InvalidRequest):
        await jobs.fan_out("greet", batch="", parameters={"word": "hi"})
