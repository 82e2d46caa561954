"""Grants for backends: listing, describing, attaching, revoking and forgetting (sections 2 and 3)."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stage import DRIVE, Google, Stage, ask

NOWHERE = "01a20485-713f-7161-b4b3-d7f83b58b8cc"


@pytest.fixture(scope="module")
def config(google_process: Google) -> str:
    """A second OAuth client of the same project."""
    _, file = google_process.register("web", redirect_uris=[], javascript_origins=[google_process.issuer])
    return f'\n[clients.second]\nsecrets = "{file}"\nissuer = "{google_process.issuer}"\n'


@pytest.fixture(scope="module")
def second(stage: Stage) -> str:
    """The second client's id at Google."""
    text = (stage.folder / "grantkeeper.toml").read_text()
    file = text.partition("[clients.second]")[2].split('"')[1]
    return str(json.loads(Path(file).read_text())["web"]["client_id"])


def listed(stage: Stage, query: str) -> Any:
    answer = stage.ask("GET", f"/v1/grants?{query}", key=stage.key)
    assert 200 == answer.status, answer
    return answer.json


def live(google: Google, email: str) -> int:
    return int(ask(google.port, "GET", f"/emulator/refresh_tokens?email={email}").json["live"])


def test_a_grant_is_described(stage: Stage) -> None:
    """
    State, reason, remedy and the ends that are coming up.
    """
    grant = stage.grant("dora@example.com", user="dora")

    said = stage.describe(grant)

    assert {
        "id",
        "client",
        "subject",
        "user",
        "scopes",
        "missing_scopes",
        "state",
        "reason",
        "remedy",
    } <= said.keys()
    assert (grant, "default", "dora", "active", None) == tuple(
        said[name] for name in ("id", "client", "user", "state", "reason")
    )
    assert isinstance(said["subject"], str)
    assert DRIVE in said["scopes"]


def test_a_broken_grant_is_described_with_its_remedy(stage: Stage, google: Google) -> None:
    """
    The operator knows why and who can mend it.
    """
    grant = stage.grant("broken@example.com")
    google.post("revoke", {"email": "broken@example.com"})
    google.advance(3700)
    stage.token({"grant": grant})

    said = stage.describe(grant)

    assert "needs_consent" == said["state"]
    assert said["reason"] and said["remedy"]


def test_a_seven_day_end_is_announced(stage: Stage, google: Google) -> None:
    """
    A grant that Google will end says so before.
    """
    code = google.code("timed@example.com", access_seconds=86_400)
    grant = stage.redeem({"code": code}).json["grant"]["id"]

    assert any(stage.describe(grant)["ends"])


def test_an_unknown_grant_is_404(stage: Stage) -> None:
    """
    By every call.
    """
    for method, path, body in (
        ("GET", f"/v1/grants/{NOWHERE}", None),
        ("GET", "/v1/grants/nonsense", None),
        ("PATCH", f"/v1/grants/{NOWHERE}", {"user": "x"}),
        ("POST", f"/v1/grants/{NOWHERE}/revoke", None),
        ("DELETE", f"/v1/grants/{NOWHERE}", None),
        ("DELETE", f"/v1/grants/{NOWHERE}?revoke=false", None),
    ):
        assert (404, "grant_not_found") == stage.ask(method, path, body, key=stage.key).error, (method, path)


def test_a_list_ends(stage: Stage) -> None:
    """
    Pages of two, each grant once, the last without a cursor.
    """
    made = [stage.grant(f"page{n}@example.com", user="pages") for n in range(5)]

    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = listed(stage, "user=pages&limit=2" + (f"&cursor={cursor}" if cursor else ""))
        assert {"grants", "next_cursor"} == page.keys()
        assert len(page["grants"]) <= 2
        seen += [grant["id"] for grant in page["grants"]]
        cursor, pages = page["next_cursor"], pages + 1

    assert sorted(made) == sorted(seen)
    assert cursor is None


def test_a_list_is_narrowed(stage: Stage) -> None:
    """
    By client, subject, user and state.
    """
    grant = stage.grant("narrow@example.com", user="narrow")
    sub = stage.describe(grant)["subject"]

    for query in (f"subject={sub}", "user=narrow", f"client=default&subject={sub}&user=narrow&state=active"):
        assert [grant] == [each["id"] for each in listed(stage, query)["grants"]]
    for query in (f"subject={sub}&state=revoked", f"subject={sub}&client=second", "user=nobody"):
        assert [] == listed(stage, query)["grants"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=1e9", "state=dead", "cursor=nonsense"]
)
def test_a_list_that_makes_no_sense_is_refused(stage: Stage, query: str) -> None:
    """
    400, never an empty list that looks like an answer.
    """
    answer = stage.ask("GET", f"/v1/grants?{query}", key=stage.key)

    assert (400, "invalid_request") == answer.error


def test_an_unknown_client_in_a_list_is_404(stage: Stage) -> None:
    """
    As everywhere.
    """
    assert (404, "client_unknown") == stage.ask("GET", "/v1/grants?client=nobody", key=stage.key).error


def test_a_user_is_attached(stage: Stage) -> None:
    """
    `PATCH` with a user; the grant is found by it, and no longer by the old one.
    """
    grant = stage.grant("attach@example.com")

    answer = stage.ask("PATCH", f"/v1/grants/{grant}", {"user": "attached"}, key=stage.key)

    assert 200 == answer.status
    assert "attached" == answer.json["user"] == stage.describe(grant)["user"]
    assert grant == stage.token({"user": "attached"}).json["grant"]


