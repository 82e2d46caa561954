"""What a request to an API of Google's may be: where a user's token goes, what may go twice."""

import re
from typing import Final

LARGEST_ANSWER: Final = 8 * 1024 * 1024
"""Bytes of an API's answer that are read; a download names its own limit."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
"""What may be sent twice unless the request says otherwise (RFC 9110 9.2.2)."""

_GOOGLES: Final = re.compile(
    r"(?:[a-z0-9-]+\.)+(?:googleapis|google)\.com|(?:lh[0-9]+|video-downloads)\.googleusercontent\.com"
)


def is_googles(host: str) -> bool:
    """
    Whether *host*, in lower case, is one that may see a user's token.

    Of ``googleusercontent.com`` only those that serve photos and videos: others there are virtual
    machines and notebooks of anybody's.
    """
    return _GOOGLES.fullmatch(host) is not None
