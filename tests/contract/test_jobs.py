"""Jobs for backends: who may ask for them, and how they are refused (section 3)."""

from typing import Any

import pytest

from tests.contract.stage import Google, Stage

NOWHERE = "01a20485-713f-7161-b4b3-d7f83b58b8cc"


@pytest.fixture(scope="module")
def config(google_process: Google) -> str:
    """A second OAuth client of the same project."""
    _, file = google_process.register("web", redirect_uris=[], javascript_origins=[google_process.issuer])
    return f'\n[clients.second]\nsecrets = "{file}"\nissuer = "{google_process.issuer}"\n'


def post(stage: Stage, body: object, *, key: str | None = None) -> Any:
    return stage.ask("POST", "/v1/jobs", body, key=key or stage.key)


def test_a_job_that_no_worker_has_announced_is_refused(stage: Stage) -> None:
    """
    The service knows no code of yours: it takes the names that workers registered.
    """
    grant = stage.grant("jobless@example.com")

    answer = post(stage, {"job": "improve-photo", "grant": grant, "parameters": {"photo": "p-1"}})

    assert (422, "job_unknown") == answer.error
    assert {"error", "error_description", "hint"} <= answer.json.keys()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/jobs", {"job": "improve-photo", "grant": NOWHERE}),
        ("GET", "/v1/jobs", None),
        ("GET", f"/v1/jobs/{NOWHERE}", None),
        ("POST", f"/v1/jobs/{NOWHERE}/cancel", None),
        ("POST", f"/v1/jobs/{NOWHERE}/retry", None),
    ],
)
def test_jobs_need_a_key_with_their_permission(stage: Stage, method: str, path: str, body: object) -> None:
    """
    No key is 401; a key for tokens alone is 403, before anything is looked up.
    """
    name = f"tokens-{method}-{len(path)}".lower()
    key = stage.caller(name, "--permission", "token")

    assert (401, "caller_unknown") == stage.ask(method, path, body).error
    assert (403, "caller_not_allowed") == stage.ask(method, path, body, key=key).error


@pytest.mark.parametrize("what", ["", "/cancel", "/retry"])
def test_a_job_that_is_not_there_is_not_found(stage: Stage, what: str) -> None:
    """
    As one of another caller is.
    """
    answer = stage.ask("POST" if what else "GET", f"/v1/jobs/{NOWHERE}{what}", key=stage.key)

    assert (404, "job_not_found") == answer.error


def test_a_list_without_jobs_is_empty(stage: Stage) -> None:
    """
    And has no next page.
    """
    answer = stage.ask("GET", "/v1/jobs?state=failed&limit=10", key=stage.key)

    assert (200, {"jobs": [], "next_cursor": None}) == (answer.status, answer.json)


def test_a_grant_outside_the_rule_is_not_found(stage: Stage) -> None:
    """
    Before it is asked whether there is such a job: a caller learns nothing of grants that it may not see.
    """
    grant = stage.grant("hidden@example.com", user="hidden")
    key = stage.caller("elsewhere", "--client", "second", "--permission", "jobs")

    for named in ({"grant": grant}, {"user": "hidden"}, {"grant": NOWHERE}):
        assert (404, "grant_not_found") == post(stage, {"job": "x", **named}, key=key).error
    named = {"subject": "1", "client": "default"}
    assert (403, "caller_not_allowed") == post(stage, {"job": "x", **named}, key=key).error


def test_the_command_line_asks_the_same_service(stage: Stage) -> None:
    """
    With its address and a key in the environment no database is opened.
    """
    file = stage.folder / "jobs.key"
    file.write_text(stage.key)
    env = {
        "GRANTKEEPER_URL": f"http://127.0.0.1:{stage.port}",
        "GRANTKEEPER_CALLER_KEY_FILE": str(file),
    }

    listed = stage.command("jobs", "list", "--json", env=env, expect=0)
    missing = stage.command("jobs", "show", NOWHERE, "--json", env=env, expect=1)

    assert '"jobs": []' in listed.stdout
    assert "job_not_found" in missing.stdout
