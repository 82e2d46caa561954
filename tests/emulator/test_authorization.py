"""The authorization endpoint and its pages, as a browser without scripts meets them."""

import re
import shlex
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from tests.emulator.oauth_kit import (
    ADA,
    APPDATA,
    CHALLENGE,
    EMAIL,
    FILE,
    PHOTOS,
    PROFILE,
    VERIFIER,
    Backend,
    claims,
    scopes,
)

BOB = "bob@gmail.com"


class Browser:
    """Fills in forms and follows redirects as long as they stay on the emulator's pages."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.http = requests.Session()
        self.response: requests.Response | None = None

    def open(self, **parameters: Any) -> "Browser":
        """Begin a sign-in; the parameters None are left out."""
        usual = {
            "client_id": self.backend.client.id,
            "redirect_uri": next(iter(self.backend.client.redirect_uris), None),
            "response_type": "code",
            "scope": "openid email",
            "access_type": "offline",
            "state": "s-1",
        }
        sent = {name: value for name, value in (usual | parameters).items() if value is not None}
        return self._went(self.http.get(self.url("/o/oauth2/v2/auth"), params=sent, allow_redirects=False))

    def visit(self, url: str) -> "Browser":
        """Follow a link to the emulator."""
        return self._went(self.http.get(url, allow_redirects=False))

    def submit(self, **fields: Any) -> "Browser":
        """Send the page's form with these fields."""
        action = unescape(re.findall(r'<form method="post" action="([^"]*)"', self.text)[-1])
        return self._went(self.http.post(self.url(action), data=fields, allow_redirects=False))

    def sign_in(self, email: str = ADA) -> "Browser":
        """Type an address."""
        return self.submit(step="account", email=email)

    def decide(self, decision: str = "allow", **fields: Any) -> "Browser":
        """Press a button of the consent page."""
        return self.submit(step="consent", decision=decision, **fields)

    def url(self, path: str) -> str:
        return self.backend.url + path

    def _went(self, response: requests.Response) -> "Browser":
        while "location" in response.headers and response.headers["location"].startswith("/"):
            response = self.http.get(self.url(response.headers["location"]), allow_redirects=False)
        self.response = response
        return self

    @property
    def text(self) -> str:
        """The page."""
        assert self.response is not None
        return self.response.text

    @property
    def status(self) -> int:
        """The page's status."""
        assert self.response is not None
        return self.response.status_code

    @property
    def answer(self) -> dict[str, str]:
        """What the redirect to the app carries."""
        assert self.response is not None
        assert 302 == self.status, self.text
        return dict(parse_qsl(urlsplit(self.response.headers["location"]).query))


@pytest.fixture
def browser(backend: Backend) -> Iterator[Browser]:
    browser = Browser(backend)
    yield browser
    browser.http.close()


def test_a_sign_in_ends_with_a_code_on_the_redirect(backend: Backend, browser: Browser) -> None:
    """
    State comes back unchanged, and the answer says who gives it (RFC 9207).
    """
    answer = browser.open(nonce="n-1", state="a b&c").sign_in().decide().answer
    redeemed = backend.redeem(answer["code"], backend.client.redirect_uris[0]).json()

    assert "a b&c" == answer["state"]
    assert backend.url == answer["iss"]
    assert {"openid", EMAIL} == set(answer["scope"].split()) == scopes(redeemed)
    assert "refresh_token" in redeemed
    assert "n-1" == claims(redeemed["id_token"])["nonce"]


def test_the_pages_say_that_they_are_an_emulator(browser: Browser) -> None:
    """
    Nobody shall take them for Google's.
    """
    pages = [browser.open().text, browser.sign_in().text, browser.open(client_id="nobody").text]

    assert all("It is not Google" in page for page in pages)


def test_pages_need_no_script_and_cannot_be_framed(browser: Browser) -> None:
    """
    Nothing inline, nothing from elsewhere.
    """
    browser.open().sign_in()
    assert browser.response is not None
    policy = browser.response.headers["Content-Security-Policy"]

    assert "<script" not in browser.text
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("email", ["", "ada", "@example.com", "ada@", "a b@example.com", '"<x>"@example.com'])
def test_an_address_must_look_like_one(browser: Browser, email: str) -> None:
    """
    The page says so and keeps what was typed, escaped.
    """
    browser.open().sign_in(email)

    assert 400 == browser.status
    assert "Enter an e-mail address" in browser.text
    assert "<x>" not in browser.text


