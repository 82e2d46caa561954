"""Runs the emulator: in the foreground for the command line, in a thread for tests and the demo."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from grantkeeper.emulator.app import Config, create_app
from grantkeeper.emulator.wire import TRANSPORT
from grantkeeper.emulator.world import World


class _Protocol(HttpToolsProtocol):
    """Offers the connection to the application, so that a fault can hang up in the middle of an answer."""

    def on_headers_complete(self) -> None:
        extensions: Any = {TRANSPORT: self.transport}
        self.scope["extensions"] = extensions
        super().on_headers_complete()


class _Server(uvicorn.Server):
    """A server that tells when it answers, and ends in peace on a signal instead of raising it again."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], *, signals: bool) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._handled = (signal.SIGINT, signal.SIGTERM) if signals else ()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in self._handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def run(
    port: int = 0,
    host: str = "127.0.0.1",
    clock_file: Path | str | None = None,
    issuer: str | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """
    Serve until interrupted (SIGINT or SIGTERM).

    Args:
        port: Where to listen; 0 picks a free one.
        host: The address to listen on.
        clock_file: Shares the clock, see `grantkeeper.emulator.clock.MovableClock`.
        issuer: The ``iss`` to claim; default the emulator's own address.
        ready: Called once with the address, as soon as it answers.

    Raises:
        OSError: The port is taken, or the clock file cannot be written.
    """
    run_on(*listen(host, port), clock_file, issuer, ready)


def run_on(
    listener: socket.socket,
    url: str,
    clock_file: Path | str | None = None,
    issuer: str | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """The same on a socket and an address from `listen`."""
    config = Config(url, issuer, None if clock_file is None else Path(clock_file))
    tell = (lambda: None) if ready is None else partial(ready, url)
    server = _Server(_uvicorn_config(create_app(config)), tell, signals=True)
    server.run(sockets=[listener])


class EmulatorServer:
    """
    An emulator in a background thread of this process.

    >>> with EmulatorServer() as emulator:
    ...     emulator.url.startswith("http://127.0.0.1:")
    True

    Attributes:
        url: Its address, without a trailing slash.
        world: Its state, for tests that look or reach inside; hold ``world.lock`` to change it.
    """

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        clock_file: Path | str | None = None,
        issuer: str | None = None,
    ) -> None:
        self._listener, self.url = listen(host, port)
        self.world = World(self.url, issuer, None if clock_file is None else Path(clock_file))
        self._answers = threading.Event()
        app = create_app(Config(self.url, issuer), self.world)
        self._server = _Server(_uvicorn_config(app), self._answers.set, signals=False)
        self._thread = threading.Thread(target=self._serve, name="google-emulator", daemon=True)

    def start(self) -> Self:
        """
        Begin to answer; returns when it does.

        Raises:
            RuntimeError: The server died instead.
        """
        self._thread.start()
        while not self._answers.wait(0.05):
            if not self._thread.is_alive():
                raise RuntimeError("the emulator's server did not start")
        return self

    def stop(self) -> None:
        """Hang up and wait for the thread. The world stays readable."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        self._server.run([self._listener])


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """
    A bound socket, and the emulator's address on it.

    Raises:
        OSError, OverflowError, UnicodeError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError, UnicodeError):
        listener.close()
        raise
    return listener, address_of(host, listener.getsockname()[1])


def address_of(host: str, port: int) -> str:
    """The base URL of a server on *host*; one that listens everywhere is called by its loopback."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{named}]:{port}" if ":" in named else f"http://{named}:{port}"


def _uvicorn_config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
