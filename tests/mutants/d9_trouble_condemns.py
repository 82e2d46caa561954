"""D9, permanent and transient errors mixed: a busy issuer costs the user the grant."""

from grantkeeper.protocol import token_endpoint
from tests.mutants import Replace

TEST = "test_d9_trouble_costs_no_grant"


def mutate(replace: Replace) -> None:
    """Replace the reading of refusals: what says that the issuer is busy says that the grant is gone."""
    gone = token_endpoint.REFUSALS["invalid_grant"]
    for name in ("temporarily_unavailable", "rate_limit_exceeded", "internal_failure"):
        replace(token_endpoint.REFUSALS, name, gone)

    def is_transient(status: int) -> bool:
        return False

    replace(token_endpoint, "is_transient", is_transient)
