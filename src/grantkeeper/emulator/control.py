"""The control side, which Google has not: codes without a browser, the clock, counters, events."""

from datetime import UTC
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute

from grantkeeper.emulator import control_faults, control_registry
from grantkeeper.emulator.control_calls import Body, ControlError, call, known_client, read
from grantkeeper.emulator.faults import Answer, Fault, Missed
from grantkeeper.emulator.identity import id_token_claims
from grantkeeper.emulator.issuing import issue_code, sdk_scopes
from grantkeeper.emulator.menu import MENU
from grantkeeper.emulator.photos_state import TOTALS
from grantkeeper.emulator.records import Source, User
from grantkeeper.emulator.scopes import DRIVE_APPDATA, IDENTITY, canonical
from grantkeeper.emulator.world import World

DEFAULT_SCOPES = frozenset({*IDENTITY, DRIVE_APPDATA})

_BY_DEFAULT_COMBINED: frozenset[Source] = frozenset({"ios", "android", "web-popup"})

_RISC = "https://schemas.openid.net/secevent/risc/event-type/"
_OAUTH = "https://schemas.openid.net/secevent/oauth/event-type/"
EVENTS = (
    *(_RISC + name for name in ("account-disabled", "account-enabled", "sessions-revoked", "verification")),
    _RISC + "account-credential-change-required",
    _OAUTH + "tokens-revoked",
    _OAUTH + "token-revoked",
)


class CodeBody(Body):
    """What to make a code of."""

    email: str
    scopes: list[str] | str | None = None
    source: Source = "ios"
    nonce: str | None = None
    redirect_uri: str | None = None
    code_challenge: str | None = None
    code_challenge_method: Literal["S256", "plain"] = "S256"
    force: bool = False
    client_id: str | None = None
    access_type: Literal["online", "offline"] = "offline"
    include_granted_scopes: bool | None = None
    access_seconds: int | None = None


class ClockBody(Body):
    """How far to move."""

    advance: float


class RevokeBody(Body):
    """Whose access is taken back; without a project, everybody's."""

    email: str
    project: str | None = None


class EventBody(Body):
    """What happened to an account."""

    type: str
    email: str
    receiver: str | None = None
    reason: str | None = None


class IdTokenBody(Body):
    """Which ID token the phone has."""

    email: str
    nonce: str | None = None
    aud: str | None = None
    azp: str | None = None
    scopes: list[str] | None = None
    fault: str | None = None


def routes(world: World) -> list[BaseRoute]:
    """Every control call."""

    async def code(request: Request) -> dict[str, str]:
        return make_code(world, await read(request, CodeBody))

    async def clock(request: Request) -> dict[str, Any]:
        return _clock(world)

    async def move_clock(request: Request) -> dict[str, Any]:
        world.advance((await read(request, ClockBody)).advance)
        return _clock(world)

    async def stats(request: Request) -> dict[str, Any]:
        return _stats(world)

    async def clear_stats(request: Request) -> dict[str, Any]:
        world.counters.clear()
        return _stats(world)

    async def revoke(request: Request) -> dict[str, int]:
        body = await read(request, RevokeBody)
        return {"revoked": _take_back(world, world.user(body.email), body.project)}

    async def rotate(request: Request) -> dict[str, list[str]]:
        return {"kids": [key.kid for key in world.keys.rotate()]}

    async def event(request: Request) -> dict[str, Any]:
        return _event(world, await read(request, EventBody))

    async def id_token(request: Request) -> dict[str, str]:
        return {"id_token": _phones_id_token(world, await read(request, IdTokenBody))}

    async def reset(request: Request) -> dict[str, str]:
        world.reset()
        return {"state": "as new"}

    return [
        call("/emulator/code", {"POST": code}),
        call("/emulator/clock", {"GET": clock, "POST": move_clock}),
        call("/emulator/stats", {"GET": stats, "DELETE": clear_stats}),
        call("/emulator/revoke", {"POST": revoke}),
        call("/emulator/keys/rotate", {"POST": rotate}),
        call("/emulator/event", {"POST": event}),
        call("/emulator/id_token", {"POST": id_token}),
        call("/emulator/reset", {"POST": reset}),
        *control_faults.routes(world),
        *control_registry.routes(world),
    ]


