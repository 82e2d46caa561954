"""The redirect flow of our own, its tickets and results, and preflight (section 3)."""

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest

from tests.contract.stage import DRIVE, DRIVE_FILE, FROM_APP, Answer, Google, Stage, ask

BACK = "https://app.example/back"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def config(google_process: Google) -> str:
    """Addresses to return to, scopes to ask for, and the iPhone's own client id."""
    clients = ask(google_process.port, "GET", "/emulator/clients").json
    phones = [client["client_id"] for client in clients if client["kind"] in ("ios", "android")]
    return f"""
[clients.default]
return_to = ["{BACK}", "https://app.example/other"]
scopes = ["openid", "email", "{DRIVE}"]
app_client_ids = {json.dumps(phones)}
"""


@pytest.fixture(scope="module")
def registered(google_process: Google, stage: Stage) -> None:
    """Our callback is among the client's redirect URIs at Google."""
    uris = [*google_process.client["redirect_uris"], f"http://127.0.0.1:{stage.port}/connect/callback"]
    body = {"client_id": google_process.client["client_id"], "redirect_uris": uris}
    assert 200 == ask(google_process.port, "PATCH", "/emulator/clients", body).status


pytestmark = pytest.mark.usefixtures("registered")


class Forms(HTMLParser):
    """The fields of a page's forms."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[dict[str, Any], list[tuple[str, str]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        had = dict(attrs)
        if tag == "form":
            self.forms.append((had, []))
        elif tag in ("input", "button") and self.forms and had.get("name") and had.get("value") != "deny":
            self.forms[-1][1].append((str(had["name"]), had.get("value") or ""))


def begin(stage: Stage, **query: str) -> Answer:
    return stage.ask("GET", "/connect/default?" + urlencode(query))


def cookie(answer: Answer) -> str:
    return str(answer.header("Set-Cookie")).partition(";")[0]


def sign_in(google: Google, address: str, email: str) -> str:
    """What a person does at Google's pages, given by the emulator's control side; the address returned to."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    made = google.post(
        "code",
        {
            "email": email,
            "source": "web",
            "scopes": query["scope"],
            "redirect_uri": query["redirect_uri"],
            "nonce": query["nonce"],
            "code_challenge": query["code_challenge"],
            "force": True,
        },
    )
    back = urlencode({"code": made["code"], "state": query["state"], "iss": google.issuer})
    return f"/connect/callback?{back}"


def walk(stage: Stage, google: Google, email: str, **query: str) -> Answer:
    """From `/connect/default` to the answer of the callback."""
    start = begin(stage, return_to=BACK, **query)
    assert 303 == start.status, start
    path = sign_in(google, str(start.header("Location")), email)
    return stage.ask("GET", path, headers={"Cookie": cookie(start)})


def result(answer: Answer) -> str:
    assert answer.status in (302, 303), answer
    return parse_qs(urlsplit(str(answer.header("Location"))).query)["result"][0]


def test_it_begins_at_google_with_everything_that_protects_it(stage: Stage, google: Google) -> None:
    """
    State, nonce, PKCE S256, offline access, and a `__Host-` cookie that scripts cannot read.
    """
    answer = begin(stage, return_to=BACK)

    assert answer.status in (302, 303)
    where = urlsplit(str(answer.header("Location")))
    query = {name: values[0] for name, values in parse_qs(where.query).items()}
    assert f"{google.issuer}/o/oauth2/v2/auth" == f"{where.scheme}://{where.netloc}{where.path}"
    assert ("code", "S256", "offline") == tuple(
        query[name] for name in ("response_type", "code_challenge_method", "access_type")
    )
    assert len(query["state"]) >= 22 and len(query["nonce"]) >= 22 and len(query["code_challenge"]) == 43
    assert f"http://127.0.0.1:{stage.port}/connect/callback" == query["redirect_uri"]
    said = str(answer.header("Set-Cookie"))
    assert "httponly" in said.lower() and "samesite=lax" in said.lower() and "path=/;" in said.lower() + ";"
    assert query["state"] not in str(answer.header("Location")).partition("state=")[0]


def test_the_browser_returns_and_the_backend_posts_the_result(stage: Stage, google: Google) -> None:
    """
    `?result=` is traded once for the answer of redeem; no token is in the address.
    """
    returned = walk(stage, google, "connie@example.com")

    assert str(returned.header("Location")).startswith(BACK + "?")
    traded = stage.ask("POST", "/v1/connect/results", {"result": result(returned)}, key=stage.key)
    assert (200, "ok") == traded.error
    assert {"grant", "profile", "session"} == traded.json.keys()
    assert "connie@example.com" == traded.json["profile"]["email"]
    assert (200, "ok") == stage.token({"grant": traded.json["grant"]["id"]}).error


