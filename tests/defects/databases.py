"""The kinds of database that the proofs are played on, and their leases, seen and aged past the port."""

from pathlib import Path
from typing import Any, Protocol

import apsw
import asyncpg

from grantkeeper.adapters.postgres import open_postgres
from grantkeeper.adapters.sqlite import open_sqlite
from grantkeeper.ports import Store


class Database(Protocol):
    """What a kind of store must offer here beside the port."""

    url: str

    async def open(self) -> Store:
        """The store, once more."""
        ...

    async def age_leases(self, seconds: float) -> None:
        """As if *seconds* had passed by the database's clock since every lease was taken or renewed."""
        ...

    async def lease_left(self) -> float:
        """Seconds that the one refresh lease still has."""
        ...


class SqliteDatabase:
    """A file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "grants.db"
        self.url = f"sqlite:///{self._path}"

    async def open(self) -> Store:
        return open_sqlite(self.url)

    async def age_leases(self, seconds: float) -> None:
        self._execute("UPDATE leases SET held_until = held_until - ?", (seconds,))

    async def lease_left(self) -> float:
        found = self._execute(
            "SELECT max(held_until - unixepoch('subsec')) FROM leases WHERE name LIKE 'refresh:%'", ()
        )
        return float(found[0][0] or 0.0)

    def _execute(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        db = apsw.Connection(str(self._path))
        try:
            db.set_busy_timeout(10_000)
            return db.execute(statement, values).fetchall()
        finally:
            db.close()


class PostgresDatabase:
    """
    One of a server's.

    A lease is also free when the session that vouches for its owner has ended. The nodes of a stage live,
    so theirs end by age alone.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    async def open(self) -> Store:
        return await open_postgres(self.url)

    async def age_leases(self, seconds: float) -> None:
        await self._execute("UPDATE leases SET held_until = held_until - make_interval(secs => $1)", seconds)

    async def lease_left(self) -> float:
        found = await self._execute(
            "SELECT extract(epoch FROM max(held_until) - clock_timestamp())::float8"
            " FROM leases WHERE name LIKE 'refresh:%'"
        )
        return float(found[0][0] or 0.0)

    async def _execute(self, statement: str, *values: Any) -> list[Any]:
        db = await asyncpg.connect(self.url)
        try:
            return list(await db.fetch(statement, *values))
        finally:
            await db.close()
