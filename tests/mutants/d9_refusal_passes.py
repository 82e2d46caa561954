"""D9, permanent and transient errors mixed: a grant that is gone is asked for again and again."""

from dataclasses import replace as changed

from grantkeeper.protocol import token_endpoint
from grantkeeper.protocol.token_endpoint import Radius
from tests.mutants import Replace

TEST = "test_d9_a_refusal_is_final"


def mutate(replace: Replace) -> None:
    """Replace what ``invalid_grant`` means."""
    told = token_endpoint.REFUSALS["invalid_grant"]
    replace(token_endpoint.REFUSALS, "invalid_grant", changed(told, radius=Radius.ISSUER, reason=None))