def test_consent_shows_a_box_for_each_service_when_there_are_several(browser: Browser) -> None:
    """
    The identity has none.
    """
    browser.open(scope=f"openid email profile {APPDATA} {FILE}").sign_in()

    assert {APPDATA, FILE} == set(re.findall(r'name="scope" value="([^"]*)"', browser.text))


def test_a_single_service_has_no_box(browser: Browser) -> None:
    """
    Continue or cancel is the choice.
    """
    browser.open(scope=f"openid {FILE}").sign_in()

    assert 'type="checkbox"' not in browser.text
    assert FILE in browser.decide().answer["scope"]


@pytest.mark.parametrize(
    "fields, granted",
    [
        ({}, set()),
        ({"scope": [FILE]}, {FILE}),
        ({"scope": [FILE, PHOTOS]}, {FILE}),
        ({"all": "yes"}, {APPDATA, FILE}),
    ],
)
def test_only_what_was_ticked_is_granted(
    backend: Backend, browser: Browser, fields: dict[str, Any], granted: set[str]
) -> None:
    """
    And never what was not asked for.
    """
    answer = browser.open(scope=f"openid {APPDATA} {FILE}").sign_in().decide(**fields).answer
    redeemed = backend.redeem(answer["code"], backend.client.redirect_uris[0]).json()

    assert {"openid"} | granted == scopes(redeemed)


def test_cancel_is_access_denied(browser: Browser) -> None:
    """
    With the state, and without a code.
    """
    answer = browser.open().sign_in().decide("deny").answer

    assert ("access_denied", "s-1") == (answer["error"], answer["state"])
    assert "code" not in answer


def test_ticking_nothing_where_there_is_no_identity_is_access_denied(browser: Browser) -> None:
    """
    There would be nothing to grant.
    """
    answer = browser.open(scope=f"{APPDATA} {FILE}").sign_in().decide().answer

    assert "access_denied" == answer["error"]


def test_who_consented_is_not_asked_again(backend: Backend, browser: Browser) -> None:
    """
    The browser goes straight back, and no refresh token is earned.
    """
    browser.open().sign_in().decide()
    answer = browser.open().answer

    assert "refresh_token" not in backend.redeem(answer["code"], backend.client.redirect_uris[0]).json()


def test_prompt_consent_asks_again_and_earns_a_refresh_token(backend: Backend, browser: Browser) -> None:
    """
    The way to a new refresh token on the web.
    """
    browser.open().sign_in().decide()
    answer = browser.open(prompt="consent").decide().answer

    assert "refresh_token" in backend.redeem(answer["code"], backend.client.redirect_uris[0]).json()


def test_a_new_scope_is_asked_for_beside_what_was_given(backend: Backend, browser: Browser) -> None:
    """
    With ``include_granted_scopes`` the code covers both.
    """
    browser.open(scope=f"openid {APPDATA}").sign_in().decide()
    browser.open(scope=f"openid {FILE}", include_granted_scopes="true")
    asked = browser.text
    granted = set(browser.decide().answer["scope"].split())

    assert FILE in asked
    assert {"openid", APPDATA, FILE} == granted


def test_online_is_the_default_and_earns_no_refresh_token(backend: Backend, browser: Browser) -> None:
    """
    Forgetting ``access_type=offline`` is a classic.
    """
    answer = browser.open(access_type=None).sign_in().decide().answer

    assert "refresh_token" not in backend.redeem(answer["code"], backend.client.redirect_uris[0]).json()


def test_select_account_offers_the_accounts_of_the_browser(browser: Browser) -> None:
    """
    Another can be typed.
    """
    browser.open().sign_in(ADA).decide()
    browser.open(prompt="select_account")
    first = browser.text
    browser.sign_in(BOB)
    browser.open(prompt="select_account")

    assert ADA in first
    assert BOB not in first
    assert ADA in browser.text
    assert BOB in browser.text


@pytest.mark.parametrize("hint", ["email", "sub"])
def test_a_login_hint_chooses_among_the_accounts(backend: Backend, browser: Browser, hint: str) -> None:
    """
    By address or by subject.
    """
    for email in (ADA, BOB):
        browser.open(prompt="select_account").sign_in(email).decide()
    user = backend.emulator.world.user(BOB)

    answer = browser.open(login_hint=getattr(user, hint)).answer
    redeemed = backend.redeem(answer["code"], backend.client.redirect_uris[0]).json()

    assert user.sub == claims(redeemed["id_token"])["sub"]


