"""D3, a write without version check: a row is saved as it was read, over what others saved in between."""

from grantkeeper.adapters import sqlite_steps
from tests.mutants import Replace

TEST = "test_d3_a_refresh_overwrites_nothing_of_others"


def mutate(replace: Replace) -> None:
    """Replace the condition in both statements that save a grant."""
    for name in ("replace_grant", "replace_grant_content"):
        statement = sqlite_steps.SQL[name]
        assert "AND version = ?" in statement
        replace(sqlite_steps.SQL, name, statement.replace("AND version = ?", "AND version >= ?"))
