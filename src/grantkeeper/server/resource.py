"""
A path behind the router: the order of checks, and what becomes of every error.

HTTPS, then the method, then what its door asks (for apps the header and the
origin), then the caller key, then the permission; only then is a body read.
"""

from collections.abc import Mapping
from time import perf_counter

from starlette.types import Receive, Scope, Send

from grantkeeper.errors import CallerUnknown, GrantkeeperError, OriginNotAllowed
from grantkeeper.server import pages, wire
from grantkeeper.server.call import Call
from grantkeeper.server.guard import cors, preflight_headers, refuse_forged
from grantkeeper.server.logs import failure
from grantkeeper.server.operations import Door, Operation
from grantkeeper.server.requests import Disconnected
from grantkeeper.server.service import Service
from grantkeeper.server.wire import Answer


class Resource:
    """What answers at one path, as an ASGI app."""

    def __init__(self, service: Service, path: str, operations: Mapping[str, Operation]) -> None:
        self._service = service
        self._path = path
        self._operations = operations
        self._doors = {operation.door for operation in operations.values()}
        allowed = set(operations)
        if "GET" in allowed:
            allowed.add("HEAD")
        if Door.APP in self._doors:
            allowed.add("OPTIONS")
        self._allowed = ", ".join(sorted(allowed))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        call = Call(self._service, scope, receive)
        try:
            answer = await self._answer(call)
        except Disconnected:
            self._note(call, 499, "disconnected")
            return
        except GrantkeeperError as error:
            answer = self._refused(call, error)
        except Exception as error:  # noqa: BLE001 - the last resort: no traceback ever leaves
            self._service.log.error("request.failed", **call.named(), route=self._path, **failure(error))
            answer = wire.internal_error()
        if Door.APP in self._doors:
            answer = answer.adding(*cors(call.origin))
        self._note(call, answer.status, answer.error)
        await wire.send_answer(send, answer, call.request_id, head=call.method == "HEAD")

    async def _answer(self, call: Call) -> Answer:
        if Door.OPEN not in self._doors:
            call.address = self._service.transport.sender(call.scope, call.headers)
        if call.method == "OPTIONS" and Door.APP in self._doors:
            return self._preflight(call)
        operation = self._operations.get("GET" if call.method == "HEAD" else call.method)
        if operation is None:
            return wire.method_not_allowed(self._allowed)
        if operation.door is Door.APP:
            refuse_forged(call.headers)
            call.origin = self._service.origins.check(call.all(b"origin"))
        if operation.door in (Door.APP, Door.CALLER):
            call.permission = operation.permission
            if await call.identify() is None and operation.door is Door.CALLER:
                raise CallerUnknown("this needs a caller key")
        return await operation.handler(self._service, call)

    def _preflight(self, call: Call) -> Answer:
        """A browser asks whether a page may post here (Fetch 4.8): yes to every configured origin."""
        origins = call.all(b"origin")
        if not origins:
            return Answer(204, headers=((b"allow", self._allowed.encode()),))
        origin = self._service.origins.check(origins)
        assert origin is not None
        methods = ", ".join(sorted(self._operations))
        return Answer(204, headers=preflight_headers(origin, methods))

    def _refused(self, call: Call, error: GrantkeeperError) -> Answer:
        if isinstance(error, OriginNotAllowed):
            call.origin = None
        if wire.told_as(error) is None:
            self._service.log.error("request.failed", **call.named(), route=self._path, error=error.code)
            return wire.internal_error()
        answer = wire.refusal(error)
        if Door.BROWSER in self._doors and b"text/html" in call.headers.get(b"accept", b""):
            tell = self._service.log.warning if answer.status >= 500 else self._service.log.info
            tell("sign_in.stopped", **call.named(), route=self._path, error=error.code, text=error.text)
            return pages.trouble(error, answer, path=self._path, request_id=call.request_id)
        return answer

    def _note(self, call: Call, status: int, error: str | None) -> None:
        seconds = perf_counter() - call.started
        method = call.method if call.method in METHODS else "OTHER"
        self._service.tally.answered(self._path, method, status, seconds)
        tell = self._service.log.debug if Door.OPEN in self._doors else self._service.log.info
        ids = call.named()
        if error is not None:
            ids["error"] = error
        tell("request", method=method, route=self._path, status=status, ms=round(seconds * 1000, 2), **ids)


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""What metrics and logs name; others are the sender's invention."""


class Nowhere(Resource):
    """What answers where there is nothing."""

    def __init__(self, service: Service) -> None:
        super().__init__(service, "(unknown)", {})

    async def _answer(self, call: Call) -> Answer:
        call.address = self._service.transport.sender(call.scope, call.headers)
        return wire.not_found()
