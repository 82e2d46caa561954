"""D4, proceeding without the lock: who was refused it once goes on as if it had it."""

from typing import Any

from grantkeeper.adapters.sqlite import SqliteStore
from grantkeeper.model import Held, Lease
from tests.mutants import Replace

TEST = "test_d4_without_the_lease_nothing_is_sent"


def mutate(replace: Replace) -> None:
    """Replace `SqliteStore.take`, and let the look at the lease before sending see what was claimed."""
    take, check = SqliteStore.take, SqliteStore.check
    refused: set[str] = set()

    async def impatient(self: SqliteStore, name: str, owner: str, *, seconds: float) -> Lease | Held:
        claim = await take(self, name, owner, seconds=seconds)
        if isinstance(claim, Held) and owner in refused:
            return Lease(name, owner, 0, seconds)
        refused.add(owner)
        return claim

    async def checked(self: SqliteStore, lease: Lease) -> Any:
        return lease.remaining if lease.version == 0 else await check(self, lease)

    replace(SqliteStore, "take", impatient)
    replace(SqliteStore, "check", checked)
