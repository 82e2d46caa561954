"""D5, a loser overwriting the winner: a refusal is believed without looking which token it was about."""

from grantkeeper.keeper import asking
from grantkeeper.model import Grant
from tests.mutants import Replace

TEST = "test_d5_a_loser_takes_over_what_the_winner_stored"


def mutate(replace: Replace) -> None:
    """Replace the comparison of the row's token with the one that was sent."""

    def same(row: Grant, used: Grant) -> bool:
        return True

    replace(asking, "_same_token", same)
