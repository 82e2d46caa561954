"""The control calls for what is registered: accounts, clients, their files and their live tokens."""

import hashlib
from datetime import UTC
from typing import Any, Literal
from xml.sax.saxutils import escape

from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from grantkeeper.emulator.control_calls import Body, ControlError, call, known_client, read
from grantkeeper.emulator.records import ClientKind, OAuthClient, RefreshToken, User
from grantkeeper.emulator.world import PROJECT, PROJECT_ID, World, client_id


class UserBody(Body):
    """What changes about an account; the fields that are not there stay."""

    email: str
    new_email: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    given_name: str | UnsetType = UNSET
    family_name: str | UnsetType = UNSET
    picture: str | UnsetType = UNSET
    hd: str | UnsetType | None = UNSET
    email_verified: bool | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    deleted: bool = False
    reauth_required: bool | UnsetType = UNSET
    admin_blocked: bool | UnsetType = UNSET
    access_seconds: int | UnsetType | None = UNSET


class ClientBody(Body):
    """A new client, or what changes about one; the fields that are not there stay."""

    client_id: str | None = None
    kind: ClientKind | UnsetType = UNSET
    project: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    secrets: list[str] | UnsetType = UNSET
    add_secret: bool = False
    redirect_uris: list[str] | UnsetType = UNSET
    javascript_origins: list[str] | UnsetType = UNSET
    loopback_paths: list[str] | UnsetType = UNSET
    testing: bool | UnsetType = UNSET
    rotation: bool | UnsetType = UNSET
    live_cap: int | UnsetType = UNSET
    reuse_revokes: bool | UnsetType = UNSET
    state: Literal["active", "deleted", "disabled"] | UnsetType = UNSET
    internal_domain: str | UnsetType | None = UNSET
    access_token_seconds: int | UnsetType = UNSET
    code_seconds: int | UnsetType = UNSET


def routes(world: World) -> list[BaseRoute]:
    """Accounts, clients, the client file, live refresh tokens and pictures."""

    async def users(request: Request) -> list[dict[str, Any]]:
        return [_user(user) for user in list(world.users.values())]

    async def change_user(request: Request) -> dict[str, Any]:
        return _change_user(world, await read(request, UserBody))

    async def clients(request: Request) -> list[dict[str, Any]]:
        return [_client(client) for client in list(world.clients.values())]

    async def add_client(request: Request) -> dict[str, Any]:
        return _add_client(world, await read(request, ClientBody))

    async def change_client(request: Request) -> dict[str, Any]:
        body = await read(request, ClientBody)
        return _change_client(world, known_client(world, body.client_id), body)

    async def client_secret(request: Request) -> dict[str, Any]:
        return client_file(world, known_client(world, request.query_params.get("client_id")))

    async def refresh_tokens(request: Request) -> dict[str, Any]:
        return _live(world, request.query_params.get("email"), request.query_params.get("client_id"))

    async def picture(request: Request) -> Response:
        user = world.user_by_sub(request.path_params["sub"])
        return Response(_picture(user), media_type="image/svg+xml")

    return [
        call("/emulator/users", {"GET": users, "POST": change_user, "PATCH": change_user}),
        call("/emulator/clients", {"GET": clients, "POST": add_client, "PATCH": change_client}),
        call("/emulator/client_secret.json", {"GET": client_secret}),
        call("/emulator/refresh_tokens", {"GET": refresh_tokens}),
        Route("/emulator/picture/{sub}.svg", picture),
    ]


def _changes(body: Body, *but: str) -> dict[str, Any]:
    given = {name: getattr(body, name) for name in body.__struct_fields__ if name not in but}
    return {name: value for name, value in given.items() if value is not UNSET}


def _user(user: User) -> dict[str, Any]:
    return {name: getattr(user, name) for name in User.__slots__}