def make_code(world: World, body: CodeBody) -> dict[str, str]:
    """
    A code as the phone or the browser would have brought it, the user having said yes to everything.

    Raises:
        ControlError: The account cannot sign in now, or the client is unknown.
    """
    client = known_client(world, body.client_id)
    user = world.user(body.email)
    if user.disabled or user.admin_blocked:
        what = "is disabled" if user.disabled else "is kept from this app by its administrator"
        raise ControlError("account_blocked", f"the account {what}, so it cannot sign in", 409)
    asked = DEFAULT_SCOPES if body.scopes is None else body.scopes
    scopes = canonical(asked.split() if isinstance(asked, str) else asked)
    combined = body.include_granted_scopes
    code = issue_code(
        world,
        client,
        user,
        sdk_scopes(scopes, body.source),
        body.source,
        body.redirect_uri,
        offline=body.access_type == "offline",
        include_granted=body.source in _BY_DEFAULT_COMBINED if combined is None else combined,
        consented=body.force,
        nonce=body.nonce,
        code_challenge=body.code_challenge,
        code_challenge_method=body.code_challenge_method,
        access_seconds=body.access_seconds,
    )
    return {"code": code.value, "sub": user.sub}


def _clock(world: World) -> dict[str, Any]:
    return {
        "now": world.now().astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "offset": world.clock.offset.total_seconds(),
    }


def _stats(world: World) -> dict[str, Any]:
    """The counters; those that tests ask for most are there even at zero."""
    counted: dict[str, Any] = {
        "token": {"authorization_code": {"ok": 0}, "refresh_token": {"ok": 0}},
        "revoke": {},
        "certs": {},
        "faults": {},
        "totals": {api: dict.fromkeys(names, 0) for api, names in TOTALS.items()},
    }
    with world.lock:
        for endpoint, kinds in world.counters.items():
            for kind, outcomes in kinds.items():
                shown = counted.setdefault(endpoint, {}).setdefault(kind, {})
                if isinstance(shown, dict):
                    shown.update(outcomes)
    return counted


def _take_back(world: World, user: User, project: str | None = None) -> int:
    grants = [grant for grant in world.grants_of(user.sub) if project in (None, grant.project)]
    for grant in grants:
        world.revoke(grant)
    return len(grants)


def _event(world: World, body: EventBody) -> dict[str, Any]:
    kind = next((uri for uri in EVENTS if body.type in (uri, uri.rpartition("/")[2])), None)
    if kind is None:
        names = ", ".join(uri.rpartition("/")[2] for uri in EVENTS)
        raise ControlError("event_unknown", f"there is no event {body.type!r}; there are: {names}")
    if body.receiver is not None:
        raise ControlError(
            "not_implemented",
            "the emulator does not send security event tokens to a receiver yet; without one, "
            "the event changes the account here",
            501,
        )
    user = world.user(body.email)
    effect = "none"
    if kind.endswith("/account-disabled"):
        user.disabled, effect = True, "the account is disabled"
    elif kind.endswith("/account-enabled"):
        user.disabled, effect = False, "the account is enabled"
    elif kind.endswith("/tokens-revoked"):
        effect = f"{_take_back(world, user)} grants ended"
    return {"type": kind, "sub": user.sub, "effect": effect, "delivered": False}


def _phones_id_token(world: World, body: IdTokenBody) -> str:
    """The app's own ID token: for the server's client, asked for by the app's."""
    claims = id_token_claims(
        world,
        world.user(body.email),
        IDENTITY if body.scopes is None else canonical(body.scopes),
        aud=body.aud or world.web_client.id,
        azp=body.azp or world.ios_client.id,
        nonce=body.nonce,
    )
    token = world.keys.current.sign(claims)
    return token if body.fault is None else _forged(world, token, body.fault)


def _forged(world: World, token: str, name: str) -> str:
    """*token* as the token endpoint's fault *name* would spoil it."""
    kind = MENU.get(name)
    if kind is None or "token" not in kind.endpoints or kind.spoil is None:
        raise ControlError("fault_unknown", f"no fault named {name!r} spoils an ID token")
    honest = Answer(body=msgspec.json.encode({"id_token": token}))
    try:
        spoilt = msgspec.json.decode(kind.spoil(honest, Fault(kind, "token"), world).body)
    except (Missed, msgspec.DecodeError) as nothing:
        raise ControlError("fault_missed", f"{name!r} finds nothing to spoil in this ID token") from nothing
    if not isinstance(spoilt, dict) or spoilt.get("id_token") in (None, token):
        raise ControlError("fault_missed", f"{name!r} does not spoil an ID token")
    return str(spoilt["id_token"])
