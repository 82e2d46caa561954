"""What a caller may do: its permissions, clients, scopes and end (sections 3 and 5)."""

import time

import pytest

from tests.contract.stage import DRIVE, EMAIL, FROM_APP, Google, Stage, ask

NOWHERE = "01a20485-713f-7161-b4b3-d7f83b58b8cc"


@pytest.fixture(scope="module")
def config(google_process: Google) -> str:
    """A second OAuth client."""
    _, file = google_process.register("web", redirect_uris=[], javascript_origins=[google_process.issuer])
    return f'\n[clients.second]\nsecrets = "{file}"\nissuer = "{google_process.issuer}"\n'


@pytest.fixture(scope="module")
def grant(stage: Stage) -> str:
    return stage.grant("rules@example.com", user="rules")


CALLS: dict[str, list[tuple[str, str, object]]] = {
    "token": [("POST", "/v1/token", {"grant": NOWHERE})],
    "grants.read": [("GET", "/v1/grants", None), ("GET", f"/v1/grants/{NOWHERE}", None)],
    "grants.write": [
        ("PATCH", f"/v1/grants/{NOWHERE}", {"user": "x"}),
        ("POST", f"/v1/grants/{NOWHERE}/revoke", None),
        ("DELETE", f"/v1/grants/{NOWHERE}", None),
    ],
    "redeem": [
        ("POST", "/v1/redeem", {"code": "4/nonsense"}),
        ("POST", "/v1/connect/tickets", {"user": "x"}),
        ("POST", "/v1/connect/results", {"result": "nonsense"}),
    ],
}


@pytest.mark.parametrize("permission", [*CALLS])
def test_a_permission_opens_its_calls_and_no_others(stage: Stage, google: Google, permission: str) -> None:
    """
    403 before any look-up; with the permission, whatever the look-up says.
    """
    key = stage.caller(f"only-{permission}", "--permission", permission)

    for name, calls in CALLS.items():
        for method, path, body in calls:
            refused = (403, "caller_not_allowed") == stage.ask(method, path, body, FROM_APP, key=key).error
            assert (name != permission) == refused, (name, path)


def test_a_caller_of_one_client_sees_no_other(stage: Stage, grant: str) -> None:
    """
    403 where the other client is named, 404 where its grant is.
    """
    key = stage.caller("second-only", "--client", "second")
    sub = stage.describe(grant)["subject"]

    assert (403, "caller_not_allowed") == stage.token({"subject": sub, "client": "default"}, key=key).error
    assert (404, "grant_not_found") == stage.token({"grant": grant}, key=key).error
    assert (404, "grant_not_found") == stage.token({"user": "rules"}, key=key).error
    assert (404, "grant_not_found") == stage.ask("GET", f"/v1/grants/{grant}", key=key).error
    assert (404, "grant_not_found") == stage.ask("POST", f"/v1/grants/{grant}/revoke", key=key).error
    assert [] == stage.ask("GET", "/v1/grants", key=key).json["grants"]
    assert (403, "caller_not_allowed") == stage.ask("GET", "/v1/grants?client=default", key=key).error
    assert "active" == stage.describe(grant)["state"]


def test_a_caller_of_one_client_redeems_for_no_other(stage: Stage, google: Google) -> None:
    """
    403, and the code is not sent.
    """
    key, before = stage.caller("second-redeems", "--client", "second"), google.sent("authorization_code")

    answer = stage.redeem({"code": google.code("rules@example.com")}, key=key)

    assert (403, "caller_not_allowed") == answer.error
    assert before == google.sent("authorization_code")


def test_a_scope_outside_the_callers_rule_is_refused(stage: Stage, grant: str) -> None:
    """
    Named, it is 403.
    """
    key = stage.caller("reads-mail-address", "--scope", "openid", "--scope", "email")

    answer = stage.token({"grant": grant, "scopes": [DRIVE]}, key=key)

    assert (403, "caller_not_allowed") == answer.error


def test_scopes_handed_out_are_within_the_callers_rule(stage: Stage, google: Google, grant: str) -> None:
    """
    The token itself is narrower, not only what is said of it.
    """
    key = stage.caller("narrow", "--scope", "openid", "--scope", "email")

    answer = stage.token({"grant": grant}, key=key)

    assert (200, "ok") == answer.error
    assert {EMAIL, "openid"} == set(answer.json["scopes"])
    info = ask(google.port, "GET", f"/tokeninfo?access_token={answer.json['access_token']}").json
    assert DRIVE not in info["scope"].split()


def test_a_wider_answer_of_googles_is_not_handed_out(stage: Stage, google: Google) -> None:
    """
    Google may ignore the narrower scope: then it is 403, by any route.
    """
    grant = stage.grant("wider@example.com")
    key = stage.caller("narrow-again", "--scope", "openid")
    google.fault("token", "scope_wider", count=3)

    answer = stage.token({"grant": grant, "scopes": ["openid"]}, key=key)

    assert (403, "caller_not_allowed") == answer.error
    assert b"ya29" not in answer.body


def test_a_caller_ends(stage: Stage, google: Google, grant: str) -> None:
    """
    `--expires`; afterwards the key is unknown.
    """
    key = stage.caller("guest", "--expires", "1h")
    assert (200, "ok") == stage.token({"grant": grant}, key=key).error
    google.advance(3700)

    assert (401, "caller_unknown") == stage.token({"grant": grant}, key=key).error


def test_a_caller_is_revoked(stage: Stage, grant: str) -> None:
    """
    `callers revoke` is obeyed by a running service within a second.
    """
    key = stage.caller("leaver")
    assert (200, "ok") == stage.token({"grant": grant}, key=key).error
    stage.command("callers", "revoke", "leaver", expect=0)
    time.sleep(1)

    assert (401, "caller_unknown") == stage.token({"grant": grant}, key=key).error
