"""The routes about jobs, and what a scrape is told of them."""

from dataclasses import replace
from typing import Any

import pytest

from grantkeeper.errors import CallerNotAllowed, JobEnded, JobNotFound, JobUnknown, StoreUnavailable
from grantkeeper.model import JobState, Permission
from grantkeeper.server.app import App
from grantkeeper.server.job_counts import KEPT_SECONDS, JobCounts
from tests.server.asking import KEY, KEYED, ask
from tests.server.fake_core import GRANT, JOB, PARKED, SCOPES, FakeCore

pytestmark = pytest.mark.anyio

PATH = f"/v1/jobs/{JOB}"
CALLS: list[tuple[str, str, Any]] = [
    ("POST", "/v1/jobs", {"job": "improve", "grant": GRANT}),
    ("GET", "/v1/jobs", None),
    ("GET", PATH, None),
    ("POST", f"{PATH}/cancel", None),
    ("POST", f"{PATH}/retry", None),
]


async def test_a_job_is_enqueued_for_its_caller(app: App, core: FakeCore) -> None:
    """
    202 with id and state; everything that was sent is passed on, and who asks.
    """
    caller = core.admit(KEY, scopes=SCOPES)
    body = {"job": "improve", "grant": GRANT, "parameters": {"photos": [{"id": 1}, {"id": 2}]}, "key": "k"}

    said = await ask(app, "POST", "/v1/jobs", body, KEYED)

    assert (202, {"id": JOB, "state": "queued"}) == (said.status, said.json)
    assert [
        {
            "job": "improve",
            "grant_id": GRANT,
            "parameters": {"photos": [{"id": 1}, {"id": 2}]},
            "key": "k",
            "caller": caller,
        }
    ] == core.asked("enqueue")


async def test_the_grant_may_be_named_by_your_own_user(app: App, core: FakeCore) -> None:
    """
    As for a token: the look-up is kept within the caller's rule.
    """
    core.admit(KEY, clients=frozenset({"default"}))

    said = await ask(app, "POST", "/v1/jobs", {"job": "improve", "user": "u 1"}, KEYED)

    assert 202 == said.status
    assert [("u 1", frozenset({"default"}))] == [
        (one["user"], one["clients"]) for one in core.asked("resolve")
    ]
    assert [GRANT] == [one["grant_id"] for one in core.asked("enqueue")]


@pytest.mark.parametrize(
    "body",
    [
        {"grant": GRANT},
        {"job": "", "grant": GRANT},
        {"job": "improve"},
        {"job": "improve", "grant": GRANT, "user": "u"},
        {"job": "improve", "grant": GRANT, "client": "default"},
        {"job": "improve", "grant": GRANT, "parameters": [1]},
        {"job": "improve", "grant": GRANT, "parameters": "{}"},
        {"job": "improve", "grant": GRANT, "key": ""},
        {"job": "a\x00b", "grant": GRANT},
        b'{"job": "improve", "grant": "g", "parameters": {"a": 1, "a": 2}}',
    ],
)
async def test_a_malformed_request_enqueues_nothing(app: App, core: FakeCore, body: Any) -> None:
    """
    Refused by name, before the desk hears of it.
    """
    assert (400, "invalid_request") == (await ask(app, "POST", "/v1/jobs", body, KEYED)).error
    assert [] == core.asked("enqueue")


async def test_a_form_has_all_but_parameters(app: App, core: FakeCore) -> None:
    """
    No form can say an object.
    """
    form = {**KEYED, "Content-Type": "application/x-www-form-urlencoded"}

    good = await ask(app, "POST", "/v1/jobs", b"job=improve&user=u", form)
    bad = await ask(app, "POST", "/v1/jobs", b"job=improve&user=u&parameters=%7B%7D", form)

    assert (202, (400, "invalid_request")) == (good.status, bad.error)


async def test_a_report_has_every_field(app: App) -> None:
    """
    Times are RFC 3339, unknowns null, progress by itself.
    """
    assert {
        "id": JOB,
        "job": "improve",
        "grant": GRANT,
        "state": "parked",
        "reason": "revoked",
        "note": "the access was taken back",
        "remedy": "Ask again.",
        "hint": "It goes on by itself.",
        "progress": {"done": 4, "of": 10, "doing": "sharpening"},
        "attempts": 2,
        "steps": 3,
        "due_at": None,
        "scopes": sorted(SCOPES),
        "parameters": {"photo": "p-1"},
        "result": None,
        "batch": "album",
        "key": "p-1",
        "created_at": "2026-11-22T12:00:00Z",
        "started_at": "2026-11-22T12:00:00Z",
        "ended_at": None,
        "keep_until": None,
    } == (await ask(app, "GET", PATH, None, KEYED)).json


async def test_a_list_passes_every_filter_on(app: App, core: FakeCore) -> None:
    """
    And who asks, with them.
    """
    caller = core.admit(KEY)
    path = f"/v1/jobs?grant={GRANT}&job=improve&state=parked&batch=album&limit=7&cursor=c"

    said = await ask(app, "GET", path, None, KEYED)

    assert ("next", [JOB]) == (said.json["next_cursor"], [one["id"] for one in said.json["jobs"]])
    assert [
        {
            "grant": GRANT,
            "job": "improve",
            "state": JobState.PARKED,
            "batch": "album",
            "limit": 7,
            "cursor": "c",
            "caller": caller,
        }
    ] == core.asked("jobs")


