"""The routes for apps: forged requests, origins, who may say what."""

from typing import Any
from urllib.parse import urlencode

import pytest

from grantkeeper.errors import CodeRefused, IssuerUnavailable, OutcomeUnknown
from grantkeeper.model import Permission
from grantkeeper.server.app import App, create_app
from tests.server.asking import FROM_APP, KEY, KEYED, OTHER_KEY, Said, ask
from tests.server.conftest import Recorder
from tests.server.fake_core import BROKEN, GRANT, PAGE, SCOPES, SESSION, FakeCore

pytestmark = pytest.mark.anyio

CODE = {"code": "4/0marker-code"}


async def redeem(app: App, body: Any = CODE, headers: Any = FROM_APP, **given: Any) -> Said:
    return await ask(app, "POST", "/v1/redeem", body, headers, **given)


async def test_the_answer_has_the_fields_of_the_design(app: App) -> None:
    """
    Grant, profile, session; nothing of Google's.
    """
    said = await redeem(app)

    assert 200 == said.status
    assert {
        "grant": {
            "id": GRANT,
            "client": "default",
            "subject": "1001",
            "scopes": sorted(SCOPES),
            "missing_scopes": ["https://www.googleapis.com/auth/photoslibrary"],
            "state": "active",
            "refreshable": True,
        },
        "profile": {
            "sub": "1001",
            "email": "ada@example.com",
            "email_verified": True,
            "name": "Ada Lovelace",
            "picture": "https://example.com/ada.png",
            "locale": "en",
            "family_name": "Lovelace",
            "given_name": "Ada",
            "hd": "example.com",
        },
        "session": {"token": SESSION, "token_type": "Bearer", "expires_in": 300},
    } == said.json


async def test_a_grant_without_refresh_token_is_200_and_says_what_helps(app: App, core: FakeCore) -> None:
    """
    The user is known all the same; profile and session are null where there are none.
    """
    core.answers["redeem"] = BROKEN
    said = (await redeem(app)).json

    assert (None, None) == (said["profile"], said["session"])
    assert ("needs_consent", False, "no_refresh_token", "Force consent.") == tuple(
        said["grant"][name] for name in ("state", "refreshable", "reason", "hint")
    )


async def test_everything_sent_reaches_the_core(app: App, core: FakeCore) -> None:
    """
    By its name, and as it came.
    """
    body = {
        **CODE,
        "client": "default",
        "source": "web",
        "redirect_uri": "https://app.example/cb",
        "code_verifier": "v" * 43,
        "nonce": "n-1",
        "id_token": "a.b.c",
        "scopes": ["openid"],
    }
    await redeem(app, body, {**FROM_APP, "Idempotency-Key": "k" * 22, "Origin": PAGE})
    request = core.asked("redeem")[0]["request"]

    assert body == {name: getattr(request, name) for name in body}
    assert ("k" * 22, PAGE, False, None) == (
        request.idempotency_key,
        request.origin,
        request.trusted,
        request.caller,
    )


async def test_a_form_is_as_good_as_json(app: App, core: FakeCore) -> None:
    """
    Old platforms post forms.
    """
    body = urlencode({**CODE, "scopes": "openid email", "redirect_uri": ""}).encode()
    said = await redeem(app, body, {**FROM_APP, "Content-Type": "application/x-www-form-urlencoded"})
    request = core.asked("redeem")[0]["request"]

    assert 200 == said.status
    assert (CODE["code"], "openid email", None) == (request.code, request.scopes, request.redirect_uri)


@pytest.mark.parametrize("path", ["/v1/redeem", "/v1/preflight"])
@pytest.mark.parametrize("headers", [{}, {"X-Requested-With": ""}, {"X-Requested-With": "  "}, KEYED])
async def test_without_the_header_it_is_forged_and_nothing_happens(
    app: App, core: FakeCore, path: str, headers: Any
) -> None:
    """
    Not the body, not the key, not the limit is looked at.
    """
    said = await ask(app, "POST", path, b"{ not json", headers)

    assert (403, "forged_request") == said.error
    assert ([], 0) == (core.calls, core.store.reads)


