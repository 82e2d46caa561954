"""The commands about jobs, by transcript, on rows that a worker could have written."""

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.cli import jobs as jobs_commands
from grantkeeper.cli.common import with_store
from grantkeeper.cli.jobs_watch import COLUMNS, NOBODY, Screen, fitting, follow_job, follow_page, line, row
from grantkeeper.library.job_calls import JobPage
from grantkeeper.model import Job, JobDescription, JobState, Order, Reason
from grantkeeper.testing.google import GoogleEmulator
from tests.cli.conftest import Command
from tests.jobs_kit import NOW, announce

Put = Callable[..., str]

TOLD = JobDescription(id="j-1", job="improve", grant="g-1", state=JobState.QUEUED, created_at=NOW)


def job_id(number: int) -> str:
    return f"01a20485-713f-7161-b4b3-{number:012}"


@pytest.fixture
def grant(installed: Command, google_emulator: GoogleEmulator) -> str:
    """Whose jobs they are."""
    redeemed = installed("redeem", "--json", stdin=google_emulator.code("ada@example.com"))
    return str(redeemed.json["grant"]["id"])


@pytest.fixture
def put(grant: str) -> Put:
    """Writes a job into the database, or writes it anew."""

    def write(number: int, **changes: Any) -> str:
        async def call(store: Any) -> None:
            made = Job(
                id=job_id(number), name="improve", grant_id=grant, state=JobState.QUEUED, created_at=NOW
            )
            known = await store.job(made.id)
            if known is None:
                await store.add_jobs([replace(made, **changes)])
            else:
                await store.change_job(replace(known, **changes))

        with_store(call)
        return job_id(number)

    return write


def row_of(number: int) -> Job:
    """The job as it is in the database."""

    async def call(store: Any) -> Job:
        return await store.job(job_id(number))

    return with_store(call)


def test_jobs_are_listed_in_columns(installed: Command, put: Put) -> None:
    """
    One line each, how far they are among the rest.
    """
    put(1, state=JobState.RUNNING, done=3, of=10, steps=4)
    put(2, state=JobState.PARKED, reason=Reason.EXPIRED)

    said = installed("jobs", "list")
    head, first, second = said.out.splitlines()

    assert [
        "id",
        "job",
        "grant",
        "state",
        "reason",
        "progress",
        "steps",
        "attempts",
        "due_at",
    ] == head.split()
    assert ["running", "-", "3/10", "4", "0", "-"] == first.split()[3:]
    assert ["parked", "expired", "-", "0", "0", "-"] == second.split()[3:]


def test_dead_letters_are_found_by_their_state(installed: Command, put: Put) -> None:
    """
    In JSON as the service answers it, page after page.
    """
    put(1)
    put(2, state=JobState.FAILED, note="no such folder")
    put(3, state=JobState.FAILED)

    first = installed("jobs", "list", "--state", "failed", "--limit", "1", "--json").json
    shown = installed("jobs", "list", "--state", "failed", "--limit", "1")
    rest = installed("jobs", "list", "--state", "failed", "--cursor", first["next_cursor"], "--json").json

    assert [(job_id(2), "no such folder")] == [(job["id"], job["note"]) for job in first["jobs"]]
    assert f"hint: more with --cursor {job_id(2)}\n" == shown.err
    assert ([job_id(3)], None) == ([job["id"] for job in rest["jobs"]], rest["next_cursor"])


@pytest.mark.parametrize("wrong", [["--state", "sleeping"], ["--limit", "0"], ["--watch", "--json"]])
def test_a_wrong_list_is_a_wrong_use(installed: Command, wrong: list[str]) -> None:
    """
    Exit status 2, and nothing on standard output but for programs.
    """
    said = installed("jobs", "list", *wrong)

    assert 2 == said.status
    assert "invalid_request" in said.err


def test_a_job_is_shown_with_what_helps(installed: Command, put: Put) -> None:
    """
    Why it stands still, who can mend it, and what comes next, as hints.
    """
    put(1, state=JobState.PARKED, reason=Reason.REVOKED, parameters=b'{"photo":"p-1"}', result=b"[3,1]")

    said = installed("jobs", "show", job_id(1))
    shown = dict(line.split(None, 1) for line in said.out.splitlines())

    assert (0, "parked", "revoked") == (said.status, shown["state"], shown["reason"])
    assert ('{"photo":"p-1"}', "[3,1]") == (shown["parameters"], shown["result"])
    assert ["hint: The access was taken back", "hint: The job goes on by itself"] == [
        line[:31] for line in said.err.splitlines()
    ]


def test_a_job_is_shown_as_the_service_does(installed: Command, put: Put) -> None:
    """
    The same fields in JSON.
    """
    put(1, done=1, of=2, doing="sharpening")

    said = installed("jobs", "show", job_id(1), "--json").json

    assert {"done": 1, "of": 2, "doing": "sharpening"} == said["progress"]


