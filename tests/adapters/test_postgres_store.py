"""The PostgreSQL store keeps every promise of a store."""

from collections.abc import AsyncIterator

import pytest

from grantkeeper.adapters.postgres import PostgresStore, open_postgres
from grantkeeper.testing.conformance import StoreConformance


class TestPostgresStore(StoreConformance):
    """The whole suite."""

    @pytest.fixture
    async def store(self, emptied_url: str) -> AsyncIterator[PostgresStore]:
        store = await open_postgres(emptied_url)
        yield store
        await store.close()
