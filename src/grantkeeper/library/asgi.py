"""
The routes for apps as an ASGI application inside somebody else's.

The host's server has its loop and the keeper has its own. A request is answered
on the keeper's, where everything it touches lives; only its events cross over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from grantkeeper.library.core import KeeperCore
from grantkeeper.library.loop import Home

T = TypeVar("T")


class AppFacing:
    """
    The application; the keeper behind it is opened by the first request, in each process.

    Args:
        build: Makes the routes around a core, on the core's loop.
    """

    def __init__(self, home: Home[KeeperCore], build: Callable[[KeeperCore], ASGIApp]) -> None:
        self._home = home
        self._build = build
        self._core: KeeperCore | None = None
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or take part in a lifespan in which there is nothing to do."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        host = asyncio.get_running_loop()

        async def there(core: KeeperCore) -> None:
            await self._around(core)(scope, _across(host, receive), _across(host, send))

        await self._home.ask(there)

    def _around(self, core: KeeperCore) -> ASGIApp:
        if self._app is None or core is not self._core:
            # The first request of this process.
            self._app, self._core = self._build(core), core
        return self._app


def _across(
    host: asyncio.AbstractEventLoop, call: Callable[..., Awaitable[T]]
) -> Callable[..., Awaitable[T]]:
    """*call*, which belongs to the loop *host*, for a caller on another."""

    async def on_host(*events: Any) -> T:
        return await call(*events)

    async def hop(*events: Any) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(on_host(*events), host))

    return hop


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def app_facing(home: Home[KeeperCore]) -> ASGIApp:
    """See `grantkeeper.library.local.Keeper.asgi`."""
    from grantkeeper.server.app import create_app

    return AppFacing(home, lambda core: create_app(core, apps_only=True))
