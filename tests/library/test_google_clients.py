"""Google's own clients over `keeper.credentials()`, with database and emulator (google-facts 11.3)."""

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import google.auth.exceptions
import google_auth_httplib2
import httplib2
import pytest
from google.auth.aio.transport.sessions import AsyncAuthorizedSession
from google.auth.transport.requests import AuthorizedSession, Request
from googleapiclient.discovery import build
from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload

from grantkeeper import Keeper
from grantkeeper.errors import ConsentRequired
from grantkeeper.library.google_auth import GrantCredentials
from grantkeeper.library.local import SyncLocalKeeper

REJECTED_REST = 31
"""Seconds after which a refused token is refreshed again."""


@pytest.fixture
def grant_id(blocking: SyncLocalKeeper, google_emulator: Any) -> str:
    return blocking.redeem(google_emulator.code("mia@example.com")).id


@pytest.fixture
def credentials(blocking: SyncLocalKeeper, grant_id: str) -> GrantCredentials:
    return blocking.credentials(grant_id)


@pytest.fixture
def files(google_emulator: Any) -> str:
    return f"{google_emulator.url}/drive/v3/files"


@pytest.fixture
def session(credentials: GrantCredentials) -> Iterator[AuthorizedSession]:
    with AuthorizedSession(credentials) as session:
        yield session


def refreshes(google_emulator: Any) -> int:
    """How often Google was asked for an access token."""
    return google_emulator.count("token", "refresh_token")


def drive(google_emulator: Any, **options: Any) -> Any:
    """A Drive client, built from the emulator's discovery document."""
    where = google_emulator.url + "/discovery/v1/apis/{api}/{apiVersion}/rest"
    return build("drive", "v3", discoveryServiceUrl=where, static_discovery=False, **options)


# -- requests -----------------------------------------------------------------------------------


def test_a_session_calls_with_the_token_of_the_sign_in(session, files, google_emulator):
    """No refresh is needed in the first hour."""
    assert "Application Data" == session.get(f"{files}/appfolder").json()["name"]
    assert 0 == refreshes(google_emulator)


def test_a_session_refreshes_before_it_sends_an_ended_token(session, files, google_emulator):
    """An hour later the keeper refreshes first; no 401 is needed to find out."""
    session.get(f"{files}/appfolder")
    google_emulator.advance(4000)

    assert 200 == session.get(f"{files}/appfolder").status_code
    assert 1 == refreshes(google_emulator)


def test_a_401_costs_one_refresh_and_the_call_succeeds(session, files, google_emulator):
    """The transport calls refresh(); the keeper learns which token was refused."""
    session.get(f"{files}/appfolder")
    before = session.credentials.token
    google_emulator.advance(REJECTED_REST)
    google_emulator.fault("drive", "api_401", count=1)

    assert 200 == session.get(f"{files}/appfolder").status_code
    assert 1 == refreshes(google_emulator)
    assert before != session.credentials.token


def test_an_api_that_always_refuses_does_not_wear_the_grant_out(session, files, google_emulator):
    """The transport tries three times; Google's token endpoint is asked once."""
    session.get(f"{files}/appfolder")
    google_emulator.advance(REJECTED_REST)
    google_emulator.fault("drive", "api_401")

    assert 401 == session.get(f"{files}/appfolder").status_code
    assert 1 == refreshes(google_emulator)


def test_eight_threads_on_an_ended_token_refresh_once(credentials, files, google_emulator):
    """google-auth alone would refresh eight times (google-facts 11.2)."""
    google_emulator.advance(4000)
    assert [200] * 8 == in_threads(8, lambda: get(credentials, f"{files}/appfolder"))
    assert 1 == refreshes(google_emulator)


def test_eight_threads_that_meet_a_401_refresh_once(credentials, files, google_emulator):
    """Each of them calls refresh(); one finds the token refused, the others adopt."""
    get(credentials, f"{files}/appfolder")
    google_emulator.advance(REJECTED_REST)
    google_emulator.fault("drive", "api_401", count=8)

    assert [200] * 8 == in_threads(8, lambda: get(credentials, f"{files}/appfolder"))
    assert 1 == refreshes(google_emulator)


def test_a_token_that_another_keeper_has_replaced_is_adopted(options, credentials, files, google_emulator):
    """Two programs on one database: what one refreshed the other uses, without a call at Google."""
    get(credentials, f"{files}/appfolder")
    google_emulator.advance(4000)
    with Keeper.open_sync(**options) as other:
        token = other.access_token(credentials.grant_id)
    time.sleep(0.2)
    get(credentials, f"{files}/appfolder")

    assert token.reveal() == credentials.token
    assert 1 == refreshes(google_emulator)


def test_a_user_who_took_access_back_must_consent(session, files, google_emulator):
    """RefreshError, not retryable, and in its cause the reason and the remedy."""
    google_emulator.revoke("mia@example.com")
    google_emulator.advance(4000)
    with pytest.raises(google.auth.exceptions.RefreshError) as caught:
        session.get(f"{files}/appfolder")

    assert not caught.value.retryable
    assert isinstance(caught.value.__cause__, ConsentRequired)
    assert "consent_required" in str(caught.value)
    assert "ya29" not in repr(caught.value)


def test_a_revoked_grant_sends_nothing_a_second_later(blocking, options, session, files, google_emulator):
    """Revoked by another program on the same database; the token in hand would still be fresh."""
    session.get(f"{files}/appfolder")
    with Keeper.open_sync(**options) as other:
        other.revoke(session.credentials.grant_id)
    time.sleep(1.0)
    with pytest.raises(google.auth.exceptions.RefreshError):
        session.get(f"{files}/appfolder")

    assert not session.credentials.valid


