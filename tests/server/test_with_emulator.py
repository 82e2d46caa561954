"""The main path with nothing faked on our side: a real core, its database, and Google's emulator."""

import asyncio
import dataclasses
import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from grantkeeper.adapters.sealing import generate_keys
from grantkeeper.ids import uuid7
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import Caller
from grantkeeper.protocol.rejected import fingerprint
from grantkeeper.secret import AccessToken
from grantkeeper.server.app import App, create_app
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator
from tests.server.asking import FROM_APP, KEY, KEYED, Said, ask
from tests.server.conftest import Recorder

pytestmark = pytest.mark.anyio

PUBLIC_URL = "http://127.0.0.1:8000"
BACK = "https://app.example/back"
ADA = "ada@example.com"


@pytest.fixture
async def real(google_emulator: GoogleEmulator, tmp_path: Path) -> AsyncIterator[KeeperCore]:
    """A core on a new database, with one caller who may do everything."""
    generate_keys(tmp_path / "keys.json")
    assert google_emulator.client_secret is not None
    settings = Settings.of(
        google_emulator.client_secret,
        directory=tmp_path,
        issuer=google_emulator.issuer,
        keys=tmp_path / "keys.json",
        database_url=f"sqlite:///{tmp_path / 'grants.db'}",
        clock_file=google_emulator.clock_file,
        public_url=PUBLIC_URL,
    )
    client = dataclasses.replace(settings.clients["default"], return_to=(BACK,))
    core = await KeeperCore.open(dataclasses.replace(settings, clients={"default": client}))
    now = core.clock.now()
    await core.store.add_caller(
        Caller(
            id=uuid7(now, bytes(10)), name="photos", key_hash=sha256(KEY.encode()).digest(), created_at=now
        )
    )
    yield core
    await core.close()


@pytest.fixture
def service(real: KeeperCore, log: Recorder) -> App:
    return create_app(real, log=log)


async def redeemed(service: App, google: GoogleEmulator) -> str:
    said = await ask(service, "POST", "/v1/redeem", {"code": google.code(ADA)}, FROM_APP)
    assert 200 == said.status, said.body
    return str(said.json["grant"]["id"])


async def token(service: App, body: Any) -> Said:
    return await ask(service, "POST", "/v1/token", body, KEYED)


async def test_a_code_becomes_a_grant_and_the_grant_tokens(
    service: App, google_emulator: GoogleEmulator
) -> None:
    """
    Steps 1 to 7 of the job: the phone redeems, the backend works, an hour later too.
    """
    code = google_emulator.code(ADA)
    said = (await ask(service, "POST", "/v1/redeem", {"code": code}, FROM_APP)).json
    grant = said["grant"]
    claims = json.loads(urlsafe_b64decode(said["session"]["token"].split(".")[1] + "=="))

    assert (code.sub, ADA, "active", True) == (
        grant["subject"],
        said["profile"]["email"],
        grant["state"],
        grant["refreshable"],
    )
    assert (PUBLIC_URL, code.sub, grant["id"]) == (claims["iss"], claims["sub"], claims["grant"])

    first = (await token(service, {"grant": grant["id"]})).json
    assert first == {**(await token(service, {"subject": code.sub})).json, "expires_in": first["expires_in"]}

    google_emulator.advance(3600)
    later = (await token(service, {"grant": grant["id"], "min_ttl": 600})).json
    assert first["access_token"] != later["access_token"]
    assert later["expires_in"] > 3500


async def test_a_rejected_token_is_replaced(service: App, google_emulator: GoogleEmulator) -> None:
    """
    Its hash is enough to say so.
    """
    grant = await redeemed(service, google_emulator)
    first = (await token(service, {"grant": grant})).json["access_token"]
    google_emulator.advance(31)

    said = (await token(service, {"grant": grant, "rejected": fingerprint(AccessToken(first))})).json

    assert first != said["access_token"]


