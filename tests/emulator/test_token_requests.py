"""The form of a token request and the proof of the client."""

import base64
from urllib.parse import quote

import pytest

from tests.emulator.oauth_kit import Backend, refused


def basic(name: str, password: str) -> dict[str, str]:
    """An HTTP Basic header."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.mark.parametrize("missing", ["grant_type", "code", "client_id", "client_secret"])
def test_a_missing_parameter_is_an_invalid_request(backend: Backend, missing: str) -> None:
    """
    It costs no code.
    """
    code = backend.code()
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "",
        "client_id": backend.client.id,
        "client_secret": backend.client.secrets[0],
    }

    response = backend.post("/token", data={name: value for name, value in form.items() if name != missing})

    assert (400, "invalid_request") == refused(response)
    assert 200 == backend.redeem(code).status_code


def test_a_refresh_without_its_token_is_an_invalid_request(backend: Backend) -> None:
    """
    An empty one counts as missing.
    """
    assert (400, "invalid_request") == refused(backend.refresh(""))


@pytest.mark.parametrize("twice", ["grant_type", "code", "redirect_uri"])
def test_a_parameter_given_twice_is_an_invalid_request(backend: Backend, twice: str) -> None:
    """
    RFC 6749 3.2.
    """
    pairs = [
        ("grant_type", "authorization_code"),
        ("code", backend.code()),
        ("redirect_uri", ""),
        ("client_id", backend.client.id),
        ("client_secret", backend.client.secrets[0]),
    ]

    response = backend.post("/token", data=pairs + [pair for pair in pairs if pair[0] == twice])

    assert (400, "invalid_request") == refused(response)


def test_an_unknown_grant_type_is_unsupported(backend: Backend) -> None:
    """
    As for the password grant.
    """
    assert (400, "unsupported_grant_type") == refused(backend.token(grant_type="password"))


def test_a_body_that_is_no_form_is_an_invalid_request(backend: Backend) -> None:
    """
    JSON is not what RFC 6749 asks for.
    """
    assert (400, "invalid_request") == refused(backend.post("/token", json={"grant_type": "refresh_token"}))


@pytest.mark.parametrize("body", ["grant_type=\u00e9".encode(), b"grant_type=%ff"])
def test_a_body_with_broken_encoding_is_an_invalid_request(backend: Backend, body: bytes) -> None:
    """
    A form is ASCII, and what it encodes is UTF-8.
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    assert (400, "invalid_request") == refused(backend.post("/token", data=body, headers=headers))


def test_the_token_endpoint_is_for_post_only(backend: Backend) -> None:
    """
    RFC 6749 3.2.
    """
    assert 405 == backend.get("/token").status_code


@pytest.mark.parametrize(
    "client_id, secret",
    [("nobody", "s"), (None, "GOCSPX-wrong")],
    ids=["unknown client", "wrong secret"],
)
def test_a_client_that_proves_nothing_is_invalid(
    backend: Backend, client_id: str | None, secret: str
) -> None:
    """
    401, whichever half is wrong, and the code is not touched.
    """
    code = backend.code()

    response = backend.redeem(code, client_id=client_id or backend.client.id, client_secret=secret)

    assert (401, "invalid_client") == refused(response)
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert 200 == backend.redeem(code).status_code


@pytest.mark.parametrize("encoded", [False, True])
def test_http_basic_proves_the_client(backend: Backend, encoded: bool) -> None:
    """
    Its two parts may be form-encoded, even where they need not be (RFC 6749 2.3.1).
    """
    name, secret = backend.client.id, backend.client.secrets[0]
    if encoded:
        name, secret = (quote(part, safe="").replace("-", "%2D") for part in (name, secret))
    form = {"grant_type": "authorization_code", "code": backend.code(), "redirect_uri": ""}

    assert 200 == backend.post("/token", data=form, headers=basic(name, secret)).status_code


@pytest.mark.parametrize("header", ["Basic !!!", "Basic bm9jb2xvbg==", "Basic /w=="])
def test_broken_http_basic_is_an_invalid_client(backend: Backend, header: str) -> None:
    """
    Not base64, no colon, not UTF-8.
    """
    form = {"grant_type": "refresh_token", "refresh_token": "x"}

    response = backend.post("/token", data=form, headers={"Authorization": header})

    assert (401, "invalid_client") == refused(response)


def test_two_ways_of_proof_at_once_are_an_invalid_request(backend: Backend) -> None:
    """
    RFC 6749 2.3; the client id alone may be repeated in the form.
    """
    headers = basic(backend.client.id, backend.client.secrets[0])
    form = {"grant_type": "authorization_code", "redirect_uri": "", "client_id": backend.client.id}

    once = backend.post("/token", data=form | {"code": backend.code()}, headers=headers)
    twice = backend.post(
        "/token",
        data=form | {"code": backend.code(), "client_secret": backend.client.secrets[0]},
        headers=headers,
    )

    assert 200 == once.status_code
    assert (400, "invalid_request") == refused(twice)


def test_unknown_parameters_are_ignored(backend: Backend) -> None:
    """
    oauth2client sends a scope along with the code.
    """
    assert 200 == backend.redeem(backend.code(), scope="openid", galaxy="far").status_code


@pytest.mark.parametrize("path", ["/oauth2/v4/token", "/o/oauth2/token"])
def test_the_older_paths_answer_as_well(backend: Backend, path: str) -> None:
    """
    Old client files name them.
    """
    form = {
        "grant_type": "authorization_code",
        "code": backend.code(),
        "redirect_uri": "",
        "client_id": backend.client.id,
        "client_secret": backend.client.secrets[0],
    }

    assert 200 == backend.post(path, data=form).status_code


def test_every_request_is_counted_by_kind_and_outcome(backend: Backend) -> None:
    """
    A test can so tell how often Google was asked.
    """
    token = backend.sign_in()["refresh_token"]
    backend.redeem("garbage")
    backend.refresh(token)
    backend.refresh(token)
    backend.refresh("1//0nothing")
    backend.token(grant_type="password")
    backend.post("/token", data={})

    assert {
        "authorization_code": {"ok": 1, "invalid_grant": 1},
        "refresh_token": {"ok": 2, "invalid_grant": 1},
        "other": {"unsupported_grant_type": 1},
        "none": {"invalid_request": 1},
    } == backend.stats()["token"]
    assert 7 == backend.emulator.world.counted("token")
    assert 2 == backend.emulator.world.counted("token", "refresh_token", "ok")
