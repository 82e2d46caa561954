"""The outermost layer: finds out which endpoint a request is for and lets the planned fault strike."""

import asyncio
import contextlib
from email.utils import format_datetime
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grantkeeper.emulator.bearer import bearer_token
from grantkeeper.emulator.faults import Answer, Fault, Missed
from grantkeeper.emulator.forms import grant_kind
from grantkeeper.emulator.photos_kinds import kind_of
from grantkeeper.emulator.world import World

TRANSPORT = "grantkeeper.transport"
"""The ASGI extension under which the runner's protocol offers the connection itself."""

FAULT = "grantkeeper.fault"
"""The ASGI extension under which the fault that strikes is offered to the handler of the request."""

_EXACT = {
    "/token": "token",
    "/oauth2/v4/token": "token",
    "/o/oauth2/token": "token",
    "/revoke": "revoke",
    "/o/oauth2/revoke": "revoke",
    "/oauth2/v1/certs": "certs",
    "/oauth2/v3/certs": "certs",
    "/.well-known/openid-configuration": "discovery",
    "/v1/userinfo": "userinfo",
    "/oauth2/v3/userinfo": "userinfo",
    "/oauth2/v2/userinfo": "userinfo",
    "/oauth2/v1/userinfo": "userinfo",
    "/userinfo/v2/me": "userinfo",
    "/tokeninfo": "tokeninfo",
    "/oauth2/v3/tokeninfo": "tokeninfo",
    "/oauth2/v2/tokeninfo": "tokeninfo",
    "/oauth2/v1/tokeninfo": "tokeninfo",
    "/o/oauth2/v2/auth": "auth",
    "/o/oauth2/auth": "auth",
}

_PREFIXES = (
    ("/drive/", "drive"),
    ("/upload/drive/", "upload"),
    ("/resumable/upload/drive/", "upload"),
    ("/batch", "batch"),
    ("/v1/people", "people"),
    ("/photoslibrary/", "photos"),
    ("/photospicker/", "picker"),
)

_PIECE = 1 << 20


def fault_of(request: Request) -> Fault | None:
    """The fault that strikes *request*, for a handler that has to play along."""
    fault = request.scope.get("extensions", {}).get(FAULT)
    assert fault is None or isinstance(fault, Fault)
    return fault


def endpoint_of(path: str) -> str | None:
    """The name under which faults and counters know *path*; None for the control side and the pages."""
    if path in _EXACT:
        return _EXACT[path]
    return next((name for prefix, name in _PREFIXES if path.startswith(prefix)), None)


class FaultLayer:
    """Wraps the application; a request that no fault is planned for passes through untouched."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self.app = app
        self.world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = _dated(send, self.world)
        endpoint = endpoint_of(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or not self.world.faults.active:
            await self.app(scope, receive, send)
            return
        body = await whole_body(receive) if endpoint in ("token", "revoke") else None
        if body is not None:
            receive = replayed(body, receive)
        kind = _kind(endpoint, scope, body or b"")
        fault = self.world.faults.take(endpoint, kind, _caller(self.world, scope, body or b""))
        if fault is None:
            await self.app(scope, receive, send)
            return
        answer = Answer()
        if fault.processed:
            extensions = {**scope.get("extensions", {}), FAULT: fault}
            answer = await _collect(self.app, {**scope, "extensions": extensions}, receive)
        else:
            self.world.count(endpoint, kind, fault.kind.outcome or fault.kind.name)
        if fault.kind.spoil is not None:
            try:
                answer = fault.kind.spoil(answer, fault, self.world)
            except Missed:
                self.world.faults.give_back(fault)
                await _send_whole(answer, send)
                return
        self.world.count("faults", endpoint, fault.kind.name)
        await _deliver(answer, fault, scope, receive, send)


def _dated(send: Send, world: World) -> Send:
    """*send*, with the time of the emulator's own clock as ``Date``."""

    async def dated(message: Message) -> None:
        if message["type"] == "http.response.start":
            date = format_datetime(world.clock.now(), usegmt=True).encode()
            message = {**message, "headers": [*message.get("headers", ()), (b"date", date)]}
        await send(message)

    return dated


def _kind(endpoint: str, scope: Scope, body: bytes) -> str:
    """How a request that never reached its handler is counted."""
    if endpoint == "token":
        return grant_kind(dict(parse_qsl(body.decode("latin-1"))))
    if endpoint in ("photos", "picker"):
        return kind_of(scope["method"], scope["path"], Headers(scope=scope))
    if endpoint == "certs":
        return "v1" if "/v1/" in scope["path"] else "v3"
    return "unknown" if endpoint == "revoke" else str(scope["method"]).lower()


def _caller(world: World, scope: Scope, body: bytes) -> str | None:
    """The address of the user whose token a request carries, dead or alive, in its head or in its form."""
    request = Request(scope)
    form = dict(parse_qsl(body.decode("latin-1")))
    carried = (
        world.access_tokens.get(bearer_token(request) or form.get("token", "")),
        world.refresh_tokens.get(form.get("refresh_token", form.get("token", ""))),
        world.codes.get(form.get("code", "")),
    )
    subs = [token.grant.sub for token in carried if token is not None]
    user = world.user_by_sub(subs[0]) if subs else None
    return user.email if user is not None else None


async def whole_body(receive: Receive) -> bytes:
    """All of a request's body."""
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


def replayed(body: bytes, receive: Receive) -> Receive:
    """*receive* as if nobody had read *body* yet."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _collect(app: ASGIApp, scope: Scope, receive: Receive) -> Answer:
    answer = Answer()
    pieces: list[bytes] = []

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            pieces.append(message.get("body", b""))

    await app(scope, receive, keep)
    answer.body = b"".join(pieces)
    return answer


async def _deliver(answer: Answer, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    delivery = fault.kind.delivery
    if delivery == "none":
        await _hang_up(scope, receive)
        return
    if delivery == "late":
        await _linger(fault.seconds(2.0), receive)
    if delivery == "half":
        await _send_head(answer, send)
        half = answer.body[: len(answer.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _hang_up(scope, receive)
    elif delivery == "drop by drop":
        await _send_head(answer, send)
        await _drip(answer.body, fault.seconds(2.0), send)
    else:
        await _send_whole(answer, send)


async def _send_head(answer: Answer, send: Send) -> None:
    headers = [(name, value) for name, value in answer.headers if name.lower() != b"content-length"]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


async def _send_whole(answer: Answer, send: Send) -> None:
    await _send_head(answer, send)
    for start in range(0, len(answer.body), _PIECE):
        piece = answer.body[start : start + _PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _linger(seconds: float, receive: Receive) -> None:
    """Wait, but not longer than the client does."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass


async def _drip(body: bytes, seconds: float, send: Send) -> None:
    drops = min(len(body), 20) or 1
    size = -(-len(body) // drops)
    for start in range(0, len(body), max(size, 1)):
        await asyncio.sleep(seconds / drops)
        await send({"type": "http.response.body", "body": body[start : start + size], "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _hang_up(scope: Scope, receive: Receive) -> None:
    transport = scope.get("extensions", {}).get(TRANSPORT)
    if transport is None:
        raise RuntimeError("this fault closes the connection, which only the emulator's own server can do")
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
