"""The emulator as one ASGI application."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from grantkeeper.emulator import (
    apis,
    consent,
    control,
    discovery,
    drive,
    home,
    photos,
    revocation,
    token_endpoint,
    userinfo,
)
from grantkeeper.emulator.answers import ApiError, OAuthError, envelope_of
from grantkeeper.emulator.wire import FaultLayer
from grantkeeper.emulator.world import World

_ROOMS = (token_endpoint, revocation, discovery, userinfo, consent, control, home, drive, apis, photos)


@dataclass(frozen=True, slots=True)
class Config:
    """
    What the emulator is started with.

    Attributes:
        base_url: Where it will answer, without a trailing slash.
        issuer: The ``iss`` it claims; default the *base_url*.
        clock_file: See `grantkeeper.emulator.clock.MovableClock`.
    """

    base_url: str
    issuer: str | None = None
    clock_file: Path | None = None


def create_app(config: Config, world: World | None = None) -> ASGIApp:
    """The whole application over a *world* of its own, unless one is given."""
    if world is None:
        world = World(config.base_url, config.issuer, config.clock_file)
    routes = [route for room in _ROOMS for route in room.routes(world)]
    handlers: Mapping[Any, Any] = {ApiError: _api_error, OAuthError: _oauth_error}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.world = world
    return FaultLayer(app, world)


async def _api_error(request: Request, error: ApiError) -> Response:
    return error.response(envelope_of(request.url.path))


async def _oauth_error(request: Request, error: OAuthError) -> Response:
    return error.response()
