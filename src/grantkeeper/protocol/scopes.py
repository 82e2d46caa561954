"""
Scopes: sets of names, compared under one spelling.

``email`` and ``https://www.googleapis.com/auth/userinfo.email`` are one scope:
Google accepts the first and answers with the second (google-facts 6). We keep
the long name, which is what its answers have, and say the short one to every
other issuer, which knows no other.
"""

from collections.abc import Iterable, Mapping

from grantkeeper.errors import InvalidRequest
from grantkeeper.model import Provider

OPENID = "openid"
EMAIL = "https://www.googleapis.com/auth/userinfo.email"
PROFILE = "https://www.googleapis.com/auth/userinfo.profile"

SHORT_NAMES: Mapping[str, str] = {"email": EMAIL, "profile": PROFILE}
"""Google's short names, and what its answers call them."""

LONG_NAMES: Mapping[str, str] = {long: short for short, long in SHORT_NAMES.items()}

IDENTITY = frozenset({OPENID, EMAIL, PROFILE})
"""Scopes that say who somebody is and open nothing else."""

MOST_SCOPES = 200
LONGEST_SCOPE = 512

Scopes = frozenset[str]


def normalised(names: Iterable[str]) -> Scopes:
    """The set of *names* under one spelling."""
    return frozenset(SHORT_NAMES.get(name, name) for name in names)


def parse(value: str) -> Scopes:
    """The set in a space-separated list (RFC 6749 3.3); its order means nothing."""
    return normalised(value.split())


def wire(scopes: Scopes, provider: Provider = Provider.GOOGLE) -> str:
    """The list to send to a *provider*: sorted, so that equal sets are equal texts."""
    names = scopes if provider is Provider.GOOGLE else {LONG_NAMES.get(name, name) for name in scopes}
    return " ".join(sorted(names))


def is_scope(name: object) -> bool:
    """Whether *name* is a scope token (RFC 6749 3.3): visible ASCII without quote and backslash."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= LONGEST_SCOPE
        and all("!" <= char <= "~" and char not in '"\\' for char in name)
    )


def asked(value: object) -> Scopes | None:
    """
    The scopes in a request of ours: a list of names or one space-separated text; ``None`` if none were named.

    Raises:
        InvalidRequest: It is neither, or a name cannot be a scope.
    """
    if value is None:
        return None
    names = value.split() if isinstance(value, str) else value
    if not isinstance(names, (list, tuple, set, frozenset)):
        raise InvalidRequest("scopes must be a list of names or one text with spaces between them")
    if len(names) > MOST_SCOPES:
        raise InvalidRequest(f"scopes may have at most {MOST_SCOPES} names")
    if not all(is_scope(name) for name in names):
        raise InvalidRequest("scopes has a name that cannot be a scope")
    return normalised(names) or None


def missing(wanted: Scopes, granted: Scopes) -> Scopes:
    """Of *wanted*, what is not in *granted*. Having more than was asked is normal (google-facts 6)."""
    return wanted - granted


def scope_key(scopes: Scopes, granted: Scopes) -> str:
    """
    The name under which a token for *scopes* is cached.

    Empty for all that is granted: such a token is asked for without ``scope``,
    so that a later, wider consent needs no other key. A token that opens
    nothing at all has a key of its own: no list of names is a space.
    """
    return "" if scopes == granted else wire(scopes) or " "
