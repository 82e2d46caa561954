"""Where a user's token may go: an answer that names an address is believed only within Google's own."""

from urllib.parse import SplitResult

from grantkeeper.errors import ApiMisbehaved
from grantkeeper.protocol.api_request import is_googles
from grantkeeper.protocol.discovery import is_safe_url, split_url


def trusted(url: object, *, base: str) -> str:
    """
    *url*, which an answer named: of the origin of *base*, or both of them Google's.

    Raises:
        ApiMisbehaved: It is no address, or one that the user's token must not go to.
    """
    parts = split_url(url) if isinstance(url, str) and len(url) <= 8192 and is_safe_url(url) else None
    home = split_url(base)
    if (
        isinstance(url, str)
        and parts is not None
        and home is not None
        and (_origin(parts) == _origin(home) or (_is_google(parts) and _is_google(home)))
    ):
        return url
    raise ApiMisbehaved("the answer names an address that is not Google's")


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _is_google(parts: SplitResult) -> bool:
    return parts.scheme == "https" and is_googles(parts.hostname or "")
