"""`RemoteKeeper` against a running service: the same calls, the same records, the same errors."""

import asyncio
import http.server
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest
from google.auth.transport.requests import AuthorizedSession

from grantkeeper import Keeper
from grantkeeper.errors import (
    CallerNotAllowed,
    CallerUnknown,
    CodeAlreadyRedeemed,
    ConsentRequired,
    GrantNotFound,
    InvalidRequest,
    IssuerMisbehaved,
    IssuerUnavailable,
    OutcomeUnknown,
)
from grantkeeper.library.calls import SyncKeeper
from grantkeeper.library.remote import RemoteKeeper
from grantkeeper.model import GrantState
from tests.library.service import TOKENS_ONLY, Service, running

DRIVE = "https://www.googleapis.com/auth/drive.appdata"


@pytest.fixture
def service(options: dict[str, Any]) -> Iterator[Service]:
    with running(options) as service:
        yield service


@pytest.fixture
async def remote(service: Service) -> AsyncIterator[RemoteKeeper]:
    async with RemoteKeeper(service.url, service.caller("backend")) as keeper:
        yield keeper


@pytest.fixture
def blocking_remote(service: Service) -> Iterator[SyncKeeper]:
    with RemoteKeeper.open_sync(service.url, service.caller("backend")) as keeper:
        yield keeper


@pytest.mark.anyio
async def test_an_unknown_result_of_a_redirect_is_refused_by_the_service(remote):
    """The service's own error comes back."""
    with pytest.raises(InvalidRequest, match="unknown"):
        await remote.connected("nobody's")


@pytest.mark.anyio
async def test_the_whole_job_awaited(remote, google_emulator):
    """Redeem, hand out, describe, list, attach, revoke, forget; over HTTP."""
    code = google_emulator.code("mia@example.com")
    grant = await remote.redeem(code, scopes=["openid", DRIVE], user="user-7")
    token = await remote.access_token(grant.id, scopes=[DRIVE], min_ttl=600)
    page = await remote.grants(user="user-7", state="active", limit=10)
    detached = await remote.attach(grant.id, None)
    revoked = await remote.revoke(grant.id)
    with pytest.raises(ConsentRequired) as caught:
        await remote.access_token(grant.id)
    await remote.forget(grant.id)
    with pytest.raises(GrantNotFound):
        await remote.describe(grant.id)

    assert code.sub == grant.subject
    assert "mia@example.com" == grant.profile.email
    assert (3, True) == (grant.session.token.reveal().count(".") + 1, grant.session.expires_in <= 300)
    assert token.reveal().startswith("ya29")
    assert "ya29" not in repr(token)
    assert [grant.id] == [found.id for found in page.grants]
    assert detached.user is None
    assert GrantState.REVOKED is revoked.state
    assert ("revoked", grant.id) == (caught.value.reason, caught.value.details["grant"])


def test_the_whole_job_blocking(blocking_remote, google_emulator):
    """The same names, the answers at once."""
    grant = blocking_remote.redeem(google_emulator.code("mia@example.com"))
    token = blocking_remote.access_token(grant.id)
    blocking_remote.revoke(grant.id)
    blocking_remote.forget(grant.id, revoke=False)

    assert grant.id == token.grant
    assert ((), None) == blocking_remote.list()


def test_records_are_those_of_the_keeper_itself(options, blocking_remote, google_emulator):
    """What the service tells is, field by field, what a keeper on the same database tells."""
    grant = blocking_remote.redeem(google_emulator.code("mia@example.com"), user="user-7")
    there = blocking_remote.describe(grant.id)
    with Keeper.open_sync(**options) as keeper:
        here = keeper.describe(grant.id)

    assert here == there


@pytest.mark.anyio
async def test_preflight_is_asked_over_http(options, google_emulator):
    """With the phone's own ID token."""
    client = {"secrets": options["clients"], "app_client_ids": google_emulator.app_client_ids}
    with running({**options, "clients": {"default": client}}) as service:
        async with RemoteKeeper.open(service.url, service.caller("backend")) as remote:
            found = await remote.preflight(google_emulator.id_token("mia@example.com"), scopes=[DRIVE])

    assert found.consent_needed
    assert frozenset({DRIVE}) == found.missing_scopes


@pytest.mark.anyio
async def test_an_async_client_of_httpx_gets_tokens_from_the_service(remote, google_emulator):
    """keeper.auth() is awaited wherever the keeper is."""
    grant = await remote.redeem(google_emulator.code("mia@example.com"))
    async with httpx.AsyncClient(auth=remote.auth(grant.id)) as client:
        response = await client.get(f"{google_emulator.url}/drive/v3/files/appfolder")

    assert 200 == response.status_code


