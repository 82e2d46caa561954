"""Rates that the jobs of all workers keep together."""

import pytest

from grantkeeper import JobContext, job
from grantkeeper.cli.jobs_run import _rates
from grantkeeper.errors import InvalidRequest
from grantkeeper.jobs.rates import ApiRate
from tests.jobs.conftest import Opener

pytestmark = pytest.mark.anyio


def test_a_rate_is_read_as_it_is_written():
    """
    A host, and a count for a period; what is not is refused with an example.
    """
    assert [ApiRate("photoslibrary.googleapis.com", 0.5, False)] == _rates(
        ["photoslibrary.googleapis.com=30/minute"], per_user=False
    )
    for wrong in ("photoslibrary.googleapis.com", "host=", "host=10", "host=0/second", "host=ten/second"):
        with pytest.raises(InvalidRequest):
            _rates([wrong], per_user=True)


def test_a_rate_slower_than_one_a_second_still_has_a_turn():
    """
    At once is no more than a second's worth, and never nothing.
    """
    assert (1, 10) == (ApiRate("host", 0.1).burst, ApiRate("host", 10.5).burst)
    assert ApiRate("host", 1, per_user=True).key("g1") != ApiRate("host", 1, per_user=True).key("g2")
    assert ApiRate("host", 1).key("g1") == ApiRate("host", 1).key("g2")


async def test_who_has_to_wait_long_gives_his_place_to_others(open_town: Opener) -> None:
    """
    One request in a while for each user: his second job waits, another user's goes on.
    """

    @job()
    async def ask(ctx: JobContext) -> int:
        answer = await ctx.http.request("GET", f"{town.google.issuer}/drive/v3/about?fields=user")
        return answer.status

    town = await open_town(ask, rates=[ApiRate("drive", 1 / 3600, per_user=True)])
    drive = ("openid", "email", "https://www.googleapis.com/auth/drive.file")
    ada, ben = [await town.signed_in(f"{name}@example.com", scopes=drive) for name in ("ada", "ben")]

    assert 200 == (await town.until(await town.enqueue("ask", ada), "done")).result
    second = await town.enqueue("ask", ada)
    waiting = await town.until(second, "waiting")
    assert "quota_exceeded" == waiting.reason
    assert 0 == waiting.report.attempts
    assert 200 == (await town.until(await town.enqueue("ask", ben), "done")).result
