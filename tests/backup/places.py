"""Databases to back up and to restore into: one class for each kind there is."""

import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from grantkeeper.adapters.archive import FORMAT, Header, Reader, Source, Target, Writer
from grantkeeper.adapters.archive_tables import CONTENTS, TABLES
from grantkeeper.adapters.postgres import open_postgres
from grantkeeper.adapters.postgres_backup import PostgresSource, PostgresTarget
from grantkeeper.adapters.postgres_connect import PostgresPlace
from grantkeeper.adapters.sqlite import open_sqlite
from grantkeeper.adapters.sqlite_backup import SqliteSource, SqliteTarget
from grantkeeper.ports import Store
from grantkeeper.testing.records import NOW

Opened = Callable[[], Awaitable[Store]]


EMPTY = """
TRUNCATE grants, tokens, redemptions, leases, changes, callers, once, signing_keys, audit, nodes, marks,
    jobs, erased_jobs, paces, pauses
    RESTART IDENTITY;
UPDATE feed SET swept = 0;
ALTER SEQUENCE lease_versions RESTART;
"""
"""Empties a PostgreSQL database of ours, which is quicker than making another."""


class Place(Protocol):
    """One database."""

    async def store(self) -> Store: ...

    async def source(self) -> Source: ...

    async def target(self) -> Target: ...


class SqlitePlace:
    """A file that is made when it is first opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def store(self) -> Store:
        return open_sqlite(self.path)

    async def source(self) -> Source:
        return SqliteSource(self.path)

    async def target(self) -> Target:
        return SqliteTarget(self.path)


class PostgresDatabase:
    """A migrated database of a server that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def store(self) -> Store:
        return await open_postgres(self.url)

    async def source(self) -> Source:
        return await PostgresSource.open(PostgresPlace(self.url))

    async def target(self) -> Target:
        return await PostgresTarget.open(PostgresPlace(self.url))


async def written(source: Source) -> bytes:
    """A backup of *source*, sealed with nothing."""
    out = io.BytesIO()
    facts = source.facts
    header = Header(
        FORMAT, CONTENTS, "0.1", facts.database, facts.schema, NOW, facts.last_change, facts.last_lease
    )
    writer = Writer(out, header)
    for table in TABLES.values():
        await writer.table(table, source.rows(table))
    writer.seal(lambda digest: b"proof")
    return out.getvalue()


async def back_up(place: Place) -> bytes:
    """A backup of *place* as it is now."""
    source = await place.source()
    try:
        return await written(source)
    finally:
        await source.close()


async def restore(backup: bytes, place: Place, *, at: int = 7) -> None:
    """Fill *place*."""
    target = await place.target()
    try:
        await target.begin()
        reader = Reader(io.BytesIO(backup))
        for table, rows in reader.batches():
            await target.put(table, rows)
        await target.finish(reader.header, at)
    finally:
        await target.close()
