"""From the rows of an API's table to its routes: what every call goes through before its handler."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.answers import Json
from grantkeeper.emulator.apis_calls import arguments, body_of
from grantkeeper.emulator.apis_table import Api, Method
from grantkeeper.emulator.bearer import Access, ApiError, authenticate, require_scope
from grantkeeper.emulator.world import World

VERBS = ["DELETE", "GET", "PATCH", "POST", "PUT"]

Kind = TypeVar("Kind")

_NAME = re.compile(r"\{\+?(\w+)\}")


class Message(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """A JSON body of one of the newer APIs; a member they do not know is an error."""


@dataclass(frozen=True)
class Call:
    """
    A call that passed authentication and the scope check.

    `arguments` are the method's parameters by name, with their defaults.
    """

    request: Request
    method: Method
    arguments: dict[str, Any]
    access: Access

    async def message(self, kind: type[Kind]) -> Kind:
        """
        The body as *kind*; no body counts as an empty object.

        Raises:
            ApiError: 400, it is not that.
        """
        try:
            return msgspec.json.decode(await body_of(self.request) or b"{}", type=kind)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as wrong:
            message = f"Invalid JSON payload received. {wrong}"
            raise ApiError(400, "badRequest", message) from wrong


Handler = Callable[[Call], Awaitable[Any]]


def table_routes(
    world: World,
    api: Api,
    endpoint: str,
    handlers: Mapping[str, Handler],
    admit: Callable[[Access], None] = lambda access: None,
) -> list[BaseRoute]:
    """
    A route for every path of *api*, answered by the *handlers* by method id. A path names one thing at most.

    What a handler returns becomes the JSON answer, unless it is an answer already.

    Args:
        endpoint: The name under which calls are counted.
        admit: Has the last word on a call before its handler, such as a quota.
    """
    prefix = f"/{api.folder}{api.service_path}"
    paths: dict[str, dict[str, Method]] = {}
    for method in api.methods:
        # Two methods may call the same part of a path by two names.
        paths.setdefault(_NAME.sub("{part}", method.path), {})[method.http] = method
    # `albums/{id}:share` comes before `albums/{id}`, which would take the verb for a part of the id.
    ordered = sorted(paths, key=lambda path: (":" not in path, path))
    found: list[BaseRoute] = [
        Route(prefix + path, _endpoint(world, endpoint, paths[path], handlers, admit), methods=VERBS)
        for path in ordered
    ]
    return [*found, Route(prefix + "{rest:path}", nowhere, methods=VERBS)]


def _endpoint(
    world: World,
    endpoint: str,
    rows: Mapping[str, Method],
    handlers: Mapping[str, Handler],
    admit: Callable[[Access], None],
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        verb, query = await effective(request)
        method = rows.get(verb)
        if method is None:
            return await nowhere(request)
        return await counted(world, endpoint, method.kind, _called(request, method, query))

    async def _called(request: Request, method: Method, query: QueryParams) -> Response:
        access = authenticate(request)
        require_scope(access, *method.scopes)
        admit(access)
        path = dict.fromkeys(_NAME.findall(method.path), request.path_params.get("part", ""))
        call = Call(request, method, arguments(method, path, query), access)
        answer = await handlers[method.id](call)
        return answer if isinstance(answer, Response) else Json(answer)

    return answer


async def nowhere(request: Request) -> Response:
    """
    The answer where there is no method.

    Raises:
        ApiError: 404, always.
    """
    raise ApiError(404, "notFound", "Not Found")


async def effective(request: Request) -> tuple[str, QueryParams]:
    """
    The verb and the query that are meant.

    A client whose address grows too long posts the query as a form and names the verb in a header.
    """
    override = request.headers.get("x-http-method-override", "").upper()
    if request.method != "POST" or not override:
        return request.method, request.query_params
    form = parse_qsl((await body_of(request)).decode("utf-8", "replace"), keep_blank_values=True)
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = []
    return override, QueryParams([*request.query_params.multi_items(), *form])


async def counted(world: World, endpoint: str, kind: str, answer: Awaitable[Response]) -> Response:
    """*answer*, counted under its outcome: ok, another success's number, or the reason of the error."""
    try:
        response = await answer
    except ApiError as error:
        world.count(endpoint, kind, error.reason)
        raise
    world.count(
        endpoint, kind, "ok" if response.status_code in (200, 204, 206) else str(response.status_code)
    )
    return response
