"""D1, no guard across processes: every process that wants the lease of a refresh is told that it has it."""

from typing import Any

from grantkeeper.adapters.sqlite import SqliteStore
from grantkeeper.model import Held, Lease
from tests.mutants import Replace

TEST = "test_d1_processes_share_one_refresh"


def mutate(replace: Replace) -> None:
    """Replace `SqliteStore.take`, and let the look at the lease before sending see what was claimed."""
    check = SqliteStore.check

    async def take(self: SqliteStore, name: str, owner: str, *, seconds: float) -> Lease | Held:
        return Lease(name, owner, 0, seconds)

    async def checked(self: SqliteStore, lease: Lease) -> Any:
        return lease.remaining if lease.version == 0 else await check(self, lease)

    replace(SqliteStore, "take", take)
    replace(SqliteStore, "check", checked)
