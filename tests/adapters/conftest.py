"""What tests of adapters share."""

from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer


@pytest.fixture
def migrated_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """The URL of a new database of grantkeeper's."""
    with postgres_server.database(template=migrated_template) as url:
        yield url
