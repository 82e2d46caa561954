"""Requests in a user's name: where a token may go, and what is done when Google says no."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from grantkeeper import JobContext, PlainJobContext, job
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.memory_engine import MemoryEngine
from grantkeeper.errors import (
    ApiUnavailable,
    HttpFailed,
    InvalidRequest,
    QuotaExceeded,
    StoreUnavailable,
    TokenRefused,
)
from grantkeeper.jobs.context import JobHttp, PlainJobHttp
from grantkeeper.jobs.means import Means
from grantkeeper.jobs.session import UserSession
from grantkeeper.model import Job, JobState, Token
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from grantkeeper.secret import AccessToken
from grantkeeper.testing import ManualClock, SeededDice
from grantkeeper.testing.google import GoogleEmulator
from tests.jobs.conftest import DRIVE, Opener

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HERE = "http://127.0.0.1:8085"
FILES = "https://www.googleapis.com/drive/v3/files"


@dataclass
class Wire:
    """Google in a list of answers, and what was sent."""

    answers: list[HttpResponse | HttpFailed] = field(default_factory=list)
    sent: list[HttpRequest] = field(default_factory=list)

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        self.sent.append(request)
        # As long as others need to send theirs.
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else HttpResponse(200, b"{}", {})
        if isinstance(answer, HttpFailed):
            raise answer
        return answer


@dataclass
class Purse:
    """Tokens, and for each which one was refused before it was asked for."""

    asked: list[str | None] = field(default_factory=list)
    lifetimes: list[int] = field(default_factory=list)

    async def token(
        self, grant_id: str, scopes: frozenset[str] | None, min_ttl: int, rejected: str | None
    ) -> Token:
        self.asked.append(rejected)
        self.lifetimes.append(min_ttl)
        return Token(
            access_token=AccessToken(f"token {len(self.asked)}"),
            expires_at=NOW.replace(hour=13),
            expires_in=3600,
            scopes=frozenset({DRIVE}),
            missing_scopes=frozenset(),
            grant=grant_id,
        )

    def credentials(self, grant_id: str, scopes: frozenset[str] | None, turn: Any) -> Any:
        raise NotImplementedError


Asker = Callable[..., Awaitable[HttpResponse]]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def purse() -> Purse:
    return Purse()


@dataclass
class Hand:
    """A store's clock that is moved by hand."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def request_of(wire: Wire, purse: Purse, hand: Hand) -> Asker:
    """A session's `request`, with nothing behind it."""
    clock = ManualClock(NOW)
    means = Means(
        store=MemoryStore(monotonic=hand),
        engine=MemoryEngine(),
        http=wire,
        tokens=purse,
        clock=clock,
        dice=SeededDice(1),
        definitions={},
        executor="w",
        hosts=frozenset({HERE}),
    )
    running = Job(id="j", name="work", grant_id="g", state=JobState.RUNNING, created_at=NOW)
    return UserSession(means, running).request


@pytest.mark.parametrize(
    "url",
    [
        FILES,
        "https://photoslibrary.googleapis.com:443/v1/albums",
        "https://WWW.GoogleApis.com/drive",
        "https://lh3.googleusercontent.com/p=d",
        f"{HERE}/drive/v3/files",
        HERE,
        f"{HERE}?alt=json",
    ],
)
async def test_googles_hosts_get_the_token(request_of: Asker, wire: Wire, url: str) -> None:
    """
    Google's by HTTPS, and an emulator at its very address.
    """
    await request_of("GET", url)

    assert ["Bearer token 1"] == [sent.headers["authorization"] for sent in wire.sent]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://www.googleapis.com/drive/v3/files",
        "https://www.googleapis.com.evil.example/",
        "https://evilgoogleapis.com/",
        "https://googleapis.com.evil.example/",
        "https://evil.example#.googleapis.com/",
        "https://evil.example?.googleapis.com/",
        "https://evil.example/.googleapis.com/",
        "https://evil.example\\.googleapis.com/",
        "https://www.googleapis.com\\@evil.example/",
        "https://www.googleapis.com@evil.example/",
        "https://evil.example@www.googleapis.com/",
        "https://www.googleapis.com:8443/",
        "https://www.googleapis.com:port/",
        "https://www.google\tapis.com/",
        "https://www.googleapis.com\n",
        "https://[::1/",
        "https://34.1.2.3.bc.googleusercontent.com/",
        "https://x-8000-colab.googleusercontent.com/",
        "http://127.0.0.1:8086/drive/v3/files",
        "https://127.0.0.1:8085/drive/v3/files",
        "http://127.0.0.1:8085@evil.example/",
        "http://user@127.0.0.1:8085/",
        "//www.googleapis.com/",
        "ftp://www.googleapis.com/",
        "",
    ],
)
async def test_nobody_else_gets_it(request_of: Asker, wire: Wire, purse: Purse, url: str) -> None:
    """
    Not even asked for is a token, whoever made up the address.
    """
    with pytest.raises(InvalidRequest):
        await request_of("GET", url)

    assert ([], []) == (wire.sent, purse.asked)