@pytest.mark.parametrize("body", [{"user": 1}, {"user": ""}, {"state": "revoked"}, [], {"user": "x" * 5000}])
def test_nothing_else_is_patched(stage: Stage, body: object) -> None:
    """
    400 or 413, and the grant is as it was.
    """
    grant = stage.grant("patch@example.com")

    answer = stage.ask("PATCH", f"/v1/grants/{grant}", body, key=stage.key)

    assert answer.error in ((400, "invalid_request"), (413, "too_large"))
    assert ("active", None) == (stage.describe(grant)["state"], stage.describe(grant)["user"])


def test_revoking_tells_google_and_hands_out_nothing_more(stage: Stage, google: Google) -> None:
    """
    The row stays as a tombstone; a later token request is 409 with reason `revoked`.
    """
    grant = stage.grant("leave@example.com")
    assert 1 == live(google, "leave@example.com")

    answer = stage.ask("POST", f"/v1/grants/{grant}/revoke", key=stage.key)

    assert 200 == answer.status
    assert "revoked" == answer.json["state"]
    assert [] == answer.json["also_affected"]
    refused = stage.token({"grant": grant})
    assert ((409, "consent_required"), "revoked") == (refused.error, refused.json["reason"])
    assert "revoked" == stage.describe(grant)["state"]
    assert 0 == live(google, "leave@example.com")


def test_revoking_twice_is_as_good_as_once(stage: Stage) -> None:
    """
    A repeat is no error.
    """
    grant = stage.grant("twice@example.com")

    answers = [stage.ask("POST", f"/v1/grants/{grant}/revoke", key=stage.key) for _ in range(2)]

    assert [200, 200] == [answer.status for answer in answers]


def test_a_revoked_grant_that_consents_again_is_the_same_grant(stage: Stage, google: Google) -> None:
    """
    Active in the same row under the same id.
    """
    grant = stage.grant("return@example.com", user="back")
    stage.ask("POST", f"/v1/grants/{grant}/revoke", key=stage.key)

    assert grant == stage.grant("return@example.com", force=True)
    assert (200, "ok") == stage.token({"grant": grant}).error
    google.advance(3700)
    assert (200, "ok") == stage.token({"grant": grant}).error


def test_revoking_while_google_is_down_is_still_revoked_here(stage: Stage, google: Google) -> None:
    """
    Google is told later; nothing is handed out meanwhile, and a new consent cancels the telling.
    """
    grant = stage.grant("later@example.com")
    google.fault("revoke", "status_503")

    answer = stage.ask("POST", f"/v1/grants/{grant}/revoke", key=stage.key)

    assert (200, "revoked") == (answer.status, answer.json["state"])
    assert (409, "consent_required") == stage.token({"grant": grant}).error
    assert stage.describe(grant)["revocation_pending"]
    google.heal()
    google.advance(60)
    until = time.monotonic() + 60
    while stage.describe(grant)["revocation_pending"] and time.monotonic() < until:
        time.sleep(0.5)
    assert 0 == live(google, "later@example.com")


def test_revoking_lists_the_other_clients_grants(stage: Stage, google: Google, second: str) -> None:
    """
    Google ends every client of the project for that user: `also_affected`, and those are uncertain.
    """
    first = stage.grant("both@example.com")
    code = google.code("both@example.com", client_id=second)
    other = stage.redeem({"code": code, "client": "second"}).json["grant"]["id"]
    assert first != other

    answer = stage.ask("POST", f"/v1/grants/{first}/revoke", key=stage.key)

    assert [other] == answer.json["also_affected"]
    # A refresh probes it, and finds it gone.
    assert (409, "consent_required") == _in_the_end(stage, other)


def _in_the_end(stage: Stage, grant: str) -> tuple[int, str]:
    until = time.monotonic() + 20
    while (said := stage.token({"grant": grant}).error) == (200, "ok") and time.monotonic() < until:
        time.sleep(0.2)
    return said


@pytest.mark.parametrize("query, left", [("", 0), ("?revoke=true", 0), ("?revoke=false", 1)])
def test_forgetting(stage: Stage, google: Google, query: str, left: int) -> None:
    """
    `DELETE` revokes, then forgets; with `?revoke=false` it only forgets.
    """
    email = f"forget{left}{len(query)}@example.com"
    grant = stage.grant(email)

    answer = stage.ask("DELETE", f"/v1/grants/{grant}{query}", key=stage.key)

    assert answer.status in (200, 204)
    assert (404, "grant_not_found") == stage.ask("GET", f"/v1/grants/{grant}", key=stage.key).error
    assert (404, "grant_not_found") == stage.token({"grant": grant}).error
    assert left == live(google, email)


def test_a_word_that_is_not_a_truth_is_refused(stage: Stage) -> None:
    """
    `?revoke=no` might mean either: 400, and nothing is forgotten.
    """
    grant = stage.grant("perhaps@example.com")

    answer = stage.ask("DELETE", f"/v1/grants/{grant}?revoke=perhaps", key=stage.key)

    assert (400, "invalid_request") == answer.error
    assert "active" == stage.describe(grant)["state"]


def test_a_forgotten_user_may_come_back(stage: Stage) -> None:
    """
    As somebody new.
    """
    grant = stage.grant("anew@example.com")
    stage.ask("DELETE", f"/v1/grants/{grant}", key=stage.key)

    assert grant != stage.grant("anew@example.com", force=True)
