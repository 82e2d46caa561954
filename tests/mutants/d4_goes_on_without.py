"""D4, proceeding without the lock: who was refused it once goes on as if it had it."""

from typing import Any

from grantkeeper.model import Held, Lease
from tests.mutants import Replace
from tests.mutants.stores import Method, believed, replace_method

TEST = "test_d4_without_the_lease_nothing_is_sent"


def mutate(replace: Replace) -> None:
    """Replace the taking of a lease, and let the look at it before sending believe what was taken."""
    refused: set[str] = set()

    def impatient(take: Method) -> Method:
        async def taken(self: Any, name: str, owner: str, *, seconds: float, **seen: Any) -> Lease | Held:
            claim: Lease | Held = await take(self, name, owner, seconds=seconds, **seen)
            if isinstance(claim, Held) and owner in refused:
                return Lease(name, owner, 0, seconds)
            refused.add(owner)
            return claim

        return taken

    replace_method(replace, "take", impatient)
    replace_method(replace, "check", believed)