async def test_a_refused_token_is_followed_by_one_other(request_of: Asker, wire: Wire, purse: Purse) -> None:
    """
    The keeper hears which one was refused; what was asked is asked again, whatever the method.
    """
    wire.answers = [HttpResponse(401, b"{}", {})]
    await request_of("POST", FILES)

    assert ["Bearer token 1", "Bearer token 2"] == [sent.headers["authorization"] for sent in wire.sent]
    assert purse.asked[0] is None and purse.asked[1] is not None


async def test_a_second_refusal_is_no_matter_of_tokens(request_of: Asker, wire: Wire, purse: Purse) -> None:
    """
    The error goes up; nobody burns refreshes on it.
    """
    wire.answers = [HttpResponse(401, b"{}", {})] * 2
    with pytest.raises(TokenRefused):
        await request_of("GET", FILES)

    assert 2 == len(purse.asked)


@pytest.mark.parametrize(
    ("method", "options", "sent"),
    [
        ("GET", {}, 2),
        ("PUT", {}, 2),
        ("POST", {}, 1),
        ("POST", {"idempotent": True}, 2),
        ("GET", {"idempotent": False}, 1),
    ],
)
@pytest.mark.parametrize("failure", [HttpResponse(503, b"", {}), HttpFailed("cut", may_have_arrived=True)])
async def test_what_may_have_been_done_is_not_sent_twice(
    request_of: Asker, wire: Wire, method: str, options: Any, sent: int, failure: Any
) -> None:
    """
    A server's failure may have come after the work: only what may be done twice is sent twice.
    """
    wire.answers = [failure]
    if sent == 1:
        with pytest.raises(ApiUnavailable):
            await request_of(method, FILES, **options)
    else:
        assert 200 == (await request_of(method, FILES, **options)).status

    assert sent == len(wire.sent)


async def test_what_never_left_is_sent_again(request_of: Asker, wire: Wire) -> None:
    """
    A connection that could not be made did nothing.
    """
    wire.answers = [HttpFailed("refused", may_have_arrived=False)]

    assert 200 == (await request_of("POST", FILES)).status


async def test_a_long_retry_after_is_left_to_the_row(request_of: Asker, wire: Wire) -> None:
    """
    Nobody holds a place for minutes.
    """
    wire.answers = [HttpResponse(503, b"", {"retry-after": "60"})]
    with pytest.raises(ApiUnavailable) as caught:
        await request_of("GET", FILES)

    assert (1, 60) == (len(wire.sent), caught.value.retry_after)


# -- a quota ----------------------------------------------------------------------------------------


async def refused(request_of: Asker) -> float:
    """How long the quota is left alone, as the error says."""
    with pytest.raises(QuotaExceeded) as caught:
        await request_of("GET", FILES)
    assert caught.value.retry_after is not None
    return caught.value.retry_after


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({}, [30, 60, 120, 240, 480, 900, 900]),
        ({"retry-after": "0"}, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]),
        ({"retry-after": "20"}, [20, 40, 80]),
        ({"retry-after": "2000"}, [2000, 2000]),
    ],
)
async def test_a_quota_that_stays_used_up_is_left_alone_for_longer_and_longer(
    request_of: Asker, wire: Wire, hand: Hand, monkeypatch: pytest.MonkeyPatch, headers: Any, waits: list[int]
) -> None:
    """
    Never for less than Google asked, and never for nothing; what works begins it anew.
    """
    monkeypatch.setattr("grantkeeper.jobs.session.SHORT_WAIT", 0.5)
    found = []
    for _ in waits:
        wire.answers = [HttpResponse(429, b"", headers)]
        found.append(await refused(request_of))
        hand.seconds += found[-1]
    assert 200 == (await request_of("GET", FILES)).status
    wire.answers = [HttpResponse(429, b"", headers)]

    assert [*waits, waits[0]] == [*found, await refused(request_of)]