def test_a_login_hint_fills_in_the_address(browser: Browser) -> None:
    """
    Where nobody is signed in.
    """
    assert f'value="{ADA}"' in browser.open(login_hint=ADA).text


def test_prompt_none_answers_without_a_page(browser: Browser) -> None:
    """
    Nobody there, nothing granted, or a code.
    """
    nobody = browser.open(prompt="none").answer["error"]
    browser.open(scope="openid").sign_in().decide()
    nothing = browser.open(prompt="none", scope=f"openid {FILE}").answer["error"]
    good = browser.open(prompt="none", scope="openid").answer

    assert ("login_required", "consent_required") == (nobody, nothing)
    assert "code" in good


def test_prompt_none_among_several_accounts_needs_a_hint(browser: Browser) -> None:
    """
    Without one it is not clear whose turn it is.
    """
    for email in (ADA, BOB):
        browser.open(prompt="select_account").sign_in(email).decide()

    assert "account_selection_required" == browser.open(prompt="none").answer["error"]
    assert "code" in browser.open(prompt="none", login_hint=BOB).answer


def test_time_based_access_can_be_chosen(backend: Backend, browser: Browser) -> None:
    """
    The end is announced with the tokens.
    """
    answer = browser.open().sign_in().decide(duration="3600").answer
    redeemed = backend.redeem(answer["code"], backend.client.redirect_uris[0]).json()

    assert 3590 <= redeemed["refresh_token_expires_in"] <= 3600


def test_pkce_travels_with_the_code(backend: Backend, browser: Browser) -> None:
    """
    The verifier is needed at the token endpoint.
    """
    uri = backend.client.redirect_uris[0]
    challenge = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    first = browser.open(**challenge).sign_in().decide().answer["code"]
    second = browser.open(**challenge).answer["code"]

    assert "Missing code verifier." == backend.redeem(first, uri).json()["error_description"]
    assert 200 == backend.redeem(second, uri, code_verifier=VERIFIER).status_code


def test_a_fragment_and_a_form_carry_the_answer_as_well(browser: Browser) -> None:
    """
    ``response_mode`` of the multiple response types and of form post.
    """
    browser.open().sign_in().decide()
    browser.open(response_mode="fragment")
    assert browser.response is not None
    location = browser.response.headers["location"]
    browser.open(response_mode="form_post")

    assert "code=" in urlsplit(location).fragment
    assert 'name="code" value="4/0' in browser.text


@pytest.mark.parametrize(
    "parameters",
    [
        {"redirect_uri": "https://elsewhere.example/it's?a=<b>"},
        {"redirect_uri": "storagerelay://https/mine.example?id=a"},
    ],
)
def test_an_address_that_is_not_registered_can_be_by_the_command_on_the_page(
    browser: Browser, backend: Backend, parameters: dict[str, str]
) -> None:
    """
    A whole one: the addresses that are registered stay so.
    """
    before = list(backend.client.redirect_uris)
    browser.open(**parameters)
    shown = re.search(r"<code>(curl [^<]*)</code>", browser.text)
    assert shown, browser.text
    *_, method, url, _, body = shlex.split(unescape(shown[1]))
    changed = requests.request(method, url, data=body, timeout=10)

    assert ("PATCH", 200) == (method, changed.status_code)
    assert before == changed.json()["redirect_uris"][: len(before)]
    assert 200 == browser.open(**parameters).status


@pytest.mark.parametrize(
    "parameters, status, code",
    [
        ({"client_id": None}, 400, "invalid_request"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"redirect_uri": None}, 400, "invalid_request"),
        ({"redirect_uri": "https://elsewhere.example/cb"}, 400, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://127.0.0.1:9/other"}, 400, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://127.0.0.1:x/connect/callback"}, 400, "redirect_uri_mismatch"),
        ({"redirect_uri": "storagerelay://https/evil.example?id=a"}, 400, "origin_mismatch"),
        ({"response_type": None}, 400, "invalid_request"),
        ({"response_type": "token"}, 400, "invalid_request"),
        ({"scope": None}, 400, "invalid_request"),
        ({"scope": "nonsense"}, 400, "invalid_scope"),
        ({"access_type": "sometimes"}, 400, "invalid_request"),
        ({"prompt": "none consent"}, 400, "invalid_request"),
        ({"prompt": "Consent"}, 400, "invalid_request"),
        ({"code_challenge": "short"}, 400, "invalid_request"),
        ({"code_challenge": CHALLENGE, "code_challenge_method": "S512"}, 400, "invalid_request"),
        ({"code_challenge_method": "S256"}, 400, "invalid_request"),
        ({"state": ["a", "b"]}, 400, "invalid_request"),
    ],
)
def test_a_wrong_request_ends_on_an_error_page(
    browser: Browser, parameters: dict[str, Any], status: int, code: str
) -> None:
    """
    The user sees it, the app learns nothing.
    """
    browser.open(**parameters)

    assert status == browser.status
    assert f"Error {status}: {code}" in browser.text


