"""
The shape of the table of routes: one row for each method of each path.

The router, the guard's order of checks and the OpenAPI document are all made
from these rows, so none of them can know a route that the others do not.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from grantkeeper.errors import (
    CallerNotAllowed,
    CallerUnknown,
    ForgedRequest,
    GrantkeeperError,
    HttpsRequired,
    InvalidRequest,
    OriginNotAllowed,
    StoreUnavailable,
    TooLarge,
    TooManyRequests,
    TooSlow,
    UnsupportedMediaType,
)
from grantkeeper.model import Permission
from grantkeeper.server.bodies import Body
from grantkeeper.server.call import Call
from grantkeeper.server.service import Service
from grantkeeper.server.wire import Answer

Handler = Callable[[Service, Call], Awaitable[Answer]]


class Door(Enum):
    """Who may come in, and by what."""

    OPEN = "open"
    """Anybody, even in the clear: it tells nothing about anyone. For probes and scrapers inside a cluster."""
    BROWSER = "browser"
    """A person's browser, over HTTPS."""
    APP = "app"
    """An app: ``X-Requested-With``, its page's origin where it has one, and perhaps a caller key."""
    CALLER = "caller"
    """A backend with a caller key."""


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One method of one path.

    Attributes:
        permission: What a caller's rules must allow before anything is looked up.
        query: Struct of the query parameters.
        answer: Struct of the good answer; ``None`` where it has no JSON body.
        errors: What it can meet beyond what its door and its body can.
    """

    method: str
    path: str
    handler: Handler
    name: str
    summary: str
    door: Door
    permission: Permission | None = None
    query: type | None = None
    body: type[Body] | None = None
    answer: type | None = None
    status: int = 200
    media_type: str = "application/json"
    errors: tuple[type[GrantkeeperError], ...] = ()

    def refusals(self) -> tuple[type[GrantkeeperError], ...]:
        """Every error that it can answer with."""
        found: list[type[GrantkeeperError]] = [*DOOR_ERRORS[self.door]]
        if self.body is not None:
            found += [InvalidRequest, TooLarge, TooSlow, UnsupportedMediaType]
        if self.query is not None:
            found.append(InvalidRequest)
        return tuple(dict.fromkeys([*found, *self.errors]))


_KEY = (CallerUnknown, CallerNotAllowed, TooManyRequests, StoreUnavailable)

DOOR_ERRORS: dict[Door, tuple[type[GrantkeeperError], ...]] = {
    Door.OPEN: (),
    Door.BROWSER: (HttpsRequired,),
    Door.APP: (HttpsRequired, ForgedRequest, OriginNotAllowed, *_KEY),
    Door.CALLER: (HttpsRequired, *_KEY),
}
