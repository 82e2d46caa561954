"""The promises of offline work on SQLite: the table of the parts, like those of `tests.chaos.parts`."""

from tests.chaos.consent_jobs import consent_jobs, quota_jobs
from tests.chaos.parts import Part
from tests.chaos.photo_jobs import photo_jobs

OFFLINE: dict[str, Part] = {
    "photo-jobs": photo_jobs,
    "consent-jobs": consent_jobs,
    "quota-jobs": quota_jobs,
}

OFFLINE_ROUNDS = {"photo-jobs": 20, "consent-jobs": 5, "quota-jobs": 3}
"""Of the long form; 20 rounds of photos are 500 jobs."""
