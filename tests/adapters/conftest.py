"""What tests of adapters share: a PostgreSQL database with grantkeeper's schema."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """The name of a database to copy; making the schema in each would take ten times as long."""
    from grantkeeper.adapters.postgres_schema import migrate_postgres

    name = postgres_server.create()
    asyncio.run(migrate_postgres(postgres_server.url(name)))
    return name


@pytest.fixture
def migrated_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """The URL of an empty database of grantkeeper's."""
    with postgres_server.database(template=migrated_template) as url:
        yield url
