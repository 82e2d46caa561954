"""Values that must never be seen: they print as stars and are read in one visible way."""

import hmac
from typing import Any, Never


class Secret:
    """
    A value that prints as stars and is read by `reveal` alone.

    It does not convert to text, hash, order or pickle, and it compares in
    constant time. `reveal` stands on the line that builds a message or seals
    the value, so that a search for it lists every place that matters.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"{type(self).__name__} wants text, not {type(value).__name__}")
        self._value = value

    def reveal(self) -> str:
        """The value itself. Keep it on this line."""
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(****)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        # Half of a surrogate pair is text to Python; an error about it would carry the value.
        return hmac.compare_digest(*(one._value.encode("utf-8", "surrogatepass") for one in (self, other)))

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> Never:
        raise TypeError(f"{type(self).__name__} has no truth value; compare with None")

    def __len__(self) -> Never:
        raise TypeError(f"{type(self).__name__} does not tell its length")

    def __reduce_ex__(self, protocol: Any) -> Never:
        raise TypeError(f"{type(self).__name__} does not pickle; seal it")

    def __getstate__(self) -> Never:
        raise TypeError(f"{type(self).__name__} does not give its state away; seal it")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: Any) -> "Secret":
        return self


class AuthorizationCode(Secret):
    """A one-time code (RFC 6749 4.1.2)."""

    __slots__ = ()


class AccessToken(Secret):
    """What opens the APIs for an hour (RFC 6749 1.4)."""

    __slots__ = ()


class RefreshToken(Secret):
    """What earns access tokens for years (RFC 6749 1.5)."""

    __slots__ = ()


class ClientSecret(Secret):
    """Our password at the issuer (RFC 6749 2.3.1)."""

    __slots__ = ()


class CodeVerifier(Secret):
    """The proof of possession of a code (RFC 7636 4.1)."""

    __slots__ = ()


class IdToken(Secret):
    """A signed statement of who signed in, before it is verified (OpenID Connect Core 2)."""

    __slots__ = ()


class CallerKey(Secret):
    """A backend's password at grantkeeper."""

    __slots__ = ()


class SessionToken(Secret):
    """Our own signed statement, made for the app's backend."""

    __slots__ = ()
