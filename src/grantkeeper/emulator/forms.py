"""The form body of an OAuth request, and the client that it proves."""

import binascii
import hmac
from base64 import b64decode
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request

from grantkeeper.emulator.answers import OAuthError
from grantkeeper.emulator.records import OAuthClient
from grantkeeper.emulator.world import World

FORM = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> dict[str, str]:
    """
    The parameters of a form body; an empty value is a value.

    Raises:
        OAuthError: ``invalid_request``, another media type, broken encoding, or a parameter given twice
            (RFC 6749 3.2).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        raise OAuthError("invalid_request", f"The request body must be {FORM}.")
    try:
        pairs = parse_qsl((await request.body()).decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as broken:
        raise OAuthError("invalid_request", "The request body is not well-formed.") from broken
    return single(pairs)


def grant_kind(form: dict[str, str]) -> str:
    """How a request to the token endpoint is counted, by its ``grant_type``."""
    grant_type = form.get("grant_type")
    if grant_type in ("authorization_code", "refresh_token"):
        return grant_type
    return "other" if grant_type else "none"


def single(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """*pairs* as a mapping, none of them given twice."""
    form = dict(pairs)
    if len(form) != len(pairs):
        twice = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
        raise OAuthError("invalid_request", f"OAuth 2 parameters can only have a single value: {twice}")
    return form


def required(form: dict[str, str], name: str) -> str:
    """The parameter *name*, which must be there and not empty."""
    value = form.get(name)
    if not value:
        raise OAuthError("invalid_request", f"Missing required parameter: {name}")
    return value


def authenticated_client(world: World, request: Request, form: dict[str, str]) -> OAuthClient:
    """
    The client that sent the request, by form fields or HTTP Basic.

    Raises:
        OAuthError: 401, unknown, deleted or disabled client, or the wrong secret; 400, no client named.
    """
    basic = _basic(request)
    client_id: str | None
    secret: str | None
    if basic is not None:
        if form.get("client_id", basic[0]) != basic[0] or "client_secret" in form:
            raise OAuthError("invalid_request", "More than one method of client authentication was used.")
        client_id, secret = basic
    else:
        client_id, secret = form.get("client_id"), form.get("client_secret")
    if not client_id:
        raise OAuthError("invalid_request", "Could not determine client ID from request.")
    client = world.clients.get(client_id)
    if client is None:
        raise OAuthError("invalid_client", "The OAuth client was not found.", status=401)
    if client.state != "active":
        raise OAuthError(f"{client.state}_client", f"The OAuth client was {client.state}.", status=401)
    if not client.secrets:
        return client
    if not secret:
        raise OAuthError("invalid_request", "client_secret is missing.")
    if not any(hmac.compare_digest(secret.encode(), known.encode()) for known in client.secrets):
        raise OAuthError("invalid_client", "Unauthorized", status=401)
    return client


def _basic(request: Request) -> tuple[str, str] | None:
    """Client id and secret of HTTP Basic; both are form-encoded inside (RFC 6749 2.3.1)."""
    scheme, _, parameter = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = b64decode(parameter.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as broken:
        raise OAuthError("invalid_client", "Unauthorized", status=401) from broken
    if not colon:
        raise OAuthError("invalid_client", "Unauthorized", status=401)
    return unquote_plus(name), unquote_plus(password)
