"""
How bytes become requests: uvicorn's parser with the limits that it has not.

A head may have only so many bytes and a request only so many seconds from its
first byte to its last; who is slower gets 408 and the connection ends. Garbage gets
a JSON answer like everything else, with a request id.
"""

import asyncio
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from grantkeeper.errors import InvalidRequest, TooSlow
from grantkeeper.server import wire
from grantkeeper.server.guard import RequestIds
from grantkeeper.server.wire import Answer

LARGEST_HEAD: Final = 32 * 1024
MOST_HEADERS: Final = 100
REQUEST_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 30.0
"""How long a new connection may stay without a byte; load balancers open some in advance."""


LARGEST_PIECE: Final = 64 * 1024


class HeadTooLarge(Exception):
    """Ends the parsing of a head."""


class Corked:
    """
    A transport that sends what is written in one turn of the loop as one piece.

    uvicorn writes an answer's head and body apart; each piece would be a system
    call of ours, a packet, and a wake-up of the other side, which together cost
    more than finding the answer.
    """

    __slots__ = ("_loop", "_pieces", "_size", "_transport", "get_extra_info", "is_closing", "pause_reading")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.get_extra_info = transport.get_extra_info

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send *data* before the loop's next turn is over, or now if there is much of it."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > LARGEST_PIECE:
            self.flush()

    def flush(self) -> None:
        """Send what has been written."""
        if self._pieces:
            piece = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
            if not self._transport.is_closing():
                self._transport.write(piece)

    def close(self) -> None:
        """Send what has been written, and end."""
        self.flush()
        self._transport.close()


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    request_seconds = REQUEST_SECONDS
    silent_seconds = SILENT_SECONDS
    ids = RequestIds()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._since: float | None = None
        self._in_head = False
        self._head_raw = 0
        self._too_large = False
        self._watch: asyncio.TimerHandle | None = None

    # -- what asyncio calls -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there; the clock starts."""
        super().connection_made(cast("asyncio.Transport", Corked(transport, self.loop)))
        self._since = self.loop.time()
        self._watch = self.loop.call_later(min(self.silent_seconds, self.request_seconds), self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and see that a head does not grow without end in its buffer."""
        if self._in_head:
            self._head_raw += len(data)
        else:
            self._head_raw = len(data)
        super().data_received(data)
        if self._in_head and self._head_raw > LARGEST_HEAD and not self.transport.is_closing():
            self._refuse(wire.headers_too_large())

    # -- what the parser calls --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._since = self.loop.time()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        if len(self.headers) > MOST_HEADERS or (
            self._head_raw > LARGEST_HEAD and self._head_size() > LARGEST_HEAD
        ):
            self._too_large = True
            raise HeadTooLarge
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The last byte of a request; from here on it is our turn."""
        self._since = None
        super().on_message_complete()

    def _head_size(self) -> int:
        """Exactly, where the bytes that came with it might be another's."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    # -- refusing ---------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """What the parser cannot read."""
        if self._too_large:
            self._refuse(wire.headers_too_large())
        else:
            self._refuse(wire.refusal(InvalidRequest("this is not an HTTP request that can be read")))

    def _refuse(self, answer: Answer) -> None:
        """Answer past the application and hang up; an answer to an earlier request goes first and alone."""
        # uvicorn declares that it is always there, and it is not.
        cycle: RequestResponseCycle | None = self.cycle
        in_body = self._since is not None and not self._in_head
        if cycle is not None and cycle.response_complete and in_body:
            # It was answered before it was whole; a second answer would be taken for the next one's.
            self.transport.close()
            return
        if cycle is not None and not cycle.response_complete:
            if not in_body or cycle.response_started or self.pipeline:
                cycle.keep_alive = False
                self.pipeline.clear()
                return
            # The very request whose body does not come: the application learns that nobody waits.
            cycle.disconnected = True
            cycle.message_event.set()
        request_id = self.ids.of(dict(self.headers or ()))
        lines = [
            STATUS_LINE[answer.status],
            *(name + b": " + value + b"\r\n" for name, value in answer.headers),
            b"content-length: %d\r\n" % len(answer.body),
            b"x-request-id: " + request_id + b"\r\n",
            b"connection: close\r\n\r\n",
            answer.body,
        ]
        self.transport.write(b"".join(lines))
        self.transport.close()

    def _look(self) -> None:
        """Now and then: is somebody slower than allowed?"""
        self._watch = None
        if self.transport.is_closing():
            return
        now = self.loop.time()
        wait = self.request_seconds
        if self._since is not None and not self.flow.read_paused:
            begun = self._in_head or self.cycle is not None
            limit = self.request_seconds if begun else self.silent_seconds
            wait = self._since + limit - now
            if wait <= 0:
                if begun:
                    self._refuse(wire.refusal(TooSlow(f"the request was not whole after {limit:g} seconds")))
                else:
                    self.transport.close()
                wait = self.request_seconds
        self._watch = self.loop.call_later(max(wait, 0.05), self._look)
