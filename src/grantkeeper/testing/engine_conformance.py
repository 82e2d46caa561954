"""
What every `Engine` must do: inherit from `EngineConformance` and give it two fixtures.

    class TestMyEngine(EngineConformance):
        @pytest.fixture
        async def engine(self): ...   # not started; stopped afterwards

        @pytest.fixture
        async def other(self): ...    # on the same place; never started
"""

from grantkeeper.testing.engine_conformance_runs import EngineRuns
from grantkeeper.testing.engine_conformance_stops import EngineStops


class EngineConformance(EngineRuns, EngineStops):
    """All of `grantkeeper.ports.Engine`."""