def test_a_person_may_really_click_through(stage: Stage, google: Google) -> None:
    """
    The pages of the emulator, as a browser without scripts would use them.
    """
    start = begin(stage, return_to=BACK, login_hint="clicker@example.com")
    where, jar, answer = str(start.header("Location")), {}, None
    for _ in range(8):
        split = urlsplit(where)
        if split.path == "/connect/callback" or split.port != google.port:
            break
        answer = ask(google.port, "GET", f"{split.path}?{split.query}", headers=_cookies(jar))
        _keep(jar, answer)
        if answer.status in (302, 303):
            where = urljoin(where, str(answer.header("Location")))
            continue
        pages = Forms()
        pages.feed(answer.body.decode())
        shape, fields = pages.forms[-1]
        sent = dict(fields) | {name: "clicker@example.com" for name, _ in fields if name == "email"}
        answer = _submit(google, where, shape, sent, list(fields), jar)
        where = urljoin(where, str(answer.header("Location")))
    assert urlsplit(where).path == "/connect/callback", (where, answer)
    split = urlsplit(where)
    returned = stage.ask("GET", f"{split.path}?{split.query}", headers={"Cookie": cookie(start)})
    assert (200, "ok") == stage.ask(
        "POST", "/v1/connect/results", {"result": result(returned)}, key=stage.key
    ).error


def _cookies(jar: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())} if jar else {}


def _keep(jar: dict[str, str], answer: Answer) -> None:
    for line in answer.headers.get_all("Set-Cookie") or []:
        name, _, value = line.partition(";")[0].partition("=")
        jar[name] = value


def _submit(
    google: Google,
    where: str,
    shape: dict[str, Any],
    sent: dict[str, str],
    fields: list[tuple[str, str]],
    jar: dict[str, str],
) -> Answer:
    action = shape.get("action") or urlsplit(where).path
    path = action if action.startswith("/") else urlsplit(action).path + "?" + urlsplit(action).query
    body = urlencode([(name, sent.get(name, value)) for name, value in fields])
    answer = ask(google.port, shape.get("method", "get").upper(), path, body, FORM | _cookies(jar))
    _keep(jar, answer)
    return answer


def test_a_ticket_attaches_its_user(stage: Stage, google: Google) -> None:
    """
    Only a ticket can; a user in the address is ignored or refused.
    """
    answer = stage.ask("POST", "/v1/connect/tickets", {"user": "u-ticket"}, key=stage.key)
    assert answer.status in (200, 201) and answer.json["ticket"]

    traded = stage.ask(
        "POST",
        "/v1/connect/results",
        {"result": result(walk(stage, google, "ticket@example.com", ticket=answer.json["ticket"]))},
        key=stage.key,
    )

    assert "u-ticket" == stage.describe(traded.json["grant"]["id"])["user"]


def test_a_ticket_is_good_once(stage: Stage, google: Google) -> None:
    """
    A second browser with the same ticket attaches nobody.
    """
    ticket = stage.ask("POST", "/v1/connect/tickets", {"user": "u-once"}, key=stage.key).json["ticket"]
    walk(stage, google, "once@example.com", ticket=ticket)

    again = begin(stage, return_to=BACK, ticket=ticket)

    assert again.status >= 400 or "error=" in str(again.header("Location"))


def test_tickets_and_results_need_a_caller_key(stage: Stage) -> None:
    """
    401 without one.
    """
    for path, body in (("tickets", {"user": "x"}), ("results", {"result": "x"})):
        assert (401, "caller_unknown") == stage.ask("POST", f"/v1/connect/{path}", body).error


def test_a_result_is_good_once(stage: Stage, google: Google) -> None:
    """
    The second trade is refused.
    """
    body = {"result": result(walk(stage, google, "result@example.com"))}
    assert (200, "ok") == stage.ask("POST", "/v1/connect/results", body, key=stage.key).error

    assert 400 <= stage.ask("POST", "/v1/connect/results", body, key=stage.key).status < 500


def test_a_result_lives_a_minute(stage: Stage, google: Google) -> None:
    """
    60 s by the clock.
    """
    body = {"result": result(walk(stage, google, "minute@example.com"))}
    google.advance(61)

    assert 400 <= stage.ask("POST", "/v1/connect/results", body, key=stage.key).status < 500


