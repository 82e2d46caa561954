"""The ASGI application: the raw route of tokens in front, the router of everything else behind."""

from collections import defaultdict
from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from grantkeeper.server import token
from grantkeeper.server.call import FIRST_MESSAGE
from grantkeeper.server.logs import Log, embedded_log, failure
from grantkeeper.server.metrics import Board
from grantkeeper.server.operations import Operation
from grantkeeper.server.resource import Nowhere, Resource
from grantkeeper.server.routes import APP_ROUTES, ROUTES
from grantkeeper.server.service import Service
from grantkeeper.server.wire import JSON, NO_STORE

if TYPE_CHECKING:
    from grantkeeper.library.core import KeeperCore


class App:
    """
    The service as an ASGI app.

    Attributes:
        service: What its routes share; a process of our own runs `Service.watch` beside it.
    """

    def __init__(self, service: Service, router: ASGIApp, *, tokens: bool) -> None:
        self.service = service
        self._router = router
        self._raw = (token.PATH, "POST") if tokens else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Nobody but HTTP is served."""
        if scope["type"] != "http":
            await _decline(scope, receive, send)
        elif self._raw != (scope["path"], scope["method"]) or not await self._hit(scope, receive, send):
            await self._router(scope, receive, send)

    async def _hit(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """The raw lane: hand a token out from memory, or leave everything to the router."""
        started = perf_counter()
        service = self.service
        headers = dict(scope["headers"])
        caller = token.plain_caller(service, scope, headers)
        if caller is None:
            return False
        message = await receive()
        try:
            body = token.from_memory(service, caller, message, headers[b"authorization"])
        except Exception as error:  # noqa: BLE001 - told, and the other lane may yet answer
            service.log.error("request.failed", route=token.PATH, **failure(error))
            body = None
        if body is None:
            scope[FIRST_MESSAGE] = message
            return False
        sized = (b"content-length", b"%d" % len(body))
        named = (b"x-request-id", service.ids.of(headers))
        await send({"type": "http.response.start", "status": 200, "headers": [JSON, NO_STORE, sized, named]})
        await send({"type": "http.response.body", "body": body})
        service.tally.hit(perf_counter() - started)
        return True


async def _decline(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1002})
        return
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def _router(service: Service, operations: Iterable[Operation]) -> Router:
    by_path: dict[str, dict[str, Operation]] = defaultdict(dict)
    for operation in operations:
        by_path[operation.path][operation.method] = operation
    routes = [Route(path, Resource(service, path, methods)) for path, methods in by_path.items()]
    return Router(routes, redirect_slashes=False, default=Nowhere(service))


def create_app(
    core: "KeeperCore", *, log: Log | None = None, board: Board | None = None, apps_only: bool = False
) -> App:
    """
    The service around *core*, for any ASGI server on the core's own loop.

    Args:
        log: Where events go; default the program's own logging.
        board: Where workers put their numbers for one another.
        apps_only: Only the routes that apps and their users need, to be mounted in another program.
    """
    service = Service(core, log=embedded_log() if log is None else log, board=board)
    if apps_only:
        return App(service, _router(service, APP_ROUTES), tokens=False)
    return App(service, _router(service, ROUTES), tokens=True)
