"""Content on its way out: all of it, or the one range of bytes that was asked for."""

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from grantkeeper.emulator.bearer import ApiError

_RANGE = re.compile(r"bytes=(?:([0-9]{1,19})-([0-9]{0,19})|-([0-9]{1,19}))")


def content_answer(request: Request, content: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """
    The bytes, or the one range of them that was asked for.

    A Range header that is malformed or names several ranges is ignored (RFC 9110 14.2).

    Raises:
        ApiError: 416, the range begins after the end.
    """
    sent = {"Accept-Ranges": "bytes", **headers}
    span = _span(request.headers.get("range", ""), len(content))
    if span is None:
        return Response(content, 200, sent, media_type=media_type)
    first, last = span
    sent["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Response(content[first : last + 1], 206, sent, media_type=media_type)


def _span(header: str, size: int) -> tuple[int, int] | None:
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        return None
    if found[3] is not None:
        first, last = max(0, size - int(found[3])), size - 1
    else:
        first, last = int(found[1]), int(found[2] or size - 1)
        if found[2] and last < first:
            return None
    if first >= size or last < first:
        raise ApiError(
            416,
            "requestedRangeNotSatisfiable",
            "Request range not satisfiable",
            location=("header", "Range"),
            headers={"Content-Range": f"bytes */{size}"},
        )
    return first, min(last, size - 1)
