"""google-auth's own sessions against the emulator: requests, httplib2 and threads."""

import threading
from collections.abc import Iterator

import google.auth.exceptions
import google_auth_httplib2
import httplib2
import pytest
from google.auth.transport.requests import AuthorizedSession

from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.google_kit import drive, signed_in


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module; every test signs in a user of its own."""
    with EmulatorServer() as emulator:
        yield emulator


def test_authorized_session_calls_and_refreshes(server: EmulatorServer) -> None:
    """
    A dead token costs one 401 and one refresh, and the body is sent again.
    """
    credentials = signed_in(server)
    files = f"{server.url}/drive/v3/files"
    with AuthorizedSession(credentials) as session:
        assert "Application Data" == session.get(f"{files}/appfolder").json()["name"]
        old = credentials.token
        server.world.access_tokens[str(old)].dead = True
        made = session.post(files, json={"name": "a", "parents": ["appDataFolder"]})

        assert 200 == made.status_code
        assert old != credentials.token
        listed = session.get(files, params={"spaces": "appDataFolder"}).json()["files"]
        assert ["a"] == [file["name"] for file in listed]


def test_authorized_session_gives_up_on_an_api_that_always_refuses(server: EmulatorServer) -> None:
    """
    Three sends, two refreshes between them, and the last 401 is returned.
    """
    fault = server.world.faults.add("drive", "api_401", count=10)
    with AuthorizedSession(signed_in(server)) as session:
        response = session.get(f"{server.url}/drive/v3/files")

    server.world.faults.remove()
    assert (401, 7) == (response.status_code, fault.left)
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


def test_authorized_session_notices_that_an_hour_has_passed() -> None:
    """
    The emulator's clock moves; the client's does not, so it finds out by 401.
    """
    with EmulatorServer() as emulator, AuthorizedSession(signed_in(emulator)) as session:
        emulator.world.advance(3700)

        assert 200 == session.get(f"{emulator.url}/drive/v3/files/appfolder").status_code
        assert 1 == emulator.world.counted("token", "refresh_token", "ok")


def test_authorized_http_works_alone_and_in_a_service(server: EmulatorServer) -> None:
    """
    google-auth-httplib2, which google-api-python-client is built on.
    """
    credentials = signed_in(server)
    http = google_auth_httplib2.AuthorizedHttp(credentials, http=httplib2.Http())
    try:
        response, content = http.request(f"{server.url}/drive/v3/files/appfolder")
        assert ("200", b"Application Data") == (response["status"], content.split(b'"name":"')[1][:16])
        server.world.access_tokens[str(credentials.token)].dead = True
        with drive(server, http=http) as service:
            assert [] == service.files().list().execute()["files"]
    finally:
        http.close()


def test_threads_may_share_credentials(server: EmulatorServer) -> None:
    """
    One session per thread, one credentials object: every call is answered.
    """
    credentials = signed_in(server)
    statuses: list[int] = []

    def call() -> None:
        with AuthorizedSession(credentials) as session:
            statuses.append(session.get(f"{server.url}/drive/v3/files/appfolder").status_code)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [200] * 8 == statuses


def test_an_issuer_in_trouble_is_a_refresh_error(server: EmulatorServer) -> None:
    """
    google-auth retries a token endpoint that answers 503 and gives up in the end.
    """
    credentials = signed_in(server)
    server.world.access_tokens[str(credentials.token)].dead = True
    server.world.faults.add("token", "status_503", count=20)
    with AuthorizedSession(credentials) as session, pytest.raises(google.auth.exceptions.RefreshError):
        session.get(f"{server.url}/drive/v3/files")

    server.world.faults.remove()
