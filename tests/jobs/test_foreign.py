"""What Google answers to its own clients, and to others, is what it would be as an answer to ours."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import httplib2
import httpx
import pytest
import requests
from google.auth.transport.requests import AuthorizedSession
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from grantkeeper import JobContext, PermanentFailure, PlainJobContext, job
from grantkeeper.errors import StoreConflict
from grantkeeper.jobs.foreign import answered
from grantkeeper.jobs.rates import ApiRate
from grantkeeper.testing.google import GoogleEmulator
from tests.jobs.conftest import DRIVE, Opener

pytestmark = pytest.mark.anyio

URL = "https://www.googleapis.com/drive/v3/files"
BODY = json.dumps({"error": {"code": 403, "errors": [{"reason": "userRateLimitExceeded"}]}}).encode()


# -- errors and what is on them ---------------------------------------------------------------------


def googles(status: int, body: bytes = BODY) -> Exception:
    return HttpError(httplib2.Response({"status": status, "retry-after": "7"}), body, uri=URL)


def of_requests(status: int, body: bytes = BODY) -> Exception:
    response = requests.Response()
    response.status_code, response.url, response._content = status, URL, body
    response._content_consumed = True
    response.headers["Retry-After"] = "7"
    return requests.HTTPError("no", response=response)


def of_httpx(status: int, body: bytes = BODY) -> Exception:
    request = httpx.Request("GET", URL)
    response = httpx.Response(status, content=body, headers={"Retry-After": "7"}, request=request)
    return httpx.HTTPStatusError("no", request=request, response=response)


Maker = Callable[..., Exception]
MAKERS = pytest.mark.parametrize("made", [googles, of_requests, of_httpx])


@MAKERS
async def test_the_answer_stands_on_the_error(made: Maker) -> None:
    """
    Where it came from, its status, its body and its headers, whichever library raised it.
    """
    found = answered(made(403))

    assert found is not None
    assert (URL, 403, BODY) == (found.url, found.response.status, found.response.body)
    assert "7" == found.response.headers["retry-after"]


@MAKERS
async def test_it_is_found_behind_an_error_of_the_authors(made: Maker) -> None:
    """
    As ours are: what an error was raised from says more than it.
    """
    error = ValueError("the file could not be read")
    error.__cause__ = made(503)
    found = answered(error)

    assert found is not None and 503 == found.response.status


class Bad(Exception):
    @property
    def response(self) -> object:
        raise LookupError("there is none")


def unread(status: int) -> Exception:
    """A body that nobody has read: to do so could take for ever."""
    error: Any = of_requests(status)
    error.response._content, error.response._content_consumed = False, False
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError("no"),
        Bad(),
        requests.ConnectionError("no"),
        unread(401),
        unread(403),
        HttpError(httplib2.Response({"status": 500}), b""),
    ],
)
async def test_what_has_no_answer_is_left_as_it_is(error: Exception) -> None:
    """
    A 403 says only in its body whether it passes.
    """
    assert None is answered(error)


async def test_some_say_enough_without_a_body() -> None:
    """
    A 429 is a quota's.
    """
    found = answered(unread(429))

    assert found is not None and (429, b"") == (found.response.status, found.response.body)


# -- jobs ------------------------------------------------------------------------------------------


def drive(ctx: PlainJobContext, google: GoogleEmulator) -> Any:
    return build(
        "drive",
        "v3",
        credentials=ctx.credentials(),
        discoveryServiceUrl=google.url + "/discovery/v1/apis/{api}/{apiVersion}/rest",
        static_discovery=False,
        cache_discovery=False,
    )


def asked(google: GoogleEmulator) -> int:
    """How often Drive was."""
    return sum(sum(kind.values()) for kind in google.stats().get("drive", {}).values())


async def test_a_quota_that_googles_client_meets_is_everybodys_business(
    open_town: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    The job waits until Google said, with no attempt counted; neither its client nor ours asks meanwhile.
    """
    google = google_emulator

    @job(scopes=[DRIVE], per_grant=None)
    def by_googles(ctx: PlainJobContext) -> int:
        with drive(ctx, google) as service:
            return len(service.files().list(spaces="appDataFolder").execute()["files"])

    @job(scopes=[DRIVE], per_grant=None)
    async def by_ours(ctx: JobContext) -> int:
        return (await ctx.http.request("GET", f"{google.url}/drive/v3/files?spaces=appDataFolder")).status

    town = await open_town(by_googles, by_ours)
    ada, ben = await town.signed_in("ada@example.com"), await town.signed_in("ben@example.com")
    google.fault("drive", "status_429", email="ada@example.com", retry_after=3600)
    first = await town.run(by_googles, ada)
    before = asked(google)
    others = [await town.run(by_googles, ada), await town.run(by_ours, ada)]

    assert [("waiting", "quota_exceeded", 0)] * 3 == [
        (run.state, run.reason, run.report.attempts) for run in [first, *others]
    ]
    assert first.report.due_at is not None and first.report.started_at is not None
    assert timedelta(hours=1) <= first.report.due_at - first.report.started_at < timedelta(hours=1.5)
    assert before == asked(google)
    assert 0 == (await town.run(by_googles, ben)).result