async def test_a_forged_request_does_not_use_up_the_limit(core: FakeCore, log: Recorder) -> None:
    """
    Another page cannot lock the user's address out.
    """
    core.settings.redeem_limit.count = 2
    app = create_app(core, log=log)  # type: ignore[arg-type]
    for _ in range(5):
        await redeem(app, headers={})

    assert [200, 200, 429] == [(await redeem(app)).status for _ in range(3)]


async def test_the_limit_answers_429_with_retry_after(core: FakeCore, log: Recorder) -> None:
    """
    Per address.
    """
    core.settings.redeem_limit.count = 1
    app = create_app(core, log=log)  # type: ignore[arg-type]
    await redeem(app)
    said = await redeem(app)

    assert (429, "too_many_requests") == said.error
    assert 55 <= int(said.headers["retry-after"]) <= 65
    assert 200 == (await redeem(app, peer=("127.0.0.2", 1))).status


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
async def test_only_post_redeems(app: App, core: FakeCore, method: str) -> None:
    """
    A code in a query would stand in every log on the way.
    """
    said = await ask(app, method, "/v1/redeem?code=4/0marker-code", None, FROM_APP)

    assert (405, "OPTIONS, POST") == (said.status, said.headers["allow"])
    assert [] == core.calls
    assert method == "HEAD" or "method_not_allowed" == said.json["error"]


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", PAGE + ".evil.example", "http://app.example"]
)
async def test_a_foreign_page_is_refused(app: App, core: FakeCore, origin: str) -> None:
    """
    Before the body is read, and it cannot read the answer.
    """
    said = await redeem(app, b"{ not json", {**FROM_APP, "Origin": origin})

    assert (403, "origin_not_allowed") == said.error
    assert "access-control-allow-origin" not in said.headers
    assert "Origin" == said.headers["vary"]
    assert [] == core.calls


async def test_a_page_of_another_client_is_refused(app: App, core: FakeCore) -> None:
    """
    The origin must be the named client's.
    """
    headers = {**FROM_APP, "Origin": "https://second.example"}

    assert (403, "origin_not_allowed") == (await redeem(app, CODE, headers)).error
    assert [] == core.calls
    assert 200 == (await redeem(app, {**CODE, "client": "second"}, headers)).status


@pytest.mark.parametrize("good", [True, False])
async def test_a_page_of_the_client_may_read_the_answer(app: App, core: FakeCore, good: bool) -> None:
    """
    Good or bad; and never with credentials.
    """
    if not good:
        core.answers["redeem"] = CodeRefused("spent")
    said = await redeem(app, headers={**FROM_APP, "Origin": PAGE})

    assert (200 if good else 422) == said.status
    assert PAGE == said.headers["access-control-allow-origin"]
    assert "X-Request-Id" in said.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in said.headers
    assert "Origin" == said.headers["vary"]


@pytest.mark.parametrize("path", ["/v1/redeem", "/v1/preflight"])
async def test_a_browser_may_ask_first(app: App, path: str) -> None:
    """
    Yes to any configured origin, for the headers that are needed.
    """
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    said = await ask(app, "OPTIONS", path, None, asked)

    assert (204, b"") == (said.status, said.body)
    assert (PAGE, "POST", "Origin") == tuple(
        said.headers[name] for name in ("access-control-allow-origin", "access-control-allow-methods", "vary")
    )
    assert {"content-type", "x-requested-with", "idempotency-key"} <= {
        name.strip().lower() for name in said.headers["access-control-allow-headers"].split(",")
    }
    assert "access-control-allow-credentials" not in said.headers


@pytest.mark.parametrize("origin", ["null", "https://evil.example"])
async def test_a_browser_on_a_foreign_page_is_told_no(app: App, origin: str) -> None:
    """
    Without a word that it could take for a yes.
    """
    said = await ask(app, "OPTIONS", "/v1/redeem", None, {"Origin": origin})

    assert (403, "origin_not_allowed") == said.error
    assert not any(name.startswith("access-control") for name in said.headers)