def test_an_issuer_that_is_down_is_retryable(blocking, grant_id, google_emulator):
    """And the grant is none the worse for it."""
    google_emulator.advance(4000)
    google_emulator.fault("token", "status_503")
    with pytest.raises(google.auth.exceptions.GoogleAuthError) as caught:
        blocking.credentials(grant_id).refresh(Request())
    google_emulator.heal()
    blocking.credentials(grant_id).refresh(Request())

    assert caught.value.retryable


def test_a_quota_project_reaches_the_api(blocking, grant_id, files):
    """The header is on the request that was sent."""
    with AuthorizedSession(blocking.credentials(grant_id, quota_project_id="bill-here")) as session:
        sent = session.get(f"{files}/appfolder").request.headers

    assert "bill-here" == sent["x-goog-user-project"]


def test_on_the_keepers_own_loop_they_refuse_to_deadlock(blocking, credentials, google_emulator):
    """A blocking refresh there would wait for itself."""
    google_emulator.advance(4000)

    async def inside(core: Any) -> None:
        credentials.refresh(Request())

    with pytest.raises(RuntimeError, match="own loop"):
        blocking._keeper._home.wait(inside)


@pytest.mark.anyio
async def test_they_work_beside_a_running_loop(keeper, files, google_emulator):
    """In a thread, as blocking clients must be used in async code; the keeper's loop is another."""
    grant = await keeper.redeem(google_emulator.code("mia@example.com"))
    google_emulator.advance(4000)
    status = await asyncio.to_thread(get, keeper.credentials(grant.id), f"{files}/appfolder")
    blocking_the_loop = get(keeper.credentials(grant.id), f"{files}/appfolder")

    assert (200, 200) == (status, blocking_the_loop)


# -- httplib2 and google-api-python-client ------------------------------------------------------


def test_authorized_http_refreshes_on_401(credentials, files, google_emulator):
    """google-auth-httplib2, which google-api-python-client is built on."""
    http = google_auth_httplib2.AuthorizedHttp(credentials, http=httplib2.Http())
    http.request(f"{files}/appfolder")
    google_emulator.advance(REJECTED_REST)
    google_emulator.fault("drive", "api_401", count=1)
    response, _ = http.request(f"{files}/appfolder")
    http.close()

    assert 200 == response.status
    assert 1 == refreshes(google_emulator)


def test_drive_writes_and_reads_a_file_for_the_absent_user(credentials, google_emulator):
    """The guide's call, an upload, a list and a download; an hour after the sign-in."""
    google_emulator.advance(4000)
    with drive(google_emulator, credentials=credentials) as service:
        folder = service.files().get(fileId="appfolder").execute()
        media = MediaIoBaseUpload(io.BytesIO(b"hello"), mimetype="text/plain", resumable=True)
        body = {"name": "note.txt", "parents": ["appDataFolder"]}
        made = service.files().create(body=body, media_body=media).execute()
        listed = service.files().list(spaces="appDataFolder").execute()["files"]
        content = io.BytesIO()
        download = MediaIoBaseDownload(content, service.files().get_media(fileId=made["id"]))
        while not download.next_chunk()[1]:
            pass

    assert "Application Data" == folder["name"]
    assert [made["id"]] == [file["id"] for file in listed]
    assert b"hello" == content.getvalue()
    assert 1 == refreshes(google_emulator)


def test_a_batch_refreshes_once_and_runs_again_what_was_refused(credentials, google_emulator):
    """google-api-python-client refreshes once for each credentials object, then repeats the 401 items."""
    names: list[str] = []
    errors: list[Exception] = []

    def answered(request_id: str, response: Any, error: Exception | None) -> None:
        if error is None:
            names.append(response["name"])
        else:
            errors.append(error)

    with drive(google_emulator, credentials=credentials) as service:
        service.files().get(fileId="appfolder").execute()
        google_emulator.advance(REJECTED_REST)
        google_emulator.fault("drive", "api_401", count=3)
        batch = service.new_batch_http_request(callback=answered)
        for _ in range(3):
            batch.add(service.files().get(fileId="appfolder"))
        batch.execute()

    assert [] == errors
    assert ["Application Data"] * 3 == names
    assert 1 == refreshes(google_emulator)


# -- google.auth.aio ----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_async_session_adapts_them(keeper, files, google_emulator):
    """Since 2.62 AsyncAuthorizedSession takes blocking credentials and refreshes in a thread."""
    grant = await keeper.redeem(google_emulator.code("mia@example.com"))
    session = AsyncAuthorizedSession(keeper.credentials(grant.id))
    try:
        first = await status_of(session, f"{files}/appfolder")
        google_emulator.advance(4000)
        later = await asyncio.gather(*(status_of(session, f"{files}/appfolder") for _ in range(5)))
        google_emulator.advance(REJECTED_REST)
        google_emulator.fault("drive", "api_401", count=1)
        refused = await status_of(session, f"{files}/appfolder")
    finally:
        await session.close()

    assert 200 == first
    assert [200] * 5 == later
    assert 200 == refused
    assert 2 == refreshes(google_emulator)


# -- helpers ------------------------------------------------------------------------------------


async def status_of(session: AsyncAuthorizedSession, url: str) -> int:
    """GET; the status, the answer read."""
    response = await session.request("GET", url)
    await response.read()
    return response.status_code


def get(credentials: GrantCredentials, url: str) -> int:
    """GET with a session of its own; the status."""
    with AuthorizedSession(credentials) as session:
        return session.get(url).status_code


def in_threads(count: int, work: Any) -> list[Any]:
    """What *count* threads got that began together."""
    results: list[Any] = []
    together = threading.Barrier(count)

    def one() -> None:
        together.wait()
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
