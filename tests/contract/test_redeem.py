"""Redeeming a code: section 3, *For apps*, and the redirect policy of section 2."""

import json
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from tests.contract.stage import DRIVE, DRIVE_FILE, EMAIL, FROM_APP, PROFILE, Google, Stage, ask, s256

VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789"
NONCE = "n-0S6_WzA2Mj"


class Clients(NamedTuple):
    """OAuth client ids of the clients beside `default`."""

    page: str
    program: str
    phones: str


@pytest.fixture(scope="module")
def files(google_process: Google) -> dict[str, tuple[str, Path]]:
    """More registrations of the same project: a page, a desktop program, and one for phones alone."""
    page = {"redirect_uris": [], "javascript_origins": [google_process.issuer]}
    return {
        "page": google_process.register("web", **page),
        "program": google_process.register("installed"),
        "phones": google_process.register("web", **page),
    }


@pytest.fixture
def clients(files: dict[str, tuple[str, Path]]) -> Clients:
    return Clients(**{name: made for name, (made, _) in files.items()})


@pytest.fixture(scope="module")
def config(google_process: Google, files: dict[str, tuple[str, Path]]) -> str:
    """The three, as clients of the service."""
    extra = {
        "page": f'scopes = ["openid", "email", "{DRIVE}"]\nredirect.web-popup = "{google_process.issuer}"',
        "program": "",
        "phones": 'redirect.ios = ""',
    }
    return "".join(
        f'\n[clients.{name}]\nsecrets = "{file}"\nissuer = "{google_process.issuer}"\n{extra[name]}\n'
        for name, (_, file) in files.items()
    )


