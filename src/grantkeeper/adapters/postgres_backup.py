"""
A PostgreSQL database read at one moment, and an empty one filled.

Reading is one read-only transaction at repeatable read: nobody waits for it,
and it holds back nothing but the clearing away of old rows for as long as it
lasts. Filling is one transaction as well. Both go past a pooler where there is
a way, and bring their own limits: what they do takes as long as it takes.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self

import asyncpg

from grantkeeper.adapters.archive import BATCH_ROWS, GAP, RESTORED, RESTORING, Facts, Header
from grantkeeper.adapters.archive_tables import TABLES, Table
from grantkeeper.adapters.postgres_connect import PostgresPlace, first_connect
from grantkeeper.adapters.postgres_errors import translated, unavailable
from grantkeeper.adapters.postgres_schema import RECORD, check
from grantkeeper.adapters.postgres_steps import QUOTED, SQL
from grantkeeper.adapters.records import Row, column_text
from grantkeeper.adapters.schema import migrations
from grantkeeper.errors import BackupRefused

STEP_SECONDS = 600.0
"""A batch of rows that takes longer says that the database is not there any more."""

_LIMITS = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _columns(columns: Sequence[str]) -> str:
    return column_text(f'"{column}"' if column in QUOTED else column for column in columns)


async def _newest(connection: Any) -> int:
    """The number of the newest migration."""
    found = await connection.fetchval(f"SELECT max(number) FROM {RECORD}")  # noqa: S608 - a constant
    return int(found)


async def _numbers(connection: Any) -> tuple[int, int, int]:
    """The highest numbers of changes, leases and audit events that were ever given."""
    change, lease, event = await connection.fetchrow(SQL["last_numbers"])
    return change, lease, event


class PostgresSource:
    """A `grantkeeper.adapters.archive.Source`: the database as it is when this is opened."""

    facts: Facts

    def __init__(self, connection: Any) -> None:
        self._db = connection

    @classmethod
    async def open(cls, place: PostgresPlace) -> Self:
        """
        Begin.

        Raises:
            BackupRefused: The database is of a newer release, or half restored.
            SettingsInvalid: The URL is wrong, or the database is not (yet) of this release.
            StoreUnavailable: It cannot be read now.
        """
        source = cls(await first_connect(place.direct))
        try:
            await source._begin()
        except BaseException as error:
            await source.close()
            raise translated(error, "backup") from error
        return source

    async def _begin(self) -> None:
        db = self._db
        await db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await db.execute(_LIMITS)
        await check(db)
        schema = await _newest(db)
        if schema > len(migrations("postgres")):
            raise BackupRefused(
                "the database is of a newer release, of which this one would leave something out",
                hint="Back it up with the release that migrated it.",
            )
        if await db.fetch(SQL["mark"], RESTORING):
            raise BackupRefused("a restore into this database was begun and not finished")
        change, lease, _ = await _numbers(db)
        self.facts = Facts("postgres", schema, change, lease)

    async def rows(self, table: Table) -> AsyncIterator[Sequence[Row]]:
        db, name = self._db, f"backup_{table.name}"
        try:
            # A cursor of SQL's own: behind a pooler nothing may be prepared.
            await db.execute(
                f"DECLARE {name} NO SCROLL CURSOR FOR SELECT {_columns(table.columns)} FROM {table.name}"  # noqa: S608 - of a table
            )
            while batch := await db.fetch(f"FETCH {BATCH_ROWS} FROM {name}", timeout=STEP_SECONDS):
                yield [tuple(row) for row in batch]
            await db.execute(f"CLOSE {name}")
        except Exception as error:
            raise translated(error, "backup") from error

    async def close(self) -> None:
        self._db.terminate()


class PostgresTarget:
    """A `grantkeeper.adapters.archive.Target`; the database must have been migrated."""

    def __init__(self, connection: Any) -> None:
        self._db = connection
        self._schema = len(migrations("postgres"))

    @classmethod
    async def open(cls, place: PostgresPlace) -> Self:
        """
        Connect.

        Raises:
            SettingsInvalid: The URL is wrong, or the database is not (yet) of this release.
            StoreUnavailable: It cannot be used now.
        """
        target = cls(await first_connect(place.direct))
        try:
            await target._db.execute("BEGIN")
            await check(target._db)
            await target._db.execute("ROLLBACK")
        except BaseException as error:
            await target.close()
            raise translated(error, "restore") from error
        return target

    async def begin(self) -> None:
        db = self._db
        try:
            await self._alone()
            await db.execute(SQL["restored_mark"], RESTORING, b"")
            await db.execute("COMMIT")
            await self._alone()
            await db.execute(SQL["drop_marks"])
        except Exception as error:
            raise translated(error, "restore") from error

    async def _alone(self) -> None:
        """Begin a transaction beside which nobody writes, in a database that is empty."""
        db = self._db
        await db.execute("BEGIN")
        await db.execute(_LIMITS)
        await db.execute(f"LOCK TABLE {', '.join(TABLES)} IN SHARE ROW EXCLUSIVE MODE")
        if await _newest(db) > self._schema:
            raise BackupRefused("the database is of a newer release", hint="Restore with that release.")
        if found := await db.fetchval(SQL["any_row"]):
            raise BackupRefused(
                f"the database is not empty: it has {found}",
                hint="Name a new database in GRANTKEEPER_DATABASE_URL, and run grantkeeper migrate; "
                "a restore never writes over anything.",
            )

    async def put(self, table: Table, rows: Sequence[Row]) -> None:
        columns = list(table.columns)
        if table.name == "redemptions":
            columns.append("claimed_until")
            rows = [(*row, _LONG_AGO) for row in rows]
        try:
            await self._db.copy_records_to_table(
                table.name, records=rows, columns=columns, timeout=STEP_SECONDS
            )
        except asyncpg.UniqueViolationError as error:
            raise BackupRefused(
                f"the backup holds two rows of {table.name} of which there can be one alone"
            ) from error
        except Exception as error:
            if isinstance(error, asyncpg.PostgresError | asyncpg.DataError) and unavailable(error) is None:
                # A text with a zero byte, for example, which SQLite takes.
                raise BackupRefused(
                    f"the backup holds a row of {table.name} that PostgreSQL does not take"
                ) from error
            raise translated(error, "restore") from error

    async def finish(self, header: Header, at: int) -> None:
        db = self._db
        detail = {"backup": header.at.isoformat(), "release": header.release, "database": header.database}
        try:
            change, lease, event = await _numbers(db)
            change = max(change, header.last_change + GAP) + 1
            lease = max(lease, header.last_lease + GAP) + 1
            event = event + GAP
            await db.execute(SQL["drop_restored_mark"], RESTORING)
            await db.execute(SQL["restored_mark"], RESTORED, str(at).encode())
            await db.execute(SQL["set_numbers"], change, lease, event)
            await db.execute(SQL["change_everything"], change)
            await db.execute(SQL["sweep_to"], change - 1)
            event_row = (at, "database.restored", None, None, None, json.dumps(detail, sort_keys=True))
            await db.execute(SQL["restore_event"], event, *event_row)
            await db.execute("COMMIT")
            with suppress(asyncpg.PostgresError):
                # It is all there; this only tells the planner, which would find out by itself.
                await db.execute(f"ANALYZE {', '.join(TABLES)}", timeout=STEP_SECONDS)
        except Exception as error:
            raise translated(error, "restore") from error

    async def close(self) -> None:
        with suppress(Exception):
            if not self._db.is_closed() and self._db.is_in_transaction():
                await self._db.execute("ROLLBACK", timeout=1.0)
        self._db.terminate()
