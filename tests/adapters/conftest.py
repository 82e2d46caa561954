"""What tests of adapters share: a PostgreSQL database with grantkeeper's schema."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """The name of a database to copy; making the schema in each would take ten times as long."""
    from grantkeeper.adapters.postgres_schema import migrate_postgres

    name = postgres_server.create()
    asyncio.run(migrate_postgres(postgres_server.url(name)))
    return name


@pytest.fixture(scope="session")
def shared_url(postgres_server: PostgresServer, migrated_template: str) -> str:
    """A database that `emptied_url` empties for each test: a new one for each costs ten times as much."""
    return postgres_server.url(postgres_server.create(template=migrated_template))


@pytest.fixture
async def emptied_url(shared_url: str) -> str:
    """The URL of a database of grantkeeper's that others have used before; nobody uses it now."""
    connection = await asyncpg.connect(shared_url)
    # Quicker than TRUNCATE, which makes new files.
    await connection.execute(
        """
        DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT relname FROM pg_class
                WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                AND relname NOT IN ('feed', 'grantkeeper_migrations')
            LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
        END $$;
        SELECT setval(pg_get_serial_sequence('changes', 'seq'), 1, false);
        UPDATE feed SET swept = 0
        """
    )
    await connection.close()
    return shared_url


@pytest.fixture
def migrated_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """The URL of a new database of grantkeeper's."""
    with postgres_server.database(template=migrated_template) as url:
        yield url