def test_a_code_becomes_a_grant_a_profile_and_a_session(stage: Stage, google: Google) -> None:
    """
    The answer has every field of the contract, and who signed in is the account the code is of.
    """
    code, sub = google.sign_in("ada@example.com", scopes=["openid", "email", "profile", DRIVE])

    answer = stage.redeem({"code": code})

    assert 200 == answer.status
    assert {"grant", "profile", "session"} == answer.json.keys()
    grant = answer.json["grant"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", grant["id"])
    assert {
        "client": "default",
        "subject": sub,
        "scopes": sorted([DRIVE, EMAIL, PROFILE, "openid"]),
        "missing_scopes": [],
        "state": "active",
        "refreshable": True,
    } == {name: value for name, value in grant.items() if name != "id"}
    profile = answer.json["profile"]
    assert {
        "sub", "email", "email_verified", "name", "picture", "locale", "family_name", "given_name", "hd",
    } == profile.keys()  # fmt: skip
    assert (sub, "ada@example.com", True) == (profile["sub"], profile["email"], profile["email_verified"])
    assert {"token", "token_type", "expires_in"} == answer.json["session"].keys()
    assert 0 < answer.json["session"]["expires_in"] <= 300


def test_no_token_of_googles_is_in_the_answer(stage: Stage, google: Google) -> None:
    """
    The emulator marks everything secret that it issues; the app's answer holds no such mark.
    """
    answer = stage.redeem({"code": google.code("marks@example.com")})

    assert 200 == answer.status
    assert b"GKMARK" not in answer.body
    assert "no-store" in str(answer.header("Cache-Control"))


def test_a_form_is_as_good_as_json(stage: Stage, google: Google) -> None:
    """
    The guide's app posts a form.
    """
    form = urlencode({"code": google.code("form@example.com"), "source": "ios"})

    answer = stage.redeem(form, {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})

    assert (200, "ok") == answer.error
    assert "form@example.com" == answer.json["profile"]["email"]


@pytest.mark.parametrize("headers", [{}, {"X-Requested-With": ""}, {"X-Requested-With": "   "}])
def test_without_the_header_it_is_forged_and_nothing_happens(
    stage: Stage, google: Google, headers: dict[str, str]
) -> None:
    """
    403, Google is not asked, and the code is still good.
    """
    code, before = google.code("forged@example.com", force=True), google.sent("authorization_code")

    answer = stage.ask("POST", "/v1/redeem", {"code": code}, headers)

    assert (403, "forged_request") == answer.error
    assert before == google.sent("authorization_code")
    assert 200 == stage.redeem({"code": code}).status


@pytest.mark.parametrize("source", ["ios", "android"])
def test_a_phones_code_is_sent_with_an_empty_redirect_uri(stage: Stage, google: Google, source: str) -> None:
    """
    Empty is transmitted, not left out, and whatever the request says changes nothing.
    """
    before = google.stats().get("redirect_uri", {}).get(source, {}).get("empty", 0)

    answer = stage.redeem({"code": google.code(f"{source}@example.com", source=source), "source": source})

    assert 200 == answer.status
    assert before + 1 == google.stats()["redirect_uri"][source]["empty"]


def test_a_popups_code_is_sent_with_postmessage(stage: Stage, google: Google) -> None:
    """
    The file has JavaScript origins, so `web-popup` is enabled by itself.
    """
    code = google.code("popup@example.com", source="web-popup", redirect_uri="postmessage")

    assert (200, "ok") == stage.redeem({"code": code, "source": "web-popup"}).error


def test_a_popup_may_be_configured_for_the_pages_origin(
    stage: Stage, google: Google, clients: Clients
) -> None:
    """
    Google documents the page's origin now; which one it is stands in the settings.
    """
    code = google.code(
        "page@example.com", source="web-popup", redirect_uri=google.issuer, client_id=clients.page
    )

    assert (200, "ok") == stage.redeem({"code": code, "source": "web-popup", "client": "page"}).error


def test_a_redirect_uri_selects_a_registered_one(stage: Stage, google: Google) -> None:
    """
    For `web` the request's `redirect_uri` chooses among those of the client file.
    """
    uri = google.client["redirect_uris"][0]
    code = google.code("web@example.com", source="web", redirect_uri=uri, code_challenge=s256(VERIFIER))
    body = {"code": code, "source": "web", "redirect_uri": uri, "code_verifier": VERIFIER}

    assert (200, "ok") == stage.redeem(body).error


@pytest.mark.parametrize(
    "uri", ["https://evil.example/callback", "{registered}/", "{registered}?x=1", "", "postmessage", None]
)
def test_a_redirect_uri_never_defines(stage: Stage, google: Google, uri: str | None) -> None:
    """
    An address that is not registered is refused before the code is sent.
    """
    registered = google.client["redirect_uris"][0]
    code = google.code("never@example.com", source="web", redirect_uri=registered, force=True)
    body = {"code": code, "source": "web", "code_verifier": VERIFIER}
    if uri is not None:
        body["redirect_uri"] = uri.replace("{registered}", registered)
    elif len(google.client["redirect_uris"]) == 1:
        body["redirect_uri"] = "none"
    before = google.sent("authorization_code")

    assert (400, "invalid_request") == stage.redeem(body).error
    assert before == google.sent("authorization_code")


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:49152/any/path", "http://localhost:1/", "http://[::1]:8/x"]
)
def test_a_desktop_program_listens_on_any_port_and_path(
    stage: Stage, google: Google, clients: Clients, uri: str
) -> None:
    """
    A loopback name with any port and path selects itself (RFC 8252 7.3).
    """
    code = google.code(
        "desktop@example.com",
        source="desktop",
        redirect_uri=uri,
        code_challenge=s256(VERIFIER),
        client_id=clients.program,
    )
    body = {"code": code, "source": "desktop", "redirect_uri": uri, "code_verifier": VERIFIER}

    assert (200, "ok") == stage.redeem(body | {"client": "program"}).error


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1:8/",
        "http://127.0.0.1.evil.example/",
        "http://evil.example/",
        "http://localhost@evil.example/",
        "http://10.0.0.1/",
        "http://127.0.0.1:8/#fragment",
        "myapp:/callback",
    ],
)
def test_a_desktop_program_listens_nowhere_else(stage: Stage, google: Google, uri: str) -> None:
    """
    What is not plain HTTP on a loopback name is refused before the code is sent.
    """
    before = google.sent("authorization_code")
    body = {"code": "4/x", "source": "desktop", "redirect_uri": uri, "code_verifier": VERIFIER}

    assert (400, "invalid_request") == stage.redeem(body | {"client": "program"}).error
    assert before == google.sent("authorization_code")


