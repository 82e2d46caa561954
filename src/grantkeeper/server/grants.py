"""The routes about grants: list, describe, attach, revoke, forget; each within the caller's rule."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from grantkeeper.errors import GrantNotFound
from grantkeeper.model import GrantState
from grantkeeper.server.answers import DescriptionAnswer, GrantsAnswer, RevocationAnswer
from grantkeeper.server.bodies import AttachBody, ClientName, Name, Sub, UserId
from grantkeeper.server.call import Call
from grantkeeper.server.callers import require_client
from grantkeeper.server.service import Service
from grantkeeper.server.wire import NO_STORE, Answer, json_answer


class ListQuery(msgspec.Struct, kw_only=True, frozen=True):
    """Which grants to list; filters that are not sent let all through."""

    client: ClientName | None = None
    subject: Sub | None = None
    user: UserId | None = None
    state: GrantState | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Name | None = None


class ForgetQuery(msgspec.Struct, kw_only=True, frozen=True):
    """Whether the issuer is told before our record goes."""

    revoke: Literal["true", "false"] = "true"


async def _grant_id(service: Service, call: Call) -> str:
    """The id in the path, once it is known that the caller may see it."""
    asked = call.path("id")
    if not asked.isascii() or not asked.isprintable() or len(asked) > 255:
        raise GrantNotFound("there is no grant of that id")
    return await service.core.resolve(grant=asked, clients=call.asking().clients)


async def list_grants(service: Service, call: Call) -> Answer:
    """``GET /v1/grants``."""
    caller = call.asking()
    query = call.query(ListQuery)
    require_client(caller, query.client)
    found, cursor = await service.core.grants(
        client=query.client,
        subject=query.subject,
        user=query.user,
        state=query.state,
        limit=query.limit,
        cursor=query.cursor,
        clients=caller.clients,
    )
    return json_answer(
        GrantsAnswer(grants=[DescriptionAnswer.of(each) for each in found], next_cursor=cursor)
    )


async def describe(service: Service, call: Call) -> Answer:
    """``GET /v1/grants/{id}``."""
    grant_id = await _grant_id(service, call)
    return json_answer(DescriptionAnswer.of(await service.core.describe(grant_id)))


async def attach(service: Service, call: Call) -> Answer:
    """``PATCH /v1/grants/{id}``: say which of your users it is."""
    body = await call.body(AttachBody)
    grant_id = await _grant_id(service, call)
    return json_answer(DescriptionAnswer.of(await service.core.attach(grant_id, body.user)))


async def revoke(service: Service, call: Call) -> Answer:
    """``POST /v1/grants/{id}/revoke``: nobody here hands anything out any more, and the issuer is told."""
    grant_id = await _grant_id(service, call)
    return json_answer(RevocationAnswer.of(await service.core.revoke(grant_id)))


async def forget(service: Service, call: Call) -> Answer:
    """``DELETE /v1/grants/{id}``: revoke, unless told not to, and drop the record."""
    query = call.query(ForgetQuery)
    grant_id = await _grant_id(service, call)
    await service.core.forget(grant_id, revoke=query.revoke == "true")
    return Answer(204, headers=(NO_STORE,))
