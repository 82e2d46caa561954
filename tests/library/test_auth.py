"""`keeper.auth()` as the ``auth=`` of requests and httpx, against Drive and hostile servers."""

import asyncio
import http.server
import io
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests

from grantkeeper import Keeper
from grantkeeper.errors import ConsentRequired
from grantkeeper.library.auth import GrantAuth
from grantkeeper.library.google_auth import GrantCredentials
from grantkeeper.library.local import SyncLocalKeeper
from tests.library.fakes import GRANT, Tokens


@pytest.fixture
def grant_id(blocking: SyncLocalKeeper, google_emulator: Any) -> str:
    return blocking.redeem(google_emulator.code("mia@example.com")).id


@pytest.fixture
def auth(blocking: SyncLocalKeeper, grant_id: str) -> GrantAuth:
    return blocking.auth(grant_id)


@pytest.fixture
def folder(google_emulator: Any) -> str:
    return f"{google_emulator.url}/drive/v3/files/appfolder"


class Server(http.server.ThreadingHTTPServer):
    """
    An API.

    Attributes:
        refuses: What in ``Authorization`` is answered with 401.
        seen: Header and body of every request.
        away: Where ``/away`` redirects to.
    """

    def __init__(self, refuses: set[str | None]) -> None:
        super().__init__(("127.0.0.1", 0), Api)
        self.refuses = refuses
        self.seen: list[tuple[str | None, bytes]] = []
        self.away = ""
        self.url = f"http://127.0.0.1:{self.server_port}"


class Api(http.server.BaseHTTPRequestHandler):
    """Its answers."""

    server: Server

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        token = self.headers.get("authorization")
        self.server.seen.append((token, body))
        status = 401 if token in self.server.refuses else 200
        if self.path == "/away":
            status = 302
        self.send_response(status)
        self.send_header("content-length", "0")
        if status == 302:
            self.send_header("location", self.server.away)
        self.end_headers()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture
def api() -> Iterator[Any]:
    """An API that refuses the first token there is."""
    yield from serving({"Bearer ya29.token-1"})


@pytest.fixture
def foreign() -> Iterator[Any]:
    """Somebody else's server, which answers 401 to whoever has no token."""
    yield from serving({None})


def serving(refuses: set[str | None]) -> Iterator[Any]:
    server = Server(refuses)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def planned(tokens: Tokens) -> GrantAuth:
    """An auth whose tokens are ya29.token-1, ya29.token-2, …"""
    return GrantAuth(tokens, GRANT, None, 60)


def send(library: Any, method: str, url: str, auth: GrantAuth, **body: Any) -> int:
    """The status that *library* brings back."""
    return library.request(method, url, auth=auth, **body).status_code


BOTH = pytest.mark.parametrize("library", [requests, httpx], ids=["requests", "httpx"])


# -- with the real keeper -----------------------------------------------------------------------


@BOTH
def test_a_call_carries_the_users_token(library, auth, folder):
    """The whole use of it."""
    response = library.get(folder, auth=auth)

    assert "Application Data" == response.json()["name"]


@BOTH
def test_a_refused_token_is_refreshed_and_the_call_repeated(library, auth, folder, google_emulator):
    """401, one refresh at Google, 200."""
    library.get(folder, auth=auth)
    google_emulator.advance(31)
    google_emulator.fault("drive", "api_401", count=1)

    assert 200 == library.get(folder, auth=auth).status_code
    assert 1 == google_emulator.count("token", "refresh_token")


@BOTH
def test_an_api_that_always_refuses_is_asked_twice(library, auth, folder, google_emulator):
    """The 401 is the program's to see."""
    google_emulator.advance(31)
    google_emulator.fault("drive", "api_401")

    assert 401 == library.get(folder, auth=auth).status_code
    assert 1 == google_emulator.count("token", "refresh_token")


@BOTH
def test_a_broken_grant_is_told_as_our_own_error(library, auth, folder, google_emulator):
    """Who uses our auth gets our errors, with reason and remedy."""
    google_emulator.revoke("mia@example.com")
    google_emulator.advance(4000)
    with pytest.raises(ConsentRequired):
        library.get(folder, auth=auth)