@pytest.mark.parametrize("what", ["show", "retry", "cancel"])
def test_a_job_that_is_not_there_is_told(installed: Command, what: str) -> None:
    """
    Exit status 1, and the code for programs.
    """
    said = installed("jobs", what, job_id(9), "--json")

    assert (1, "job_not_found") == (said.status, said.json["error"])


def test_a_dead_letter_goes_on(installed: Command, put: Put) -> None:
    """
    The row says what the engine must hear; a worker will tell it.
    """
    put(1, state=JobState.FAILED, reason="invalid_request", ended_at=NOW)

    said = installed("jobs", "retry", job_id(1), "--json")

    assert (0, "queued", None) == (said.status, said.json["state"], said.json["reason"])
    assert (JobState.QUEUED, Order.RESUME) == (row_of(1).state, row_of(1).order)


def test_a_job_is_cancelled_once(installed: Command, put: Put) -> None:
    """
    A second time it is no failure; trying it again is.
    """
    put(1)

    first, second = installed("jobs", "cancel", job_id(1)), installed("jobs", "cancel", job_id(1))
    again = installed("jobs", "retry", job_id(1))

    assert (0, 0, 1) == (first.status, second.status, again.status)
    assert "job_ended" in again.err


@pytest.mark.parametrize(
    ("state", "status"),
    [(JobState.DONE, 0), (JobState.FAILED, 1), (JobState.CANCELLED, 1), (JobState.PARKED, 3)],
)
def test_a_watched_job_decides_the_exit_status(
    installed: Command, put: Put, state: JobState, status: int
) -> None:
    """
    Done is 0, failed and cancelled 1, and 3 means that its user must consent.
    """
    put(1, state=state)

    assert status == installed("jobs", "show", job_id(1), "--watch").status
    assert 0 == installed("jobs", "show", job_id(1)).status


