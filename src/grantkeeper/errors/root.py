"""What every public error has: who must act, a code for good, and a record to come back from."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar


class Who(StrEnum):
    """Who can mend it."""

    CALLER = "caller"
    USER = "user"
    OPERATOR = "operator"
    NOBODY = "nobody"
    ISSUER = "issuer"


class GrantkeeperError(Exception):
    """
    The root of the tree; raised only through its children.

    Args:
        text: One line for the log and for ``error_description``.
        hint: What the person should do, where the class's own advice is too general.
        retry_after: Seconds after which another try makes sense, where known.
        details: What else a program may want, by the names HTTP uses; only
            values that JSON knows.
    """

    code: ClassVar[str]
    who: ClassVar[Who]
    retry: ClassVar[bool] = False
    advice: ClassVar[str] = ""

    def __init__(
        self,
        text: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.hint = self.advice if hint is None else hint
        self.retry_after = retry_after
        self.details: dict[str, Any] = dict(details or {})

    def as_record(self) -> dict[str, Any]:
        """What `from_record` needs to raise the same error again, in JSON's own types."""
        return {
            "error": self.code,
            "kind": next(kind.__name__ for kind in type(self).__mro__ if kind.__name__ in KINDS),
            "error_description": self.text,
            "hint": self.hint,
            "retry_after": self.retry_after,
            "details": dict(self.details),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # The way of Exception, calling the class with its args, fits none whose arguments have names.
        return from_record, (self.as_record(),)


KINDS: dict[str, type[GrantkeeperError]] = {}
"""Every public error by its name."""

ERRORS: dict[str, type[GrantkeeperError]] = {}
"""Every public error by its code; where two share one, the more general."""


def gather() -> None:
    """Fill both with what is defined by now; what is refined elsewhere later is told by its public parent."""
    KINDS.update({kind.__name__: kind for kind in _tree(GrantkeeperError) if hasattr(kind, "code")})
    ERRORS.update({kind.code: kind for kind in reversed(list(KINDS.values()))})


def _tree(kind: type[GrantkeeperError]) -> list[type[GrantkeeperError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _tree(child))]


def from_record(record: Mapping[str, Any]) -> GrantkeeperError:
    """
    The error that `GrantkeeperError.as_record` wrote down.

    A kind of another release that is not known here comes back as the general
    error of its code.

    Raises:
        KeyError: The record names no code that this release knows.
    """
    kind = ERRORS[record["error"]]
    named = KINDS.get(str(record.get("kind")))
    if named is not None and issubclass(named, kind):
        kind = named
    error = kind.__new__(kind)
    GrantkeeperError.__init__(
        error,
        record["error_description"],
        hint=record.get("hint"),
        retry_after=record.get("retry_after"),
        details=record.get("details"),
    )
    return error
