"""The control side."""

from typing import Any

import pytest

from grantkeeper.emulator import home, pages
from grantkeeper.emulator.app import Config, create_app
from grantkeeper.emulator.menu import MENU
from grantkeeper.emulator.wire import FaultLayer
from tests.emulator.oauth_kit import ADA, APPDATA, EMAIL, FILE, PROFILE, Backend, claims, scopes


def test_a_code_takes_no_more_than_an_address(backend: Backend) -> None:
    """
    Then it is the guide's own case: the phone, Drive's application data, the basic profile.
    """
    made = backend.post("/emulator/code", json={"email": ADA}).json()
    answer = backend.redeem(made["code"]).json()

    assert {"code", "sub"} == made.keys()
    assert {"openid", EMAIL, PROFILE, APPDATA} == scopes(answer)


def test_scopes_may_be_text(backend: Backend) -> None:
    """
    As they stand in a request.
    """
    assert {FILE, "openid", EMAIL} <= scopes(backend.sign_in(scopes=f"email {FILE}"))


@pytest.mark.parametrize(
    "call, body",
    [
        ("code", {}),
        ("code", {"email": 7}),
        ("code", {"email": ADA, "source": "fax"}),
        ("code", {"email": ADA, "scope": "openid"}),
        ("clock", {}),
        ("clock", {"advance": "soon"}),
        ("fault", {}),
        ("fault", {"endpoint": "token"}),
        ("fault", {"endpoint": "token", "name": "galaxy"}),
        ("fault", {"endpoint": "certs", "name": "invalid_grant"}),
        ("fault", {"endpoint": "token", "name": "lost", "count": 0}),
        ("fault", {"endpoint": "token", "name": "lost", "count": True}),
        ("fault", {"endpoint": "token", "name": "slow", "seconds": "two"}),
        ("event", {"email": ADA, "type": "galaxy"}),
        ("id_token", {"email": ADA, "fault": "galaxy"}),
        ("id_token", {"email": ADA, "fault": "scope_absent"}),
        ("id_token", {"email": ADA, "fault": "nonce_absent"}),
    ],
)
def test_a_wrong_call_is_told_why(backend: Backend, call: str, body: dict[str, Any]) -> None:
    """
    A misspelt field is an error too, not silence.
    """
    response = backend.post(f"/emulator/{call}", json=body)

    assert 400 == response.status_code
    assert {"error", "error_description"} == response.json().keys()


def test_an_unknown_client_is_not_found(backend: Backend) -> None:
    """
    404 wherever a client is named.
    """
    assert 404 == backend.post("/emulator/code", json={"email": ADA, "client_id": "x"}).status_code
    assert 404 == backend.get("/emulator/client_secret.json", params={"client_id": "x"}).status_code


@pytest.mark.parametrize("change", ["disabled", "admin_blocked"])
def test_an_account_that_cannot_sign_in_gets_no_code(backend: Backend, change: str) -> None:
    """
    It would not get past the page either.
    """
    backend.control("users", email=ADA, **{change: True})

    assert 409 == backend.post("/emulator/code", json={"email": ADA}).status_code


def test_the_clock_moves_and_tells_where_it_stands(backend: Backend) -> None:
    """
    Forward, and back.
    """
    forward = backend.control("clock", advance=90.5)
    read = backend.get("/emulator/clock").json()
    back = backend.control("clock", advance=-90.5)

    assert (90.5, 90.5, 0) == (forward["offset"], read["offset"], back["offset"])
    assert read["now"].endswith("Z")
    assert read["now"] > back["now"]


def test_the_client_file_is_a_web_clients(backend: Backend) -> None:
    """
    Every address in it is the emulator's own.
    """
    file = backend.get("/emulator/client_secret.json").json()
    web = file["web"]

    assert ["web"] == list(file)
    assert {
        "client_id",
        "project_id",
        "auth_uri",
        "token_uri",
        "auth_provider_x509_cert_url",
        "client_secret",
        "redirect_uris",
        "javascript_origins",
    } == web.keys()
    assert all(
        each.startswith(backend.url)
        for each in (web["auth_uri"], web["token_uri"], *web["redirect_uris"], *web["javascript_origins"])
    )
    assert web["client_secret"].startswith("GOCSPX-")
    assert web["client_id"].endswith(".apps.googleusercontent.com")


def test_the_client_file_of_a_desktop_app_is_installed(backend: Backend) -> None:
    """
    With another top-level key and no origins.
    """
    desktop = backend.emulator.world.desktop_client
    file = backend.get("/emulator/client_secret.json", params={"client_id": desktop.id}).json()

    assert desktop.id == file["installed"]["client_id"]
    assert "javascript_origins" not in file["installed"]


def test_live_refresh_tokens_are_shown_by_hash_only(backend: Backend) -> None:
    """
    The list itself leaks nothing.
    """
    token = backend.sign_in()["refresh_token"]
    response = backend.get("/emulator/refresh_tokens")

    assert 1 == response.json()["live"]
    assert ADA == response.json()["tokens"][0]["email"]
    assert token not in response.text


def test_the_phones_id_token_is_for_the_server_and_by_the_app(backend: Backend) -> None:
    """
    ``aud`` is the web client, ``azp`` the iOS client.
    """
    token = claims(backend.control("id_token", email=ADA, nonce="n")["id_token"])
    world = backend.emulator.world

    assert (world.web_client.id, world.ios_client.id) == (token["aud"], token["azp"])
    assert (ADA, "n") == (token["email"], token["nonce"])


