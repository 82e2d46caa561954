"""D6, no re-read after waiting: what was decided before the wait for the lock is done after it."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from grantkeeper.keeper.refresh import Refresher
from tests.mutants import Replace

TEST = "test_d6_who_waited_takes_what_was_brought"


def mutate(replace: Replace) -> None:
    """Replace the decision whether a flight still has to ask: its first answer stays."""
    settled = Refresher._settled
    first: WeakKeyDictionary[asyncio.Task[Any], bool] = WeakKeyDictionary()

    def decided(self: Refresher, *arguments: Any) -> bool:
        flight = asyncio.current_task()
        assert flight is not None
        return first.setdefault(flight, settled(self, *arguments))

    replace(Refresher, "_settled", decided)
