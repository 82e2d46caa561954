"""The engine in memory keeps every promise of an engine."""

import pytest

from grantkeeper.adapters.memory_engine import EngineBook, MemoryEngine
from grantkeeper.testing.engine_conformance import EngineConformance

pytestmark = pytest.mark.anyio


class TestMemoryEngine(EngineConformance):
    """On one book, one engine that runs and one that only says what is to be run."""

    @pytest.fixture
    def book(self):
        return EngineBook()

    @pytest.fixture
    async def engine(self, book):
        engine = MemoryEngine(book)
        yield engine
        await engine.stop(seconds=0)

    @pytest.fixture
    def other(self, book):
        return MemoryEngine(book)
