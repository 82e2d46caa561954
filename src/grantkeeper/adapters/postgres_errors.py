"""
What PostgreSQL and its driver raise, in the words of this house.

Texts say what kind of trouble it is. The driver's own may quote a value that
was stored, or the address of the server, and stays behind.
"""

import asyncpg

from grantkeeper.errors import GrantkeeperError, StoreConflict, StoreUnavailable

RETRY_AFTER = 1.0

CONFLICTS = {
    "23503": "what it belongs to is not there",
    "23505": "it is there already",
    "40001": "others wrote the same at the same time",
    "40P01": "others wrote the same at the same time",
}
"""A condition does not hold, and nothing was written."""

READ_ONLY = "25006"
"""A standby, or a server that was told to write nothing: another one may have taken over."""

_NOT_NOW = {
    READ_ONLY: "the database takes no writes now",
    "25P03": "a transaction stood still for too long",
    "25P04": "a transaction took too long",
    "53100": "the disk of the database is full",
    "53200": "the database is out of memory",
    "53300": "the database has no connection left",
    "55P03": "a row is locked for too long",
    "57014": "the database took too long",
    "57P01": "the database is shutting down",
    "57P02": "the database has crashed",
    "57P03": "the database is starting",
    "57P04": "the database was dropped",
    "57P05": "the connection was idle for too long",
}

_NOT_NOW_CLASSES = {
    "08": "the connection to the database is broken",
    "28": "the database does not let us in",
    "3D": "the database is not there",
    "53": "the database is short of something",
    "57": "an operator ended it",
    "58": "the disk of the database fails",
    "XX": "the database is damaged",
}

_LOST = (OSError, EOFError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Raised where the connection is gone, or was closed under a call."""


def unavailable(error: BaseException) -> StoreUnavailable | None:
    """*error* as "not now"; ``None`` where another try would not help."""
    text = None
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        text = _NOT_NOW.get(state) or _NOT_NOW_CLASSES.get(state[:2])
    elif isinstance(error, asyncpg.DataError):
        return None
    elif isinstance(error, TimeoutError):
        text = "the database does not answer in time"
    elif isinstance(error, _LOST):
        text = f"the connection to the database is lost ({type(error).__name__})"
    return None if text is None else StoreUnavailable(text, retry_after=RETRY_AFTER)


def translated(error: BaseException, name: str) -> BaseException:
    """
    *error*, raised by the statement *name*, as it is to be told; chained by the caller.

    What no table knows is a mistake of ours, and says so without the driver's words.
    """
    if isinstance(error, GrantkeeperError) or not isinstance(error, Exception):
        return error
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate in CONFLICTS:
        return StoreConflict(CONFLICTS[error.sqlstate])
    if (told := unavailable(error)) is not None:
        return told
    if isinstance(error, asyncpg.PostgresError | asyncpg.DataError):
        state = getattr(error, "sqlstate", None) or type(error).__name__
        return RuntimeError(f"the database refuses the statement {name} ({state})")
    return error


def lost(error: BaseException) -> bool:
    """Whether the connection that raised *error* is of no more use."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in ("08", "57", "58", "XX") and state != "57014" or state in (READ_ONLY, "25P03")
    return not isinstance(error, GrantkeeperError | asyncpg.DataError)
