"""Where a node goes on in the change feed."""

import asyncio

import pytest

from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.keeper.cache import Cache
from grantkeeper.keeper.feed import Follower
from grantkeeper.model import Change, News
from tests.keeper.test_upkeep import means

pytestmark = pytest.mark.anyio


class Shorter(MemoryStore):
    """A database that fell back: it lost the changes from 41 on, and says so to whoever is ahead of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.quiet = asyncio.Event()

    async def last_change(self) -> int:
        return 50

    async def changes(self, after: int, *, seconds: float) -> News:
        self.asked.append(after)
        if after == 50 and len(self.asked) < 5:
            return News((Change(40, "all", ""),))
        if after == 40:
            return News((Change(41, "grant", "one"),))
        self.quiet.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_node_ahead_of_a_database_that_fell_back_goes_on_where_that_is() -> None:
    """
    Told once to look at everything, and not again and again; the next change is heard.
    """
    store = Shorter()
    heard: list[tuple[str, str]] = []
    follower = Follower(means(store), Cache())
    follower.listen(lambda *change: heard.append(change))
    await follower.start()
    async with asyncio.timeout(60):
        await store.quiet.wait()
    await follower.stop()

    assert [50, 40, 41] == store.asked
    assert [("all", ""), ("grant", "one")] == heard
