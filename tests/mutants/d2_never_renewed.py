"""D2, a lock that is not renewed: a second try at the issuer goes out under what the first has left of it."""

from grantkeeper.adapters.sqlite import SqliteStore
from grantkeeper.model import Lease
from tests.mutants import Replace

TEST = "test_d2_a_lease_is_renewed_before_another_try"


def mutate(replace: Replace) -> None:
    """Replace the look at the lease: it always has time enough."""

    async def check(self: SqliteStore, lease: Lease) -> float:
        return 3600.0

    replace(SqliteStore, "check", check)