def _change_user(world: World, body: UserBody) -> dict[str, Any]:
    with world.lock:
        user = world.user(body.email)
        for name, value in _changes(body, "email", "new_email", "deleted").items():
            setattr(user, name, value)
        if isinstance(body.new_email, str):
            if body.new_email.lower() in world.users and body.new_email.lower() != user.email.lower():
                raise ControlError("email_taken", "another account has this address", 409)
            world.rename_user(user, body.new_email)
        if body.deleted:
            world.delete_user(user)
        return _user(user)


def _client(client: OAuthClient) -> dict[str, Any]:
    """Everything but the secrets, which only their making shows."""
    shown = {name: getattr(client, name) for name in OAuthClient.__slots__ if name not in ("id", "secrets")}
    return {"client_id": client.id, **shown, "secrets": len(client.secrets)}


def _add_client(world: World, body: ClientBody) -> dict[str, Any]:
    project = body.project if isinstance(body.project, str) else PROJECT
    kind = body.kind if isinstance(body.kind, str) else "web"
    identifier = body.client_id or client_id(project, world.secret("", "client"))
    if identifier in world.clients:
        raise ControlError("client_exists", "there is a client of this id; PATCH changes it", 409)
    secrets = [world.secret("GOCSPX-", "cs")] if kind in ("web", "installed") else []
    client = world.add_client(OAuthClient(identifier, kind, project, secrets=secrets))
    return _change_client(world, client, body) | {"secrets": client.secrets}


def _change_client(world: World, client: OAuthClient, body: ClientBody) -> dict[str, Any]:
    with world.lock:
        for name, value in _changes(body, "client_id", "add_secret").items():
            setattr(client, name, value)
        shown = _client(client)
        if body.add_secret:
            client.secrets.append(world.secret("GOCSPX-", "cs"))
        if body.add_secret or body.secrets is not UNSET:
            shown["secrets"] = client.secrets
        return shown


def client_file(world: World, client: OAuthClient) -> dict[str, Any]:
    """The ``client_secret_*.json`` of *client*, whose addresses are the emulator's own."""
    here = world.base_url
    content: dict[str, Any] = {
        "client_id": client.id,
        "project_id": PROJECT_ID,
        "auth_uri": f"{here}/o/oauth2/v2/auth",
        "token_uri": f"{here}/token",
        "auth_provider_x509_cert_url": f"{here}/oauth2/v1/certs",
    }
    if client.secrets:
        content["client_secret"] = client.secrets[0]
    if client.redirect_uris:
        content["redirect_uris"] = client.redirect_uris
    if client.javascript_origins:
        content["javascript_origins"] = client.javascript_origins
    return {"web" if client.kind == "web" else "installed": content}


def _live(world: World, email: str | None, client: str | None) -> dict[str, Any]:
    """The refresh tokens that work now: counted, and named by hash only."""
    with world.lock:
        users = [world.user(email)] if email else list(world.users.values())
        ids = [known_client(world, client).id] if client else list(world.clients)
        live = [
            (user, token)
            for user in users
            for each in ids
            for token in world.live_refresh_tokens(each, user.sub)
        ]
    return {"live": len(live), "tokens": [_token(user, token) for user, token in live]}


def _token(user: User, token: RefreshToken) -> dict[str, Any]:
    return {
        "sha256": hashlib.sha256(token.value.encode()).hexdigest(),
        "email": user.email,
        "client_id": token.client_id,
        "scopes": sorted(token.scopes),
        "issued_at": token.issued_at.astimezone(UTC).isoformat(),
        "used_at": token.used_at.astimezone(UTC).isoformat(),
    }


def _picture(user: User | None) -> str:
    """Two letters on a colour that the account keeps."""
    letters = "?" if user is None else escape((user.given_name[:1] + user.family_name[:1]).upper())
    hue = 200 if user is None else int(user.sub[-4:]) % 360
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" width="96" height="96">'
        f'<rect width="96" height="96" fill="hsl({hue} 45% 35%)"/>'
        '<text x="48" y="50" fill="#fff" font-family="sans-serif" font-size="38" text-anchor="middle" '
        f'dominant-baseline="central">{letters}</text></svg>'
    )
