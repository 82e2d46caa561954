"""
``POST /v1/token``: an access token for the user who is away.

Two lanes. The raw one (`grantkeeper.server.app.App`) stands in front of the router
and hands out what is fresh in memory: caller check, rule check, a dictionary, and
nothing that waits. Whatever is not that plain (another content type, a stale token,
any error at all) it leaves to the other, so there is one place that refuses.
"""

from typing import Final

import msgspec
from starlette.types import Message, Scope

from grantkeeper.errors import GrantkeeperError, StoreUnavailable
from grantkeeper.model import Caller, Permission
from grantkeeper.protocol.scopes import asked
from grantkeeper.server.answers import TokenAnswer
from grantkeeper.server.bodies import TokenBody
from grantkeeper.server.call import Call
from grantkeeper.server.metrics import TOKEN_ROUTE
from grantkeeper.server.requests import LARGEST_BODY, may_repeat
from grantkeeper.server.service import Service
from grantkeeper.server.wire import Answer, json_answer

PATH: Final = TOKEN_ROUTE
DEFAULT_MIN_TTL: Final = 60
MOST_CHANGES: Final = 3
"""How often a caller's rules may change while its one request waits."""

_decode = msgspec.json.Decoder(TokenBody).decode
_encode = msgspec.json.Encoder().encode

Leave = (GrantkeeperError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the raw lane does not say itself: the other meets it again and knows how."""


async def token(service: Service, call: Call) -> Answer:
    """The lane that may wait: look the grant up, refresh, refuse."""
    body = await call.body(TokenBody)
    rejected = None if body.rejected is None else body.rejected.rstrip("=")
    for _ in range(MOST_CHANGES):
        caller = call.asking()
        grant_id = await service.lookups.find(caller, body)
        found = await service.core.access_token(
            grant_id,
            scopes=asked(body.scopes),
            min_ttl=DEFAULT_MIN_TTL if body.min_ttl is None else body.min_ttl,
            rejected=rejected,
            rule=caller.scopes,
            caller=caller.id,
        )
        # A refresh takes seconds: only who may still have the token, by the rules of now, is given it.
        if await call.identify() == caller:
            return json_answer(TokenAnswer.of(found))
        # What was refused has been replaced by now; asking again must not refuse the replacement.
        rejected = None
    raise StoreUnavailable("the caller's rules change faster than they can be read", retry_after=1.0)


def plain_caller(service: Service, scope: Scope, headers: dict[bytes, bytes]) -> Caller | None:
    """Who asks for a token, if that is known from memory and everything else about the head is plain."""
    authorization = headers.get(b"authorization")
    if (
        authorization is None
        or headers.get(b"content-type") != b"application/json"
        or b"content-encoding" in headers
        or len(headers) != len(scope["headers"])
    ):
        return None
    try:
        service.transport.sender(scope, headers)
    except GrantkeeperError:
        return None
    caller = service.callers.remembered(authorization)
    return caller if caller is not None and caller.may(Permission.TOKEN) else None


def from_memory(service: Service, caller: Caller, message: Message, authorization: bytes) -> bytes | None:
    """The body of the good answer to a request of *caller*, where memory has all it takes."""
    if message["type"] != "http.request" or message.get("more_body", False):
        return None
    # Between the head and the body may be seconds, in which the caller was revoked.
    if service.callers.remembered(authorization) is not caller:
        return None
    raw = message["body"]
    if len(raw) > LARGEST_BODY or may_repeat(raw):
        return None
    try:
        body = _decode(raw)
        grant_id = service.lookups.remembered(caller, body)
        if grant_id is None:
            return None
        found = service.core.fresh_token(
            grant_id,
            scopes=None if body.scopes is None else asked(body.scopes),
            min_ttl=DEFAULT_MIN_TTL if body.min_ttl is None else body.min_ttl,
            rejected=None if body.rejected is None else body.rejected.rstrip("="),
            rule=caller.scopes,
            caller=caller.id,
        )
    except Leave:
        return None
    return None if found is None else _encode(TokenAnswer.of(found))