async def test_a_code_is_redeemed_once(service: App, google_emulator: GoogleEmulator) -> None:
    """
    The second post is 409; with the same Idempotency-Key it is the first answer.
    """
    body = {"code": google_emulator.code(ADA)}
    headers = {**FROM_APP, "Idempotency-Key": "k" * 22}
    first = await ask(service, "POST", "/v1/redeem", body, headers)
    again = await ask(service, "POST", "/v1/redeem", body, headers)
    other = await ask(service, "POST", "/v1/redeem", body, FROM_APP)

    assert (200, first.json["grant"]) == (again.status, again.json["grant"])
    assert (409, "code_already_redeemed") == other.error


async def test_a_scope_that_was_not_granted_needs_consent(
    service: App, google_emulator: GoogleEmulator
) -> None:
    """
    409 with the scope in it; the grant stays as it is.
    """
    grant = await redeemed(service, google_emulator)
    scope = "https://www.googleapis.com/auth/photoslibrary.appendonly"
    said = await token(service, {"grant": grant, "scopes": [scope]})

    assert (409, "consent_required") == said.error
    assert ("missing_scopes", [scope]) == (said.json["reason"], said.json["missing_scopes"])
    assert 200 == (await token(service, {"grant": grant})).status


async def test_a_user_who_takes_access_back_is_told_apart(
    service: App, google_emulator: GoogleEmulator
) -> None:
    """
    The next refresh says why, and so does the description.
    """
    grant = await redeemed(service, google_emulator)
    google_emulator.revoke(ADA)
    google_emulator.advance(3601)
    said = await token(service, {"grant": grant})
    described = (await ask(service, "GET", f"/v1/grants/{grant}", None, KEYED)).json

    assert ((409, "consent_required"), "revoked") == (said.error, said.json["reason"])
    assert said.json["remedy"]
    assert ("needs_consent", "revoked") == (described["state"], described["reason"])


async def test_a_grant_is_listed_attached_revoked_and_forgotten(
    service: App, google_emulator: GoogleEmulator
) -> None:
    """
    The rest of its life.
    """
    grant = await redeemed(service, google_emulator)
    path = f"/v1/grants/{grant}"
    assert "u-7" == (await ask(service, "PATCH", path, {"user": "u-7"}, KEYED)).json["user"]
    listed = (await ask(service, "GET", "/v1/grants?user=u-7&state=active", None, KEYED)).json
    assert ([grant], None) == ([one["id"] for one in listed["grants"]], listed["next_cursor"])
    assert 200 == (await token(service, {"user": "u-7"})).status

    revoked = await ask(service, "POST", f"{path}/revoke", None, KEYED)
    assert (200, "revoked", True) == (revoked.status, revoked.json["state"], revoked.json["told"])
    for body in ({"grant": grant}, {"user": "u-7"}):
        said = await token(service, body)
        assert ((409, "consent_required"), "revoked") == (said.error, said.json["reason"])

    assert 204 == (await ask(service, "DELETE", path, None, KEYED)).status
    assert (404, "grant_not_found") == (await ask(service, "GET", path, None, KEYED)).error
    assert (404, "grant_not_found") == (await token(service, {"grant": grant})).error


async def test_an_issuer_that_is_away_is_503(service: App, google_emulator: GoogleEmulator) -> None:
    """
    The grant is not harmed.
    """
    grant = await redeemed(service, google_emulator)
    google_emulator.advance(3601)
    google_emulator.fault("token", "status_503")
    said = await token(service, {"grant": grant})

    assert (503, "issuer_unavailable") == said.error
    assert int(said.headers["retry-after"]) >= 1
    described = (await ask(service, "GET", f"/v1/grants/{grant}", None, KEYED)).json
    assert "active" == described["state"]


async def test_a_revoked_caller_is_out_within_a_second(service: App, real: KeeperCore) -> None:
    """
    The change feed carries it.
    """
    assert 200 == (await ask(service, "GET", "/v1/grants", None, KEYED)).status
    await real.store.revoke_caller("photos", real.clock.now())
    deadline = real.clock.monotonic() + 1.0
    said = await ask(service, "GET", "/v1/grants", None, KEYED)
    while said.status == 200 and real.clock.monotonic() < deadline:
        await asyncio.sleep(0.02)
        said = await ask(service, "GET", "/v1/grants", None, KEYED)

    assert (401, "caller_unknown") == said.error


