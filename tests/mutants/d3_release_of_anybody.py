"""D3, a release without owner or version check: whoever comes late frees the lock of whoever has it now."""

from grantkeeper.adapters import sqlite_steps
from tests.mutants import Replace

TEST = "test_d3_a_late_owner_frees_nobody_elses_lease"


def mutate(replace: Replace) -> None:
    """Replace the statement."""
    replace(
        sqlite_steps.SQL,
        "release_lease",
        "DELETE FROM leases WHERE name = ?2 AND ?1 IS NOT NULL AND ?3 IS NOT NULL",
    )
