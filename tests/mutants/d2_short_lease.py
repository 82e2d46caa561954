"""D2, a lock shorter than the call: a lease that ends after two seconds, however long the issuer may take."""

from typing import Any

from tests.mutants import Replace
from tests.mutants.stores import Method, always_long, replace_method

TEST = "test_d2_a_lease_outlasts_the_call"


def mutate(replace: Replace) -> None:
    """Replace the seconds of a lease, and the look at them before sending."""

    def shorter(take: Method) -> Method:
        async def taken(self: Any, name: str, owner: str, *, seconds: float, **seen: Any) -> Any:
            return await take(self, name, owner, seconds=2.0, **seen)

        return taken

    replace_method(replace, "take", shorter)
    replace_method(replace, "check", always_long)
