"""The library: the same core inside a Python program (section 4)."""

import asyncio
import datetime as dt
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession
from googleapiclient.discovery import build

from grantkeeper import Keeper, RemoteKeeper
from grantkeeper.errors import ConsentRequired, GrantNotFound
from tests.contract.stage import DRIVE, Google, Stage

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def options(google_process: Google, stage: Stage) -> dict[str, Any]:
    """What `Keeper.open` takes beside the database; the keys are those that `init` made."""
    return {
        "clients": str(google_process.client_file),
        "issuer": google_process.issuer,
        "clock_file": google_process.clock_file,
        "keys": stage.folder / "keys.json",
    }


def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'grants.db'}"


async def test_the_contracts_example(tmp_path: Path, google: Google, options: dict[str, Any]) -> None:
    """
    Redeem, a token that lives long enough, credentials in a thread, revoke.
    """
    code, sub = google.sign_in("lib@example.com")
    async with Keeper.open(database(tmp_path), **options) as keeper:
        grant = await keeper.redeem(code, source="ios")
        token = await keeper.access_token(grant.id, scopes=[DRIVE], min_ttl=600)
        credentials = keeper.credentials(grant.id)
        files = await asyncio.to_thread(_list_files, google, credentials)
        await keeper.revoke(grant.id)

        with pytest.raises(ConsentRequired) as refused:
            await keeper.access_token(grant.id)
        await keeper.forget(grant.id)
        with pytest.raises(GrantNotFound):
            await keeper.access_token(grant.id)

    assert sub == grant.subject
    assert token.expires_in >= 600
    assert "ya29" not in repr(token)
    assert 200 == files
    assert "revoked" == refused.value.reason


def _list_files(google: Google, credentials: Any) -> int:
    with AuthorizedSession(credentials) as session:
        return int(session.get(f"{google.issuer}/drive/v3/files?spaces=appDataFolder").status_code)


def test_one_refresh_for_many_threads(tmp_path: Path, google: Google, options: dict[str, Any]) -> None:
    """
    Credentials are true ones of google.auth, with a naive expiry, and single-flight.
    """
    with Keeper.open_sync(database(tmp_path), **options) as keeper:
        credentials = keeper.credentials(keeper.redeem(google.code("threads@example.com"), source="ios").id)
        assert 200 == _list_files(google, credentials)
        google.advance(3700)
        before = google.refreshed()

        with ThreadPoolExecutor(12) as pool:
            seen = set(pool.map(lambda _: _list_files(google, credentials), range(12)))

        assert {200} == seen
        assert before + 1 == google.refreshed()
        assert isinstance(credentials, Credentials)
        assert isinstance(credentials.expiry, dt.datetime) and credentials.expiry.tzinfo is None


def test_a_token_that_an_api_refuses_is_replaced(
    tmp_path: Path, google: Google, options: dict[str, Any]
) -> None:
    """
    On 401 the credentials refresh by what was rejected, and the request succeeds.
    """
    with Keeper.open_sync(database(tmp_path), **options) as keeper:
        credentials = keeper.credentials(keeper.redeem(google.code("refused@example.com"), source="ios").id)
        assert 200 == _list_files(google, credentials)
        first, before = credentials.token, google.refreshed()
        google.fault("drive", "api_401", count=1)

        assert 200 == _list_files(google, credentials)

        assert first != credentials.token
        assert before + 1 == google.refreshed()


def test_googles_own_client_works_unpatched(tmp_path: Path, google: Google, options: dict[str, Any]) -> None:
    """
    `build` with the emulator's own discovery document; the guide's `appfolder`.
    """
    with Keeper.open_sync(database(tmp_path), **options) as keeper:
        credentials = keeper.credentials(keeper.redeem(google.code("drive@example.com"), source="ios").id)
        with build(
            "drive",
            "v3",
            credentials=credentials,
            discoveryServiceUrl=google.issuer + "/discovery/v1/apis/{api}/{apiVersion}/rest",
            static_discovery=False,
        ) as drive:
            folder = drive.files().get(fileId="appfolder").execute()

    assert "application/vnd.google-apps.folder" == folder["mimeType"]


def test_a_forked_child_opens_its_own(tmp_path: Path, google: Google, options: dict[str, Any]) -> None:
    """
    It reopens lazily; the parent goes on.
    """
    with Keeper.open_sync(database(tmp_path), **options) as keeper:
        grant = keeper.redeem(google.code("fork@example.com"), source="ios").id
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if keeper.access_token(grant).grant == grant else 2
            finally:
                os._exit(status)

        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert grant == keeper.access_token(grant).grant


def test_a_keeper_has_its_own_loop_thread(tmp_path: Path, options: dict[str, Any]) -> None:
    """
    And leaves none behind.
    """
    before = threading.active_count()
    with Keeper.open_sync(database(tmp_path), **options):
        assert threading.active_count() > before

    assert {True} == {not thread.name.startswith("grantkeeper") for thread in threading.enumerate()}


async def test_a_remote_keeper_offers_the_same_calls(stage: Stage, google: Google) -> None:
    """
    Against a service, with a caller key.
    """
    async with RemoteKeeper(f"http://127.0.0.1:{stage.port}", stage.key) as keeper:
        grant = await keeper.redeem(google.code("remote@example.com"), source="ios")
        token = await keeper.access_token(grant.id, min_ttl=600)
        await keeper.revoke(grant.id)
        with pytest.raises(ConsentRequired):
            await keeper.access_token(grant.id)

    assert token.expires_in >= 600
