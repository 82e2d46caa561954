"""The `Http` port over aiohttp, against servers that break every rule."""

import asyncio
import gzip
import subprocess
import sys
import threading
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest

from grantkeeper.adapters.http import AiohttpHttp
from grantkeeper.errors import AnswerTooLarge, HttpFailed
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from tests.adapters.hostile import BODY, LIMIT, OK, Writes, failure, hangs, hostile, post, says

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http() -> AsyncIterator[AiohttpHttp]:
    adapter = AiohttpHttp()
    yield adapter
    await adapter.close()


# -- what works --------------------------------------------------------------------------------


async def test_a_request_arrives_byte_for_byte(http: AiohttpHttp) -> None:
    """
    The body, an empty field included, its headers and the encoded address are what was built.
    """
    async with hostile(says(OK)) as heard:
        answer = await http.send(post(heard, "/token?a=%2F%20b&c="), seconds=5, largest=LIMIT)

    (request,) = heard.requests
    assert request.startswith(b"POST /token?a=%2F%20b&c= HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n" + BODY)
    assert b"\r\nx-test: 1\r\n" in request
    assert HttpResponse(200, b"{}", {"content-length": "2"}) == answer


@pytest.mark.parametrize("size", [256 * 1024, 256 * 1024 + 1, 3 * 1024 * 1024])
async def test_a_large_body_arrives_byte_for_byte(http: AiohttpHttp, size: int) -> None:
    """
    Both sides of what is written in one piece, and what an upload sends; its length is announced.
    """
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with hostile(says(OK)) as heard:
        request = HttpRequest("POST", f"http://127.0.0.1:{heard.port}/upload", body)
        await http.send(request, seconds=20, largest=LIMIT)

    head, _, arrived = heard.requests[0].partition(b"\r\n\r\n")
    assert body == arrived
    assert f"content-length: {size}".encode() in head.lower()


async def test_header_names_are_lower_case_and_repeated_headers_are_joined(http: AiohttpHttp) -> None:
    """
    RFC 9110 section 5.3; a value that is not UTF-8 is no reason to lose an answer.
    """
    head = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nCACHE-CONTROL: max-age=5\r\nX-Odd: \xff\xfe\r\n"
    async with hostile(says(head + b"Content-Length: 0\r\n\r\n")) as heard:
        answer = await http.send(post(heard), seconds=5, largest=LIMIT)

    assert "no-store, max-age=5" == answer.headers["cache-control"]
    assert "x-odd" in answer.headers


async def test_a_redirect_is_an_answer(http: AiohttpHttp) -> None:
    """
    Nothing is sent to where it points.
    """
    async with hostile(says(b"HTTP/1.1 307 Go\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n")) as heard:
        answer = await http.send(post(heard), seconds=5, largest=LIMIT)

    assert (307, 1) == (answer.status, len(heard.requests))


async def test_cookies_are_not_kept(http: AiohttpHttp) -> None:
    """
    One request knows nothing of another.
    """
    with_cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 2\r\n\r\n{}"
    async with hostile(says(with_cookie, then_close=False)) as heard:
        # By name: a jar would not keep cookies of a bare address.
        request = HttpRequest("POST", f"http://localhost:{heard.port}/token", BODY)
        for _ in range(2):
            await http.send(request, seconds=5, largest=LIMIT)

    assert b"cookie" not in heard.requests[1].lower()


async def test_an_answer_as_long_as_the_limit_is_taken(http: AiohttpHttp) -> None:
    """
    The limit itself is allowed.
    """
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n" + b"x" * LIMIT
    async with hostile(says(whole)) as heard:
        answer = await http.send(post(heard), seconds=5, largest=LIMIT)

    assert b"x" * LIMIT == answer.body


async def test_a_packed_answer_is_unpacked_though_none_was_asked_for(http: AiohttpHttp) -> None:
    """
    Something between may pack answers; a refresh token must not be lost for it.
    """
    packed = gzip.compress(b'{"access_token": "ya29"}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    async with hostile(says(head + packed)) as heard:
        answer = await http.send(post(heard), seconds=5, largest=LIMIT)

    assert b"\r\naccept-encoding: identity\r\n" in heard.requests[0].lower()
    assert b'{"access_token": "ya29"}' == answer.body


async def test_an_early_hint_is_passed_over(http: AiohttpHttp) -> None:
    """
    1xx answers are not the answer (RFC 9110 15.2).
    """
    async with hostile(says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)) as heard:
        answer = await http.send(post(heard), seconds=5, largest=LIMIT)

    assert 200 == answer.status


async def test_connections_are_kept_but_not_for_fresh_requests(http: AiohttpHttp) -> None:
    """
    A refresh saves the handshake, a code never travels on a used connection.
    """
    async with hostile(says(OK, then_close=False)) as heard:
        for _ in range(3):
            await http.send(post(heard), seconds=5, largest=LIMIT)
        kept = heard.connections
        for _ in range(3):
            await http.send(post(heard), seconds=5, largest=LIMIT, fresh=True)

    assert (1, 4) == (kept, heard.connections)


