"""Userinfo in its three shapes, and tokeninfo."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.answers import ApiError, Json, OAuthError
from grantkeeper.emulator.bearer import authenticate, bearer_token, require_scope
from grantkeeper.emulator.forms import FORM, read_form
from grantkeeper.emulator.identity import claims_about
from grantkeeper.emulator.jose import read
from grantkeeper.emulator.records import AccessToken
from grantkeeper.emulator.scopes import EMAIL, OPENID, PROFILE, joined
from grantkeeper.emulator.world import World

_V2_NAMES = {"sub": "id", "email_verified": "verified_email"}


def routes(world: World) -> list[BaseRoute]:
    """The endpoints under the paths of OpenID Connect, of v3 and of v2."""

    async def userinfo(request: Request) -> Response:
        return Json(_claims(world, request, "oidc"))

    async def userinfo_v2(request: Request) -> Response:
        claims = _claims(world, request, "v2")
        return Json({_V2_NAMES.get(name, name): value for name, value in claims.items()})

    async def tokeninfo(request: Request) -> Response:
        return await _tokeninfo(world, request, "v3")

    async def tokeninfo_v2(request: Request) -> Response:
        return await _tokeninfo(world, request, "v2")

    both = ["GET", "POST"]
    return [
        Route("/v1/userinfo", userinfo, methods=both),
        Route("/oauth2/v3/userinfo", userinfo, methods=both),
        Route("/oauth2/v2/userinfo", userinfo_v2),
        Route("/oauth2/v1/userinfo", userinfo_v2),
        Route("/userinfo/v2/me", userinfo_v2),
        Route("/tokeninfo", tokeninfo, methods=both),
        Route("/oauth2/v3/tokeninfo", tokeninfo, methods=both),
        Route("/oauth2/v2/tokeninfo", tokeninfo_v2, methods=both),
        Route("/oauth2/v1/tokeninfo", tokeninfo_v2, methods=both),
    ]


def _claims(world: World, request: Request, shape: str) -> dict[str, Any]:
    try:
        access = authenticate(request)
        require_scope(access, OPENID, EMAIL, PROFILE)
    except ApiError as error:
        world.count("userinfo", shape, str(error.status))
        raise
    world.count("userinfo", shape, "ok")
    return claims_about(world.users_by_sub[access.sub], access.scopes)


async def _tokeninfo(world: World, request: Request, shape: str) -> Response:
    parameters = dict(request.query_params)
    if request.headers.get("content-type", "").startswith(FORM):
        parameters |= await read_form(request)
    try:
        if "id_token" in parameters:
            answer = _about_id_token(world, parameters["id_token"])
        else:
            token = parameters.get("access_token") or bearer_token(request)
            answer = _about_access_token(world, token, shape)
    except OAuthError as error:
        world.count("tokeninfo", shape, error.error)
        return error.response()
    world.count("tokeninfo", shape, "ok")
    return Json(answer)


def _about_access_token(world: World, value: str | None, shape: str) -> dict[str, Any]:
    if not value:
        raise OAuthError("invalid_request", "Either access_token or id_token is required.")
    token = world.access_token(value)
    if token is None:
        raise OAuthError("invalid_token", "Invalid Value")
    left = int((token.expires_at - world.now()).total_seconds())
    return _v3(world, token, left) if shape == "v3" else _v2(world, token, left)


def _v3(world: World, token: AccessToken, left: int) -> dict[str, Any]:
    """Numbers and truth values are strings here."""
    answer = {
        "azp": token.client_id,
        "aud": token.client_id,
        "scope": joined(token.scopes),
        "exp": str(int(token.expires_at.timestamp())),
        "expires_in": str(left),
        "access_type": "offline" if token.offline else "online",
    }
    user = world.user_by_sub(token.grant.sub)
    if user is not None and not token.scopes.isdisjoint({OPENID, EMAIL, PROFILE}):
        answer["sub"] = user.sub
        if EMAIL in token.scopes:
            answer |= {"email": user.email, "email_verified": str(user.email_verified).lower()}
    return answer


def _v2(world: World, token: AccessToken, left: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "issued_to": token.client_id,
        "audience": token.client_id,
        "scope": joined(token.scopes),
        "expires_in": left,
        "access_type": "offline" if token.offline else "online",
    }
    user = world.user_by_sub(token.grant.sub)
    if user is not None and not token.scopes.isdisjoint({OPENID, EMAIL, PROFILE}):
        answer["user_id"] = user.sub
        if EMAIL in token.scopes:
            answer |= {"email": user.email, "verified_email": user.email_verified}
    return answer


def _about_id_token(world: World, value: str) -> dict[str, Any]:
    try:
        header, claims, _ = read(value)
    except ValueError as broken:
        raise OAuthError("invalid_token", "Invalid Value") from broken
    key = world.keys.find(header.get("kid"))
    expiry = claims.get("exp")
    if key is None or not key.verifies(value) or not isinstance(expiry, int):
        raise OAuthError("invalid_token", "Invalid Value")
    if expiry <= world.now().timestamp():
        raise OAuthError("invalid_token", "Invalid Value")
    texts = {name: _text(value) for name, value in claims.items()}
    return texts | {"alg": "RS256", "kid": key.kid, "typ": "JWT"}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
