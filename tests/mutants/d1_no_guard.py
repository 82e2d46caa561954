"""D1, no guard across processes: every process that wants the lease of a refresh is told that it has it."""

from typing import Any

from grantkeeper.model import Lease
from tests.mutants import Replace
from tests.mutants.stores import Method, believed, replace_method

TEST = "test_d1_processes_share_one_refresh"


def mutate(replace: Replace) -> None:
    """Replace the taking of a lease, and let the look at it before sending believe what was taken."""

    def everybodys(take: Method) -> Method:
        async def taken(self: Any, name: str, owner: str, *, seconds: float, **seen: Any) -> Lease:
            return Lease(name, owner, 0, seconds)

        return taken

    replace_method(replace, "take", everybodys)
    replace_method(replace, "check", believed)