async def test_proxy_variables_are_not_followed(http: AiohttpHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An environment variable must not send secrets through somebody's proxy.
    """
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with hostile(says(OK)) as heard:
        answer = await http.send(post(heard), seconds=5, largest=LIMIT)

    assert 200 == answer.status


async def test_each_loop_has_its_own_connections(http: AiohttpHttp) -> None:
    """
    The library's loop thread and the server's loop may use one adapter.
    """
    statuses: list[int] = []

    async def elsewhere() -> None:
        async with hostile(says(OK)) as heard:
            statuses.append((await http.send(post(heard), seconds=5, largest=LIMIT)).status)
        for key in [key for key in http._sessions if key[0] is asyncio.get_running_loop()]:
            await http._sessions.pop(key).close()

    async with hostile(says(OK)) as heard:
        await http.send(post(heard), seconds=5, largest=LIMIT)
        thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
        thread.start()
        await asyncio.to_thread(thread.join)
        await http.send(post(heard), seconds=5, largest=LIMIT)

    assert [200] == statuses


# -- what may have arrived ----------------------------------------------------------------------

GZIP_HEAD = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"

BROKEN: dict[str, Writes] = {
    "closed without an answer": says(b""),
    "half a status line": says(b"HTTP/1.1 20"),
    "half the headers": says(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "not HTTP": says(b"SSH-2.0-marker\r\nmarker\r\n\r\n"),
    "status not a number": says(b"HTTP/1.1 marker OK\r\n\r\n"),
    "less than its length": says(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nmarker"),
    "length not a number": says(b"HTTP/1.1 200 OK\r\nContent-Length: marker\r\n\r\nmarker"),
    "two lengths": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 6\r\n\r\nmarker"),
    "negative length": says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nmarker"),
    "half a chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n63\r\nmarker"),
    "no last chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nmarker\r\n"),
    "chunk size not a number": says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmarker\r\nmarker\r\n0\r\n\r\n"
    ),
    "a header without a name": says(b"HTTP/1.1 200 OK\r\n: marker\r\nContent-Length: 2\r\n\r\n{}"),
    "one endless header": says(b"HTTP/1.1 200 OK\r\nX: " + b"marker" * 50_000 + b"\r\n\r\n"),
    "a thousand headers": says(b"HTTP/1.1 200 OK\r\n" + b"X-A: marker\r\n" * 1000 + b"\r\n"),
    "packed in an unknown way": says(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"
    ),
    "packed and cut": says(GZIP_HEAD + gzip.compress(b"marker" * 100)[:-9]),
    "not packed as it says": says(GZIP_HEAD + b"marker"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("fresh", [True, False])
async def test_after_a_broken_answer_the_request_may_have_arrived(
    http: AiohttpHttp, name: str, fresh: bool
) -> None:
    """
    It did: the server acted on it, once, and the error quotes nothing that came back.
    """
    async with hostile(BROKEN[name]) as heard:
        error = await failure(http, post(heard), fresh=fresh)

    said = "".join(traceback.format_exception(error))
    assert True is error.may_have_arrived
    assert 1 == len(heard.requests)
    assert "marker" not in said
    assert "abc" not in said


async def test_silence_after_the_request_is_uncertain(http: AiohttpHttp) -> None:
    """
    The time limit says that it may have arrived, and the connection is closed, not left behind.
    """
    async with hostile(hangs) as heard:
        error = await failure(http, post(heard), seconds=2)
        await asyncio.wait_for(heard.over.wait(), 30)

    assert True is error.may_have_arrived


async def drips(writer: asyncio.StreamWriter) -> None:
    """A body of which a byte comes now and then, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def test_the_time_limit_covers_a_body_that_drips(http: AiohttpHttp) -> None:
    """
    It is a limit on everything together, not on each read.
    """
    async with hostile(drips) as heard:
        async with asyncio.timeout(40):  # half of what the whole body would take
            error = await failure(http, post(heard), seconds=2)

    assert True is error.may_have_arrived


async def floods(writer: asyncio.StreamWriter) -> None:
    """A chunked body without end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        await writer.drain()


def bomb() -> bytes:
    """Fifty megabytes in fifty kilobytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(50)) + packer.flush()


@pytest.mark.parametrize(
    "answer",
    [
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n" + b"x" * 4097),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", then_close=False),
        says(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000),
        floods,
        says(GZIP_HEAD + bomb()),
    ],
    ids=["declared", "declared-and-held", "until-the-end", "endless", "bomb"],
)
async def test_too_large_an_answer_is_cut_off(http: AiohttpHttp, answer: Writes) -> None:
    """
    Whether the size is declared, hidden in chunks or packed; the connection is closed.
    """
    async with hostile(answer) as heard:
        error = await failure(http, post(heard), fresh=False)

    assert AnswerTooLarge is type(error)
    assert True is error.may_have_arrived
    assert "more than 4096 bytes" in str(error)


