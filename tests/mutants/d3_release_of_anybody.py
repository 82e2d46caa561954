"""D3, a release without owner or version check: whoever comes late frees the lock of whoever has it now."""

from tests.mutants import Replace
from tests.mutants.stores import STATEMENTS

TEST = "test_d3_a_late_owner_frees_nobody_elses_lease"


def mutate(replace: Replace) -> None:
    """Replace what the statement compares beside the name."""
    for statements in STATEMENTS:
        name, condition = "release_lease", statements["release_lease"]
        for column in ("version", "owner"):
            assert f"{column} = " in condition
            condition = condition.replace(f"{column} = ", f"{column} IS NOT NULL OR {column} = ", 1)
        condition = condition.replace("WHERE", "WHERE (").replace("AND", ") AND (").replace(";", "")
        replace(statements, name, f"{condition})")