def test_without_a_caller_key_a_web_code_needs_its_verifier(stage: Stage, google: Google) -> None:
    """
    Whoever finds a code in an address bar must not be able to redeem it; a backend with a key may.
    """
    uri = google.client["redirect_uris"][0]
    code = google.code("pkce@example.com", source="web", redirect_uri=uri)
    body = {"code": code, "source": "web", "redirect_uri": uri}

    assert (400, "invalid_request") == stage.redeem(body).error
    assert (200, "ok") == stage.redeem(body, key=stage.key).error


def test_a_wrong_verifier_is_a_refused_code(stage: Stage, google: Google) -> None:
    """
    Google judges PKCE; the app needs a new code.
    """
    code = google.code("pkce@example.com", code_challenge=s256(VERIFIER))

    assert (422, "code_refused") == stage.redeem({"code": code, "code_verifier": VERIFIER + "x"}).error


@pytest.mark.parametrize("source", ["desktop", "fax", "IOS", ""])
def test_a_source_that_is_not_enabled_is_refused(stage: Stage, google: Google, source: str) -> None:
    """
    The default client has a `web` file: no desktop programs.
    """
    before = google.sent("authorization_code")
    body = {"code": google.code("ada@example.com"), "source": source, "code_verifier": VERIFIER}

    answer = stage.redeem(body | {"redirect_uri": "http://127.0.0.1:1/"})

    assert (400, "invalid_request") == answer.error
    assert before == google.sent("authorization_code")


def test_one_redirect_setting_turns_the_defaults_off(stage: Stage, google: Google) -> None:
    """
    With `redirect.ios` set, `android` is not enabled any more.
    """
    body = {"code": google.code("ada@example.com", source="android"), "client": "phones"}

    assert (400, "invalid_request") == stage.redeem(body | {"source": "android"}).error


def test_an_unknown_client_is_404(stage: Stage, google: Google) -> None:
    """
    A client is named as the settings name it.
    """
    body = {"code": google.code("ada@example.com"), "client": "nobody"}

    assert (404, "client_unknown") == stage.redeem(body).error


def test_a_grant_is_one_per_client_id_issuer_and_sub(stage: Stage, google: Google) -> None:
    """
    The same user signing in again is the same grant under the same id.
    """
    assert stage.grant("again@example.com") == stage.grant("again@example.com", force=True)


def test_missing_scopes_are_what_was_asked_less_what_was_granted(stage: Stage, google: Google) -> None:
    """
    `email` and its long name are one scope.
    """
    code = google.code("partial@example.com", scopes=["openid", "email", DRIVE])

    answer = stage.redeem({"code": code, "scopes": ["openid", "email", DRIVE, DRIVE_FILE]})

    assert [DRIVE_FILE] == answer.json["grant"]["missing_scopes"]
    assert "active" == answer.json["grant"]["state"]


def test_the_clients_scopes_are_what_was_asked_by_default(
    stage: Stage, google: Google, clients: Clients
) -> None:
    """
    `scopes=` of the client counts where the request says nothing.
    """
    code = google.code(
        "few@example.com",
        scopes=["openid", "email"],
        source="web-popup",
        redirect_uri=google.issuer,
        client_id=clients.page,
    )

    answer = stage.redeem({"code": code, "client": "page", "source": "web-popup"})

    assert [DRIVE] == answer.json["grant"]["missing_scopes"]


