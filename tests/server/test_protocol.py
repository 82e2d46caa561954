"""Bytes on a real socket: slow, oversized, truncated, malformed and pipelined requests."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any

import pytest

from grantkeeper.server import protocol
from grantkeeper.server.app import App
from grantkeeper.server.protocol import GuardedProtocol
from tests.server.asking import FROM_APP, KEY, KEYED, Running, Said
from tests.server.fake_core import GRANT, FakeCore

SECONDS = 0.4
"""Instead of ten, so that the tests need not wait so long."""

HEAD = (
    b"POST /v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "
    + KEY.encode()
    + b"\r\n"
)
BODY = json.dumps({"grant": GRANT}).encode()
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


class Hasty(GuardedProtocol):
    """The same with less patience."""

    request_seconds = SECONDS
    silent_seconds = SECONDS


@pytest.fixture
def server(app: App) -> Iterator[Running]:
    with Running(app) as running:
        yield running
        assert 200 == running.ask("GET", "/healthz").status


@pytest.fixture
def hasty(app: App) -> Iterator[Running]:
    """The same with less patience than a busy machine may need."""
    running = Running(app)
    running.protocol(Hasty)
    with running:
        yield running


class Shared:
    """One buffer for all answers of a connection, so that none takes the next one's bytes."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def makefile(self, mode: str) -> "Shared":
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        """An answer was read; the connection stays."""


class Wire:
    """A connection on which a test writes what it likes."""

    def __init__(self, server: Running) -> None:
        self.socket = socket.create_connection(server.address, timeout=10)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> Said:
        """One answer."""
        answer = HTTPResponse(Shared(self._file))  # type: ignore[arg-type]
        answer.begin()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Said(answer.status, told, answer.read())

    def ended(self) -> bool:
        """Whether the other side hangs up without another word."""
        try:
            return bool(self._file.read(1) == b"")
        except ConnectionResetError:
            return True


def test_requests_follow_each_other_on_one_connection(server: Running) -> None:
    """
    Kept alive.
    """
    with Wire(server) as wire:
        for _ in range(3):
            wire.write(WHOLE)
            assert 200 == wire.read().status


def test_a_request_may_come_in_pieces(server: Running) -> None:
    """
    If they come in time.
    """
    with Wire(server) as wire:
        for at in range(0, len(WHOLE), 40):
            wire.write(WHOLE[at : at + 40])
            time.sleep(0.01)
        assert 200 == wire.read().status


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    """
    Three in one packet, one of them bad.
    """
    with Wire(server) as wire:
        bad = WHOLE.replace(b"/v1/token", b"/v1/nowhe")
        wire.write(WHOLE + bad + WHOLE)
        assert [200, 404, 200] == [wire.read().status for _ in range(3)]


