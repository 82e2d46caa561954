"""One process of the service: a core on a loop of its own, uvicorn in front, and an end in peace."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from grantkeeper.library.core import KeeperCore
from grantkeeper.server.app import create_app
from grantkeeper.server.logs import Log
from grantkeeper.server.metrics import Board
from grantkeeper.server.protocol import GuardedProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from grantkeeper.settings import Settings

KEEP_ALIVE_SECONDS: Final = 75
"""Longer than the idle time of the usual balancers, so that they hang up and not we."""

GRACE_SECONDS: Final = 40
"""For answers under way when the end is announced; a redemption has 35 by its own claim."""

BACKLOG: Final = 2048

COLLECT_AFTER: Final = 10_000
"""New containers between two collections; a request makes some tens that mostly die at once by themselves."""


class Server(uvicorn.Server):
    """
    Tells when it answers, and ends in peace on a signal instead of raising it again.

    Args:
        handled: The signals that end it.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        handled: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM),
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._handled = handled

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: signals are heard for longer than it serves, see `hearing`."""
        yield

    @contextlib.contextmanager
    def hearing(self) -> Iterator[None]:
        """
        End on our own signals, and be deaf to them once all is closed.

        To be held until then. A second signal must neither end the process while it
        finishes what the first one found under way, nor spoil its exit status.
        """
        for number in self._handled:
            signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number in self._handled:
                signal.signal(number, signal.SIG_IGN)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._on_ready()


def server_config(app: "ASGIApp") -> uvicorn.Config:
    """
    How uvicorn serves us: our protocol with its limits, and none of its own ideas.

    In particular no ``proxy_headers``: who is believed about a forwarded
    address is our own guard's decision.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """
    A listening socket and its address as a URL.

    Raises:
        OSError, OverflowError, UnicodeError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError, UnicodeError):
        listener.close()
        raise
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return listener, f"http://{shown}:{listener.getsockname()[1]}"


def settle_memory() -> None:
    """
    Take what was made so far, modules most of all, out of the collector's sight.

    It lives as long as the process, and a collection in the middle of a request
    would walk through all of it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


async def run_node(
    settings: "Settings",
    listener: socket.socket,
    url: str,
    *,
    log: Log,
    board: Board | None = None,
    on_ready: Callable[[], None] = lambda: None,
    handled: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM),
) -> None:
    """
    Serve on *listener* until a signal says that it is enough.

    Then nothing new is accepted, what is under way is answered, and the core
    closes last: it starts no flights and waits for those that run.

    Raises:
        GrantkeeperError: The core cannot be opened.
    """
    core = await KeeperCore.open(settings, public_url=url)
    with contextlib.ExitStack() as until_closed:
        try:
            app = create_app(core, log=log, board=board)
            server = Server(server_config(app), on_ready, handled)
            until_closed.enter_context(server.hearing())
            settle_memory()
            async with app.service.watch():
                await server.serve([listener])
        finally:
            await core.close()


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run *main* on the fastest loop there is here."""
    try:
        import uvloop
    except ModuleNotFoundError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)
