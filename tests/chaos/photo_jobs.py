"""Photos are improved for people who are away, while the workers are killed."""

import random
from collections import Counter

from tests.chaos.calls import away
from tests.chaos.crew import Crew
from tests.chaos.parts import Counts
from tests.chaos.picking import ask_for_all, invite, no_step_twice, once_each, opened, until_all
from tests.chaos.postgres_town import PostgresTown
from tests.chaos.sizes import Size
from tests.chaos.town import Town

GUESTS, PHOTOS = 5, 5
"""Of a round: people, and photos of each."""

IMPROVING = 1.0
"""Seconds for a photo, so that kills come in the middle."""

LOST_EVERY = 50
"""Of so many jobs one has the answer of its `batchCreate` lost on the way, whoever is killed."""

LIMIT = 600.0
A_JOB = 10.0
"""Seconds in which all must be done, and so many more for each job."""


async def photo_jobs(town: Town, seed: int, rounds: int) -> Counts:
    """
    Photos are improved while the one worker is killed every 3 to 10 seconds: each is in its album once.

    A round is 25 jobs, and the rounds of a town run together. No step that was recorded is begun again.
    """
    return await _photos(town, seed, rounds, workers=1)


async def photo_jobs_many(town: PostgresTown, seed: int, rounds: int, size: Size) -> Counts:
    """
    Photos are improved while one of three workers is killed every 3 to 10 seconds: each is in its album once.

    A round is 25 jobs, and the rounds of a town run together. No step that was recorded is begun again.
    """
    return await _photos(town, seed, rounds, workers=3)


async def _photos(town: Town, seed: int, rounds: int, *, workers: int) -> Counts:
    counts: Counts = Counter()
    keeper = opened(town)
    await keeper.start()
    try:
        emails = [f"{seed + turn}-{n}@photo.example" for turn in range(rounds) for n in range(GUESTS)]
        guests = await invite(town, keeper, emails, PHOTOS)
        jobs = len(guests) * PHOTOS
        before = await away(town.google.stats)
        async with Crew(town, workers, IMPROVING, random.Random(seed), counts) as crew:
            await away(
                town.google.fault,
                "photos",
                "lost",
                count=max(1, jobs // LOST_EVERY),
                kind="mediaItems.batchCreate",
            )
            crew.war()
            await ask_for_all(keeper, guests)
            found = await until_all(keeper, guests, "done", seconds=LIMIT + jobs * A_JOB)
            await crew.peace()
        after = await away(town.google.stats)

        assert {job_id for guest in guests for job_id in guest.jobs} == {job.id for job in found}
        assert jobs == await once_each(town, guests)
        assert jobs == _made(after) - _made(before), "the emulator counted more items than there are jobs"
        counts += await no_step_twice(town, guests)
        counts.update(jobs=jobs, photos=jobs, albums=len(guests))
    finally:
        await keeper.aclose()
        await away(town.google.heal)
    return counts


def _made(stats: dict[str, dict[str, dict[str, int]]]) -> int:
    return stats.get("totals", {}).get("photos", {}).get("items_created", 0)