@pytest.mark.parametrize(
    "sent",
    [
        b"P",
        b"POST /v1/token HTTP/1.1\r\nHost: x",
        HEAD,
        HEAD + b"Content-Length: 50\r\n\r\n",
        HEAD + b"Content-Length: 50\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_a_slow_request_is_408(hasty: Running, sent: bytes) -> None:
    """
    Head or body, announced or chunked; then the connection ends.
    """
    with Wire(hasty) as wire:
        wire.write(sent)
        said = wire.read()

        assert (408, "too_slow") == said.error
        assert ("1", "close") == (said.headers["retry-after"], said.headers["connection"])
        assert said.headers["x-request-id"]
        assert wire.ended()


def test_a_drip_does_not_buy_time(hasty: Running) -> None:
    """
    A byte now and then: the clock runs from the first to the last.
    """
    began = time.monotonic()
    with Wire(hasty) as wire:
        try:
            for byte in HEAD + b"Content-Length: 5000\r\n\r\n" + b" " * 4000:
                wire.write(bytes([byte]))
                time.sleep(0.02)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert time.monotonic() - began < 40  # half of what all of it would take


def test_a_connection_without_a_byte_is_closed(hasty: Running) -> None:
    """
    Silently; there is nothing to answer.
    """
    with Wire(hasty) as wire:
        assert wire.ended()


def test_a_request_that_is_worked_on_is_not_slow(hasty: Running, core: FakeCore) -> None:
    """
    The time belongs to the sender; what we need does not count.
    """
    core.answers["fresh_token"] = None
    answer = core.answers["access_token"]

    def later(**_: Any) -> Any:
        time.sleep(3 * SECONDS)
        return answer

    core.answers["access_token"] = later
    with Wire(hasty) as wire:
        wire.write(WHOLE)
        assert 200 == wire.read().status


def test_a_body_that_is_refused_unread_ends_the_connection_in_time(hasty: Running) -> None:
    """
    The answer comes at once, and no second one when the body never comes.
    """
    with Wire(hasty) as wire:
        wire.write(b"POST /v1/redeem HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
        assert (403, "forged_request") == wire.read().error
        assert wire.ended()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 40_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 4_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
    ],
    ids=["address", "header", "endless", "sum", "number"],
)
def test_a_large_head_is_431(server: Running, head: bytes) -> None:
    """
    Before it is whole, if need be.
    """
    with Wire(server) as wire:
        wire.write(head)
        said = wire.read()

        assert (431, "too_large") == said.error
        assert said.headers["x-request-id"]


def test_a_large_head_in_pieces_is_431(server: Running) -> None:
    """
    The parser's buffer does not grow without end.
    """
    with Wire(server) as wire:
        wire.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
        try:
            for _ in range(50):
                wire.write(b"a" * 1000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert (431, "too_large") == wire.read().error


def test_a_usual_head_passes(server: Running) -> None:
    """
    Cookies of a browser, headers of a few proxies.
    """
    headers = {f"X-Some-{i}": "v" * 200 for i in range(80)}

    assert 200 == server.ask("GET", "/healthz", None, headers).status


@pytest.mark.parametrize("said", [True, False])
def test_a_large_body_is_413(server: Running, said: bool) -> None:
    """
    Whether it says so beforehand or not.
    """
    body = b"{" + b" " * 70_000
    headers = b"Content-Length: 70001\r\n\r\n" if said else b"Transfer-Encoding: chunked\r\n\r\n"
    with Wire(server) as wire:
        wire.write(HEAD + headers)
        with suppress(BrokenPipeError, ConnectionResetError):
            wire.write(body if said else b"11171\r\n" + body + b"\r\n0\r\n\r\n")
        assert (413, "too_large") == wire.read().error


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_cannot_be_read_is_400(server: Running, garbage: bytes) -> None:
    """
    In our own form, with a request id; two readings of one body's length are none.
    """
    with Wire(server) as wire:
        wire.write(garbage)
        said = wire.read()

        assert (400, "invalid_request") == said.error
        assert said.headers["x-request-id"]
        assert wire.ended()


def test_garbage_behind_a_good_request_does_not_disturb_its_answer(server: Running, core: FakeCore) -> None:
    """
    The good one is answered; what an error of the second would say could be taken for the first's.
    """
    with Wire(server) as wire:
        wire.write(WHOLE + b"\x00\x01garbage\r\n\r\n")
        assert 200 == wire.read().status
        assert wire.ended()


def test_who_hangs_up_in_the_middle_is_forgotten(server: Running, core: FakeCore) -> None:
    """
    The core hears nothing of it, and the next request is served.
    """
    with Wire(server) as wire:
        wire.write(HEAD + b"Content-Length: 500\r\n\r\n{")
    with Wire(server) as wire:
        wire.write(WHOLE)
        assert 200 == wire.read().status
    assert ["fresh_token"] == [name for name, _ in core.calls]


def test_a_sender_that_wants_a_sign_gets_it(server: Running) -> None:
    """
    Expect: 100-continue, from clients with large bodies.
    """
    with Wire(server) as wire:
        wire.write(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == wire.socket.recv(25)
        wire.write(BODY)
        assert 200 == wire.read().status


def test_nobody_is_let_into_a_websocket(server: Running) -> None:
    """
    The path is not there.
    """
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }

    assert 404 == server.ask("GET", "/socket", None, upgrade).status


def test_http_1_0_is_answered_and_closed(server: Running) -> None:
    """
    Old probes speak it.
    """
    with Wire(server) as wire:
        wire.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert 200 == wire.read().status
        assert wire.ended()


def test_forwarding_headers_are_not_believed_by_the_server_either(server: Running) -> None:
    """
    uvicorn would by default believe a loopback peer.
    """
    said = server.ask("GET", "/v1/grants", None, {**KEYED, "X-Forwarded-Proto": "https"})

    assert (403, "https_required") == said.error


def test_the_server_does_not_advertise_itself(server: Running) -> None:
    """
    Nobody needs to know what it runs on.
    """
    assert "server" not in server.ask("POST", "/v1/redeem", {"code": "c"}, FROM_APP).headers


def test_the_limits_are_the_documented_ones() -> None:
    """
    A request of a phone on a bad network passes, a hoarder of connections does not.
    """
    assert (32 * 1024, 100, 10.0, 30.0) == (
        protocol.LARGEST_HEAD,
        protocol.MOST_HEADERS,
        protocol.REQUEST_SECONDS,
        protocol.SILENT_SECONDS,
    )
