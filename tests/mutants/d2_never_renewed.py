"""D2, a lock that is not renewed: a second try at the issuer goes out under what the first has left of it."""

from tests.mutants import Replace
from tests.mutants.stores import always_long, replace_method

TEST = "test_d2_a_lease_is_renewed_before_another_try"


def mutate(replace: Replace) -> None:
    """Replace the look at the lease: it always has time enough."""
    replace_method(replace, "check", always_long)
