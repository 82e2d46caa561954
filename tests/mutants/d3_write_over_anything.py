"""D3, a write without version check: a row is saved as it was read, over what others saved in between."""

from tests.mutants import Replace
from tests.mutants.stores import STATEMENTS

TEST = "test_d3_a_refresh_overwrites_nothing_of_others"


def mutate(replace: Replace) -> None:
    """Replace the condition in every statement that saves a grant."""
    for statements in STATEMENTS:
        saving = [name for name in statements if name.startswith("replace_grant")]
        assert saving
        for name in saving:
            assert "AND version = " in statements[name]
            replace(statements, name, statements[name].replace("AND version = ", "AND version >= "))