def test_the_phones_id_token_can_be_spoilt(backend: Backend) -> None:
    """
    In the ways the token endpoint's can.
    """
    token = claims(backend.control("id_token", email=ADA, fault="invalid_iss")["id_token"])

    assert "https://issuer.example" == token["iss"]


def test_a_client_can_be_registered_and_changed(backend: Backend) -> None:
    """
    Its secret is shown when it is made; the list shows how many there are.
    """
    made = backend.control("clients", name="Mine", redirect_uris=["https://mine.example/cb"])
    patched = backend.http.patch(
        backend.url + "/emulator/clients", json={"client_id": made["client_id"], "testing": True}
    ).json()
    listed = {each["client_id"]: each for each in backend.get("/emulator/clients").json()}

    assert made["secrets"][0].startswith("GOCSPX-")
    assert ("Mine", True, ["https://mine.example/cb"]) == (
        patched["name"],
        patched["testing"],
        patched["redirect_uris"],
    )
    assert 1 == listed[made["client_id"]]["secrets"]
    assert 409 == backend.post("/emulator/clients", json={"client_id": made["client_id"]}).status_code


def test_an_address_has_one_account(backend: Backend) -> None:
    """
    Renaming onto another account is refused.
    """
    backend.control("users", email="bob@example.com")

    response = backend.post("/emulator/users", json={"email": ADA, "new_email": "bob@example.com"})

    assert 409 == response.status_code


@pytest.mark.parametrize(
    "kind", ["tokens-revoked", "https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked"]
)
def test_the_event_tokens_revoked_ends_the_grants(backend: Backend, kind: str) -> None:
    """
    By its short or its full name.
    """
    token = backend.sign_in()["refresh_token"]
    event = backend.control("event", type=kind, email=ADA)

    assert ("1 grants ended", False) == (event["effect"], event["delivered"])
    assert 400 == backend.refresh(token).status_code


def test_events_are_not_sent_yet(backend: Backend) -> None:
    """
    Asked to send one to a receiver, the emulator says that it cannot.
    """
    body = {"type": "account-disabled", "email": ADA, "receiver": "http://127.0.0.1:1/events"}

    response = backend.post("/emulator/event", json=body)

    assert (501, "not_implemented") == (response.status_code, response.json()["error"])
    assert not backend.emulator.world.user(ADA).disabled


def test_counters_start_anew(backend: Backend) -> None:
    """
    The two that tests ask for are there even at zero.
    """
    backend.sign_in()
    backend.http.delete(backend.url + "/emulator/stats")

    assert {"authorization_code": {"ok": 0}, "refresh_token": {"ok": 0}} == backend.stats()["token"]


def test_reset_forgets_everything_but_the_clock(backend: Backend) -> None:
    """
    Users, grants, tokens, faults, counters.
    """
    token = backend.sign_in()["refresh_token"]
    backend.control("fault", endpoint="token", name="lost")
    backend.control("clock", advance=60)
    backend.control("reset")

    assert [] == backend.get("/emulator/users").json()
    assert [] == backend.get("/emulator/fault").json()
    assert 60 == backend.get("/emulator/clock").json()["offset"]
    assert 400 == backend.refresh(token).status_code


def test_an_account_has_a_picture(backend: Backend) -> None:
    """
    Two letters, escaped; the address in the claims answers.
    """
    backend.control("users", email=ADA, given_name="<b", family_name="&c")
    url = claims(backend.sign_in()["id_token"])["picture"]
    response = backend.get(url.removeprefix(backend.url))

    assert "image/svg+xml" == response.headers["Content-Type"]
    assert "&lt;&amp;</text>" in response.text


def test_the_home_page_lists_every_control_call_and_every_fault(backend: Backend) -> None:
    """
    What is not on the page does not exist, and the other way round.
    """
    text = backend.get("/").text
    app = create_app(Config("http://127.0.0.1:1"))
    assert isinstance(app, FaultLayer)
    routes = {
        (method, route.path)
        for route in app.app.routes  # type: ignore[attr-defined]
        for method in route.methods or ()
        if route.path.startswith("/emulator/") and method != "HEAD"
    }
    listed = {(method, line.path) for line in home.CONTROL for method in line.method.split(", ")}
    pages = {path for _, path in routes - listed}

    assert listed <= routes
    assert {
        "/emulator/albums/{id}",
        "/emulator/callback",
        "/emulator/form_post.js",
        "/emulator/picker.js",
        "/emulator/picture/{sub}.svg",
        "/emulator/popup.js",
        "/emulator/style.css",
    } == pages
    assert all(f"<code>{name}</code>" in text for name in MENU)


def test_the_home_page_shows_code_as_code(backend: Backend) -> None:
    """
    And no tags as text; what is between them stays escaped.
    """
    text = backend.get("/").text

    assert "also <code>/o/oauth2/auth</code>." in text
    assert "&lt;" not in text
    assert "a <code>&lt;b&gt;</code> &amp; c" == pages._marked("a `<b>` & c")


def test_the_callback_page_shows_what_arrived(backend: Backend) -> None:
    """
    Where the app would be; everything escaped.
    """
    text = backend.get("/emulator/callback", params={"code": "4/0<x>"}).text

    assert "4/0&lt;x&gt;" in text