def test_a_job_is_followed_until_it_ends(
    installed: Command, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A program gets one report, of how it ended.
    """
    monkeypatch.setattr(jobs_commands, "EVERY", 0.05)
    put(1, state=JobState.RUNNING, done=1, of=2)
    later = threading.Timer(1.0, put, (1,), {"state": JobState.DONE, "done": 2, "result": b'"ok"'})
    later.start()
    said = installed("jobs", "show", job_id(1), "--watch", "--json")
    later.join()

    assert (0, "done", "ok", "") == (said.status, said.json["state"], said.json["result"], said.err)


# -- following, look by look --------------------------------------------------------------------


def looks(*answers: Any) -> Callable[[], Any]:
    """Answers one after the other."""
    left = list(answers)

    async def look() -> Any:
        return left.pop(0)

    return look


def test_only_what_is_new_is_printed_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A log of a build has a line for each step and not for each look.
    """
    running = replace(TOLD, state=JobState.RUNNING, done=12, of=24, doing="sharpening")
    done = replace(TOLD, state=JobState.DONE)
    found = asyncio.run(follow_job(looks(TOLD, TOLD, running, done), Screen(terminal=False), every=0))

    assert done == found
    assert [
        "improve  queued",
        f"improve  running  [{'#' * 12}{'.' * 12}]  12/24  sharpening",
        "improve  done",
    ] == capsys.readouterr().err.splitlines()


def test_lines_are_taken_back_where_a_person_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """
    And the last ones, too, for the result stands in their place.
    """
    other = replace(TOLD, id="j-2")
    ended = [replace(TOLD, state=JobState.DONE), replace(other, state=JobState.PARKED)]
    pages = [JobPage((TOLD, other), None), JobPage(tuple(ended), None)]
    found = asyncio.run(follow_page(looks(*pages), Screen(terminal=True), every=0))

    assert pages[1] == found
    assert 2 == capsys.readouterr().err.count("\x1b[3A\x1b[J")


@pytest.mark.parametrize(
    ("width", "seen"),
    [
        (39, ["state", "progress", "job"]),
        (79, ["state", "progress", "job", "reason", "steps", "id"]),
        (119, ["state", "progress", "job", "reason", "steps", "id", "attempts", "grant"]),
        (None, list(COLUMNS)),
    ],
)
def test_a_narrow_terminal_shows_first_what_changes(width: int | None, seen: list[str]) -> None:
    """
    State and progress always; what is shown is whole, and of an id at least the end by which jobs differ.
    """
    job = replace(TOLD, job="improve_photos", id=job_id(1), grant=job_id(2))
    jobs = [
        replace(job, state=JobState.RUNNING, done=3, of=10),
        replace(job, id=job_id(3), state=JobState.WAITING, reason="too_many_requests", due_at=NOW),
    ]
    head, running, waiting = fitting([row(job) for job in jobs], width)

    assert seen == head.split()
    assert max(map(len, (head, running, waiting))) <= (width or 200)
    assert "running" in running
    assert "3/10" in running
    if "id" in seen:
        assert running.split()[seen.index("id")].endswith("00000001")
        assert waiting.split()[seen.index("id")].endswith("00000003")


def test_who_watches_is_told_that_no_worker_begins(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Once, after a while, and not while something runs; a job that waits for its time needs no worker.
    """
    running, waiting = replace(TOLD, state=JobState.RUNNING), replace(TOLD, state=JobState.WAITING)
    done = replace(TOLD, state=JobState.DONE)
    screen = partial(Screen, terminal=False)
    asyncio.run(follow_job(looks(TOLD, TOLD, done), screen(), every=0, patience=0))
    one = capsys.readouterr().err.splitlines()
    pages = [JobPage((TOLD, waiting), None), JobPage((done, done), None)]
    asyncio.run(follow_page(looks(*pages), screen(), every=0, patience=0))
    page = capsys.readouterr().err.splitlines()
    pages = [JobPage((TOLD, running), None), JobPage((waiting, waiting), None), JobPage((done, done), None)]
    asyncio.run(follow_page(looks(*pages), screen(), every=0, patience=0))
    asyncio.run(follow_job(looks(TOLD, TOLD, done), screen(), every=0, patience=60))
    busy = capsys.readouterr().err.splitlines()

    assert ["improve  queued", NOBODY, "improve  done"] == one
    assert NOBODY == page[0]
    assert NOBODY not in busy


def test_a_quiet_screen_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """
    For programs.
    """
    asyncio.run(follow_job(looks(replace(TOLD, state=JobState.FAILED)), Screen(quiet=True), every=0))

    assert ("", "") == tuple(capsys.readouterr())


def test_a_waiting_job_says_for_what_and_until_when() -> None:
    """
    Nobody needs to ask why nothing happens.
    """
    due = NOW + timedelta(seconds=30)
    waiting = replace(TOLD, state=JobState.WAITING, reason="too_many_requests", due_at=due, done=7)

    assert "improve  waiting  7  too_many_requests  until 2026-11-22T12:00:30+00:00" == line(waiting)


def test_progress_beyond_the_end_stays_in_its_bar() -> None:
    """
    A job may find more to do than it had said.
    """
    assert f"[{'#' * 24}]  5/4" in line(replace(TOLD, done=5, of=4))


def test_a_job_for_everybody(installed: Command, grant: str) -> None:
    """
    What came of it, and the batch with which it can be asked again.
    """
    with_store(lambda store: announce(store, "improve"))
    first = installed("jobs", "fan-out", "improve", "--parameters", '{"photo": "p-1"}')
    batch = first.out.split()[1]
    again = installed("jobs", "fan-out", "improve", "--batch", batch, "--json")
    with_store(lambda store: announce(store, "other", scopes=["nobody-has-it"]))
    nobody = installed("jobs", "fan-out", "other", "--watch", "--json")

    assert f"batch   {batch}\nadded   1\nqueued  1\n" == first.out
    assert f"hint: its jobs: grantkeeper jobs list --batch {batch}\n" == first.err
    assert {"batch": batch, "added": 0, "queued": 1} == again.json
    assert 0 == nobody.json["added"]


@pytest.mark.parametrize("parameters", ["[]", "{", "3"])
def test_a_job_for_everybody_takes_an_object(installed: Command, parameters: str) -> None:
    """
    What is no JSON object is no parameters.
    """
    said = installed("jobs", "fan-out", "improve", "--parameters", parameters)

    assert (2, "grantkeeper: invalid_request: --parameters must be a JSON object") == (
        said.status,
        said.err.splitlines()[0],
    )


@pytest.mark.parametrize(
    ("app", "text", "sentence"),
    [
        ("an_app.py", "", "there is no module an_app.py"),
        ("an_app.py", "", "hint: A module is named, not its file: --app an_app"),
        ("no_app", "", "there is no module no_app"),
        ("an_app", "import nosuchpkg", "the module an_app imports nosuchpkg, which is not installed here"),
        ("an_app", "def", "the module an_app cannot be imported: SyntaxError: "),
        ("an_app", "\n1 / 0", "an_app.py:2)"),
    ],
)
def test_an_app_that_cannot_be_imported_is_told_in_a_sentence(
    installed: Command, place: Path, app: str, text: str, sentence: str
) -> None:
    """
    What to write, to install or to mend, and no way through Python's own importing.
    """
    (place / "an_app.py").write_text(text)
    importlib.invalidate_caches()
    try:
        said = installed("jobs", "run", "--app", app)
    finally:
        sys.modules.pop("an_app", None)
        sys.path[:] = [each for each in sys.path if each != str(place)]

    assert 2 == said.status
    assert sentence in said.err
    assert "Traceback" not in said.err
