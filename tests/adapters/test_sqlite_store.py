"""The SQLite store keeps every promise of a store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from grantkeeper.adapters.sqlite import SqliteStore, open_sqlite
from grantkeeper.testing.conformance import StoreConformance


class TestSqliteStore(StoreConformance):
    """One store, its file new."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteStore]:
        store = open_sqlite(tmp_path / "grants.db")
        yield store
        await store.close()
