"""The routes about grants, each within the caller's rule."""

from dataclasses import replace
from typing import Any

import pytest

from grantkeeper.errors import GrantNotFound, StoreUnavailable, WrongAccount
from grantkeeper.model import End, GrantState, Permission, Profile, Reason
from grantkeeper.server.app import App
from tests.server.asking import KEY, KEYED, ask
from tests.server.fake_core import DESCRIBED, GRANT, NOW, OTHER, SCOPES, FakeCore

pytestmark = pytest.mark.anyio

PATH = f"/v1/grants/{GRANT}"
CALLS: list[tuple[str, str, Any]] = [
    ("GET", PATH, None),
    ("PATCH", PATH, {"user": "u"}),
    ("DELETE", PATH, None),
    ("POST", f"{PATH}/revoke", None),
]


async def test_a_description_has_every_field(app: App, core: FakeCore) -> None:
    """
    Times are RFC 3339, unknowns null, scopes sorted.
    """
    core.answers["describe"] = replace(
        DESCRIBED,
        state=GrantState.NEEDS_CONSENT,
        reason=Reason.EXPIRED,
        remedy="Ask again.",
        ends=(End("announced", NOW, "Ask before."),),
        profile=Profile(sub="1001", email="ada@example.com"),
    )
    said = (await ask(app, "GET", PATH, None, KEYED)).json

    assert {
        "id": GRANT,
        "client": "default",
        "project": "project-1",
        "issuer": "https://accounts.google.com",
        "subject": "1001",
        "user": "u-1",
        "state": "needs_consent",
        "reason": "expired",
        "remedy": "Ask again.",
        "requested_scopes": sorted(SCOPES),
        "scopes": sorted(SCOPES),
        "missing_scopes": [],
        "refreshable": True,
        "identity_source": "answer",
        "uncertain": False,
        "revocation_pending": False,
        "ends": [{"kind": "announced", "at": "2026-11-22T12:00:00Z", "remedy": "Ask before."}],
        "created_at": "2026-11-22T12:00:00Z",
        "refreshed_at": None,
        "used_at": None,
        "version": 3,
    } == {name: value for name, value in said.items() if name != "profile"}
    assert ("1001", "ada@example.com", None) == tuple(
        said["profile"][name] for name in ("sub", "email", "name")
    )


async def test_a_list_passes_every_filter_on(app: App, core: FakeCore) -> None:
    """
    And the caller's rule with them.
    """
    core.admit(KEY, clients=frozenset({"default"}))
    said = await ask(
        app,
        "GET",
        "/v1/grants?client=default&subject=1001&user=u%201&state=active&limit=7&cursor=c",
        None,
        KEYED,
    )

    assert ("next", [GRANT]) == (said.json["next_cursor"], [one["id"] for one in said.json["grants"]])
    assert {
        "client": "default",
        "subject": "1001",
        "user": "u 1",
        "state": "active",
        "limit": 7,
        "cursor": "c",
        "clients": frozenset({"default"}),
    } == core.asked("grants")[0]


async def test_the_last_page_says_so(app: App, core: FakeCore) -> None:
    """
    With null.
    """
    core.answers["grants"] = ([], None)

    assert {"grants": [], "next_cursor": None} == (await ask(app, "GET", "/v1/grants", None, KEYED)).json


async def test_a_client_outside_the_rule_is_403(app: App, core: FakeCore) -> None:
    """
    Before any look-up.
    """
    core.admit(KEY, clients=frozenset({"default"}))

    assert (403, "caller_not_allowed") == (
        await ask(app, "GET", "/v1/grants?client=second", None, KEYED)
    ).error
    assert [] == core.calls


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=ten", "state=gone", "user=a&user=b"])
async def test_a_wrong_query_is_400(app: App, query: str) -> None:
    """
    And names the parameter.
    """
    said = await ask(app, "GET", f"/v1/grants?{query}", None, KEYED)

    assert (400, "invalid_request") == said.error
    assert said.json["error_description"].startswith(query.partition("=")[0])


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_a_grant_outside_the_rule_is_404_and_nothing_happens(
    app: App, core: FakeCore, method: str, path: str, body: Any
) -> None:
    """
    The rule goes into the look-up, which comes first.
    """
    core.admit(KEY, clients=frozenset({"default"}))
    core.answers["resolve"] = GrantNotFound("there is no such grant")

    assert (404, "grant_not_found") == (await ask(app, method, path, body, KEYED)).error
    assert [("resolve", {"grant": GRANT, "clients": frozenset({"default"})})] == core.calls


