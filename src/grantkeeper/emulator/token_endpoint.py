"""The token endpoint: codes and refresh tokens become access tokens."""

import hashlib
import hmac
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.answers import Json, OAuthError
from grantkeeper.emulator.forms import authenticated_client, grant_kind, read_form, required
from grantkeeper.emulator.identity import id_token_claims
from grantkeeper.emulator.issuing import CODE_PREFIX
from grantkeeper.emulator.jose import b64
from grantkeeper.emulator.records import AccessToken, Code, Grant, OAuthClient, RefreshToken, User
from grantkeeper.emulator.scopes import OPENID, joined, parse
from grantkeeper.emulator.world import MARKER, World

NO_STORE = {"Cache-Control": "no-cache, no-store, max-age=0, must-revalidate", "Pragma": "no-cache"}

_CODE_SHAPE = re.compile(re.escape(CODE_PREFIX + MARKER) + r"code-[A-Za-z0-9_-]{43}")
_DEAD = "Token has been expired or revoked."


def routes(world: World) -> list[BaseRoute]:
    """The token endpoint under Google's present and older paths."""

    async def token(request: Request) -> Response:
        kind = "none"
        try:
            form = await read_form(request)
            kind = grant_kind(form)
            with world.lock:
                answer = _answer(world, request, form)
        except OAuthError as error:
            world.count("token", kind, error.error)
            return error.response()
        world.count("token", kind, "ok")
        return Json(answer, headers=NO_STORE)

    paths = ("/token", "/oauth2/v4/token", "/o/oauth2/token")
    return [Route(path, token, methods=["POST"]) for path in paths]


def _answer(world: World, request: Request, form: dict[str, str]) -> dict[str, Any]:
    grant_type = required(form, "grant_type")
    if grant_type not in ("authorization_code", "refresh_token"):
        raise OAuthError("unsupported_grant_type", f"Invalid grant_type: {grant_type}")
    client = authenticated_client(world, request, form)
    if grant_type == "authorization_code":
        return _redeem(world, client, form)
    return _refresh(world, client, form)


# Codes


def _redeem(world: World, client: OAuthClient, form: dict[str, str]) -> dict[str, Any]:
    """RFC 6749 4.1.3. Whatever comes of it, the code has been used."""
    value = required(form, "code")
    if not _CODE_SHAPE.fullmatch(value):
        raise OAuthError("invalid_grant", "Malformed auth code.")
    code = world.codes.get(value)
    if code is None:
        raise OAuthError("invalid_grant")
    _count_redirect(world, code, form.get("redirect_uri"))
    if code.spent:
        if client.reuse_revokes:
            _revoke_earnings(code)
        raise OAuthError("invalid_grant")
    code.spent = True
    if code.client_id != client.id or code.expires_at <= world.now():
        raise OAuthError("invalid_grant")
    # An omitted redirect_uri counts as an empty one; what Google does is not documented.
    if form.get("redirect_uri", "") not in code.redirect_uris:
        raise OAuthError("redirect_uri_mismatch")
    _check_verifier(code, form.get("code_verifier"))
    if not code.grant.alive or world.grant(code.grant.project, code.grant.sub) is not code.grant:
        raise OAuthError("invalid_grant")
    user = _usable(world, code.grant)
    refresh = world.new_refresh_token(client, code.grant, code.scopes) if code.refreshable else None
    access, expires_in = world.new_access_token(
        client, code.grant, code.scopes, offline=code.offline, refresh_token=refresh
    )
    code.earned = [token for token in (refresh, access) if token is not None]
    return _token_answer(world, client, user, access, expires_in, refresh, nonce=code.nonce)


def _count_redirect(world: World, code: Code, sent: str | None) -> None:
    """How each kind of code was redeemed, for ``/emulator/stats``."""
    known = {None: "absent", "": "empty", "postmessage": "postmessage"}
    other = "expected" if sent in code.redirect_uris else "foreign"
    world.count("redirect_uri", code.source, known.get(sent, other))


def _check_verifier(code: Code, verifier: str | None) -> None:
    """RFC 7636 4.6."""
    if code.code_challenge is None:
        if verifier is not None:
            raise OAuthError("invalid_grant", "code_verifier or verifier is not needed.")
        return
    if not verifier:
        raise OAuthError("invalid_grant", "Missing code verifier.")
    made = verifier
    if code.code_challenge_method == "S256":
        made = b64(hashlib.sha256(verifier.encode()).digest())
    if not hmac.compare_digest(made.encode(), code.code_challenge.encode()):
        raise OAuthError("invalid_grant", "Invalid code verifier.")


def _revoke_earnings(code: Code) -> None:
    for token in code.earned:
        if isinstance(token, RefreshToken):
            token.dead = "its code was sent twice"
        else:
            token.dead = True


# Refresh tokens


def _refresh(world: World, client: OAuthClient, form: dict[str, str]) -> dict[str, Any]:
    """RFC 6749 6."""
    token = world.refresh_tokens.get(required(form, "refresh_token"))
    if token is None:
        raise OAuthError("invalid_grant")
    if token.client_id != client.id:
        raise OAuthError("unauthorized_client", "Unauthorized", status=401)
    if world.death(token) is not None:
        raise OAuthError("invalid_grant", _DEAD)
    if token.spent:
        world.revoke(token.grant)
        raise OAuthError("invalid_grant", _DEAD)
    user = _usable(world, token.grant)
    if user.admin_blocked:
        raise OAuthError("admin_policy_enforced", "Access to the service is restricted by the administrator.")
    if user.reauth_required:
        raise OAuthError("invalid_grant", "reauth related error (invalid_rapt)", subtype="invalid_rapt")
    scopes = parse(form.get("scope", "")) or token.scopes
    if not scopes <= token.scopes:
        raise OAuthError("invalid_scope")
    token.used_at = world.now()
    successor = None
    if client.rotation:
        token.spent = True
        successor = world.new_refresh_token(client, token.grant, token.scopes)
    access, expires_in = world.new_access_token(
        client, token.grant, scopes, offline=True, refresh_token=successor or token
    )
    return _token_answer(world, client, user, access, expires_in, successor)


def _usable(world: World, grant: Grant) -> User:
    user = world.user_by_sub(grant.sub)
    if user is None or user.deleted:
        raise OAuthError("invalid_grant", "Account has been deleted")
    if user.disabled:
        raise OAuthError("invalid_grant", "Account disabled")
    return user


def _token_answer(
    world: World,
    client: OAuthClient,
    user: User,
    access: AccessToken,
    expires_in: int,
    refresh: RefreshToken | None,
    nonce: str | None = None,
) -> dict[str, Any]:
    """RFC 6749 5.1, with Google's additions."""
    answer: dict[str, Any] = {"access_token": access.value, "expires_in": expires_in}
    if refresh is not None:
        answer["refresh_token"] = refresh.value
    if access.refresh_token is not None and access.grant.time_based and access.grant.ends_at is not None:
        left = access.grant.ends_at - world.now()
        answer["refresh_token_expires_in"] = int(left.total_seconds())
    answer["scope"] = joined(access.scopes)
    answer["token_type"] = "Bearer"
    if OPENID in access.scopes:
        claims = id_token_claims(
            world, user, access.scopes, aud=client.id, azp=client.id, nonce=nonce, access_token=access.value
        )
        answer["id_token"] = world.keys.current.sign(claims)
    return answer