@pytest.mark.parametrize("query", ["state=sleeping", "limit=0", "limit=1001", "limit=x", "grant=%00"])
async def test_a_wrong_filter_is_refused(app: App, query: str) -> None:
    """
    Rather than passed over, which would list more than was asked for.
    """
    assert (400, "invalid_request") == (await ask(app, "GET", f"/v1/jobs?{query}", None, KEYED)).error


@pytest.mark.parametrize("what", ["cancel", "retry"])
async def test_what_is_done_to_a_job_is_answered_with_its_report(app: App, core: FakeCore, what: str) -> None:
    """
    How it stands then, and on whose behalf.
    """
    caller = core.admit(KEY)

    said = await ask(app, "POST", f"{PATH}/{what}", None, KEYED)

    assert {"cancel": "cancelled", "retry": "queued"}[what] == said.json["state"]
    assert [{"job_id": JOB, "caller": caller}] == core.asked(what)


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_without_the_permission_nothing_is_looked_up(
    app: App, core: FakeCore, method: str, path: str, body: Any
) -> None:
    """
    403 before the store or the desk is asked.
    """
    core.admit(KEY, permissions=frozenset(Permission) - {Permission.JOBS})

    assert (403, "caller_not_allowed") == (await ask(app, method, path, body, KEYED)).error
    assert [] == core.calls


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_without_a_key_nobody_is_answered(app: App, method: str, path: str, body: Any) -> None:
    """
    Jobs are for backends.
    """
    assert (401, "caller_unknown") == (await ask(app, method, path, body)).error


@pytest.mark.parametrize(
    ("name", "call", "error", "told"),
    [
        ("enqueue", CALLS[0], JobUnknown("no such"), (422, "job_unknown")),
        ("enqueue", CALLS[0], CallerNotAllowed("wider"), (403, "caller_not_allowed")),
        ("job", CALLS[2], JobNotFound("none"), (404, "job_not_found")),
        ("cancel", CALLS[3], JobEnded("over"), (409, "job_ended")),
        ("retry", CALLS[4], JobEnded("over"), (409, "job_ended")),
    ],
)
async def test_each_refusal_has_its_status(
    app: App, core: FakeCore, name: str, call: tuple[str, str, Any], error: Exception, told: tuple[int, str]
) -> None:
    """
    As design section 3 has them.
    """
    core.answers[name] = error

    assert told == (await ask(app, *call, KEYED)).error


async def test_an_ended_job_says_how_it_ended(app: App, core: FakeCore) -> None:
    """
    A program that cancels too late learns that the work is done.
    """
    core.answers["cancel"] = JobEnded("the job is done", details={"state": JobState.DONE})

    assert "done" == (await ask(app, "POST", f"{PATH}/cancel", None, KEYED)).json["state"]


async def test_a_result_is_whatever_json_the_job_returned(app: App, core: FakeCore) -> None:
    """
    A list, a text, a number: the app's own business.
    """
    core.answers["job"] = replace(PARKED, state=JobState.DONE, result=[1, {"id": "x"}])

    assert [1, {"id": "x"}] == (await ask(app, "GET", PATH, None, KEYED)).json["result"]


# -- numbers ------------------------------------------------------------------------------------


def jobs_line(body: bytes, state: str) -> str | None:
    """The value of that state's line."""
    start = f'grantkeeper_jobs{{state="{state}"}} '
    return next((line[len(start) :] for line in body.decode().splitlines() if line.startswith(start)), None)


async def test_a_scrape_tells_how_many_jobs_there_are(app: App, core: FakeCore) -> None:
    """
    Of each state, those of which there is none included: a gap in a series would look like a failure.
    """
    core.store.jobs = {JobState.PARKED: 1_000_000, JobState.FAILED: 2}

    body = (await ask(app, "GET", "/metrics")).body

    assert ("1000000", "2", "0") == tuple(jobs_line(body, state) for state in ("parked", "failed", "queued"))


async def test_scrapes_share_a_count(core: FakeCore) -> None:
    """
    Counting reads all there are; a second scraper, or an eager one, costs nothing.
    """
    counts = JobCounts(core)  # type: ignore[arg-type]
    await counts.read()
    core.clock.seconds += KEPT_SECONDS - 1
    await counts.read()
    core.store.jobs = {JobState.DONE: 3}
    core.clock.seconds += 1
    found = await counts.read()

    assert (2, 3) == (core.store.counted, found[JobState.DONE])


async def test_a_count_that_took_long_is_told_longer(core: FakeCore) -> None:
    """
    At most a hundredth of the time goes into counting.
    """

    class Slow(type(core.store)):  # type: ignore[misc]
        async def count_jobs(self) -> Any:
            core.clock.seconds += 1.0
            return await super().count_jobs()

    core.store.__class__ = Slow
    counts = JobCounts(core)  # type: ignore[arg-type]
    await counts.read()
    core.clock.seconds += 99
    await counts.read()
    before = core.store.counted
    core.clock.seconds += 1
    await counts.read()

    assert (1, 2) == (before, core.store.counted)


async def test_a_scrape_does_not_fail_for_the_database(app: App, core: FakeCore) -> None:
    """
    The rest of the numbers is what somebody needs who looks for the trouble.
    """
    core.store.error = StoreUnavailable("the database is gone")

    said = await ask(app, "GET", "/metrics")

    assert (200, None) == (said.status, jobs_line(said.body, "failed"))
    assert b"grantkeeper_workers 1" in said.body
