"""The engine on DBOS keeps every promise of an engine, on both databases."""

import pytest

from grantkeeper.adapters.dbos_engine import DbosEngine
from grantkeeper.testing.engine_conformance import EngineConformance

pytestmark = pytest.mark.anyio


class DbosConformance(EngineConformance):
    """One engine that runs and one that only says what is to be run, on one ``url``."""

    @pytest.fixture
    async def engine(self, url):
        engine = DbosEngine(url)
        yield engine
        await engine.stop(seconds=0)

    @pytest.fixture
    async def other(self, url):
        other = DbosEngine(url)
        yield other
        await other.stop(seconds=0)


class TestOnSqlite(DbosConformance):
    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path / 'grants.db'}"


class TestOnPostgres(DbosConformance):
    @pytest.fixture
    def url(self, postgres_url):
        return postgres_url
