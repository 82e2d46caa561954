"""Listings that come in pages, and end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from grantkeeper.errors import ApiMisbehaved
from grantkeeper.protocol import api


async def pages(
    fetch: Callable[[str | None], Awaitable[dict[str, Any]]], *, most: int
) -> AsyncIterator[dict[str, Any]]:
    """
    One page after the other.

    Args:
        fetch: Asks for the page of a ``pageToken``; of ``None`` for the first.
        most: Pages that such a listing can have.

    Raises:
        ApiMisbehaved: There are more, or a page leads back to one that was read.
    """
    token: str | None = None
    seen: set[str] = set()
    while len(seen) < most:
        page = await fetch(token)
        yield page
        # Google leaves it out on the last page, and some of its APIs give an empty one.
        if page.get("nextPageToken", "") == "":
            return
        token = api.text(page, "nextPageToken")
        if token in seen:
            break
        seen.add(token)
    raise ApiMisbehaved("the answer's pages do not end")
