"""People take their access back, are erased, or have used up their quota while their photos are improved."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence

from grantkeeper import Keeper
from grantkeeper.model import JobDescription
from tests.chaos.calls import away
from tests.chaos.crew import Crew
from tests.chaos.parts import Counts
from tests.chaos.photo_jobs import A_JOB, IMPROVING, LIMIT
from tests.chaos.picking import (
    Guest,
    ask_for_all,
    invite,
    no_step_twice,
    once_each,
    opened,
    read_diary,
    reports,
    sign_in,
    until_all,
)
from tests.chaos.postgres_town import PostgresTown
from tests.chaos.sizes import Size
from tests.chaos.town import Town

EACH, PHOTOS = 2, 5
"""Of a round: people of each kind, and photos of each of them."""

STILL = 3.0
"""Seconds in which nothing parked moves."""

RETRY_AFTER = 8
"""Seconds that Google names with a quota error."""


async def consent_jobs(town: Town, seed: int, rounds: int) -> Counts:
    """
    Users revoke in the middle, and others are erased, while the one worker is killed every 3 to 10 seconds.

    Jobs of those who revoked are parked with reason and remedy, stand still, and end after a new consent,
    each photo once. Of those who were erased nothing is left, neither in our tables nor in the engine's.
    """
    return await _consents(town, seed, rounds, workers=1)


async def consent_jobs_many(town: PostgresTown, seed: int, rounds: int, size: Size) -> Counts:
    """
    Users revoke in the middle, and others are erased, while one of three workers is killed every few seconds.

    Jobs of those who revoked are parked with reason and remedy, stand still, and end after a new consent,
    each photo once. Of those who were erased nothing is left, neither in our tables nor in the engine's.
    """
    return await _consents(town, seed, rounds, workers=3)


async def _consents(town: Town, seed: int, rounds: int, *, workers: int) -> Counts:
    counts: Counts = Counter()
    keeper = opened(town)
    await keeper.start()
    try:
        kinds = ("stays", "revokes", "erased")
        emails = [
            f"{seed + turn}-{n}@{kind}.example"
            for turn in range(rounds)
            for kind in kinds
            for n in range(EACH)
        ]
        guests = await invite(town, keeper, emails, PHOTOS)
        revoking, erased = (
            [guest for guest in guests if guest.email.endswith(f"@{kind}.example")] for kind in kinds[1:]
        )
        living = [guest for guest in guests if guest not in erased]
        limit = LIMIT + len(guests) * PHOTOS * A_JOB
        async with Crew(town, workers, IMPROVING, random.Random(seed), counts) as crew:
            crew.war()
            await ask_for_all(keeper, guests)
            for guest in revoking:
                await _once_one_is_done(keeper, guest, limit)
                await away(town.google.revoke, guest.email)
            for guest in erased:
                await _once_one_is_done(keeper, guest, limit)
                counts.update(erased_with_jobs_left=await _unfinished(keeper, guest))
                await keeper.forget(guest.grant)
            parked = [
                job
                for job in await until_all(keeper, revoking, "done", "parked", seconds=limit)
                if job.state == "parked"
            ]
            await _they_stand_still(town, keeper, revoking, parked)
            for guest in revoking:
                assert guest.grant == await sign_in(town, keeper, guest.email)
            await until_all(keeper, living, "done", seconds=limit)
            await _nothing_is_left(town, erased, limit)
            await crew.peace()
        # A worker that had been at it might have written once more.
        await _nothing_is_left(town, erased, 0.0)
        counts.update(
            jobs=sum(len(guest.jobs) for guest in guests),
            photos=await once_each(town, living),
            parked=len(parked),
            users_who_revoked=len(revoking),
            users_erased=len(erased),
        )
        counts += await no_step_twice(town, living)
    finally:
        await keeper.aclose()
    return counts


async def _once_one_is_done(keeper: Keeper, guest: Guest, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not any(job.state == "done" for job in await reports(keeper, [guest])):
            await asyncio.sleep(0.1)


async def _unfinished(keeper: Keeper, guest: Guest) -> int:
    return sum(job.state != "done" for job in await reports(keeper, [guest]))


async def _they_stand_still(
    town: Town, keeper: Keeper, guests: Sequence[Guest], parked: Sequence[JobDescription]
) -> None:
    """Somebody is told why they wait, and what helps; and no step is begun meanwhile."""
    assert parked, "everything was done before anybody revoked"
    for job in parked:
        assert job.reason in ("revoked", "expired", "revoked_or_expired"), job
        assert job.remedy and job.hint, job

    def begun() -> int:
        ids = {job.id for job in parked}
        return sum(len(lines) for (job, _), lines in read_diary(town).items() if job in ids)

    before = begun()
    await asyncio.sleep(STILL)
    assert before == begun(), "a parked job was begun"
    assert {job.id for job in parked} <= {
        job.id for job in await reports(keeper, guests) if job.state == "parked"
    }


async def _nothing_is_left(town: Town, erased: Sequence[Guest], seconds: float) -> None:
    """Of the erased, within *seconds*."""
    names = [name for guest in erased for name in (guest.grant, guest.email, *guest.jobs)]
    until = time.monotonic() + seconds
    while found := [row for row in await away(town.job_rows) if any(name in row for name in names)]:
        assert time.monotonic() < until, f"{len(found)} rows are left of the erased: {found[:3]}"
        await asyncio.sleep(0.5)


async def quota_jobs(town: Town, seed: int, rounds: int) -> Counts:
    """
    Google answers one user's calls with 429 and Retry-After: that user waits, and all others go on.

    A round has one such user and four others, with five photos each.
    """
    counts: Counts = Counter()
    keeper = opened(town)
    await keeper.start()
    try:
        for turn in range(seed, seed + rounds):
            poor, *others = await invite(
                town, keeper, [f"{turn}-{n}@quota.example" for n in range(5)], PHOTOS
            )
            limit = LIMIT + 5 * PHOTOS * A_JOB
            async with Crew(town, 1, 0.1, random.Random(turn), counts):
                before, began = await _refused(town), time.monotonic()
                await away(town.google.fault, "photos", "api_429", email=poor.email, retry_after=RETRY_AFTER)
                await ask_for_all(keeper, [poor, *others])
                await until_all(keeper, others, "done", seconds=limit)
                waiting = await reports(keeper, [poor])
                assert not [job for job in waiting if job.state == "done"]
                await until_all(keeper, [poor], "waiting", "queued", seconds=limit)
                waiting = [job for job in await reports(keeper, [poor]) if job.state == "waiting"]
                assert {"quota_exceeded"} >= {job.reason for job in waiting}, waiting
                refused, spent = await _refused(town) - before, time.monotonic() - began
                # One when each pause ends, as long as the fault lasts.
                assert 1 <= refused <= 2 + spent / RETRY_AFTER, (refused, spent)
                await away(town.google.heal)
                await until_all(keeper, [poor], "done", seconds=limit)
            photos = await once_each(town, [poor, *others])
            counts += await no_step_twice(town, [poor, *others])
            counts.update(jobs=photos, photos=photos, refused_for_quota=refused)
    finally:
        await away(town.google.heal)
        await keeper.aclose()
    return counts


async def _refused(town: Town) -> int:
    """How often the emulator has answered 429 so far."""
    calls = (await away(town.google.stats)).get("photos", {})
    return sum(count for found in calls.values() for outcome, count in found.items() if "429" in outcome)
