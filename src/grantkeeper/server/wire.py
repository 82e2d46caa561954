"""
How an answer looks on the wire: the only table from error to HTTP status, and the one way to send.

Every answer is an `Answer`; every refusal is made by `refusal` from an error of
`grantkeeper.errors`. Nothing else in the service writes a status of a refusal.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from starlette.types import Send

from grantkeeper.errors import (
    AppIdTokenRejected,
    CallerNotAllowed,
    CallerUnknown,
    ClientMisconfigured,
    ClientUnknown,
    CodeAlreadyRedeemed,
    CodeRefused,
    ConsentRequired,
    DestinationNotAllowed,
    ForgedRequest,
    GrantAmbiguous,
    GrantBlocked,
    GrantkeeperError,
    GrantNotFound,
    HttpsRequired,
    IdempotencyMismatch,
    IdentityUnknown,
    IdTokenRejected,
    InvalidRequest,
    IssuerMisbehaved,
    IssuerUnavailable,
    JobEnded,
    JobNotFound,
    JobUnknown,
    OriginNotAllowed,
    OutcomeUnknown,
    SealBroken,
    StoreUnavailable,
    TooLarge,
    TooManyRequests,
    TooSlow,
    UnsupportedMediaType,
    WrongAccount,
)
from grantkeeper.lifecycle import REMEDIES
from grantkeeper.model import Reason

STATUS: Final[Mapping[type[GrantkeeperError], int]] = {
    InvalidRequest: 400,
    CallerUnknown: 401,
    ForgedRequest: 403,
    OriginNotAllowed: 403,
    HttpsRequired: 403,
    CallerNotAllowed: 403,
    DestinationNotAllowed: 403,
    ClientUnknown: 404,
    GrantNotFound: 404,
    JobNotFound: 404,
    TooSlow: 408,
    CodeAlreadyRedeemed: 409,
    WrongAccount: 409,
    ConsentRequired: 409,
    GrantBlocked: 409,
    GrantAmbiguous: 409,
    JobEnded: 409,
    TooLarge: 413,
    UnsupportedMediaType: 415,
    CodeRefused: 422,
    IdempotencyMismatch: 422,
    IdentityUnknown: 422,
    AppIdTokenRejected: 422,
    JobUnknown: 422,
    TooManyRequests: 429,
    IssuerMisbehaved: 502,
    IdTokenRejected: 502,
    IssuerUnavailable: 503,
    StoreUnavailable: 503,
    ClientMisconfigured: 503,
    SealBroken: 503,
    OutcomeUnknown: 504,
}
"""The status of every error that a request can meet; `SettingsInvalid` never reaches one."""

RETRY_AFTER: Final[Mapping[type[GrantkeeperError], int]] = {
    TooSlow: 1,
    TooManyRequests: 1,
    IssuerUnavailable: 5,
    StoreUnavailable: 1,
    ClientMisconfigured: 30,
    SealBroken: 30,
}
"""Seconds to wait, where the error does not know better; every error with ``retry`` has a row."""

Header = tuple[bytes, bytes]

JSON: Final[Header] = (b"content-type", b"application/json")
NO_STORE: Final[Header] = (b"cache-control", b"no-store")


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A whole answer.

    Attributes:
        error: The code of a refusal, for the log.
        headers: All but ``content-length`` and ``x-request-id``.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: tuple[Header, ...] = (JSON, NO_STORE)
    error: str | None = None

    def adding(self, *headers: Header) -> "Answer":
        """The same answer with more headers."""
        return Answer(self.status, self.body, (*self.headers, *headers), self.error)


def json_answer(value: Any, status: int = 200, *headers: Header) -> Answer:
    """*value*, a record of `grantkeeper.server.answers` or plain JSON, as an answer nobody caches."""
    return Answer(status, msgspec.json.encode(value), (JSON, NO_STORE, *headers))


def told_as(error: GrantkeeperError) -> type[GrantkeeperError] | None:
    """
    The kind of `STATUS` that *error* is told as; ``None`` for one that no request should meet.

    Keepers raise finer kinds than callers need to know: a client's secret that was refused is told
    as its client that is.
    """
    return next((kind for kind in type(error).__mro__ if kind in STATUS), None)


def refusal(error: GrantkeeperError) -> Answer:
    """The answer that tells *error*, with ``Retry-After`` wherever another try can help."""
    kind = told_as(error)
    assert kind is not None
    headers = [JSON, NO_STORE]
    if error.retry:
        wait = RETRY_AFTER[kind] if error.retry_after is None else math.ceil(error.retry_after)
        headers.append((b"retry-after", b"%d" % max(wait, 1)))
    if isinstance(error, CallerUnknown):
        headers.append((b"www-authenticate", b'Bearer realm="grantkeeper"'))
    body = {"error": error.code, "error_description": error.text, "hint": error.hint, **fields(error)}
    return Answer(STATUS[kind], msgspec.json.encode(body), tuple(headers), error.code)


def fields(error: GrantkeeperError) -> dict[str, Any]:
    """What an answer says beside code, sentence and hint, such as `reason` and `remedy`."""
    found = {name: value for name, value in error.details.items() if value is not None}
    if isinstance(error, (ConsentRequired, GrantBlocked)) and "remedy" not in found:
        default = Reason.ADMIN_POLICY_ENFORCED if isinstance(error, GrantBlocked) else None
        reason = found.get("reason", default)
        if reason in set(Reason):
            found["remedy"] = REMEDIES[Reason(reason)]
    return found


def plain_refusal(status: int, code: str, text: str, hint: str, *headers: Header) -> Answer:
    """A refusal that HTTP itself knows and the keeper does not: see `not_found` and its kin."""
    body = {"error": code, "error_description": text, "hint": hint}
    return Answer(status, msgspec.json.encode(body), (JSON, NO_STORE, *headers), code)


def not_found() -> Answer:
    """There is nothing at this path."""
    return plain_refusal(
        404, "not_found", "there is nothing at this path", "See /docs for what this service answers."
    )


def method_not_allowed(allowed: str) -> Answer:
    """The path is right and the method is not."""
    return plain_refusal(
        405,
        "method_not_allowed",
        f"this path answers only {allowed}",
        "See /docs for the methods of each path.",
        (b"allow", allowed.encode()),
    )


def internal_error() -> Answer:
    """We are wrong; what exactly is in the log, under the request id."""
    return plain_refusal(
        500,
        "internal_error",
        "the service failed at this request",
        "Tell the operator the X-Request-Id; the log says more.",
    )


def headers_too_large() -> Answer:
    """The request line and headers are over the limit (RFC 6585 section 5)."""
    return plain_refusal(
        431, TooLarge.code, "the request's address and headers are too large", TooLarge.advice
    )


async def send_answer(send: Send, answer: Answer, request_id: bytes, *, head: bool = False) -> None:
    """Send *answer* whole; of an answer to HEAD only the headers."""
    length = b"%d" % len(answer.body)
    headers = [*answer.headers, (b"content-length", length), (b"x-request-id", request_id)]
    if answer.status == 204:
        headers = [header for header in headers if header[0] not in (b"content-length", b"content-type")]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