async def test_the_node_is_ready_and_publishes_its_keys(
    service: App, real: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The key that signed is among those published, and no private part is.
    """
    assert 200 == (await ask(service, "GET", "/readyz")).status
    said = (await ask(service, "POST", "/v1/redeem", {"code": google_emulator.code(ADA)}, FROM_APP)).json
    header = json.loads(urlsafe_b64decode(said["session"]["token"].split(".")[0] + "=="))
    keys = (await ask(service, "GET", "/.well-known/jwks.json")).json["keys"]

    assert header["kid"] in [key["kid"] for key in keys]
    assert not any("d" in key for key in keys)


async def test_nothing_secret_is_logged(service: App, log: Recorder, google_emulator: GoogleEmulator) -> None:
    """
    The emulator's marker is in none of the lines, nor is our own key.
    """
    grant = await redeemed(service, google_emulator)
    await token(service, {"grant": grant})
    google_emulator.advance(timedelta(hours=2).total_seconds())
    await token(service, {"grant": grant})

    assert log.named("request")
    assert "GKMARK" not in repr(log.lines)
    assert KEY not in repr(log.lines)
    assert ADA not in repr(log.lines)


async def connected(service: App, google: GoogleEmulator, query: str = "") -> Said:
    """A browser goes through the redirect flow; what it brings back, as the backend sees it."""
    begun = await ask(service, "GET", f"/connect/default?return_to={BACK}{query}")
    assert 303 == begun.status, begun.body
    asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
    cookie = begun.cookies[0].partition(";")[0]
    code = google.code(
        ADA,
        source="web",
        redirect_uri=asked["redirect_uri"],
        nonce=asked["nonce"],
        code_challenge=asked["code_challenge"],
    )
    query = urlencode({"state": asked["state"], "code": code, "iss": google.issuer})
    back = await ask(service, "GET", f"/connect/callback?{query}", None, {"Cookie": cookie})
    address, _, result = back.headers["location"].partition("?result=")
    assert (303, BACK) == (back.status, address)
    return await ask(service, "POST", "/v1/connect/results", {"result": result}, KEYED)


@pytest.fixture
def registered(google_emulator: GoogleEmulator, real: KeeperCore) -> None:
    """The callback address is known at the issuer."""
    client = real.clients["default"]
    google_emulator.call(
        "PATCH",
        "clients",
        {
            "client_id": client.client_id,
            "redirect_uris": [*client.redirects["web"], PUBLIC_URL + "/connect/callback"],
        },
    )


@pytest.mark.usefixtures("registered")
async def test_a_browser_connects_an_account_to_a_user(service: App, google_emulator: GoogleEmulator) -> None:
    """
    The ticket says which user; the backend learns it by the result, and its token works.
    """
    ticket = (await ask(service, "POST", "/v1/connect/tickets", {"user": "u-9"}, KEYED)).json["ticket"]
    said = await connected(service, google_emulator, f"&ticket={ticket}")

    assert (200, "active", ADA) == (said.status, said.json["grant"]["state"], said.json["profile"]["email"])
    assert said.json["session"]["token"]
    assert 200 == (await token(service, {"user": "u-9"})).status


@pytest.mark.usefixtures("registered")
async def test_a_sign_in_is_good_in_its_own_browser_alone(
    service: App, google_emulator: GoogleEmulator
) -> None:
    """
    Without the cookie, or a second time, the callback is refused.
    """
    begun = await ask(service, "GET", f"/connect/default?return_to={BACK}")
    state = dict(parse_qsl(urlsplit(begun.headers["location"]).query))["state"]
    said = await ask(service, "GET", f"/connect/callback?state={state}&code=4%2F0x")

    assert (400, "invalid_request") == said.error