@pytest.mark.anyio
async def test_an_async_client_of_httpx_awaits(keeper, folder, google_emulator):
    """No thread, no blocking; and the 401 is handled as well."""
    grant = await keeper.redeem(google_emulator.code("mia@example.com"))
    async with httpx.AsyncClient(auth=keeper.auth(grant.id)) as client:
        first = await client.get(folder)
        google_emulator.advance(31)
        google_emulator.fault("drive", "api_401", count=1)
        second = await client.get(folder)

    assert (200, 200) == (first.status_code, second.status_code)
    assert 1 == google_emulator.count("token", "refresh_token")


@pytest.mark.anyio
async def test_an_async_client_takes_the_auth_of_a_blocking_keeper(options, folder, google_emulator):
    """The two faces differ in how they are called, not in what they lend."""
    keeper = Keeper.open_sync(**options)
    grant = await asyncio.to_thread(keeper.redeem, google_emulator.code("mia@example.com"))
    async with httpx.AsyncClient(auth=keeper.auth(grant.id)) as client:
        responses = [await client.get(folder) for _ in range(2)]
    await asyncio.to_thread(keeper.close)

    assert [200, 200] == [response.status_code for response in responses]


# -- what may be sent again, and to whom --------------------------------------------------------


@BOTH
def test_a_body_in_memory_is_sent_again_whole(library, planned, api):
    """With the other token."""
    body = {"data": b"hello"} if library is requests else {"content": b"hello"}

    assert 200 == send(library, "POST", api.url, planned, **body)
    assert [("Bearer ya29.token-1", b"hello"), ("Bearer ya29.token-2", b"hello")] == api.seen


def test_a_file_is_rewound_to_where_it_stood(planned, api):
    """requests reads it from there; a second time, too."""
    file = io.BytesIO(b"skipped hello")
    file.seek(8)

    assert 200 == send(requests, "POST", api.url, planned, data=file)
    assert [b"hello", b"hello"] == [body for _, body in api.seen]


@BOTH
def test_a_body_that_flows_by_once_is_not_sent_again(library, planned, api, tokens):
    """An empty second upload would be worse than the 401; the keeper has heard of the refusal."""
    body = {"data" if library is requests else "content": iter([b"hel", b"lo"])}

    assert 401 == send(library, "POST", api.url, planned, **body)
    assert [("Bearer ya29.token-1", b"hello")] == api.seen
    assert tokens.asked[1][3] is not None


@BOTH
def test_no_token_follows_a_redirect_to_a_stranger(library, planned, api, foreign):
    """The library drops the header at the border; a 401 from there is no word about our token."""
    api.away = foreign.url.replace("127.0.0.1", "localhost") + "/"
    options = {} if library is requests else {"follow_redirects": True}
    status = send(library, "GET", f"{api.url}/away", planned, **options)

    assert 401 == status
    assert [(None, b"")] == foreign.seen
    assert 1 == len(api.seen)


@BOTH
def test_the_same_token_again_is_not_sent_again(library, planned, api, tokens):
    """The keeper refreshes a refused token once in 30 seconds; meanwhile it has no better one."""
    only = tokens.put()
    tokens.fetch = lambda *_: only

    assert 401 == send(library, "GET", api.url, planned)
    assert 1 == len(api.seen)


# -- whose kind it is ---------------------------------------------------------------------------


def test_httpx_takes_it_for_one_of_its_own(planned):
    """Else it would be called as a function of the request, and never again after a 401."""
    assert isinstance(planned, httpx.Auth)
    assert isinstance(planned, GrantAuth)


def test_it_is_itself_where_no_httpx_is_loaded(planned, monkeypatch):
    """Nothing is imported for it."""
    monkeypatch.setitem(sys.modules, "httpx", None)

    assert GrantAuth is planned.__class__


def test_a_client_that_only_calls_it_gets_the_header(planned):
    """For libraries like requests that have no response hooks."""

    class Prepared:
        headers: dict[str, str] = {}  # noqa: RUF012

    assert "Bearer ya29.token-1" == planned(Prepared()).headers["Authorization"]


def test_nothing_it_says_of_itself_is_secret(planned, api):
    """The grant's id and no token."""
    send(requests, "GET", api.url, planned)

    assert f"GrantAuth({GRANT})" == repr(planned)


def test_credentials_and_auth_share_what_the_keeper_has(blocking, auth, folder, grant_id):
    """Two ways to the same token."""
    requests.get(folder, auth=auth)
    credentials = blocking.credentials(grant_id)
    sent: dict[str, str] = {}
    credentials.before_request(None, "GET", folder, sent)

    assert isinstance(credentials, GrantCredentials)
    assert requests.get(folder, auth=auth).request.headers["Authorization"] == sent["authorization"]
