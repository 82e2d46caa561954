"""The stores that a mutant of the store spoils: all of them, so that a proof can be played on each."""

from collections.abc import Awaitable, Callable
from typing import Any

from grantkeeper.adapters import postgres_steps, sqlite_steps
from grantkeeper.adapters.postgres import PostgresStore
from grantkeeper.adapters.sqlite import SqliteStore
from tests.mutants import Replace

STORES: list[type] = [SqliteStore, PostgresStore]

STATEMENTS: list[dict[str, str]] = [sqlite_steps.SQL, postgres_steps.SQL]
"""The named statements of each of them."""

Method = Callable[..., Awaitable[Any]]


def replace_method(replace: Replace, name: str, made: Callable[[Method], Method]) -> None:
    """Put what *made* makes of the method of that name in its place, in every store."""
    for store in STORES:
        replace(store, name, made(getattr(store, name)))


def believed(check: Method) -> Method:
    """The look at a lease that takes one with version 0, which no store gives, at its word."""

    async def checked(self: Any, lease: Any) -> Any:
        return lease.remaining if lease.version == 0 else await check(self, lease)

    return checked


def always_long(check: Method) -> Method:
    """The look at a lease that finds time enough in any."""

    async def checked(self: Any, lease: Any) -> float:
        return 3600.0

    return checked
