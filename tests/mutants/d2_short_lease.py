"""D2, a lock shorter than the call: a lease that ends after two seconds, however long the issuer may take."""

from grantkeeper.adapters.sqlite import SqliteStore
from grantkeeper.model import Held, Lease
from tests.mutants import Replace

TEST = "test_d2_a_lease_outlasts_the_call"


def mutate(replace: Replace) -> None:
    """Replace the seconds of a lease, and the look at them before sending."""
    take = SqliteStore.take

    async def shorter(self: SqliteStore, name: str, owner: str, *, seconds: float) -> Lease | Held:
        return await take(self, name, owner, seconds=2.0)

    async def check(self: SqliteStore, lease: Lease) -> float:
        return 3600.0

    replace(SqliteStore, "take", shorter)
    replace(SqliteStore, "check", check)