@pytest.mark.parametrize("field", ["user", "expect_subject"])
async def test_only_a_caller_may_say_whose_it_is(app: App, core: FakeCore, field: str) -> None:
    """
    A phone could name anybody.
    """
    said = await redeem(app, {**CODE, field: "u-1"})
    assert (400, "invalid_request") == said.error
    assert [] == core.calls

    assert 200 == (await redeem(app, {**CODE, field: "u-1"}, {**FROM_APP, **KEYED})).status
    request = core.asked("redeem")[0]["request"]
    assert ("u-1", True, "caller-1") == (getattr(request, field), request.trusted, request.caller.id)


@pytest.mark.parametrize("value", [f"Bearer {OTHER_KEY}", "Bearer nonsense", "Basic abc"])
async def test_a_bad_key_is_not_ignored(app: App, core: FakeCore, value: str) -> None:
    """
    Its sender believes to be trusted.
    """
    assert (401, "caller_unknown") == (await redeem(app, CODE, {**FROM_APP, "Authorization": value})).error
    assert [] == core.calls


async def test_a_caller_without_the_permission_may_not(app: App, core: FakeCore) -> None:
    """
    403 before the body is read.
    """
    core.admit(KEY, permissions=frozenset({Permission.TOKEN}))

    assert (403, "caller_not_allowed") == (await redeem(app, b"{", {**FROM_APP, **KEYED})).error


@pytest.mark.parametrize("client", ["default", None, "nobody"])
async def test_a_caller_stays_within_its_clients(app: App, core: FakeCore, client: str | None) -> None:
    """
    Named or by default, known or not.
    """
    core.admit(KEY, clients=frozenset({"second"}))
    body = {**CODE, "client": client}

    assert (403, "caller_not_allowed") == (await redeem(app, body, {**FROM_APP, **KEYED})).error
    assert 200 == (await redeem(app, {**CODE, "client": "second"}, {**FROM_APP, **KEYED})).status


async def test_an_unknown_client_is_404(app: App) -> None:
    """
    The app's settings are wrong.
    """
    assert (404, "client_unknown") == (await redeem(app, {**CODE, "client": "nobody"})).error


@pytest.mark.parametrize("key", ["k" * 21, "k" * 256, "with space " * 3])
async def test_a_bad_idempotency_key_is_refused(app: App, core: FakeCore, key: str) -> None:
    """
    Before anything is claimed under it.
    """
    said = await redeem(app, CODE, {**FROM_APP, "Idempotency-Key": key})

    assert (400, "invalid_request") == said.error
    assert [] == core.calls


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CodeRefused("spent"), (422, "code_refused")),
        (OutcomeUnknown("lost"), (504, "outcome_unknown")),
        (IssuerUnavailable("away"), (503, "issuer_unavailable")),
    ],
)
async def test_what_the_core_refuses_is_told(app: App, core: FakeCore, error: Any, expected: Any) -> None:
    """
    With the table's status.
    """
    core.answers["redeem"] = error

    assert expected == (await redeem(app)).error


async def test_the_code_stays_out_of_the_log(app: App, core: FakeCore, log: Recorder) -> None:
    """
    Whatever becomes of it.
    """
    await redeem(app)
    core.answers["redeem"] = CodeRefused("spent")
    await redeem(app)
    await ask(app, "GET", "/v1/redeem?code=4/0marker-code")
    core.answers["redeem"] = RuntimeError("4/0marker-code")
    await redeem(app)

    assert "marker" not in repr(log.lines)


async def test_preflight_answers_what_the_app_should_do(app: App, core: FakeCore) -> None:
    """
    Four fields.
    """
    body = {"id_token": "a.b.c", "source": "android", "scopes": "x y"}
    said = await ask(app, "POST", "/v1/preflight", body, FROM_APP)
    request = core.asked("preflight")[0]["request"]

    assert {
        "consent_needed": True,
        "missing_scopes": ["a", "b"],
        "how": "server_revoke_first",
        "login_hint": "ada@example.com",
    } == said.json
    assert ("default", "android", "x y") == (request.client, request.source, request.scopes)
