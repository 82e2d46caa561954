"""Values as columns: times, sets and rows."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

Row = tuple[Any, ...]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def instant(at: datetime) -> int:
    """Microseconds since 1970, exactly; a naive time is a `TypeError`."""
    return (at - EPOCH) // _MICROSECOND


def at_instant(microseconds: int) -> datetime:
    """The time that `instant` wrote down."""
    # By position: the keyword alone costs as much as all the rest.
    return EPOCH + timedelta(0, 0, microseconds)


def maybe_instant(at: datetime | None) -> int | None:
    """`instant`, where there is one."""
    return None if at is None else (at - EPOCH) // _MICROSECOND


def maybe_at(microseconds: int | None) -> datetime | None:
    """`at_instant`, where there is one."""
    return None if microseconds is None else EPOCH + timedelta(0, 0, microseconds)


@lru_cache(maxsize=4096)
def set_text(names: frozenset[str]) -> str:
    """The names in order, with single spaces; one that could not be read back is a `ValueError`."""
    for name in names:
        if not name or " " in name:
            raise ValueError("a name in a stored set may be neither empty nor hold a space")
    return " ".join(sorted(names))


@lru_cache(maxsize=4096)
def set_of(text: str) -> frozenset[str]:
    """The set that `set_text` wrote down."""
    # Most grants have one of a few sets: sharing them keeps a hundred thousand cached grants small.
    return frozenset(text.split())


def column_text(columns: Iterable[str]) -> str:
    """The columns as a statement lists them."""
    return ", ".join(columns)
