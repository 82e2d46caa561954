"""Many jobs cancelled or tried again with one command, chosen by what they have in common."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.cli import jobs_many
from grantkeeper.model import JobState, Order
from tests.cli.conftest import Command
from tests.cli.test_jobs import Put, grant, job_id, put, row_of

__all__ = ["grant", "put"]


def states(count: int) -> list[JobState]:
    """Of the jobs from 1 on."""
    return [row_of(number).state for number in range(1, count + 1)]


def test_all_dead_letters_of_a_name_go_on(installed: Command, put: Put) -> None:
    """
    The failed ones alone, unless somebody says otherwise; those of other names stay.
    """
    for number, state in enumerate(("failed", "parked", "done", "queued", "failed"), start=1):
        put(number, state=JobState(state))
    put(6, state=JobState.FAILED, name="export")

    first = installed("jobs", "retry", "--job", "improve")
    after = states(6)
    second = installed("jobs", "retry", "--job", "improve", "--state", "parked", "--json")

    assert (0, "grantkeeper: retried 2 jobs\n") == (first.status, first.err.splitlines(keepends=True)[-1])
    assert ["queued", "parked", "done", "queued", "queued", "failed"] == after
    assert ({"retried": 1}, "") == (second.json, second.err)
    assert (JobState.QUEUED, Order.RESUME) == (row_of(2).state, row_of(2).order)


def test_all_that_a_caller_asked_for_ends(
    installed: Command, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What has ended stays as it did. Who ends the caller is told that its jobs go on, until they do not.
    """
    monkeypatch.setattr(jobs_many, "PAGE", 1)
    made = installed("callers", "create", "photos", "--json").json
    for number, state in enumerate(("queued", "queued", "waiting", "failed", "running", "done"), start=1):
        put(number, state=JobState(state), caller=made["id"])
    put(7)

    revoked = installed("callers", "revoke", "photos")
    listed = installed("jobs", "list", "--caller", "photos", "--json").json["jobs"]
    ended = installed("jobs", "cancel", "--caller", made["id"])
    again = installed("callers", "revoke", "photos")

    assert f"grantkeeper jobs cancel --caller {made['id']}" in revoked.err
    assert [job_id(number) for number in range(1, 7)] == [job["id"] for job in listed]
    assert "grantkeeper: cancelled 5 jobs" in ended.err
    assert [*["cancelled"] * 5, "done", "queued"] == states(7)
    assert "jobs cancel" not in again.err


def test_a_name_means_the_caller_that_lives(installed: Command, put: Put) -> None:
    """
    One that was revoked and had the name before is meant by its id, or where no other has the name now.
    """
    old = installed("callers", "create", "photos", "--json").json["id"]
    installed("callers", "revoke", "photos")
    put(1, caller=old)
    alone = installed("jobs", "list", "--caller", "photos", "--json").json["jobs"]
    put(2, caller=installed("callers", "create", "photos", "--json").json["id"])
    by_name = installed("jobs", "list", "--caller", "photos", "--json").json["jobs"]
    by_id = installed("jobs", "list", "--caller", old, "--json").json["jobs"]

    assert [[job_id(1)], [job_id(2)], [job_id(1)]] == [
        [job["id"] for job in listed] for listed in (alone, by_name, by_id)
    ]


def test_what_changes_meanwhile_stops_nobody(
    installed: Command, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    One is dropped between the look and the deed, another is overlooked once: it is met at the next look.
    """
    for number in (1, 2):
        put(number)
    looked_for: list[object] = []
    page = jobs_many.page

    async def moving(keeper: Any, which: jobs_many.Which, **more: Any) -> Any:
        looked_for.append(which.state)
        found = await page(keeper, which, **more)
        if len(looked_for) == 1:
            first = found.jobs[0]
            return found._replace(jobs=(replace(first, id=job_id(9)), first))
        return found

    monkeypatch.setattr(jobs_many, "page", moving)
    said = installed("jobs", "cancel", "--job", "improve", "--json")

    assert ({"cancelled": 2}, 0) == (said.json, said.status)
    assert 3 == looked_for.count("queued")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("cancel",), "say which"),
        (("retry", job_id(1), "--job", "improve"), "not both"),
        (("cancel", "--state", "done"), "cannot be cancelled"),
        (("retry", "--state", "running"), "cannot be retried"),
        (("cancel", "--caller", "nobody"), "no caller nobody"),
        (("list", "--caller", "nobody"), "no caller nobody"),
    ],
)
def test_what_is_said_wrongly_changes_nothing(
    installed: Command, put: Put, arguments: tuple[str, ...], word: str
) -> None:
    """
    Exit status 2 and why.
    """
    put(1, state=JobState.FAILED)
    said = installed("jobs", *arguments)

    assert 2 == said.status
    assert word in said.err
    assert ["failed"] == states(1)


def test_a_service_tells_nobody_of_the_jobs_of_others(
    installed: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who asks it by its address is told where --caller works.
    """
    made = installed("callers", "create", "photos", "--json").json
    Path("caller.key").write_text(made["key"])
    monkeypatch.setenv("GRANTKEEPER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GRANTKEEPER_CALLER_KEY_FILE", "caller.key")
    said = installed("jobs", "cancel", "--caller", "photos")

    assert (2, True) == (said.status, "without GRANTKEEPER_URL" in said.err)
