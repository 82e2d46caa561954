"""The redirect flow: cookies, redirects, pages for people, tickets and results for backends."""

import re
from typing import Any
from urllib.parse import urljoin

import pytest

from grantkeeper.errors import (
    ClientMisconfigured,
    CodeRefused,
    GrantkeeperError,
    InvalidRequest,
    IssuerUnavailable,
    StoreUnavailable,
    TooManyRequests,
)
from grantkeeper.keeper.connect import SignInLost
from grantkeeper.model import Permission
from grantkeeper.server.app import App, create_app
from tests.server.asking import KEY, KEYED, ask
from tests.server.conftest import Recorder
from tests.server.fake_core import GRANT, FakeCore

pytestmark = pytest.mark.anyio

TLS: dict[str, Any] = {"scheme": "https", "peer": ("192.0.2.1", 1)}


async def test_a_browser_is_sent_to_the_issuer(app: App, core: FakeCore) -> None:
    """
    With the state in a cookie that no other host and no script can have.
    """
    said = await ask(
        app,
        "GET",
        "/connect/second?return_to=https%3A%2F%2Fapp.example%2F&scopes=a%20b&ticket=t&login_hint=ada",
        **TLS,
    )

    assert (303, "https://accounts.google.com/o/oauth2/v2/auth?state=s") == (
        said.status,
        said.headers["location"],
    )
    assert (
        "__Host-grantkeeper-connect=cookie-value; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
        == said.headers["set-cookie"]
    )
    assert ("no-store", "no-referrer") == (said.headers["cache-control"], said.headers["referrer-policy"])
    assert {
        "client": "second",
        "return_to": "https://app.example/",
        "scopes": "a b",
        "ticket": "t",
        "login_hint": "ada",
    } == core.asked("begin")[0]


async def test_on_plain_loopback_there_is_a_second_cookie(app: App, core: FakeCore) -> None:
    """
    Some browsers keep no secure cookie there; either of the two will do.
    """
    cookies = (await ask(app, "GET", "/connect/default")).cookies

    assert ["__Host-grantkeeper-connect", "grantkeeper-connect"] == [one.partition("=")[0] for one in cookies]
    assert [True, False] == ["; Secure" in one for one in cookies]
    for name in ("__Host-grantkeeper-connect", "grantkeeper-connect"):
        await ask(app, "GET", "/connect/callback?state=s", None, {"Cookie": f"{name}=v"})
    assert ["v", "v"] == [asked["cookie"] for asked in core.asked("callback")]


async def test_behind_a_trusted_proxy_there_is_one_cookie(core: FakeCore, log: Recorder) -> None:
    """
    There the browser speaks HTTPS.
    """
    core.settings.trusted_proxies = ("127.0.0.1",)
    app = create_app(core, log=log)  # type: ignore[arg-type]
    said = await ask(app, "GET", "/connect/default", None, {"X-Forwarded-Proto": "https"})

    assert ["__Host-grantkeeper-connect"] == [one.partition("=")[0] for one in said.cookies]


async def test_the_browser_comes_back_and_goes_on(app: App, core: FakeCore) -> None:
    """
    What the issuer sent reaches the core with the cookie, and the cookie is gone.
    """
    said = await ask(
        app,
        "GET",
        "/connect/callback?state=s&code=4%2F0c&iss=https%3A%2F%2Faccounts.google.com",
        None,
        {"Cookie": "other=1; __Host-grantkeeper-connect=cookie-value; x=2"},
        **TLS,
    )

    assert (303, "https://app.example/done?result=r") == (said.status, said.headers["location"])
    assert "Max-Age=0" in said.headers["set-cookie"]
    assert {
        "state": "s",
        "cookie": "cookie-value",
        "code": "4/0c",
        "error": None,
        "iss": "https://accounts.google.com",
    } == core.asked("callback")[0]


async def test_over_https_a_cookie_without_prefix_does_not_count(app: App, core: FakeCore) -> None:
    """
    A neighbour domain can set such a one.
    """
    await ask(app, "GET", "/connect/callback?state=s", None, {"Cookie": "grantkeeper-connect=forged"}, **TLS)

    assert None is core.asked("callback")[0]["cookie"]


BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.mark.parametrize("path", ["/connect/callback?state=s", "/connect/default"])
async def test_a_person_gets_a_page(app: App, core: FakeCore, path: str) -> None:
    """
    In words, escaped, and safe to show.
    """
    core.answers["begin"] = core.answers["callback"] = SignInLost(
        "it is <old>", hint="Go back & start again."
    )
    said = await ask(app, "GET", path, None, BROWSER)
    page = said.body.decode()

    assert (400, "text/html; charset=utf-8") == (said.status, said.headers["content-type"])
    assert "It is &lt;old&gt;." in page
    assert "Go back &amp; start again." in page
    assert '<html lang="en">' in page
    assert "default-src 'none'" in said.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("error", "level", "told"),
    [
        (
            IssuerUnavailable("GET http://issuer: refused"),
            "warning",
            "service that you sign in with does not",
        ),
        (StoreUnavailable("database is locked"), "warning", "not available just now"),
        (ClientMisconfigured("unauthorized_client"), "warning", "You did nothing wrong"),
        (TooManyRequests("20 in 60 s"), "info", "too many sign-ins from your network"),
        (InvalidRequest("return_to is wrong"), "info", "in a way that does not work"),
    ],
)
async def test_a_person_reads_words_for_persons(
    app: App, core: FakeCore, log: Recorder, error: GrantkeeperError, level: str, told: str
) -> None:
    """
    The operator's are in the log, under the id that the page shows.
    """
    core.answers["begin"] = error
    said = await ask(app, "GET", "/connect/default", None, BROWSER)
    page = said.body.decode()
    ((found, _, line),) = [one for one in log.lines if one[1] == "sign_in.stopped"]

    assert told in page
    assert error.text not in page
    assert "Retry-After" not in page
    assert (level, error.code, error.text) == (found, line["error"], line["text"])
    assert f"<code>{error.code}</code>, request <code>{line['request']}</code>" in page


@pytest.mark.parametrize("path", ["/connect/callback?state=s", "/connect/default", "/", "/docs"])
@pytest.mark.parametrize("prefix", ["", "/auth"])
async def test_a_page_finds_its_style_wherever_it_is_mounted(
    core: FakeCore, log: Recorder, path: str, prefix: str
) -> None:
    """
    Also in an app that mounts the routes for apps only.
    """
    core.answers["begin"] = core.answers["callback"] = InvalidRequest("old")
    alone = path in ("/", "/docs")
    app = create_app(core, log=log, apps_only=not alone)  # type: ignore[arg-type]
    page = (await ask(app, "GET", path, None, BROWSER)).body.decode()
    links = re.findall(r'href="([^"#]+)"', page)
    base = f"http://host{prefix}"
    targets = [urljoin(base + path, link) for link in links]

    assert f"{base}/assets/grantkeeper.css" in targets
    assert [] == [target for target in targets if not target.startswith(base + "/")]
    for target in targets:
        assert 200 == (await ask(app, "GET", target.removeprefix(base))).status


async def test_a_program_gets_json(app: App, core: FakeCore) -> None:
    """
    As everywhere.
    """
    core.answers["callback"] = InvalidRequest("old")

    assert (400, "invalid_request") == (await ask(app, "GET", "/connect/callback?state=s")).error


async def test_a_redirect_cannot_carry_a_second_header(app: App, core: FakeCore) -> None:
    """
    Whatever an address holds, it stays one line.
    """
    core.answers["callback"] = "https://app.example/ä\r\nSet-Cookie: a=b"
    said = await ask(app, "GET", "/connect/callback?state=s")

    assert "https://app.example/%C3%A4%0D%0ASet-Cookie:%20a=b" == said.headers["location"]


async def test_connecting_is_limited_per_address(core: FakeCore, log: Recorder) -> None:
    """
    Each beginning leaves a row in the store.
    """
    core.settings.redeem_limit.count = 1
    app = create_app(core, log=log)  # type: ignore[arg-type]

    assert [303, 429] == [(await ask(app, "GET", "/connect/default")).status for _ in range(2)]


async def test_a_backend_gets_a_ticket(app: App, core: FakeCore) -> None:
    """
    For one of its users.
    """
    body = {"user": "u-1", "client": "second", "expect_subject": "1001"}
    said = await ask(app, "POST", "/v1/connect/tickets", body, KEYED)

    assert (201, {"ticket": "ticket-1", "expires_in": 600}) == (said.status, said.json)
    assert body == core.asked("ticket")[0]


async def test_a_backend_learns_who_connected(app: App) -> None:
    """
    With the answer of redeem.
    """
    said = await ask(app, "POST", "/v1/connect/results", {"result": "r"}, KEYED)

    assert (200, GRANT) == (said.status, said.json["grant"]["id"])


async def test_a_result_tells_why_it_did_not_work(app: App, core: FakeCore) -> None:
    """
    As redeem would have.
    """
    core.answers["result"] = CodeRefused("spent")

    assert (422, "code_refused") == (
        await ask(app, "POST", "/v1/connect/results", {"result": "r"}, KEYED)
    ).error


@pytest.mark.parametrize(
    ("path", "body"), [("tickets", {"user": "u", "client": "default"}), ("results", {"result": "r"})]
)
async def test_both_stay_within_the_callers_rules(app: App, core: FakeCore, path: str, body: Any) -> None:
    """
    Permission and client.
    """
    core.admit(KEY, clients=frozenset({"second"}))
    assert (403, "caller_not_allowed") == (await ask(app, "POST", f"/v1/connect/{path}", body, KEYED)).error
    core.admit(KEY, permissions=frozenset({Permission.TOKEN}))
    core.tell("caller")
    assert (403, "caller_not_allowed") == (await ask(app, "POST", f"/v1/connect/{path}", body, KEYED)).error
    assert (401, "caller_unknown") == (await ask(app, "POST", f"/v1/connect/{path}", body)).error