@pytest.mark.parametrize("odd", ["%00", "%ff", "%E4%BD%A0", "x" * 300, "%0a"])
async def test_an_odd_id_is_404(app: App, core: FakeCore, odd: str) -> None:
    """
    It reaches no store.
    """
    from urllib.parse import unquote

    assert (404, "grant_not_found") == (
        await ask(app, "GET", "/v1/grants/" + unquote(odd), None, KEYED)
    ).error
    assert [] == core.calls


@pytest.mark.parametrize("user", ["u-2", None])
async def test_a_user_is_attached_or_detached(app: App, core: FakeCore, user: str | None) -> None:
    """
    Null detaches.
    """
    said = await ask(app, "PATCH", PATH, {"user": user}, KEYED)

    assert (200, GRANT) == (said.status, said.json["id"])
    assert {"grant_id": GRANT, "user": user} == core.asked("attach")[0]


@pytest.mark.parametrize("body", [{}, {"user": 1}, {"user": ""}, {"user": "x" * 256}, []])
async def test_a_bad_attachment_is_400(app: App, core: FakeCore, body: Any) -> None:
    """
    Leaving it out is no null.
    """
    assert (400, "invalid_request") == (await ask(app, "PATCH", PATH, body, KEYED)).error
    assert [] == core.asked("attach")


async def test_a_grant_of_another_user_is_409(app: App, core: FakeCore) -> None:
    """
    No link moves.
    """
    core.answers["attach"] = WrongAccount("another's")

    assert (409, "wrong_account") == (await ask(app, "PATCH", PATH, {"user": "u"}, KEYED)).error


async def test_revoking_says_what_else_ended(app: App, core: FakeCore) -> None:
    """
    Grants of the same project.
    """
    said = await ask(app, "POST", f"{PATH}/revoke", None, KEYED)

    assert {"grant": GRANT, "state": "revoked", "told": True, "also_affected": [OTHER]} == said.json
    assert [{"grant_id": GRANT}] == core.asked("revoke")


@pytest.mark.parametrize(("query", "revoke"), [("", True), ("?revoke=true", True), ("?revoke=false", False)])
async def test_forgetting_revokes_unless_told_not_to(
    app: App, core: FakeCore, query: str, revoke: bool
) -> None:
    """
    204 and no body.
    """
    said = await ask(app, "DELETE", PATH + query, None, KEYED)

    assert (204, b"") == (said.status, said.body)
    assert [{"grant_id": GRANT, "revoke": revoke}] == core.asked("forget")


@pytest.mark.parametrize("query", ["?revoke=no", "?revoke=FALSE", "?revoke=0", "?revoke=false&revoke=false"])
async def test_forgetting_takes_no_other_word(app: App, core: FakeCore, query: str) -> None:
    """
    A misspelt no must not become a yes.
    """
    assert (400, "invalid_request") == (await ask(app, "DELETE", PATH + query, None, KEYED)).error
    assert [] == core.calls


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_reading_and_writing_are_two_permissions(
    app: App, core: FakeCore, method: str, path: str, body: Any
) -> None:
    """
    Neither includes the other.
    """
    own, other = Permission.GRANTS_WRITE, Permission.GRANTS_READ
    if method == "GET":
        own, other = other, own
    core.admit(KEY, permissions=frozenset({other}))
    assert (403, "caller_not_allowed") == (await ask(app, method, path, body, KEYED)).error
    core.admit(KEY, permissions=frozenset({own}))
    core.tell("caller")
    assert (await ask(app, method, path, body, KEYED)).status in (200, 204)


@pytest.mark.parametrize(
    ("method", "allowed"), [("PUT", "DELETE, GET, HEAD, PATCH"), ("OPTIONS", "DELETE, GET, HEAD, PATCH")]
)
async def test_other_methods_are_405_with_allow(app: App, method: str, allowed: str) -> None:
    """
    All of them in one header; no browser is told that it may call these.
    """
    said = await ask(app, method, PATH, None, KEYED)

    assert (405, allowed) == (said.status, said.headers["allow"])


async def test_head_is_get_without_body(app: App) -> None:
    """
    With the length that GET would have.
    """
    head, got = await ask(app, "HEAD", PATH, None, KEYED), await ask(app, "GET", PATH, None, KEYED)

    assert (200, b"", got.headers["content-length"]) == (
        head.status,
        head.body,
        head.headers["content-length"],
    )


async def test_a_store_that_is_away_is_503(app: App, core: FakeCore) -> None:
    """
    With Retry-After.
    """
    core.answers["grants"] = StoreUnavailable("away", retry_after=2.5)
    said = await ask(app, "GET", "/v1/grants", None, KEYED)

    assert (503, "store_unavailable", "3") == (*said.error, said.headers["retry-after"])