@pytest.mark.parametrize(
    "uri", ["https://evil.example/", BACK + "/x", "//evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_an_address_that_is_not_listed(stage: Stage, uri: str) -> None:
    """
    400 here, no redirect at all.
    """
    answer = begin(stage, return_to=uri)

    assert 400 == answer.status
    assert answer.header("Location") is None


def test_an_unknown_client_is_404(stage: Stage) -> None:
    """
    By its name in the path.
    """
    assert 404 == stage.ask("GET", f"/connect/nobody?return_to={BACK}").status


def test_a_callback_without_its_cookie_is_refused(stage: Stage, google: Google) -> None:
    """
    Another browser's answer: no result, and the code is not sent.
    """
    start = begin(stage, return_to=BACK)
    path, before = (
        sign_in(google, str(start.header("Location")), "csrf@example.com"),
        google.sent("authorization_code"),
    )

    for headers in ({}, {"Cookie": cookie(begin(stage, return_to=BACK))}):
        answer = stage.ask("GET", path, headers=headers)
        assert 400 <= answer.status < 500
        assert answer.header("Location") is None
    assert before == google.sent("authorization_code")


def test_a_state_is_good_once(stage: Stage, google: Google) -> None:
    """
    The same callback again brings no second result.
    """
    start = begin(stage, return_to=BACK)
    path = sign_in(google, str(start.header("Location")), "state@example.com")
    headers = {"Cookie": cookie(start)}
    assert result(stage.ask("GET", path, headers=headers))

    assert 400 <= stage.ask("GET", path, headers=headers).status < 500


def test_a_state_lives_ten_minutes(stage: Stage, google: Google) -> None:
    """
    Later the person has to begin again.
    """
    start = begin(stage, return_to=BACK)
    google.advance(601)
    path = sign_in(google, str(start.header("Location")), "slow@example.com")

    assert 400 <= stage.ask("GET", path, headers={"Cookie": cookie(start)}).status < 500


@pytest.mark.parametrize("iss", [None, "https://evil.example", ""])
def test_the_issuer_must_say_who_it_is(stage: Stage, google: Google, iss: str | None) -> None:
    """
    Discovery announces `iss`, so its absence is as bad as a stranger's (RFC 9207); the code is not sent.
    """
    start = begin(stage, return_to=BACK)
    path, before = (
        sign_in(google, str(start.header("Location")), "mixup@example.com"),
        google.sent("authorization_code"),
    )
    path = re.sub(r"&iss=[^&]*", "" if iss is None else f"&iss={iss}", path)

    answer = stage.ask("GET", path, headers={"Cookie": cookie(start)})

    assert answer.status >= 400 or "error=" in str(answer.header("Location"))
    assert before == google.sent("authorization_code")


def test_a_person_who_says_no_returns_with_the_error(stage: Stage) -> None:
    """
    `access_denied`, and no result to post is needed.
    """
    start = begin(stage, return_to=BACK)
    state = parse_qs(urlsplit(str(start.header("Location"))).query)["state"][0]
    where = urlsplit(str(start.header("Location")))
    query = urlencode({"error": "access_denied", "state": state, "iss": f"{where.scheme}://{where.netloc}"})
    answer = stage.ask("GET", f"/connect/callback?{query}", headers={"Cookie": cookie(start)})

    assert answer.status in (302, 303)
    assert str(answer.header("Location")).startswith(BACK)
    assert "error=access_denied" in str(answer.header("Location"))


# -- preflight ------------------------------------------------------------------------------------


def preflight(stage: Stage, body: object, headers: dict[str, str] | None = None) -> Answer:
    return stage.ask("POST", "/v1/preflight", body, FROM_APP if headers is None else headers)


@pytest.fixture(scope="module")
def known(stage: Stage) -> str:
    stage.grant("flight@example.com")
    return "flight@example.com"


def test_a_good_grant_needs_no_consent(stage: Stage, google: Google, known: str) -> None:
    """
    `how` is `none`.
    """
    answer = preflight(stage, {"id_token": google.id_token(known), "source": "ios", "scopes": [DRIVE]})

    assert (200, "ok") == answer.error
    assert {"consent_needed", "missing_scopes", "how", "login_hint"} == answer.json.keys()
    assert (False, [], "none") == tuple(
        answer.json[name] for name in ("consent_needed", "missing_scopes", "how")
    )


@pytest.mark.parametrize(
    "source, how",
    [
        ("ios", "server_revoke_first"),
        ("android", "force_code"),
        ("web-popup", "use_connect"),
        ("web", "prompt_consent"),
    ],
)
def test_somebody_new_needs_consent_in_the_way_of_the_source(
    stage: Stage, google: Google, source: str, how: str
) -> None:
    """
    A user whose refresh token is gone: each platform has its own way to get a new one.
    """
    email = f"lost-{source}@example.com"
    google.fault("token", "refresh_token_absent", count=1)
    assert 200 == stage.redeem({"code": google.code(email)}).status

    answer = preflight(stage, {"id_token": google.id_token(email), "source": source, "scopes": [DRIVE]})

    assert (True, how) == (answer.json["consent_needed"], answer.json["how"])


def test_a_wished_scope_that_is_missing_is_named(stage: Stage, google: Google, known: str) -> None:
    """
    Consent is needed for it.
    """
    body = {"id_token": google.id_token(known), "source": "ios", "scopes": [DRIVE, DRIVE_FILE]}

    answer = preflight(stage, body)

    assert (True, [DRIVE_FILE]) == (answer.json["consent_needed"], answer.json["missing_scopes"])


def test_preflight_needs_the_header_and_a_good_id_token(stage: Stage, google: Google, known: str) -> None:
    """
    403 and 422, as redeem.
    """
    body = {"id_token": google.id_token(known), "source": "ios"}

    assert (403, "forged_request") == preflight(stage, body, {}).error
    spoilt = {"id_token": google.id_token(known, fault="bad_signature"), "source": "ios"}
    assert (422, "id_token_rejected") == preflight(stage, spoilt).error
    assert (422, "id_token_rejected") == preflight(stage, {"id_token": "nonsense", "source": "ios"}).error
    assert (400, "invalid_request") == preflight(stage, {"source": "ios"}).error
    assert (404, "client_unknown") == preflight(stage, body | {"client": "nobody"}).error
