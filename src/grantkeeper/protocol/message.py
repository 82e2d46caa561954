"""
An HTTP message as the protocol sees it, and reading JSON that may be hostile.

What comes from outside is checked for its type before its value: ``True`` is
not a number of seconds, and a list is not an issuer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from grantkeeper.backoff import heeded
from grantkeeper.errors import IssuerMisbehaved

LARGEST_ANSWER = 256 * 1024
"""Bytes of any answer of an issuer that are read; real ones have a few thousand."""

LARGEST_TEXT = 16 * 1024
"""Characters of one value."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, ready to send."""

    method: str
    url: str
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer, whole; header names are lower-case."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def json_object(response: HttpResponse) -> dict[str, Any]:
    """
    The JSON object in a body.

    Raises:
        IssuerMisbehaved: It is not UTF-8, not JSON, not an object, or nested beyond reason.
    """
    try:
        body = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IssuerMisbehaved(f"the answer ({response.status}) is not JSON") from error
    if not isinstance(body, dict):
        raise IssuerMisbehaved(f"the answer ({response.status}) is not a JSON object")
    return body


def text(body: Mapping[str, Any], name: str) -> str:
    """
    A non-empty string without control characters.

    Raises:
        IssuerMisbehaved: It is absent, of another type, empty, too long or not printable.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise IssuerMisbehaved(f"the answer's {name} is not text")
    if len(value) > LARGEST_TEXT:
        raise IssuerMisbehaved(f"the answer's {name} is too long")
    if not value.isprintable():
        raise IssuerMisbehaved(f"the answer's {name} has characters that do not belong there")
    return value


def token(body: Mapping[str, Any], name: str) -> str:
    """
    A string that may stand in a header: visible ASCII, no space (RFC 6749 appendix A.12).

    Raises:
        IssuerMisbehaved: It may not.
    """
    value = text(body, name)
    if not value.isascii() or " " in value:
        raise IssuerMisbehaved(f"the answer's {name} has characters that do not belong there")
    return value


LONGEST_LIFE = 20 * 365 * 24 * 3600


def seconds(body: Mapping[str, Any], name: str) -> int:
    """
    A positive number of seconds; decimal digits in a string are tolerated, as some issuers send them.

    Raises:
        IssuerMisbehaved: It is absent, of another type, not positive or absurd.
    """
    value = body.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise IssuerMisbehaved(f"the answer's {name} is not a number of seconds")
    if not 0 < value <= LONGEST_LIFE:
        raise IssuerMisbehaved(f"the answer's {name} is out of range")
    return value


def retry_after(response: HttpResponse, now: datetime) -> float | None:
    """
    Seconds asked for by ``Retry-After`` (RFC 9110 10.2.3), as a number or as a date.

    Nonsense counts as absent: it must not turn a passing fault into an error of ours. More than an hour
    is an hour, for whoever waits for it and for whoever is told of it.
    """
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return heeded(float(value))
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return heeded((at - now).total_seconds())
