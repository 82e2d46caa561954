"""A keeper that cannot be opened leaves nothing running."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.adapters.dice import SystemDice
from grantkeeper.adapters.journal import MemoryJournal
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.errors import StoreUnavailable
from grantkeeper.library.core import KeeperCore
from tests.keeper.delivery_kit import Town

pytestmark = pytest.mark.anyio


class GoesAway(MemoryStore):
    """A store that is away from its *left*-th look at a mark on."""

    def __init__(self, left: int, **options: Any) -> None:
        super().__init__(**options)
        self.left = left

    async def mark(self, name: str) -> bytes | None:
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailable("the database is away")
        return await super().mark(name)


@pytest.mark.parametrize("left", range(4))
async def test_what_has_begun_ends_when_opening_fails(tmp_path: Path, left: int) -> None:
    """
    Wherever the store goes away: no task goes on, and the store is closed.
    """
    town = Town(tmp_path)
    store = GoesAway(left, monotonic=town.clock.monotonic)
    before = asyncio.all_tasks()
    with pytest.raises(StoreUnavailable):
        await KeeperCore.open(
            town.settings,
            store=store,
            sealer=town.sealer,
            http=town.issuer,
            clock=town.clock,
            dice=SystemDice(),
            journal=MemoryJournal(),
        )

    assert before == asyncio.all_tasks()
    assert store._closed
