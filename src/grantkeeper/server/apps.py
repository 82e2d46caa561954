"""The routes for apps: redeeming a code, asking beforehand, and our own redirect flow."""

from typing import Annotated, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta

from grantkeeper.errors import InvalidRequest
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.keeper.preflight import PreflightRequest
from grantkeeper.server.answers import PreflightAnswer, RedeemAnswer, TicketAnswer
from grantkeeper.server.bodies import Name, PreflightBody, RedeemBody, ResultBody, TicketBody
from grantkeeper.server.call import Call
from grantkeeper.server.callers import require_client
from grantkeeper.server.guard import FORWARDING, Origins
from grantkeeper.server.requests import idempotency_key
from grantkeeper.server.service import Service
from grantkeeper.server.wire import NO_STORE, Answer, Header, json_answer


async def redeem(service: Service, call: Call) -> Answer:
    """``POST /v1/redeem``: a one-time code becomes a grant."""
    service.limits.sign_in(call.address)
    key = idempotency_key(call.all(b"idempotency-key"))
    body = await call.body(RedeemBody)
    caller = call.caller
    if caller is None and (body.user is not None or body.expect_subject is not None):
        raise InvalidRequest("user and expect_subject are accepted only with a caller key")
    if caller is not None:
        require_client(caller, body.client)
    client = service.core.client(body.client)
    if caller is not None:
        require_client(caller, client.name)
    Origins.check_client(client, call.origin)
    redeemed = await service.core.redeem(
        RedeemRequest(
            code=body.code,
            client=client.name,
            source=body.source,
            redirect_uri=body.redirect_uri,
            code_verifier=body.code_verifier,
            nonce=body.nonce,
            id_token=body.id_token,
            scopes=body.scopes,
            idempotency_key=key,
            origin=None if call.origin is None else call.origin.decode("latin-1"),
            trusted=caller is not None,
            caller=caller,
            user=body.user,
            expect_subject=body.expect_subject,
        )
    )
    return json_answer(RedeemAnswer.of(redeemed))


async def preflight(service: Service, call: Call) -> Answer:
    """``POST /v1/preflight``: what the app should do before it shows a sign-in."""
    service.limits.sign_in(call.address)
    body = await call.body(PreflightBody)
    if call.caller is not None:
        require_client(call.caller, body.client)
    client = service.core.client(body.client)
    if call.caller is not None:
        require_client(call.caller, client.name)
    Origins.check_client(client, call.origin)
    found = await service.core.preflight(
        PreflightRequest(id_token=body.id_token, client=client.name, source=body.source, scopes=body.scopes)
    )
    return json_answer(PreflightAnswer.of(found))


# -- the redirect flow ---------------------------------------------------------------------------


Visible = Annotated[str, Meta(min_length=1, max_length=2048, pattern="^[ -~]*$")]


class BeginQuery(msgspec.Struct, kw_only=True, frozen=True):
    """How a browser enters the redirect flow."""

    return_to: Visible | None = None
    scopes: Visible | None = None
    ticket: Visible | None = None
    login_hint: Name | None = None


class CallbackQuery(msgspec.Struct, kw_only=True, frozen=True):
    """How the issuer sends the browser back (RFC 6749 4.1.2, RFC 9207)."""

    state: Visible | None = None
    code: Visible | None = None
    error: Visible | None = None
    iss: Visible | None = None


COOKIE: Final = "__Host-grantkeeper-connect"
PLAIN_COOKIE: Final = "grantkeeper-connect"
"""Beside the other on loopback without TLS, for browsers that keep no secure cookie there."""


def _is_plain(call: Call) -> bool:
    """Whether the browser speaks plainly; `Transport.sender` let it in, so it can only be on loopback."""
    return FORWARDING.isdisjoint(call.headers) and call.scope.get("scheme") != "https"


def _set_cookies(call: Call, value: str, max_age: int) -> list[Header]:
    rest = f"={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax"
    cookies = [f"{COOKIE}{rest}; Secure"]
    if _is_plain(call):
        cookies.append(PLAIN_COOKIE + rest)
    return [(b"set-cookie", cookie.encode()) for cookie in cookies]


def _read_cookie(call: Call) -> str | None:
    found: dict[str, str] = {}
    for header in call.all(b"cookie"):
        for pair in header.decode("latin-1").split(";"):
            name, _, value = pair.strip().partition("=")
            found.setdefault(name, value)
    return found.get(COOKIE, found.get(PLAIN_COOKIE) if _is_plain(call) else None)


def _redirect(address: str, *headers: Header) -> Answer:
    """Send the browser on. Only addresses that the core made or the settings list come here."""
    location = quote(address, safe="%/:=&?~#+!$,;'@()*[]").encode()
    return Answer(
        303, headers=((b"location", location), (b"referrer-policy", b"no-referrer"), NO_STORE, *headers)
    )


async def connect(service: Service, call: Call) -> Answer:
    """``GET /connect/{client}``: send a browser to the issuer."""
    service.limits.sign_in(call.address)
    client = service.core.client(call.path("client"))
    query = call.query(BeginQuery)
    begun = await service.core.connect.begin(
        client.name,
        return_to=query.return_to,
        scopes=query.scopes,
        ticket=query.ticket,
        login_hint=query.login_hint,
    )
    return _redirect(begun.url, *_set_cookies(call, begun.cookie, begun.max_age))


async def callback(service: Service, call: Call) -> Answer:
    """``GET /connect/callback``: the issuer sent the browser back."""
    service.limits.sign_in(call.address)
    query = call.query(CallbackQuery)
    address = await service.core.connect.callback(
        state=query.state,
        cookie=_read_cookie(call),
        code=query.code,
        error=query.error,
        iss=query.iss,
    )
    return _redirect(address, *_set_cookies(call, "", 0))


async def ticket(service: Service, call: Call) -> Answer:
    """``POST /v1/connect/tickets``: whoever comes with this ticket is attached to that user."""
    caller = call.asking()
    body = await call.body(TicketBody)
    require_client(caller, body.client)
    client = service.core.client(body.client)
    require_client(caller, client.name)
    value, expires_in = await service.core.connect.ticket(client.name, body.user, body.expect_subject)
    return json_answer(TicketAnswer(ticket=value, expires_in=expires_in), 201)


async def result(service: Service, call: Call) -> Answer:
    """``POST /v1/connect/results``: what the browser's ``?result=`` stands for."""
    caller = call.asking()
    body = await call.body(ResultBody)
    redeemed = await service.core.connect.result(body.result)
    require_client(caller, redeemed.client)
    return json_answer(RedeemAnswer.of(redeemed))
