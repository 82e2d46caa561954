"""D8, a valid token refused after an early failure: trouble at the issuer reaches who could be served."""

from grantkeeper.keeper import access
from tests.mutants import Replace

TEST = "test_d8_a_valid_token_is_served_through_trouble"


def mutate(replace: Replace) -> None:
    """Replace the list of troubles that say nothing about the token at hand."""
    replace(access, "TRANSIENT", ())
