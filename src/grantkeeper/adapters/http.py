"""
The `Http` port over aiohttp: one request out, one answer in, and exact about what may have arrived.

A code is never sent twice and a refresh that never left is not uncertain, so
every failure says whether the request may have reached the other side. aiohttp
is loaded with the first request: it takes a quarter of a second.
"""

import asyncio
import io
import os
import ssl
import zlib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from grantkeeper import __version__
from grantkeeper.errors import AnswerTooLarge, HttpFailed
from grantkeeper.protocol.discovery import is_safe_url
from grantkeeper.protocol.message import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, TraceConfig, TraceRequestHeadersSentParams

CONNECTIONS = 100
"""At most so many at once, of each kind; more wait, within their own limits."""

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept: below the five after which common servers hang up."""

LARGEST_LINE = 8 * 1024
LARGEST_HEADER = 16 * 1024
MOST_HEADERS = 100

AT_ONCE = 256 * 1024
"""Bytes of a body that are written in one piece."""

REPEATABLE = frozenset({"GET", "HEAD"})
"""What may go out again when a kept connection turns out to be dead."""

GZIP = zlib.MAX_WBITS | 16

HEADERS = {"accept-encoding": "identity", "user-agent": f"grantkeeper/{__version__}"}


@dataclass(slots=True)
class _Sending:
    """How far one request came."""

    method: str
    begun: bool = False
    """Set just before the first byte is written."""


class AiohttpHttp:
    """
    The `Http` port. Every loop that uses it gets sessions of its own.

    Args:
        tls: Whom to trust, where that is not the system's list; it must verify.
        trust_env: Whether ``HTTPS_PROXY`` and its kin are followed.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, trust_env: bool = False) -> None:
        if tls is not None and (tls.verify_mode is not ssl.CERT_REQUIRED or not tls.check_hostname):
            raise ValueError("a TLS context that does not verify would give secrets to anybody")
        self._tls = tls
        self._trust_env = trust_env
        self._sessions: dict[tuple[asyncio.AbstractEventLoop, bool], ClientSession] = {}
        self._closed = False

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        if not is_safe_url(request.url):
            raise HttpFailed("the address is not one that secrets may go to", may_have_arrived=False)
        parts = urlsplit(request.url)
        where = f"{request.method} {parts.scheme}://{parts.netloc}{parts.path}"
        sending = _Sending(request.method)
        session = self._session(fresh)
        try:
            async with asyncio.timeout(seconds):
                return await _exchange(session, request, largest, sending)
        except AnswerTooLarge:
            raise AnswerTooLarge(f"{where}: the answer has more than {largest} bytes") from None
        except TimeoutError:
            text = f"no whole answer within {seconds:g} seconds"
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, the outcome must be told
            text = _named(error)
        # Not chained: aiohttp's errors may quote the answer, and a token with it.
        raise HttpFailed(f"{where}: {text}", may_have_arrived=sending.begun)

    def warm(self) -> None:
        """Load aiohttp now, so that the first request does not hold up its loop."""
        import aiohttp  # noqa: F401

    async def close(self) -> None:
        """Close the connections of the running loop. Requests in flight fail; no new ones are taken."""
        self._closed = True
        loop = asyncio.get_running_loop()
        for key in [key for key in self._sessions if key[0] is loop]:
            await self._sessions.pop(key).close()

    def _session(self, fresh: bool) -> "ClientSession":
        loop = asyncio.get_running_loop()
        session = self._sessions.get((loop, fresh))
        if session is None:
            if self._closed:
                raise RuntimeError("this Http is closed")
            session = self._sessions[loop, fresh] = _new_session(self._tls, self._trust_env, fresh=fresh)
        return session


def _new_session(tls: ssl.SSLContext | None, trust_env: bool, *, fresh: bool) -> "ClientSession":
    import aiohttp

    if fresh:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=tls or True, force_close=True)
    else:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=tls or True, keepalive_timeout=KEEP_ALIVE)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=HEADERS,
        timeout=aiohttp.ClientTimeout(total=None, connect=None),
        auto_decompress=False,
        trust_env=trust_env,
        trace_configs=[_watch()],
        max_line_size=LARGEST_LINE,
        max_field_size=LARGEST_HEADER,
        max_headers=MOST_HEADERS,
    )


def _watch() -> "TraceConfig":
    """Marks every request at the moment it leaves, and stops aiohttp from sending one a second time."""
    import aiohttp

    async def leaves(
        session: "ClientSession", context: SimpleNamespace, params: "TraceRequestHeadersSentParams"
    ) -> None:
        sending: _Sending = context.trace_request_ctx
        if sending.begun and sending.method not in REPEATABLE:
            raise ConnectionResetError("the connection was lost; the request does not go out again")
        sending.begun = True

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(leaves)
    return config


async def _exchange(
    session: "ClientSession", request: HttpRequest, largest: int, sending: _Sending
) -> HttpResponse:
    from yarl import URL

    async with session.request(
        request.method,
        URL(request.url, encoded=True),
        data=_data(request.body),
        headers=request.headers,
        allow_redirects=False,
        trace_request_ctx=sending,
    ) as response:
        # Left with the body unread, aiohttp closes the connection.
        body = await _body(response, largest)
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            lower = name.lower()
            headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
        return HttpResponse(response.status, body, headers)


def _data(body: bytes) -> bytes | io.BytesIO | None:
    """A large body goes in pieces, so that writing it does not hold up the loop."""
    return io.BytesIO(body) if len(body) > AT_ONCE else body or None


async def _body(response: "ClientResponse", largest: int) -> bytes:
    """The body, unpacked; never more than *largest* bytes and one chunk are held."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise ValueError("the answer has a content-encoding that was not asked for")
    if response.content_length is not None and response.content_length > largest:
        raise AnswerTooLarge("declared")
    unpacker = zlib.decompressobj(GZIP) if "gzip" in encoding else None
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk if unpacker is None else unpacker.decompress(chunk, largest + 1 - len(body))
        if len(body) > largest:
            raise AnswerTooLarge("counted")
    if unpacker is not None and not unpacker.eof and response.method != "HEAD":
        raise ValueError("the packed answer ends too early")
    return bytes(body)


def _named(error: Exception) -> str:
    """What went wrong, without a word that came from the other side."""
    number = error.errno if isinstance(error, OSError) else None
    return type(error).__name__ + (f" ({os.strerror(number)})" if number is not None and number > 0 else "")