async def test_those_who_are_refused_together_are_one_complaint(
    request_of: Asker, wire: Wire, hand: Hand
) -> None:
    """
    Many requests on their way would make an hour of half a minute.
    """
    wire.answers = [HttpResponse(429, b"", {})] * 7
    first = await refused(request_of)
    hand.seconds += first
    together = await asyncio.gather(*(refused(request_of) for _ in range(6)))

    assert 30 == first
    assert 60 == max(together)
    assert 55 < await refused(request_of) <= 60, "nobody is sent meanwhile"
    assert 7 == len(wire.sent)


async def test_what_is_done_is_done_although_the_store_is_away(
    request_of: Asker, wire: Wire, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    That a pause was of use cannot be written down; the answer comes all the same.
    """

    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    wire.answers = [HttpResponse(429, b"", {})]
    hand.seconds += await refused(request_of)
    monkeypatch.setattr(MemoryStore, "forget_pauses", away)

    assert 200 == (await request_of("POST", FILES)).status


async def test_a_quota_that_is_free_at_once_is_not_asked_without_end(
    open_town: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    "Retry-After: 0", again and again: the pauses grow in the job and in its row, with nothing counted.
    """

    @job(scopes=[DRIVE])
    async def work(ctx: JobContext) -> int:
        answer = await ctx.http.request("GET", f"{google_emulator.url}/drive/v3/files?spaces=appDataFolder")
        return answer.status

    town = await open_town(work)
    google_emulator.fault("drive", "status_429", retry_after=0)
    run = await town.run(work, await town.signed_in())

    assert ("waiting", "quota_exceeded", 0) == (run.state, run.reason, run.report.attempts)
    assert run.report.due_at is not None and run.report.started_at is not None
    # A second, two and four in the job, and eight in its row.
    assert timedelta(seconds=15) <= run.report.due_at - run.report.started_at
    assert 4 == sum(sum(kind.values()) for kind in google_emulator.stats()["drive"].values())


# -- a quota, with workers and the emulator ---------------------------------------------------------


async def test_one_users_quota_holds_up_nobody_else(
    open_town: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    The user's job waits until Google said; his second one does not even ask; another user's is done.
    """

    @job(scopes=[DRIVE], per_grant=None)
    async def work(ctx: JobContext) -> int:
        answer = await ctx.http.request("GET", f"{google_emulator.url}/drive/v3/files?spaces=appDataFolder")
        return answer.status

    town = await open_town(work)
    ada, ben = await town.signed_in("ada@example.com"), await town.signed_in("ben@example.com")
    google_emulator.fault("drive", "status_429", email="ada@example.com", retry_after=3600)
    first = await town.run(work, ada)
    asked = google_emulator.stats()["drive"]
    second = await town.run(work, ada)

    assert ["waiting", "waiting"] == [first.state, second.state]
    assert ["quota_exceeded", "quota_exceeded"] == [first.reason, second.reason]
    assert first.report.due_at is not None and first.report.started_at is not None
    assert timedelta(hours=1) <= first.report.due_at - first.report.started_at < timedelta(hours=1.5)
    assert asked == google_emulator.stats()["drive"], "the second did not ask"
    assert 200 == (await town.run(work, ben)).result
    assert 0 == first.report.attempts, "nothing was done, so nothing is counted"


@pytest.mark.parametrize("said", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_an_absurd_retry_after_stops_nobody_for_years(
    open_town: Opener, google_emulator: GoogleEmulator, said: str
) -> None:
    """
    A job waits for an hour and a bit, whichever Google it was, and then it is done.
    """

    @job(scopes=[DRIVE])
    async def work(ctx: JobContext) -> int:
        answer = await ctx.http.request("GET", f"{google_emulator.url}/drive/v3/files?spaces=appDataFolder")
        return answer.status

    town = await open_town(work)
    ada, ben = await town.signed_in("ada@example.com"), await town.signed_in("ben@example.com")
    google_emulator.fault("drive", "status_429", email="ada@example.com", retry_after=said)
    google_emulator.fault("token", "status_503", email="ben@example.com", retry_after=said)
    town.advance(4000)
    runs = [await town.run(work, ada), await town.run(work, ben)]
    google_emulator.heal()

    assert ["quota_exceeded", "issuer_unavailable"] == [run.reason for run in runs]
    for run in runs:
        assert run.report.due_at is not None and run.report.started_at is not None
        assert run.report.due_at - run.report.started_at < timedelta(hours=1.5)


async def test_a_plain_job_asks_as_an_async_one_does(
    open_town: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    By the same names; they block.
    """

    @job(scopes=[DRIVE])
    def work(ctx: PlainJobContext) -> tuple[int, bool]:
        before = ctx.http.now()
        ctx.http.pause(0.01)
        answer = ctx.http.request("GET", f"{google_emulator.url}/drive/v3/files?spaces=appDataFolder")
        return answer.status, before <= ctx.http.now()

    town = await open_town(work)

    assert [200, True] == (await town.run(work, await town.signed_in())).result


async def test_both_contexts_have_the_same_names() -> None:
    """
    Whoever makes a plain job async adds `await` and nothing else.
    """
    for one, other in ((JobContext, PlainJobContext), (JobHttp, PlainJobHttp)):
        assert public(one) == public(other)
    assert inspect.signature(JobHttp.request) == inspect.signature(PlainJobHttp.request)


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


async def test_a_short_quota_is_waited_for_in_place(
    open_town: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    A second is not worth giving the place away.
    """

    @job(scopes=[DRIVE])
    async def work(ctx: JobContext) -> int:
        answer = await ctx.http.request("GET", f"{google_emulator.url}/drive/v3/files?spaces=appDataFolder")
        return answer.status

    town = await open_town(work)
    google_emulator.fault("drive", "status_429", count=1, retry_after=1)

    assert 200 == (await town.run(work, await town.signed_in())).result


async def test_a_token_for_each_request_of_long_work(
    open_town: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    Two lives of a token go by while the job is at it; each ends in one refresh.
    """
    google = google_emulator

    @job(scopes=[DRIVE])
    async def work(ctx: JobContext) -> list[bool]:
        opened = []
        for part in range(4):
            opened.append(await ctx.named_step(f"part {part}", write, ctx))
            # An hour and a bit, twice.
            await asyncio.to_thread(google.advance, 2000)
        return opened

    async def write(ctx: JobContext) -> bool:
        token = await ctx.token(min_ttl=600)
        await ctx.http.request("GET", f"{google.url}/drive/v3/files?spaces=appDataFolder")
        return (token.expires_at - ctx.now()).total_seconds() >= 600

    town = await open_town(work)
    grant = await town.signed_in(scopes=[DRIVE])
    before = google.count("token", "refresh_token")
    run = await town.run(work, grant)

    assert [True] * 4 == run.result
    assert 2 <= google.count("token", "refresh_token") - before <= 4


async def test_a_token_that_is_refused_at_the_last_try_is_told(
    request_of: Asker, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Three tries found Google busy, the fourth a token that it does not like.
    """
    monkeypatch.setattr("grantkeeper.jobs.session.FIRST_PAUSE", 0.0)
    wire.answers = [*[HttpResponse(503, b"", {})] * 3, HttpResponse(401, b"", {})]

    with pytest.raises(TokenRefused):
        await request_of("GET", FILES)
    assert 4 == len(wire.sent)


async def test_a_long_request_does_not_ask_for_more_than_google_gives(
    request_of: Asker, purse: Purse
) -> None:
    """
    A token is looked at when a request begins; one that had to live two hours would be renewed for each.
    """
    await request_of("GET", FILES, seconds=7200)
    await request_of("GET", FILES, seconds=30)

    assert [600, 90] == purse.lifetimes
