"""Handing out access tokens: `POST /v1/token` (section 3, *For backends*, and section 7)."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.contract.stage import DRIVE, DRIVE_FILE, EMAIL, Google, Stage, ask, s256


@pytest.fixture(scope="module")
def grant(stage: Stage) -> str:
    """A good grant that every test of this module may ask for."""
    return stage.grant("ann@example.com", user="ann")


def answered(stage: Stage, body: object) -> Any:
    answer = stage.token(body)
    assert 200 == answer.status, answer
    return answer.json


def test_a_token_is_handed_out_with_every_field(stage: Stage, google: Google, grant: str) -> None:
    """
    And it is a token that Google takes for this user.
    """
    said = answered(stage, {"grant": grant})

    assert {
        "access_token", "token_type", "expires_in", "expires_at", "scopes", "missing_scopes", "grant",
    } == said.keys()  # fmt: skip
    assert ("Bearer", grant, []) == (said["token_type"], said["grant"], said["missing_scopes"])
    assert 60 <= said["expires_in"] <= 3600
    ends = datetime.fromisoformat(said["expires_at"])
    now = datetime.fromisoformat(ask(google.port, "GET", "/emulator/clock").json["now"])
    left = ends - now
    assert abs(left.total_seconds() - said["expires_in"]) < 15
    assert ends.tzinfo is not None and ends.astimezone(UTC) == ends
    assert DRIVE in said["scopes"]


def test_a_grant_is_found_by_subject_and_by_user(stage: Stage, google: Google, grant: str) -> None:
    """
    Whatever the backend knows of its user.
    """
    sub = stage.describe(grant)["subject"]

    for body in ({"subject": sub}, {"subject": sub, "client": "default"}, {"user": "ann"}):
        assert grant == answered(stage, body)["grant"]


@pytest.mark.parametrize(
    "body",
    [
        {"grant": "01a20485-713f-7161-b4b3-d7f83b58b8cc"},
        {"grant": "not-an-id"},
        {"subject": "1"},
        {"user": "nobody"},
    ],
)
def test_what_is_not_there_is_404(stage: Stage, body: object) -> None:
    """
    `grant_not_found`, however it was looked for.
    """
    assert (404, "grant_not_found") == stage.token(body).error


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"grant": "a", "user": "b"},
        {"grant": "a", "subject": "b"},
        {"grant": ""},
        {"grant": 1},
        {"grant": None},
        {"user": ["a"]},
        {"user": "a", "min_ttl": "sixty"},
        {"user": "a", "min_ttl": True},
        {"user": "a", "min_ttl": -1},
        {"user": "a", "min_ttl": 3601},
        {"user": "a", "min_ttl": 10**30},
        {"user": "a", "rejected": "short"},
        {"user": "a", "rejected": "*" * 43},
        {"user": "a", "scopes": 1},
        {"user": "a", "scopes": [None]},
        [],
    ],
)
def test_a_body_of_the_wrong_shape_is_an_invalid_request(stage: Stage, body: object) -> None:
    """
    400 before anything is looked up.
    """
    assert (400, "invalid_request") == stage.token(body).error


def test_a_user_with_two_grants_is_ambiguous(stage: Stage) -> None:
    """
    409 with the ids to choose from.
    """
    ids = sorted(stage.grant(f"{name}@example.com", user="both") for name in ("one", "two"))

    answer = stage.token({"user": "both"})

    assert (409, "grant_ambiguous") == answer.error
    assert ids in [sorted(value) for value in answer.json.values() if isinstance(value, list)]


def test_a_fresh_token_costs_google_nothing(stage: Stage, google: Google, grant: str) -> None:
    """
    The same token, from memory.
    """
    first, before = answered(stage, {"grant": grant}), google.sent("refresh_token")

    assert {first["access_token"]} == {answered(stage, {"grant": grant})["access_token"] for _ in range(5)}
    assert before == google.sent("refresh_token")


def test_an_hour_later_it_is_refreshed_once_however_many_ask(stage: Stage, google: Google) -> None:
    """
    Thirty callers wait for one refresh and share its token.
    """
    grant = stage.grant("many@example.com")
    google.advance(3700)
    before = google.refreshed()

    with ThreadPoolExecutor(30) as pool:
        said = list(pool.map(lambda _: answered(stage, {"grant": grant}), range(30)))

    assert 1 == len({each["access_token"] for each in said})
    assert before + 1 == google.refreshed()


def test_min_ttl_is_kept_by_refreshing(stage: Stage, google: Google) -> None:
    """
    A token that would not live long enough is replaced.
    """
    grant = stage.grant("ttl@example.com")
    first = answered(stage, {"grant": grant})
    google.advance(1800)

    same, longer = answered(stage, {"grant": grant}), answered(stage, {"grant": grant, "min_ttl": 3000})

    assert first["access_token"] == same["access_token"]
    assert longer["access_token"] != same["access_token"]
    assert longer["expires_in"] >= 3000
    assert "warning" not in longer


def test_a_min_ttl_that_cannot_be_met_is_a_warning_and_no_second_refresh(
    stage: Stage, google: Google
) -> None:
    """
    The token is given with its true life, and Google is left alone for 60 s.
    """
    grant = stage.grant("short@example.com")
    google.advance(3700)
    ask(
        google.port,
        "PATCH",
        "/emulator/users",
        {"email": "short@example.com", "access_seconds": 1800},
    )
    before = google.refreshed()

    said = [answered(stage, {"grant": grant, "min_ttl": 3600}) for _ in range(3)]

    assert ["min_ttl_not_met"] * 3 == [each.get("warning") for each in said]
    assert all(each["expires_in"] < 3600 for each in said)
    assert before + 1 == google.refreshed()


def test_named_scopes_must_be_granted(stage: Stage, grant: str) -> None:
    """
    409 with what is missing; the grant stays as it is.
    """
    answer = stage.token({"grant": grant, "scopes": [DRIVE, DRIVE_FILE]})

    assert (409, "consent_required") == answer.error
    assert ("missing_scopes", [DRIVE_FILE]) == (answer.json["reason"], answer.json["missing_scopes"])
    assert "active" == stage.describe(grant)["state"]


@pytest.mark.parametrize("scopes", [[DRIVE], DRIVE, "email openid", ["openid", "email"]])
def test_named_scopes_narrow_the_answer(stage: Stage, grant: str, scopes: object) -> None:
    """
    Scopes handed out are the granted ones among those named; `email` is a name of its long form.
    """
    names = scopes.split() if isinstance(scopes, str) else scopes
    assert isinstance(names, list)
    want = {EMAIL if name == "email" else name for name in names}

    said = answered(stage, {"grant": grant, "scopes": scopes})

    assert want == set(said["scopes"])


def test_without_names_the_requested_and_not_granted_are_listed(stage: Stage, google: Google) -> None:
    """
    200 with `missing_scopes`.
    """
    code = google.code("half@example.com", scopes=["openid", "email"])
    grant = stage.redeem({"code": code, "scopes": ["openid", "email", DRIVE]}).json["grant"]["id"]

    assert [DRIVE] == answered(stage, {"grant": grant})["missing_scopes"]


def test_a_rejected_token_is_replaced_once(stage: Stage, google: Google) -> None:
    """
    Google refused the token: a new one, but at most one refresh per grant in 30 s.
    """
    grant = stage.grant("reject@example.com")
    first = answered(stage, {"grant": grant})["access_token"]
    before = google.refreshed()

    second = answered(stage, {"grant": grant, "rejected": s256(first)})["access_token"]
    adopted = answered(stage, {"grant": grant, "rejected": s256(first)})["access_token"]
    third = stage.token({"grant": grant, "rejected": s256(second)})

    assert first != second == adopted
    assert before + 1 == google.refreshed()
    assert third.status in (200, 503), third


def test_an_unknown_rejected_token_changes_nothing(stage: Stage, google: Google, grant: str) -> None:
    """
    A newer one is adopted: the one that is current.
    """
    current, before = answered(stage, {"grant": grant})["access_token"], google.refreshed()

    said = answered(stage, {"grant": grant, "rejected": s256("some older token")})

    assert current == said["access_token"]
    assert before == google.refreshed()


def test_a_user_who_took_access_back_is_asked_again(stage: Stage, google: Google) -> None:
    """
    409 with reason and remedy; the grant is `needs_consent`; a new consent wakes the same grant.
    """
    grant = stage.grant("gone@example.com")
    google.post("revoke", {"email": "gone@example.com"})
    google.advance(3700)

    answer = stage.token({"grant": grant})

    assert (409, "consent_required") == answer.error
    assert answer.json["reason"] in ("revoked", "expired")
    assert isinstance(answer.json["missing_scopes"], list)
    assert answer.json["remedy"]
    assert "needs_consent" == stage.describe(grant)["state"]
    assert grant == stage.grant("gone@example.com", force=True)
    assert grant == answered(stage, {"grant": grant})["grant"]


def test_invalid_rapt_is_reauth_required(stage: Stage, google: Google) -> None:
    """
    The reason tells a session's length from a withdrawal.
    """
    grant = stage.grant("rapt@example.com")
    google.post("users", {"email": "rapt@example.com", "reauth_required": True})
    google.advance(3700)

    answer = stage.token({"grant": grant})

    assert ("consent_required", "reauth_required") == (answer.json["error"], answer.json["reason"])


def test_an_administrators_policy_blocks(stage: Stage, google: Google) -> None:
    """
    `grant_blocked`: neither the caller nor the user can mend it; a day later it is probed.
    """
    grant = stage.grant("blocked@example.com")
    google.post("users", {"email": "blocked@example.com", "admin_blocked": True})
    google.advance(3700)

    assert (409, "grant_blocked") == stage.token({"grant": grant}).error
    assert "blocked" == stage.describe(grant)["state"]
    google.post("users", {"email": "blocked@example.com", "admin_blocked": False})
    google.advance(86_401)
    seen = [stage.token({"grant": grant}).error for _ in range(2)]
    assert (200, "ok") in seen or "active" == stage.describe(grant)["state"]


def test_a_caller_without_a_key_is_unknown(stage: Stage, grant: str) -> None:
    """
    401 before the body is judged, with the challenge that RFC 6750 asks for.
    """
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": f"Bearer {stage.key}x"},
        {"Authorization": stage.key},
    ):
        answer = stage.ask("POST", "/v1/token", {"nonsense": 1}, headers)
        assert (401, "caller_unknown") == answer.error
        assert "Bearer" in str(answer.header("WWW-Authenticate"))


def test_a_session_token_opens_nothing(stage: Stage, google: Google, grant: str) -> None:
    """
    It is for the app's backend, accepted nowhere in grantkeeper.
    """
    session = stage.redeem({"code": google.code("ann@example.com")}).json["session"]["token"]

    assert (401, "caller_unknown") == stage.token({"grant": grant}, key=session).error


def test_a_form_is_as_good_as_json(stage: Stage, grant: str) -> None:
    """
    Scopes come with blanks between them, as OAuth writes them.
    """
    answer = stage.ask(
        "POST",
        "/v1/token",
        f"grant={grant}&min_ttl=90&scopes=openid+email",
        {"Content-Type": "application/x-www-form-urlencoded"},
        key=stage.key,
    )

    assert (200, "ok") == answer.error
    assert sorted([EMAIL, "openid"]) == answer.json["scopes"]


def test_no_answer_may_be_kept_by_a_cache(stage: Stage, grant: str) -> None:
    """
    RFC 6749 5.1.
    """
    assert "no-store" == stage.token({"grant": grant}).header("Cache-Control")
    json.loads(stage.token({"grant": grant}).body)
