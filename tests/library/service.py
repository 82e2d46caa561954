"""A running service for `RemoteKeeper`: the real application under uvicorn, in a thread."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, TypeVar

import uvicorn

from grantkeeper.library.core import KeeperCore
from grantkeeper.model import Caller, Permission
from grantkeeper.secret import CallerKey
from grantkeeper.server.app import create_app
from grantkeeper.settings import Settings

T = TypeVar("T")


class Service:
    """
    A node with its callers.

    Attributes:
        url: Its address.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        clients = options.pop("clients")
        self._settings = Settings.of(clients, **options)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def caller(self, name: str, **rules: Any) -> CallerKey:
        """A new caller's key."""

        async def add() -> CallerKey:
            key = f"gk_{token_urlsafe(32)}"
            digest = sha256(key.encode()).digest()
            caller = Caller(id=name, name=name, key_hash=digest, created_at=datetime.now(UTC), **rules)
            await self._core.store.add_caller(caller)
            return CallerKey(key)

        return asyncio.run_coroutine_threadsafe(add(), self._loop).result()

    async def narrow(self, name: str, **rules: Any) -> None:
        """Change a caller's rules, on the service's own store; its memory of the caller is gone, too."""

        async def change(core: KeeperCore) -> None:
            known = next(one for one in await core.store.callers() if one.name == name)
            await core.store.change_caller(replace(known, **rules))

        await self.ask(change)

    async def ask(self, call: Callable[[KeeperCore], Coroutine[Any, Any, T]]) -> T:
        """Whatever *call* says of the service's core."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(self._core), self._loop))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._core = await KeeperCore.open(self._settings, public_url=self.url)
        config = uvicorn.Config(create_app(self._core), lifespan="off", log_config=None, access_log=False)
        self._server = uvicorn.Server(config)
        serving = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started:
            await asyncio.sleep(0.01)
        self._ready.set()
        await serving
        await self._core.close()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        assert self._ready.wait(20)

    def stop(self) -> None:
        """End."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


@contextmanager
def running(options: dict[str, Any]) -> Iterator[Service]:
    """A service that answers meanwhile."""
    service = Service(dict(options))
    service.start()
    try:
        yield service
    finally:
        service.stop()


TOKENS_ONLY = {"permissions": frozenset({Permission.TOKEN})}