def asks_once(google: GoogleEmulator) -> Any:
    """A job whose other client asks Drive; the status of the answer."""

    @job(scopes=[DRIVE])
    def work(ctx: PlainJobContext) -> int:
        return (
            AuthorizedSession(ctx.credentials()).get(f"{google.url}/drive/v3/about?fields=user").status_code
        )

    return work


async def test_what_works_for_googles_client_ends_a_growing_pause(
    open_town: Opener, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Its answers are not ours to see: that the job returned says it, and who sees it done sees that too.
    """
    work = asks_once(google_emulator)
    town = await open_town(work)
    grant = await town.signed_in()
    store, key = town.worker._parts.means.store, f"api:drive:{grant}"
    forget = store.forget_pauses

    async def slowly(keys: Sequence[str]) -> None:
        await asyncio.sleep(0.1)
        await forget(keys)

    monkeypatch.setattr(store, "forget_pauses", slowly)
    await store.pause(key, seconds=0.001)
    seen = set(await store.pauses([key]))
    done = await town.run(work, grant)

    assert (200, {key}, set()) == (done.result, seen, set(await store.pauses([key])))


async def test_a_job_is_done_although_a_pause_cannot_be_forgotten(
    open_town: Opener, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nothing is done twice for its sake.
    """
    work = asks_once(google_emulator)
    town = await open_town(work)
    grant = await town.signed_in()
    store, forgotten = town.worker._parts.means.store, []

    async def conflict(keys: Sequence[str]) -> None:
        forgotten.append(list(keys))
        raise StoreConflict("somebody else was at it")

    monkeypatch.setattr(store, "forget_pauses", conflict)
    await store.pause(f"api:drive:{grant}", seconds=0.001)

    assert 200 == (await town.run(work, grant)).result
    assert [[f"api:drive:{grant}"]] == forgotten


async def test_googles_client_keeps_to_a_rate(open_town: Opener, google_emulator: GoogleEmulator) -> None:
    """
    The one that all workers keep together.
    """
    google = google_emulator

    @job(scopes=[DRIVE])
    def work(ctx: PlainJobContext) -> None:
        with AuthorizedSession(ctx.credentials()) as session:
            for _ in range(2):
                session.get(f"{google.url}/drive/v3/about?fields=user")

    town = await open_town(work, rates=[ApiRate("drive", 0.01)])
    waits = await town.run(work, await town.signed_in())

    assert ("waiting", "quota_exceeded", 1) == (waits.state, waits.reason, asked(google))


@pytest.mark.parametrize(
    ("fault", "state", "reason"),
    [
        (None, "failed", "api_refused"),
        ("status_503", "waiting", "api_unavailable"),
        ("api_403_rate", "waiting", "quota_exceeded"),
    ],
)
async def test_errors_of_googles_client_are_sorted_as_ours(
    open_town: Opener,
    google_emulator: GoogleEmulator,
    fault: str | None,
    state: str,
    reason: str,
) -> None:
    """
    What will not pass is not tried eight times, and an API that is away wears out no attempts.
    """
    google = google_emulator

    @job(scopes=[DRIVE])
    async def work(ctx: JobContext) -> None:
        await ctx.step(read, ctx)

    def read(ctx: Any) -> None:
        with drive(ctx, google) as service:
            service.files().get(fileId="no-such-file").execute()

    town = await open_town(work)
    grant = await town.signed_in()
    if fault is not None:
        google.fault("drive", fault)
    run = await town.run(work, grant)

    assert (state, reason) == (run.state, run.reason)


async def test_an_answer_of_somebody_else_says_nothing_of_google(open_town: Opener) -> None:
    """
    The app's own service has no such page: that is an error of the job like any other.
    """

    @job(attempts=1)
    async def work(ctx: JobContext) -> None:
        error: Any = of_requests(404)
        error.response.url = "https://app.example.com/"
        raise error

    @job()
    async def knows(ctx: JobContext) -> None:
        raise PermanentFailure("the album is full") from of_requests(429)

    town = await open_town(work, knows)
    grant = await town.signed_in()

    assert "the job raised HTTPError; tried 1 times" == (await town.run(work, grant)).note
    assert "the album is full" == (await town.run(knows, grant)).note
