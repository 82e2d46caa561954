"""Who calls an API: the bearer token of a request, and what it may do."""

from dataclasses import dataclass, field

from starlette.requests import Request

from grantkeeper.emulator.answers import REALM, ApiError, invalid_credentials
from grantkeeper.emulator.world import World

__all__ = ["Access", "ApiError", "authenticate", "bearer_token", "require_scope", "world_of"]


@dataclass(frozen=True, slots=True)
class Access:
    """
    A caller with a working access token.

    Attributes:
        project: The project number; what an app keeps, it keeps per project and user.
    """

    sub: str
    email: str
    client_id: str
    project: str
    scopes: frozenset[str]
    token: str = field(repr=False)


def world_of(request: Request) -> World:
    """The world this request arrived in."""
    world = request.app.state.world
    assert isinstance(world, World)
    return world


def bearer_token(request: Request) -> str | None:
    """The token of the ``Authorization`` header, or of the query, as Google's APIs read it."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.query_params.get("access_token")


def authenticate(request: Request) -> Access:
    """
    The caller of *request*.

    Raises:
        ApiError: 401, no token or one that does not work (any more).
    """
    value = bearer_token(request)
    if value is None:
        raise ApiError(
            401,
            "required",
            "Request is missing required authentication credential.",
            info="CREDENTIALS_MISSING",
            location=("header", "Authorization"),
            headers={"WWW-Authenticate": REALM},
        )
    world = world_of(request)
    with world.lock:
        token = world.access_token(value)
        user = world.user_by_sub(token.grant.sub) if token is not None else None
    if token is None or user is None:
        raise invalid_credentials()
    return Access(user.sub, user.email, token.client_id, token.grant.project, token.scopes, token.value)


def require_scope(access: Access, *any_of: str) -> None:
    """
    Go on only if *access* has one of the scopes named.

    Raises:
        ApiError: 403 with an ``insufficient_scope`` challenge that names them.
    """
    if access.scopes.isdisjoint(any_of):
        wanted = " ".join(any_of)
        raise ApiError(
            403,
            "insufficientPermissions",
            "Insufficient Permission: Request had insufficient authentication scopes.",
            info="ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            headers={"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{wanted}"'},
        )