def test_pages_follow_each_other(blocking_remote, google_emulator):
    """The cursor of one page begins the next."""
    ids = [blocking_remote.redeem(google_emulator.code(f"user{n}@example.com")).id for n in range(3)]
    first = blocking_remote.grants(limit=2)
    second = blocking_remote.grants(limit=2, cursor=first.next_cursor)

    assert ids == [grant.id for grant in (*first.grants, *second.grants)]
    assert second.next_cursor is None


def test_a_repeat_of_the_same_call_gets_its_outcome(blocking_remote, google_emulator):
    """With an Idempotency-Key; without, the code was used."""
    code, key = google_emulator.code("mia@example.com"), "0123456789-0123456789-0123456789"
    first = blocking_remote.redeem(code, idempotency_key=key)
    again = blocking_remote.redeem(code, idempotency_key=key)
    with pytest.raises(CodeAlreadyRedeemed):
        blocking_remote.redeem(code)

    assert first.id == again.id


def test_rules_of_the_caller_are_told_as_errors_of_ours(service, blocking_remote, google_emulator):
    """A key that may only get tokens may not list."""
    grant = blocking_remote.redeem(google_emulator.code("mia@example.com"))
    with RemoteKeeper.open_sync(service.url, service.caller("jobs", **TOKENS_ONLY)) as keeper:
        token = keeper.access_token(grant.id)
        with pytest.raises(CallerNotAllowed):
            keeper.grants()

    assert grant.id == token.grant


def test_an_unknown_key_is_told(service):
    """401 is caller_unknown, with the command that makes a key in the hint."""
    with (
        RemoteKeeper.open_sync(service.url, "gk_" + "A" * 43) as keeper,
        pytest.raises(CallerUnknown) as caught,
    ):
        keeper.grants()

    assert "grantkeeper callers create" in caught.value.hint


# -- credentials --------------------------------------------------------------------------------


def test_googles_clients_work_over_a_service(blocking_remote, google_emulator):
    """Tokens are held here, refreshed there."""
    grant = blocking_remote.redeem(google_emulator.code("mia@example.com"))
    with AuthorizedSession(blocking_remote.credentials(grant.id)) as session:
        folder = f"{google_emulator.url}/drive/v3/files/appfolder"
        first = session.get(folder)
        google_emulator.advance(4000)
        second = session.get(folder)

    assert (200, 200) == (first.status_code, second.status_code)
    assert 1 == google_emulator.count("token", "refresh_token")


def test_credentials_hold_their_token_by_this_machines_clock(blocking_remote, google_emulator):
    """The service's clock may be moved or wrong; a life of an hour is an hour here, too."""
    google_emulator.advance(100_000)
    grant = blocking_remote.redeem(google_emulator.code("mia@example.com"))
    credentials = blocking_remote.credentials(grant.id)
    credentials.before_request(None, "GET", google_emulator.url, {})
    left = credentials.expiry.replace(tzinfo=UTC) - datetime.now(UTC)

    assert credentials.valid
    assert timedelta(minutes=50) < left <= timedelta(hours=1)


# -- the wire -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://keeper.example.com", "ftp://127.0.0.1", "keeper.example.com", "https://me@keeper.example"]
)
def test_the_key_goes_to_https_or_loopback_only(url):
    """Refused before anything is sent."""
    with pytest.raises(ValueError, match="https"):
        RemoteKeeper(url, "gk_key")


def test_a_key_with_a_line_break_inside_is_refused():
    """It would end the header."""
    with pytest.raises(ValueError, match="visible"):
        RemoteKeeper("https://keeper.example.com", "gk_key\nx")


def test_the_line_break_at_a_key_files_end_is_no_part_of_the_key():
    """As a file has it that an editor saved."""
    keeper = RemoteKeeper("https://keeper.example.com", "gk_key\n")

    assert "gk_key" not in f"{keeper!r} {vars(keeper)}"


