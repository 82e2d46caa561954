"""A server of raw bytes for tests: it says exactly what a test tells it to, and counts what it heard."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from grantkeeper.adapters.http import AiohttpHttp
from grantkeeper.errors import HttpFailed
from grantkeeper.protocol.message import HttpRequest

Writes = Callable[[asyncio.StreamWriter], Awaitable[None]]

LIMIT = 4096
BODY = b"grant_type=authorization_code&code=4%2Fabc&redirect_uri="

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Heard:
    """What came in, and what happens next."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a connection has ended."""

    def url(self, path: str = "/token", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


def says(answer: bytes, *, then_close: bool = True) -> Writes:
    """Send *answer* and hang up, or keep the connection."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        if then_close:
            writer.close()

    return write


async def hangs(writer: asyncio.StreamWriter) -> None:
    """Say nothing."""


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)


@contextlib.asynccontextmanager
async def hostile(
    *answers: Writes, on_connect: Writes | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Heard]:
    """Answer the first request with the first of *answers* and so on; the last one is repeated."""
    heard = Heard()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.connections += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                if on_connect is not None:
                    await on_connect(writer)
                while not writer.is_closing():
                    request = await _request(reader)
                    heard.requests.append(request)
                    await answers[min(len(heard.requests), len(answers)) - 1](writer)
        finally:
            heard.over.set()
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    heard.port = server.sockets[0].getsockname()[1]
    try:
        yield heard
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# -- asking it ----------------------------------------------------------------------------------


def post(heard: Heard, path: str = "/token", method: str = "POST") -> HttpRequest:
    return HttpRequest(
        method, heard.url(path), BODY, {"content-type": "application/x-www-form-urlencoded", "x-test": "1"}
    )


async def failure(
    http: AiohttpHttp, request: HttpRequest, *, seconds: float = 5, fresh: bool = True
) -> HttpFailed:
    """The failure of sending *request*."""
    with pytest.raises(HttpFailed) as caught:
        await http.send(request, seconds=seconds, largest=LIMIT, fresh=fresh)
    return caught.value