def test_a_nonce_that_was_sent_comes_back(stage: Stage, google: Google) -> None:
    """
    The right nonce is accepted, and the session carries it on.
    """
    answer = stage.redeem({"code": google.code("nonce@example.com", nonce=NONCE), "nonce": NONCE})

    assert (200, "ok") == answer.error


@pytest.mark.parametrize("in_the_code", [None, "another"])
def test_a_nonce_that_is_absent_is_as_wrong_as_a_different_one(
    stage: Stage, google: Google, in_the_code: str | None
) -> None:
    """
    The answer's ID token failed: 502, and no grant was stored.
    """
    code, sub = google.sign_in(f"nonce-{in_the_code}@example.com", nonce=in_the_code)

    assert (502, "id_token_rejected") == stage.redeem({"code": code, "nonce": NONCE}).error
    assert [] == stage.ask("GET", f"/v1/grants?subject={sub}", key=stage.key).json["grants"]


def test_no_refresh_token_and_none_stored_asks_for_consent(stage: Stage, google: Google) -> None:
    """
    It is a 200 that says what is missing: nobody is away with this grant.
    """
    google.fault("token", "refresh_token_absent", count=1)

    answer = stage.redeem({"code": google.code("none@example.com")})

    assert 200 == answer.status
    grant = answer.json["grant"]
    assert (False, "needs_consent", "no_refresh_token") == (
        grant["refreshable"], grant["state"], grant["reason"],
    )  # fmt: skip
    assert grant["hint"]
    assert answer.json["session"] is None


def test_a_later_answer_without_refresh_token_keeps_the_stored_one(stage: Stage, google: Google) -> None:
    """
    Normal on every sign-in but the first; the grant works on, an hour later too.
    """
    grant = stage.grant("keeps@example.com")

    again = stage.redeem({"code": google.code("keeps@example.com")})
    google.advance(3700)

    assert (grant, "active", True) == tuple(again.json["grant"][k] for k in ("id", "state", "refreshable"))
    assert again.json["session"] is not None
    assert (200, "ok") == stage.token({"grant": grant}).error


def test_a_refused_code_says_get_a_new_one(stage: Stage, google: Google) -> None:
    """
    422; the app cannot mend this code.
    """
    answer = stage.redeem({"code": "4/never-issued"})

    assert (422, "code_refused") == answer.error
    assert answer.json["error_description"] and answer.json["hint"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": ""},
        {"code": None},
        {"code": 7},
        {"code": ["4/x"]},
        {"code": "4/x", "client": 1},
        {"code": "4/x", "scopes": 5},
        {"code": "4/x", "scopes": [1]},
        {"code": "4/x", "nonce": {}},
        {"code": "4/x", "source": True},
        [],
        "text",
        None,
    ],
)
def test_a_body_of_the_wrong_shape_is_an_invalid_request(stage: Stage, google: Google, body: object) -> None:
    """
    Types are checked before values, and Google is not asked.
    """
    before = google.sent("authorization_code")
    answer = ask(
        stage.port, "POST", "/v1/redeem", json.dumps(body), FROM_APP | {"Content-Type": "application/json"}
    )

    assert (400, "invalid_request") == answer.error
    assert before == google.sent("authorization_code")


def test_user_and_expect_subject_need_a_caller_key(stage: Stage, google: Google) -> None:
    """
    An app cannot say whose grant it is.
    """
    for field in ("user", "expect_subject"):
        answer = stage.redeem({"code": google.code("ada@example.com"), field: "x"})
        assert answer.status in (400, 401), answer


def test_a_wrong_caller_key_is_not_taken_for_none(stage: Stage, google: Google) -> None:
    """
    A key that was sent must be good: 401.
    """
    answer = stage.redeem({"code": google.code("ada@example.com")}, key="gk_wrong")

    assert (401, "caller_unknown") == answer.error
