"""
The schema in PostgreSQL: whose it is, whether it is this release's, and bringing it there.

Nodes run while a schema changes. A migration holds no lock for long: it asks
for each with a short limit, gives up everything when it does not get one, and
tries again later. Of several who migrate at once one does the work.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import asyncpg

from grantkeeper.adapters.postgres_connect import SETTING, PostgresPlace, first_connect
from grantkeeper.adapters.postgres_errors import translated
from grantkeeper.adapters.postgres_pool import Connection, goodbye
from grantkeeper.adapters.schema import Applied, Migration, fresh_schema, migrations, pending
from grantkeeper.errors import SettingsInvalid, StoreUnavailable

OLDEST_SERVER = 14

LOCK = 0x676B7072
"""The advisory lock of who migrates: ``gkpr``."""

LOCK_LIMIT = "2s"
"""How long a change of the schema waits for a table that is in use; everybody else waits behind it."""

TRIES = 30
WAIT_SECONDS = 60.0
"""How long one who migrates waits for another."""

RECORD = "grantkeeper_migrations"

_OURS = sorted(re.findall(r"^CREATE TABLE (\w+)", fresh_schema("postgres"), re.MULTILINE))

_MAKE_RECORD = f"""
CREATE TABLE {RECORD} (
    number BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    oldest BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
)
"""

_KNOWN = (
    "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND pg_table_is_visible(oid) AND relname = ANY ($1::text[])"
)


async def check(connection: Connection, *, whole: bool = False) -> None:
    """
    That the database can be worked with as it is.

    Args:
        whole: Ask within transactions, for a pooler.

    Raises:
        SettingsInvalid: It is too old, another program's, of another release, or not migrated.
        StoreUnavailable: It cannot say now.
    """
    try:
        if whole:
            await connection.execute("BEGIN")
        outstanding = await _outstanding(connection, migrations("postgres"))
        if whole:
            await connection.execute("COMMIT")
    except Exception as error:
        raise translated(error, "check") from error
    if outstanding:
        raise SettingsInvalid(
            [f"{SETTING} names a database whose schema is not that of this release"],
            hint="Run grantkeeper migrate; nodes that run meanwhile are not disturbed.",
        )


async def _outstanding(connection: Connection, shipped: Sequence[Migration]) -> tuple[Migration, ...]:
    """What is still to be run on a database that can be ours."""
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        raise SettingsInvalid(
            [f"{SETTING} names a PostgreSQL {version.major}, and {OLDEST_SERVER} or newer is needed"]
        )
    there = {name for (name,) in await connection.fetch(_KNOWN, [RECORD, *_OURS])}
    if RECORD in there:
        found = await connection.fetch(f"SELECT number, checksum, oldest FROM {RECORD}")  # noqa: S608 - a constant
        return pending(shipped, {number: Applied(checksum, oldest) for number, checksum, oldest in found})
    if there:
        raise SettingsInvalid(
            [f"{SETTING} names a database of another program, which has tables {', '.join(sorted(there))}"],
            hint="Give grantkeeper a database of its own, or a schema: ?options=-csearch_path%3Dgrantkeeper.",
        )
    return tuple(shipped)


async def migrate_postgres(
    url: str, *, statement_cache: int | None = None, listen_url: str | None = None
) -> tuple[int, ...]:
    """
    Bring the database's schema to this release's while nodes run; the numbers of what was run.

    Args:
        listen_url: A way past a pooler, which is taken.

    Raises:
        SettingsInvalid: The database is too old, another program's, or of a newer release.
        StoreUnavailable: It cannot be done now; what was done stays, and a next time goes on from there.
    """
    place = PostgresPlace(url, 0, listen_url).direct
    connection = await first_connect(PostgresPlace(place.url, 0))
    try:
        return await migrate(connection, migrations("postgres"))
    except asyncpg.InsufficientPrivilegeError as error:
        raise SettingsInvalid(
            [f"{SETTING} has a user who may not make tables there"],
            hint="Make it the owner: ALTER DATABASE … OWNER TO …, or GRANT CREATE ON SCHEMA public TO ….",
        ) from error
    except Exception as error:
        raise translated(error, "migrate") from error
    finally:
        await goodbye(connection)


async def migrate(
    connection: Connection, shipped: Sequence[Migration], *, fresh: str | None = None
) -> tuple[int, ...]:
    """
    The same on a connection.

    Args:
        fresh: The script for an empty database.
    """
    run: list[int] = []
    while True:
        done = await _patiently(lambda: _next(connection, shipped, fresh or fresh_schema("postgres")))
        if not done:
            return tuple(run)
        run += done


async def _patiently(step: Callable[[], Awaitable[list[int] | None]]) -> list[int]:
    """Try again what somebody else was in the way of."""
    until = asyncio.get_running_loop().time() + WAIT_SECONDS
    for _ in range(TRIES):
        with suppress(asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            done = await step()
            if done is not None:
                return done
        if asyncio.get_running_loop().time() > until:
            break
        await asyncio.sleep(random.uniform(0.2, 1.5))  # noqa: S311 - a nap is no secret
    raise StoreUnavailable("others are at work on the tables that are to be changed", retry_after=60.0)


async def _next(connection: Connection, shipped: Sequence[Migration], fresh: str) -> list[int] | None:
    """
    Run what comes next: the whole schema in an empty database, else one migration.

    Returns:
        The numbers that were run; nothing when all is done, ``None`` while somebody else migrates.
    """
    await connection.execute("BEGIN")
    try:
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_LIMIT}'")
        await connection.execute("SET LOCAL statement_timeout = 0")
        # Not waited for inside the transaction: an index that is built concurrently waits for all of those.
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
            await connection.execute("ROLLBACK")
            return None
        outstanding = await _outstanding(connection, shipped)
        if not outstanding:
            await connection.execute("ROLLBACK")
            return []
        if len(outstanding) == len(shipped) and not await _made(connection):
            run = list(outstanding)
            await connection.execute(fresh)
            await connection.execute(_MAKE_RECORD)
        elif outstanding[0].outside:
            await connection.execute("ROLLBACK")
            return await _outside(connection, outstanding[0])
        else:
            run = [outstanding[0]]
            await connection.execute(run[0].text)
        await _record(connection, run)
        await connection.execute("COMMIT")
    except BaseException:
        if not connection.is_closed() and connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        raise
    return [migration.number for migration in run]


async def _made(connection: Connection) -> bool:
    return bool(await connection.fetch(_KNOWN, [RECORD]))


async def _record(connection: Connection, run: Sequence[Migration]) -> None:
    for migration in run:
        await connection.execute(
            f"INSERT INTO {RECORD} (number, name, checksum, oldest) VALUES ($1, $2, $3, $4)"  # noqa: S608
            " ON CONFLICT DO NOTHING",
            *(migration.number, migration.name, migration.checksum, migration.oldest),
        )


async def _outside(connection: Connection, migration: Migration) -> list[int] | None:
    """
    Run a migration statement by statement, each its own transaction; it must bear being run twice.

    The lock is the session's here, so that takes a connection past any pooler.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        return None
    try:
        await connection.execute("SET statement_timeout = 0")
        for statement in migration.statements:
            await connection.execute(statement)
        await _record(connection, [migration])
    finally:
        await connection.fetchval("SELECT pg_advisory_unlock($1)", LOCK)
    return [migration.number]


# -- what a schema is ------------------------------------------------------------------------------

_FACTS = {
    "table": """
        SELECT c.relname::text, c.relkind::text, array_to_string(c.reloptions, ' ')
        FROM pg_class AS c
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.relnamespace = current_schema()::regnamespace
    """,
    "column": """
        SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity::text, a.attstorage::text, coalesce(l.collname::text, ''),
               coalesce(pg_get_expr(d.adbin, d.adrelid), '')
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
        LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
    """,
    "constraint": """
        SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND contype <> 'n'
    """,
    "index": """
        SELECT tablename::text, indexdef FROM pg_indexes WHERE schemaname = current_schema()
    """,
}


async def describe_schema(connection: Connection) -> list[str]:
    """
    A line for every table, column, constraint and index, in an order that does not depend on how they came.

    Two databases with equal lines behave alike, whether their schema was made
    at once or by migrations.
    """
    lines: list[str] = []
    for what, statement in _FACTS.items():
        rows: list[Any] = await connection.fetch(statement)
        lines += [f"{what} {tuple(row)}" for row in rows]
    return sorted(lines)
