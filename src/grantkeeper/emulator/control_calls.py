"""How a control call is read and answered, and the errors it makes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from grantkeeper.emulator.answers import Json
from grantkeeper.emulator.records import OAuthClient
from grantkeeper.emulator.world import World

Handler = Callable[[Request], Awaitable[Any]]


class ControlError(Exception):
    """A control call that cannot be done; *status* is 400 unless said otherwise."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.status = status


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A JSON body whose misspelt fields are errors, not silence."""


Kind = TypeVar("Kind")


async def read(request: Request, kind: type[Kind]) -> Kind:
    """
    The JSON body of *request*; no body counts as an empty object.

    Raises:
        ControlError: It is not what *kind* says.
    """
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as wrong:
        raise ControlError("invalid_request", str(wrong)) from wrong


def call(path: str, handlers: Mapping[str, Handler]) -> Route:
    """A route whose *handlers* by method return what goes into the JSON answer."""

    async def answer(request: Request) -> Response:
        try:
            return Json(await handlers["GET" if request.method == "HEAD" else request.method](request))
        except ControlError as error:
            body = {"error": error.error, "error_description": str(error)}
            return Json(body, error.status)

    return Route(path, answer, methods=list(handlers))


def known_client(world: World, client_id: str | None) -> OAuthClient:
    """
    The client of that id; None means the one of the client file.

    Raises:
        ControlError: There is no such client.
    """
    client = world.web_client if client_id is None else world.clients.get(client_id)
    if client is None:
        raise ControlError("client_unknown", f"there is no client {client_id}", 404)
    return client
