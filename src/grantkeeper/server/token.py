"""
``POST /v1/token``: an access token for the user who is away.

Two lanes. The raw one stands in front of the router and hands out what is fresh
in memory: caller check, rule check, a dictionary, and nothing that waits. Whatever
is not that plain (another content type, a stale token, any error at all) it leaves to the
other lane, so there is one place that refuses.
"""

from time import perf_counter
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grantkeeper.errors import GrantkeeperError
from grantkeeper.model import Caller, Permission, Token
from grantkeeper.protocol.scopes import asked
from grantkeeper.server.answers import TokenAnswer
from grantkeeper.server.call import FIRST_MESSAGE, Call
from grantkeeper.server.requests import LARGEST_BODY, TokenBody
from grantkeeper.server.service import Service
from grantkeeper.server.wire import JSON, NO_STORE, Answer, json_answer

PATH: Final = "/v1/token"
DEFAULT_MIN_TTL: Final = 60

_BODY: Final = msgspec.json.Decoder(TokenBody)
_ANSWER: Final = msgspec.json.Encoder()


async def token(service: Service, call: Call) -> Answer:
    """The lane that may wait: look the grant up, refresh, refuse."""
    caller = call.asking()
    body = await call.body(TokenBody)
    grant_id = await service.lookups.find(caller, body)
    found = await service.core.access_token(
        grant_id,
        scopes=asked(body.scopes),
        min_ttl=DEFAULT_MIN_TTL if body.min_ttl is None else body.min_ttl,
        rejected=None if body.rejected is None else body.rejected.rstrip("="),
        rule=caller.scopes,
        caller=caller.id,
    )
    return json_answer(TokenAnswer.of(found))


class TokenLane:
    """The lane that never waits, as an ASGI app in front of *routed*."""

    def __init__(self, service: Service, routed: ASGIApp) -> None:
        self._service = service
        self._routed = routed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or pass on."""
        started = perf_counter()
        service = self._service
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        headers = dict(pairs)
        caller = self._caller(scope, headers, repeated=len(headers) != len(pairs))
        if caller is None:
            await self._routed(scope, receive, send)
            return
        message = await receive()
        found = self._fresh(caller, message)
        if found is None:
            scope[FIRST_MESSAGE] = message
            await self._routed(scope, receive, send)
            return
        body = _ANSWER.encode(TokenAnswer.of(found))
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    JSON,
                    NO_STORE,
                    (b"content-length", b"%d" % len(body)),
                    (b"x-request-id", service.ids.of(headers)),
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})
        service.tally.hits += 1
        service.tally.answered(PATH, "POST", 200, perf_counter() - started)

    def _caller(self, scope: Scope, headers: dict[bytes, bytes], *, repeated: bool) -> Caller | None:
        """Who asks, if that is known from memory and everything else about the head is plain."""
        authorization = headers.get(b"authorization")
        if (
            repeated
            or authorization is None
            or headers.get(b"content-type") != b"application/json"
            or b"content-encoding" in headers
        ):
            return None
        try:
            self._service.transport.sender(scope)
        except GrantkeeperError:
            return None
        caller = self._service.callers.remembered(authorization)
        return caller if caller is not None and caller.may(Permission.TOKEN) else None

    def _fresh(self, caller: Caller, message: Message) -> Token | None:
        if message["type"] != "http.request" or message.get("more_body", False):
            return None
        try:
            raw = message["body"]
            if len(raw) > LARGEST_BODY:
                return None
            body = _BODY.decode(raw)
            grant_id = self._service.lookups.remembered(caller, body)
            if grant_id is None:
                return None
            return self._service.core.fresh_token(
                grant_id,
                scopes=None if body.scopes is None else asked(body.scopes),
                min_ttl=DEFAULT_MIN_TTL if body.min_ttl is None else body.min_ttl,
                rejected=None if body.rejected is None else body.rejected.rstrip("="),
                rule=caller.scopes,
                caller=caller.id,
            )
        except (GrantkeeperError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # The other lane meets it again and knows how to say it.
            return None
