"""The schema in PostgreSQL: made and migrated alike, by one of many, and refused where it is not ours."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from grantkeeper.adapters import postgres_schema
from grantkeeper.adapters.postgres import open_postgres
from grantkeeper.adapters.postgres_schema import describe_schema, migrate, migrate_postgres
from grantkeeper.adapters.postgres_steps import NAMES, SQL
from grantkeeper.adapters.schema import Migration, fresh_schema, migrations
from grantkeeper.errors import SettingsInvalid, StoreUnavailable

pytestmark = pytest.mark.anyio

SHIPPED = migrations("postgres")
NEXT = len(SHIPPED) + 1


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """On an empty database."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def test_a_migrated_schema_is_the_fresh_one(connection: asyncpg.Connection, migrated_url: str) -> None:
    """
    Two databases behave alike, however they came to their schema.
    """
    for migration in SHIPPED:
        for text in migration.statements if migration.outside else [migration.text]:
            await connection.execute(text)
    fresh = await asyncpg.connect(migrated_url)
    try:
        made = [line for line in await describe_schema(fresh) if "grantkeeper_migrations" not in line]

        assert await describe_schema(connection) == made
        assert 40 < len(made)
    finally:
        await fresh.close()


async def test_of_many_who_migrate_one_does_the_work(postgres_url: str) -> None:
    """
    The others wait and find it done.
    """
    run = await asyncio.gather(*(migrate_postgres(postgres_url) for _ in range(5)))

    assert [(), (), (), (), tuple(range(1, NEXT))] == sorted(run)
    await (await open_postgres(postgres_url)).close()


async def test_a_migration_runs_while_nodes_do(migrated_url: str, connection: asyncpg.Connection) -> None:
    """
    The store that was opened before goes on; a newer release that says so is run on.
    """
    store = await open_postgres(migrated_url)
    other = await asyncpg.connect(migrated_url)
    more = [
        Migration(NEXT, "column", f"-- oldest: {len(SHIPPED)}\nALTER TABLE grants ADD COLUMN extra TEXT;\n"),
        Migration(
            NEXT + 1,
            "index",
            f"-- oldest: {len(SHIPPED)}\n-- outside a transaction\n"
            "DROP INDEX CONCURRENTLY IF EXISTS grants_extra;\n"
            "CREATE INDEX CONCURRENTLY grants_extra ON grants (extra);\n",
        ),
    ]
    try:
        run = await migrate(other, [*SHIPPED, *more])
        await store.ready()
        assert [] == await store.signing_keys()
        await (await open_postgres(migrated_url)).close()
        index = await other.fetchval("SELECT count(*) FROM pg_indexes WHERE indexname = 'grants_extra'")

        assert ((NEXT, NEXT + 1), 1) == (run, index)
        assert () == await migrate(other, [*SHIPPED, *more])
    finally:
        await other.close()
        await store.close()


async def test_a_migration_waits_for_nobody_for_long(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It gives up its place in the queue again and again, and does its work once the table is free.
    """
    monkeypatch.setattr(postgres_schema, "LOCK_LIMIT", "50ms")
    more = Migration(NEXT, "column", "ALTER TABLE grants ADD COLUMN extra TEXT;\n")
    one, two = [await asyncpg.connect(migrated_url) for _ in range(2)]
    try:
        busy = one.transaction()
        await busy.start()
        await one.execute("SELECT FROM grants")
        migrating = asyncio.ensure_future(migrate(two, [*SHIPPED, more]))
        await asyncio.sleep(0.3)
        waiting = not migrating.done()
        monkeypatch.setattr(postgres_schema, "TRIES", 3)
        await busy.rollback()

        assert waiting
        assert (NEXT,) == await migrating
        await busy_again(one)
        with pytest.raises(StoreUnavailable):
            await migrate(two, [*SHIPPED, more, replace(more, number=NEXT + 1, text="DROP TABLE grants;")])
    finally:
        await one.close()
        await two.close()


async def busy_again(connection: asyncpg.Connection) -> None:
    """Hold the table."""
    await connection.execute("BEGIN")
    await connection.execute("SELECT FROM grants")


async def test_a_migration_that_fails_changes_nothing(migrated_url: str) -> None:
    """
    It is one transaction; the ones before it stay.
    """
    connection = await asyncpg.connect(migrated_url)
    try:
        before = await describe_schema(connection)
        broken = Migration(NEXT, "broken", "ALTER TABLE grants ADD COLUMN extra TEXT; SELECT no_such();")
        with pytest.raises(asyncpg.UndefinedFunctionError):
            await migrate(connection, [*SHIPPED, broken])

        assert before == await describe_schema(connection)
    finally:
        await connection.close()


async def test_an_altered_or_newer_database_is_refused(migrated_url: str) -> None:
    """
    Naming the migration; nothing is changed.
    """
    connection = await asyncpg.connect(migrated_url)
    try:
        await connection.execute(
            "INSERT INTO grantkeeper_migrations (number, name, checksum, oldest) VALUES (99, 'x', 'x', 99)"
        )
        with pytest.raises(SettingsInvalid, match="99"):
            await open_postgres(migrated_url)
        await connection.execute("DELETE FROM grantkeeper_migrations WHERE number = 99")
        await connection.execute("UPDATE grantkeeper_migrations SET checksum = 'x' WHERE number = 1")
        for opening in (open_postgres(migrated_url), migrate_postgres(migrated_url)):
            with pytest.raises(SettingsInvalid, match="migration 1"):
                await opening
    finally:
        await connection.close()


async def test_tables_of_another_program_are_left_alone(
    connection: asyncpg.Connection, postgres_url: str
) -> None:
    """
    Unless grantkeeper is given a schema of its own beside them.
    """
    await connection.execute("CREATE TABLE grants (theirs int); CREATE SCHEMA ours")
    for opening in (open_postgres(postgres_url), migrate_postgres(postgres_url)):
        with pytest.raises(SettingsInvalid, match="another program"):
            await opening
    own = f"{postgres_url}?options=-csearch_path%3Dours"
    await migrate_postgres(own)
    store = await open_postgres(own)
    await store.ready()
    await store.close()

    assert 0 == await connection.fetchval("SELECT count(*) FROM grants")


def test_the_schema_files_agree_on_their_first_migration() -> None:
    """
    A fresh schema has a first line of its own, and then what the migrations make.
    """
    assert len(SHIPPED) > 1 or SHIPPED[0].text in fresh_schema("postgres")


def test_statements_name_each_value_once() -> None:
    """
    What is filled in by name has as many names as numbers.
    """
    for name, names in NAMES.items():
        if name.startswith("search_"):
            assert f"${len(names)}" in SQL[name]
            assert f"${len(names) + 1}" not in SQL[name]
