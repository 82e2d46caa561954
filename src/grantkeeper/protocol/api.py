"""
What an API of Google's answers: failures sorted by what helps, and the values of its JSON.

Every API has the same error in one of three envelopes (google-facts 9.1). Of
the words in it one is kept, the reason; its message may quote what the user wrote.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from grantkeeper.errors import (
    ApiError,
    ApiMisbehaved,
    ApiRefused,
    ApiUnavailable,
    HttpFailed,
    IssuerMisbehaved,
    Quota,
    QuotaExceeded,
    ScopeInsufficient,
    TokenRefused,
)
from grantkeeper.protocol import message
from grantkeeper.protocol.message import HttpResponse, retry_after

# -- failures -----------------------------------------------------------------------------------

QUOTA_REASONS: Mapping[str, Quota] = {
    "userRateLimitExceeded": Quota.USER,
    "rateLimitExceeded": Quota.PROJECT,
    "RATE_LIMIT_EXCEEDED": Quota.USER,
    "RESOURCE_EXHAUSTED": Quota.USER,
}
"""
Reasons of a 403 or 429 that time cures, and whose quota each is where nothing else tells.

The user's in doubt: too many waiting is worse than one more 429. Daily and sharing limits
are not here; they are not cured soon enough to wait for.
"""

SCOPE_REASONS = frozenset(
    {"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "insufficient_scope"}
)
"""Not ``insufficientFilePermissions``, which is about the file."""

PASSING = frozenset({408, 425})
"""Statuses below 500 of a request that may be sent again as it is."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}")
_CHALLENGE = re.compile(r'\b(error|scope)\s*=\s*(?:"([^"]{0,4000})"|([^\s,"]{1,200}))')
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,300}")


@dataclass(frozen=True, slots=True)
class _Told:
    """The words of a refusal, whichever envelope they came in."""

    reasons: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        return next(iter(self.reasons), "")


def api_failure(
    response: HttpResponse, *, now: datetime, accept: Collection[int] = frozenset()
) -> ApiError | None:
    """
    What an answer that is no success means; ``None`` for one that is.

    Args:
        now: For a ``Retry-After`` that is a date.
        accept: Statuses outside 200 to 299 that the request counts as an answer, such as 308.
    """
    status = response.status
    if 200 <= status < 300 or status in accept:
        return None
    told = _told(response)
    said = f"Google answered {status}" + (f" ({told.reason})" if told.reason else "")
    wait = retry_after(response, now)
    if status == 401:
        return TokenRefused(said, reason=told.reason)
    if status == 403 and (lacking := _lacking_scopes(response, told)) is not None:
        return ScopeInsufficient(said, missing_scopes=lacking, reason=told.reason)
    if status == 429 or (status == 403 and any(reason in QUOTA_REASONS for reason in told.reasons)):
        return QuotaExceeded(said, whose=_whose(told), status=status, reason=told.reason, retry_after=wait)
    if status >= 500 or status in PASSING:
        return ApiUnavailable(said, status=status, reason=told.reason, retry_after=wait)
    return ApiRefused(said, status=status, reason=told.reason)


def unanswered(host: str, error: HttpFailed) -> ApiUnavailable:
    """What a request that got no usable answer means; *error*'s own text may hold a secret address."""
    return ApiUnavailable(f"{host} gave no whole answer", may_have_arrived=error.may_have_arrived)


GRPC: Mapping[int, tuple[str, int]] = {
    1: ("CANCELLED", 499),
    2: ("UNKNOWN", 500),
    3: ("INVALID_ARGUMENT", 400),
    4: ("DEADLINE_EXCEEDED", 504),
    5: ("NOT_FOUND", 404),
    6: ("ALREADY_EXISTS", 409),
    7: ("PERMISSION_DENIED", 403),
    8: ("RESOURCE_EXHAUSTED", 429),
    9: ("FAILED_PRECONDITION", 400),
    10: ("ABORTED", 409),
    11: ("OUT_OF_RANGE", 400),
    12: ("UNIMPLEMENTED", 501),
    13: ("INTERNAL", 500),
    14: ("UNAVAILABLE", 503),
    15: ("DATA_LOSS", 500),
    16: ("UNAUTHENTICATED", 401),
}
"""Codes of `google.rpc.Status`: their names, and the statuses they have as HTTP."""

STORAGE_FULL = "The user's storage at Google is full; once there is room, try again."

_PASSING_CODES = frozenset({1, 2, 4, 10, 13, 14})


def item_failure(status: object) -> ApiError | None:
    """
    What the ``status`` of one item in an answer about many means; ``None``: it was done.

    Raises:
        ApiMisbehaved: It is no `google.rpc.Status`.
    """
    if status is None:
        return None
    code = status.get("code", 0) if isinstance(status, dict) else None
    if not isinstance(code, int) or isinstance(code, bool):
        raise ApiMisbehaved("the answer's status of an item is not a status")
    if code == 0:
        return None
    name, http = GRPC.get(code, ("UNKNOWN", 500))
    said = f"Google refused an item ({name})"
    if code == 16:
        return TokenRefused(said, reason=name)
    if code == 8:
        # Of one item, beside others that are made, it is the user's storage that is used up.
        return ApiRefused(said, status=http, reason=name, hint=STORAGE_FULL)
    if code in _PASSING_CODES:
        return ApiUnavailable(said, status=http, reason=name)
    return ApiRefused(said, status=http, reason=name)


