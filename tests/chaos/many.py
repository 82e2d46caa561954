"""
The promises of many nodes on one PostgreSQL: the table of the parts.

They are like those of `tests.chaos.parts`, and take a size as well.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from tests.chaos.consent_jobs import consent_jobs_many
from tests.chaos.crashes import database_away, database_crashes, node_kills
from tests.chaos.parts import Counts
from tests.chaos.photo_jobs import photo_jobs_many
from tests.chaos.postgres_town import PostgresTown
from tests.chaos.rotation import key_rotation
from tests.chaos.sizes import Size
from tests.chaos.storms import storm, storm_with_kills

ManyPart = Callable[[PostgresTown, int, int, Size], Coroutine[Any, Any, Counts]]

MANY: dict[str, ManyPart] = {
    "storm": storm,
    "storm-rotating": storm,
    "storm-kills": storm_with_kills,
    "storm-kills-rotating": storm_with_kills,
    "node-kills": node_kills,
    "database-crashes": database_crashes,
    "database-away": database_away,
    "key-rotation": key_rotation,
    "photo-jobs-many": photo_jobs_many,
    "consent-jobs-many": consent_jobs_many,
}
"""On PostgreSQL; ``rotating`` in a name wants an issuer that rotates."""

MANY_ROUNDS = {
    "storm": 3,
    "storm-rotating": 3,
    "storm-kills": 3,
    "storm-kills-rotating": 3,
    "node-kills": 1000,
    "database-crashes": 100,
    "database-away": 1,
    "key-rotation": 1,
    "photo-jobs-many": 20,
    "consent-jobs-many": 5,
}