def test_the_mismatch_page_shows_what_was_sent_and_what_is_registered(
    backend: Backend, browser: Browser
) -> None:
    """
    The two lines to compare.
    """
    text = browser.open(redirect_uri="https://elsewhere.example/<b>").text

    assert "https://elsewhere.example/&lt;b&gt;" in text
    assert backend.client.redirect_uris[0] in text


@pytest.mark.parametrize(
    "redirect_uri, allowed",
    [
        ("http://127.0.0.1:4711/", True),
        ("http://localhost:4711/any/path", True),
        ("http://[::1]:4711", True),
        ("https://127.0.0.1:4711/", False),
        ("http://127.0.0.1.evil.example/", False),
        ("http://user@127.0.0.1:4711/", False),
        ("http://127.0.0.1:4711/#fragment", False),
    ],
)
def test_an_installed_app_may_use_any_loopback_port(
    backend: Backend, redirect_uri: str, allowed: bool
) -> None:
    """
    RFC 8252 7.3; nothing that only looks like a loopback.
    """
    desktop = Browser(Backend(backend.emulator, backend.emulator.world.desktop_client))

    desktop.open(redirect_uri=redirect_uri)

    assert (200 if allowed else 400) == desktop.status
    desktop.backend.close()
    desktop.http.close()


def test_the_default_web_client_takes_a_callback_on_any_loopback_port(browser: Browser) -> None:
    """
    A service under test listens on a port of its own.
    """
    answer = browser.open(redirect_uri="http://127.0.0.1:4711/connect/callback").sign_in().decide().answer

    assert "code" in answer


@pytest.mark.parametrize(
    "change, status, code",
    [
        ({"disabled": True}, 403, "disabled_account"),
        ({"admin_blocked": True}, 400, "admin_policy_enforced"),
    ],
)
def test_a_blocked_account_gets_no_further(
    backend: Backend, browser: Browser, change: dict[str, bool], status: int, code: str
) -> None:
    """
    On a page, as everywhere at Google.
    """
    backend.control("users", email=ADA, **change)

    assert f"Error {status}: {code}" in browser.open().sign_in().text


def test_an_internal_app_is_for_its_domain_only(backend: Backend, browser: Browser) -> None:
    """
    ``org_internal`` for everybody else.
    """
    backend.client.internal_domain = "example.com"

    assert "Error 403: org_internal" in browser.open().sign_in(BOB).text
    assert "code" in browser.open(prompt="select_account").sign_in(ADA).decide().answer


@pytest.mark.parametrize("state", ["deleted", "disabled"])
def test_a_deleted_client_ends_on_an_error_page(backend: Backend, browser: Browser, state: str) -> None:
    """
    401 and the state's name.
    """
    backend.http.patch(backend.url + "/emulator/clients", json={"state": state})

    assert f"Error 401: {state}_client" in browser.open().text


def test_the_phones_own_client_uses_its_own_scheme(backend: Backend) -> None:
    """
    The reversed client id is its redirect URI.
    """
    phone = Browser(Backend(backend.emulator, backend.emulator.world.ios_client))
    scheme = ".".join(reversed(phone.backend.client.id.split(".")))

    answer = phone.open(redirect_uri=f"{scheme}:/oauth2callback").sign_in().decide().answer

    assert "code" in answer
    phone.backend.close()
    phone.http.close()


def test_consent_without_a_session_starts_again(backend: Backend, browser: Browser) -> None:
    """
    The account must be one of this browser's.
    """
    browser.open().sign_in()
    browser.http.cookies.clear()
    browser.decide()

    assert "Sign in" in browser.text
    assert {} == backend.emulator.world.codes


def test_the_profile_scope_shows_in_the_answer(browser: Browser) -> None:
    """
    Short names come back as URLs.
    """
    granted = browser.open(scope="openid profile").sign_in().decide().answer["scope"]

    assert {"openid", PROFILE} == set(granted.split())