def _told(response: HttpResponse) -> _Told:
    """The words in a body; none of one that is no error of Google's."""
    try:
        body = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Told()
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        # A bare word here is the token endpoint's way (RFC 6749 5.2), and no API's.
        return _Told()
    details = list(_objects(error.get("details")))
    words = [
        # The finest first: one of an ErrorInfo, of the classic list, and what both may be summed up in.
        *(detail.get("reason") for detail in details),
        *(item.get("reason") for item in _objects(error.get("errors"))),
        error.get("status"),
    ]
    return _Told(
        reasons=tuple(
            dict.fromkeys(word for word in words if isinstance(word, str) and _WORD.fullmatch(word))
        ),
        limits=tuple(_limits(details)),
    )


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    # So many as a true answer never has; what follows is not looked at.
    yield from (item for item in (value[:20] if isinstance(value, list) else ()) if isinstance(item, dict))


def _limits(details: list[Mapping[str, Any]]) -> Iterator[str]:
    """Names of the limits that were reached, such as ``WritesPerMinutePerUser``."""
    for detail in details:
        metadata = detail.get("metadata")
        for place in (metadata, *_objects(detail.get("violations"))):
            if isinstance(place, dict):
                for name in ("quota_limit", "quota_unit", "quotaId", "subject"):
                    if isinstance(value := place.get(name), str):
                        yield value.lower()


def _whose(told: _Told) -> Quota:
    for limit in told.limits:
        if "user" in limit:
            return Quota.USER
        if "project" in limit:
            return Quota.PROJECT
    return next((QUOTA_REASONS[reason] for reason in told.reasons if reason in QUOTA_REASONS), Quota.USER)


def _lacking_scopes(response: HttpResponse, told: _Told) -> list[str] | None:
    """The scopes that a refusal for want of them names, perhaps none; ``None``: it is no such refusal."""
    challenge = {
        found[1]: found[2] or found[3] or ""
        for found in _CHALLENGE.finditer(response.headers.get("www-authenticate", ""))
    }
    if challenge.get("error") not in SCOPE_REASONS and not SCOPE_REASONS.intersection(told.reasons):
        return None
    return [scope for scope in challenge.get("scope", "").split() if _SCOPE.fullmatch(scope)][:50]


# -- values -------------------------------------------------------------------------------------

_DURATION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?s")


def api_object(response: HttpResponse) -> dict[str, Any]:
    """
    The JSON object in a body; an empty body is an empty one.

    Raises:
        ApiMisbehaved: There is something else.
    """
    if not response.body.strip():
        return {}
    try:
        return message.json_object(response)
    except IssuerMisbehaved as error:
        raise ApiMisbehaved(error.text) from error


def text(body: Mapping[str, Any], name: str) -> str:
    """
    A non-empty string without control characters.

    Raises:
        ApiMisbehaved: It is absent, of another type, empty, too long or not printable.
    """
    try:
        return message.text(body, name)
    except IssuerMisbehaved as error:
        raise ApiMisbehaved(error.text) from error


def prose(body: Mapping[str, Any], name: str) -> str:
    """
    What a person may have written, with whatever characters; empty where it is absent.

    Raises:
        ApiMisbehaved: It is of another type, or longer than anything a person writes.
    """
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > message.LARGEST_TEXT:
        raise ApiMisbehaved(f"the answer's {name} is not text")
    return value


def nested(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """
    An object inside; an empty one where it is absent.

    Raises:
        ApiMisbehaved: It is of another type.
    """
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise ApiMisbehaved(f"the answer's {name} is not an object")
    return value


def objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """
    A list of objects; an empty one where it is absent, as Google leaves out what is empty.

    Raises:
        ApiMisbehaved: It is of another type, or something else stands in it.
    """
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ApiMisbehaved(f"the answer's {name} is not a list of objects")
    return value


def number(body: Mapping[str, Any], name: str, *, most: int) -> int:
    """
    A whole number from 0 to *most*; digits in a string too, as JSON of Google's has 64 bits.

    Raises:
        ApiMisbehaved: It is absent, of another type or out of range.
    """
    value = body.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ApiMisbehaved(f"the answer's {name} is not a number")
    if not 0 <= value <= most:
        raise ApiMisbehaved(f"the answer's {name} is out of range")
    return value


def duration(body: Mapping[str, Any], name: str) -> float | None:
    """
    Seconds of a `google.protobuf.Duration`, such as ``"3.5s"``; ``None`` where it is absent.

    Raises:
        ApiMisbehaved: It is written in another way.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or _DURATION.fullmatch(value) is None:
        raise ApiMisbehaved(f"the answer's {name} is not a duration")
    return float(value[:-1])


def moment(body: Mapping[str, Any], name: str) -> datetime | None:
    """
    An RFC 3339 time, in UTC; ``None`` where it is absent.

    Raises:
        ApiMisbehaved: It is written in another way.
    """
    value = body.get(name)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        if found is None or found.tzinfo is None:
            raise ValueError("no time with a zone")
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ApiMisbehaved(f"the answer's {name} is not a time") from error
