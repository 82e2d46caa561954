"""The revocation endpoint: one token in, the whole grant of the project gone."""

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.answers import Json, OAuthError
from grantkeeper.emulator.forms import FORM, read_form, required, single
from grantkeeper.emulator.records import Grant
from grantkeeper.emulator.world import World


def routes(world: World) -> list[BaseRoute]:
    """Google's endpoint and the older one, which the iOS SDK's ``disconnect`` calls with GET."""

    async def revoke(request: Request) -> Response:
        kind = "unknown"
        try:
            parameters = single(parse_qsl(request.url.query, keep_blank_values=True))
            if request.method == "POST" and request.headers.get("content-type", "").startswith(FORM):
                parameters |= await read_form(request)
            with world.lock:
                kind, grant = _found(world, required(parameters, "token"))
                if grant is None:
                    raise OAuthError("invalid_token", "Token expired or revoked")
                world.revoke(grant)
        except OAuthError as error:
            world.count("revoke", kind, error.error)
            return error.response()
        world.count("revoke", kind, "ok")
        return Json({})

    return [
        Route("/revoke", revoke, methods=["GET", "POST"]),
        Route("/o/oauth2/revoke", revoke, methods=["GET", "POST"]),
    ]


def _found(world: World, value: str) -> tuple[str, Grant | None]:
    """The kind of token that *value* is, and its grant if it still works."""
    refresh = world.refresh_tokens.get(value)
    if refresh is not None:
        return "refresh_token", None if world.death(refresh) or refresh.spent else refresh.grant
    if value in world.access_tokens:
        access = world.access_token(value)
        return "access_token", None if access is None else access.grant
    return "unknown", None
