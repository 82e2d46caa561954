"""One request on its way through the router: what came, who asks, and what was found out so far."""

from time import perf_counter
from typing import Any, Final, TypeVar

from starlette.types import Message, Receive, Scope

from grantkeeper.errors import CallerUnknown
from grantkeeper.model import Caller, Permission
from grantkeeper.server.callers import bearer, require
from grantkeeper.server.guard import Headers
from grantkeeper.server.requests import parse_body, parse_query, read_body
from grantkeeper.server.service import Service

T = TypeVar("T")

FIRST_MESSAGE: Final = "grantkeeper.first_message"
"""Where the raw route leaves the part of the body that it had read before it gave up."""


class Call:
    """
    One request.

    Attributes:
        address: Who sent it, once the guard has said so.
        caller: Whose key came with it.
        permission: What that caller must be allowed to do here.
        origin: The web page it came from, once that is known to be a client's.
        first: A body message that was received before the router was asked.
    """

    def __init__(self, service: Service, scope: Scope, receive: Receive) -> None:
        self.service = service
        self.scope = scope
        self.started = perf_counter()
        self.method: str = scope["method"]
        self.raw_headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self.headers: Headers = dict(self.raw_headers)
        self.request_id = service.ids.of(self.headers)
        self.address = ""
        self.caller: Caller | None = None
        self.permission: Permission | None = None
        self.origin: bytes | None = None
        self._receive = receive
        self._first: Message | None = scope.get(FIRST_MESSAGE)

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a header."""
        return [value for other, value in self.raw_headers if other == name]

    def path(self, name: str) -> str:
        """A part of the path, as the route names it."""
        return str(self.scope["path_params"][name])

    async def body(self, kind: type[T]) -> T:
        """
        The body as a *kind*.

        Raises:
            InvalidRequest: See `grantkeeper.server.requests`, also for the other three.
            TooLarge: Over the limit.
            TooSlow: Not whole in time.
            UnsupportedMediaType: Neither JSON nor a form.
            CallerUnknown: The key that came with it has ended meanwhile.
            CallerNotAllowed: Its rules have changed meanwhile.
        """
        first, self._first = self._first, None
        raw = await read_body(self._receive, self.headers, first)
        # A body may take seconds, and a caller that is revoked in them must not be served.
        await self.identify()
        return parse_body(kind, raw, self.headers)

    def query(self, kind: type[T]) -> T:
        """
        The query string as a *kind*.

        Raises:
            InvalidRequest: A parameter is wrong.
        """
        return parse_query(kind, self.scope.get("query_string", b""))

    async def identify(self) -> Caller | None:
        """
        Find out whose caller key came with the request, as of now; ``None`` where none came.

        Raises:
            CallerUnknown: A key came that is not good.
            CallerNotAllowed: The caller lacks `permission`.
            TooManyRequests: This address has tried too many.
            StoreUnavailable: Nobody knows whether it is good.
        """
        key = bearer(self.all(b"authorization"))
        if key is None:
            return None
        callers = self.service.callers
        self.caller = callers.remembered(b"Bearer " + key)
        if self.caller is None:
            if not callers.met(key):
                self.service.limits.unknown_key(self.address)
            self.caller = await callers.known(key)
        if self.permission is not None:
            require(self.caller, self.permission)
        return self.caller

    def asking(self) -> Caller:
        """
        The caller; for routes that need one.

        Raises:
            CallerUnknown: No key came.
        """
        if self.caller is None:
            raise CallerUnknown("this needs a caller key")
        return self.caller

    def named(self) -> dict[str, Any]:
        """Ids for the log."""
        ids: dict[str, Any] = {"request": self.request_id.decode()}
        if self.caller is not None:
            ids["caller"] = self.caller.id
        return ids
