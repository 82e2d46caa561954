"""D7, a refresh that dies with its caller: who leaves takes the refresh along that others wait for."""

from typing import Any

from grantkeeper.keeper.refresh import Refresher
from tests.mutants import Replace

TEST = "test_d7_a_refresh_outlives_its_caller"


def mutate(replace: Replace) -> None:
    """Replace the waiting for a flight: without its shield."""

    async def refresh(self: Refresher, grant_id: str, scopes: Any, satisfied: Any) -> Any:
        return await self._fresh(grant_id, scopes, satisfied)

    replace(Refresher, "refresh", refresh)