def test_a_service_that_is_not_there_is_unavailable(google_emulator):
    """Nothing was sent, so the same code may be sent again."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with RemoteKeeper.open_sync(url, "gk_key") as keeper:
            with pytest.raises(IssuerUnavailable, match="service does not answer"):
                keeper.grants()
            with pytest.raises(IssuerUnavailable):
                keeper.redeem("4/0-code")


class Answers(http.server.BaseHTTPRequestHandler):
    """Gives the answers that the test has put down, in their order; ``None`` hangs up."""

    planned: ClassVar[list[tuple[int, bytes] | None]]
    seen: ClassVar[list[tuple[str, dict[str, str]]]]

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.rfile.read(length)
        type(self).seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        plan = type(self).planned.pop(0)
        if plan is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(plan[0])
        self.send_header("content-length", str(len(plan[1])))
        self.send_header("retry-after", "7")
        self.send_header("location", "/elsewhere")
        self.end_headers()
        self.wfile.write(plan[1])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture
def strange() -> Iterator[tuple[SyncKeeper, type[Answers]]]:
    """A keeper whose service answers as planned."""
    plan = type("Plan", (Answers,), {"planned": [], "seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), plan)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with RemoteKeeper.open_sync(f"http://127.0.0.1:{server.server_port}/", "gk_key") as keeper:
        yield keeper, plan
    server.shutdown()
    thread.join()
    server.server_close()


REDEEMED = (
    b'{"grant": {"id": "g", "client": "default", "subject": "1", "scopes": [], "missing_scopes": [],'
    b' "state": "active", "refreshable": true, "new_field": 1}, "profile": null, "session": null}'
)


def test_a_lost_answer_is_asked_for_again_under_the_same_key(strange):
    """The service replays the outcome; the code reaches Google once."""
    keeper, service = strange
    service.planned[:] = [None, (200, REDEEMED)]
    grant = keeper.redeem("4/0-code")
    keys = [headers["idempotency-key"] for _, headers in service.seen]

    assert "g" == grant.id
    assert (2, 1) == (len(keys), len(set(keys)))
    assert len(keys[0]) >= 22


def test_an_answer_lost_twice_leaves_the_outcome_unknown(strange):
    """The code may be spent; the error says to sign in again."""
    keeper, service = strange
    service.planned[:] = [None, None]
    with pytest.raises(OutcomeUnknown):
        keeper.redeem("4/0-code")


def test_other_calls_are_not_repeated(strange):
    """One request, one answer; the caller decides about more."""
    keeper, service = strange
    service.planned[:] = [None]
    with pytest.raises(IssuerUnavailable):
        keeper.access_token("g")

    assert ["/v1/token"] == [path for path, _ in service.seen]


@pytest.mark.parametrize(
    "answer, error",
    [
        ((200, b"<html>"), IssuerMisbehaved),
        ((200, b"[]"), IssuerMisbehaved),
        ((200, b""), IssuerMisbehaved),
        ((302, b""), IssuerMisbehaved),
        ((404, b'{"error": "something_else"}'), IssuerMisbehaved),
        ((404, b'["error"]'), IssuerMisbehaved),
        ((404, b'{"error": ["x"]}'), IssuerMisbehaved),
        ((502, b"<html>bad gateway"), IssuerUnavailable),
        ((429, b""), IssuerUnavailable),
    ],
)
def test_strange_answers_are_errors_and_not_tracebacks(strange, answer, error):
    """A proxy's page, a redirect, another program at that address."""
    keeper, service = strange
    service.planned[:] = [answer]
    with pytest.raises(error):
        keeper.describe("g")

    assert 1 == len(service.seen)


def test_retry_after_and_fields_come_with_the_error(strange):
    """Everything the service knew."""
    keeper, service = strange
    body = (
        b'{"error": "consent_required", "error_description": "gone", "hint": "Sign in.",'
        b' "reason": "expired", "missing_scopes": ["a"], "grant": "g"}'
    )
    service.planned[:] = [(409, body)]
    with pytest.raises(ConsentRequired) as caught:
        keeper.access_token("g")

    error = caught.value
    assert ("gone", "Sign in.", 7.0) == (error.text, error.hint, error.retry_after)
    assert ("expired", ("a",)) == (error.reason, error.missing_scopes)


def test_an_id_with_a_slash_is_no_way_out_of_its_path(strange):
    """Ids are quoted."""
    keeper, service = strange
    service.planned[:] = [(404, b'{"error": "grant_not_found", "error_description": "no"}')]
    with pytest.raises(GrantNotFound):
        keeper.describe("../callers?x=1")

    assert "/v1/grants/..%2Fcallers%3Fx%3D1" == service.seen[0][0]


def test_every_call_carries_key_and_the_header_against_forgery(strange):
    """As the guide's server wants it."""
    keeper, service = strange
    service.planned[:] = [(200, REDEEMED)]
    keeper.redeem("4/0-code")
    headers = service.seen[0][1]

    assert ("Bearer gk_key", "grantkeeper") == (headers["authorization"], headers["x-requested-with"])


def test_one_keeper_serves_several_loops(strange):
    """Its connections live on its own."""
    keeper, service = strange
    service.planned[:] = [(200, REDEEMED), (200, REDEEMED)]
    remote = RemoteKeeper(keeper._calls._home.wait(_url), "gk_key")
    asyncio.run(remote.redeem("4/0-one"))
    asyncio.run(remote.redeem("4/0-two"))
    remote.close()

    assert 2 == len(service.seen)


async def _url(service: Any) -> str:
    return service.url