async def test_a_bomb_does_not_go_off(http: AiohttpHttp) -> None:
    """
    Unpacking stops at the limit instead of being measured afterwards.
    """
    async with hostile(says(GZIP_HEAD + bomb())) as heard:
        await failure(http, HttpRequest("GET", heard.url()))
        tracemalloc.start()
        try:
            await failure(http, HttpRequest("GET", heard.url()))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert most < 2 << 20


# -- kept connections ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_but_a_read_is_sent_twice(http: AiohttpHttp, method: str) -> None:
    """
    A kept connection that dies under the request makes the outcome uncertain; aiohttp must not try again.
    """
    async with hostile(says(OK, then_close=False), says(b""), says(OK)) as heard:
        await http.send(post(heard, method=method), seconds=5, largest=LIMIT)
        error = await failure(http, post(heard, method=method), fresh=False)

    assert True is error.may_have_arrived
    assert 2 == len(heard.requests)


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_first_connection_that_dies_is_not_replaced(
    http: AiohttpHttp, method: str, fresh: bool
) -> None:
    """
    The same where nothing was kept.
    """
    async with hostile(says(b""), says(OK)) as heard:
        await failure(http, post(heard, method=method), fresh=fresh)

    assert 1 == len(heard.requests)


async def test_a_read_survives_a_dead_kept_connection(http: AiohttpHttp) -> None:
    """
    Keys and discovery documents may be asked for again at once (RFC 9110 9.2.2).
    """
    async with hostile(says(OK, then_close=False), says(b""), says(OK)) as heard:
        for _ in range(2):
            answer = await http.send(HttpRequest("GET", heard.url()), seconds=5, largest=LIMIT)

    assert (200, 3) == (answer.status, len(heard.requests))


async def test_an_answer_that_nobody_asked_for_reaches_no_later_request(http: AiohttpHttp) -> None:
    """
    A second answer behind the first must not become the answer to the next request.
    """
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    async with hostile(says(OK + forged, then_close=False), says(OK)) as heard:
        first = await http.send(post(heard), seconds=5, largest=LIMIT)
        await asyncio.sleep(0.05)
        second = await http.send(post(heard), seconds=5, largest=LIMIT)

    assert [b"{}", b"{}"] == [first.body, second.body]


async def test_what_was_left_unread_reaches_no_later_request(http: AiohttpHttp) -> None:
    """
    After a cut-off answer the next request travels on a new connection.
    """
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 4500
    async with hostile(says(large, then_close=False), says(OK)) as heard:
        await failure(http, post(heard), fresh=False)
        answer = await http.send(post(heard), seconds=5, largest=LIMIT)

    assert (b"{}", 2) == (answer.body, heard.connections)


# -- ending -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("answer", [hangs, drips], ids=["before the answer", "in the body"])
async def test_a_cancelled_request_closes_its_connection(
    http: AiohttpHttp, answer: Writes, fresh: bool
) -> None:
    """
    Nothing keeps running behind the back of somebody who left.
    """
    async with hostile(answer) as heard:
        task = asyncio.create_task(http.send(post(heard), seconds=30, largest=LIMIT, fresh=fresh))
        while not heard.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(heard.over.wait(), 30)

    assert 1 == len(heard.requests)


async def test_a_closed_adapter_takes_no_requests(http: AiohttpHttp) -> None:
    """
    Using it after its end is our own mistake, not the network's.
    """
    async with hostile(says(OK, then_close=False)) as heard:
        await http.send(post(heard), seconds=5, largest=LIMIT)
        await http.close()
        await asyncio.wait_for(heard.over.wait(), 30)
        with pytest.raises(RuntimeError, match="closed"):
            await http.send(post(heard), seconds=5, largest=LIMIT)


async def test_closing_ends_requests_in_flight(http: AiohttpHttp) -> None:
    """
    They fail like a lost connection, and say that they may have arrived.
    """
    async with hostile(hangs) as heard:
        task = asyncio.create_task(http.send(post(heard), seconds=30, largest=LIMIT))
        while not heard.requests:
            await asyncio.sleep(0.01)
        await http.close()
        with pytest.raises(HttpFailed) as caught:
            await task

    assert True is caught.value.may_have_arrived


def test_aiohttp_is_loaded_with_the_first_request() -> None:
    """
    Importing the adapter must not cost aiohttp's import time; `warm` pays it when there is time.
    """
    script = (
        "import sys; from grantkeeper.adapters.http import AiohttpHttp; http = AiohttpHttp();"
        "print('aiohttp' in sys.modules); http.warm(); print('aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ["False", "True"] == done.stdout.split()
