"""
What Google answered to somebody else's client.

Google's own clients, and those that others make requests with, keep the answer on the error that they
raise. It is known by its looks, so that none of them need be there.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from grantkeeper.protocol.message import HttpResponse

NEEDS_BODY = frozenset({401, 403})
"""Statuses of which only the body says what helps."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """An answer to *url* that somebody's client took for an error."""

    url: str
    response: HttpResponse


def answered(error: BaseException) -> Foreign | None:
    """The answer that *error*, or one that it was raised from, is about; ``None``: none can be read."""
    found: BaseException | None = error
    while found is not None:
        # Of whatever library: to look at it may raise anything.
        with suppress(Exception):
            foreign = _of_googles(found) or _of_others(found)
            if foreign is not None:
                return foreign
        found = found.__cause__
    return None


def _of_googles(error: Any) -> Foreign | None:
    """Of ``googleapiclient.errors.HttpError``; its headers are the response itself."""
    response = getattr(error, "resp", None)
    return _foreign(
        getattr(error, "uri", None),
        getattr(response, "status", None),
        response,
        getattr(error, "content", None),
    )


def _of_others(error: Any) -> Foreign | None:
    """Of the errors of requests and httpx, and of what raises theirs, such as `google.api_core`."""
    response = getattr(error, "response", None)
    body: object = None
    # One that was not read would be read here, for as long as it takes.
    if getattr(response, "_content_consumed", True):
        with suppress(Exception):
            body = getattr(response, "content", None)
    return _foreign(
        str(getattr(response, "url", "")),
        getattr(response, "status_code", None),
        getattr(response, "headers", None),
        body,
    )


def _foreign(url: object, status: object, headers: object, body: object) -> Foreign | None:
    if not isinstance(url, str) or not isinstance(status, int) or not isinstance(headers, Mapping):
        return None
    if not isinstance(body, bytes):
        if status in NEEDS_BODY:
            return None
        body = b""
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    return Foreign(url, HttpResponse(status, body, named))
