"""The documents verifiers fetch: discovery, and the signing keys in both forms."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.answers import Json
from grantkeeper.emulator.world import World

MAX_AGE = 3600


def routes(world: World) -> list[BaseRoute]:
    """Discovery and certs."""

    async def discovery(request: Request) -> Response:
        world.count("discovery", "get", "ok")
        return Json(document(world), headers={"Cache-Control": f"public, max-age={MAX_AGE}"})

    async def jwk_set(request: Request) -> Response:
        world.count("certs", "v3", "ok")
        return Json({"keys": [key.jwk for key in world.keys.published]}, headers=_cached())

    async def certificates(request: Request) -> Response:
        world.count("certs", "v1", "ok")
        return Json({key.kid: key.pem for key in world.keys.published}, headers=_cached())

    return [
        Route("/.well-known/openid-configuration", discovery),
        Route("/oauth2/v3/certs", jwk_set),
        Route("/oauth2/v1/certs", certificates),
    ]


def document(world: World) -> dict[str, Any]:
    """The OpenID discovery document; it claims only what the emulator does."""
    here = world.base_url
    return {
        "issuer": world.issuer,
        "authorization_endpoint": f"{here}/o/oauth2/v2/auth",
        "token_endpoint": f"{here}/token",
        "userinfo_endpoint": f"{here}/v1/userinfo",
        "revocation_endpoint": f"{here}/revoke",
        "jwks_uri": f"{here}/oauth2/v3/certs",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": [
            "aud",
            "email",
            "email_verified",
            "exp",
            "family_name",
            "given_name",
            "iat",
            "iss",
            "name",
            "picture",
            "sub",
        ],
        "code_challenge_methods_supported": ["plain", "S256"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "authorization_response_iss_parameter_supported": True,
    }


def _cached() -> dict[str, str]:
    return {"Cache-Control": f"public, max-age={MAX_AGE}, must-revalidate, no-transform"}
