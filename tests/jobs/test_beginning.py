"""A worker that cannot begin leaves nothing behind that goes on."""

import threading

import pytest

from grantkeeper.adapters.memory_engine import MemoryEngine
from grantkeeper.errors import StoreUnavailable
from grantkeeper.library.core import KeeperCore
from grantkeeper.library.worker import Worker
from grantkeeper.model import Lease
from grantkeeper.ports import Run
from grantkeeper.settings import Settings

pytestmark = pytest.mark.anyio


class Away(MemoryEngine):
    """An engine whose tables cannot be opened."""

    executor = ""

    async def start(self, run: Run, *, executor: str, at_once: int) -> None:
        type(self).executor = executor
        raise StoreUnavailable("the tables of jobs cannot be used now")


async def test_a_worker_that_cannot_begin_leaves_nothing_behind(settings: Settings) -> None:
    """
    Neither the loop of its authors' code, nor a lease by which it would be taken for a dead one.
    """
    worker = Worker(settings, {}, engine=Away())
    with pytest.raises(StoreUnavailable):
        await worker.start()

    assert [] == [thread for thread in threading.enumerate() if thread.name == "jobs"]
    core = await KeeperCore.open(settings)
    try:
        assert isinstance(await core.store.take(f"worker:{Away.executor}", "another", seconds=1), Lease)
        assert Away.executor
    finally:
        await core.close()
