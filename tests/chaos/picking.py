"""People with photos of their own, who pick some and leave; and what is found of them afterwards."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from grantkeeper import Keeper
from grantkeeper.adapters.dbos_engine import DbosEngine
from grantkeeper.google import Picker
from grantkeeper.google.photos_once import marker_of
from grantkeeper.model import JobDescription
from grantkeeper.settings import load_settings
from tests.chaos import photo_work
from tests.chaos.calls import away
from tests.chaos.parts import Counts
from tests.chaos.town import Town
from tests.google.kit import GrantSession

TOGETHER = 8
EVERYTHING = ("openid", "email", *photo_work.SCOPES)


@dataclass
class Guest:
    """Somebody who picked photos, one in each session."""

    email: str
    grant: str
    sessions: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)


def opened(town: Town) -> Keeper:
    """A keeper on the town's database, in this process."""
    return Keeper.open(settings=load_settings({}, town.folder))


async def sign_in(town: Town, keeper: Keeper, email: str) -> str:
    """The grant of *email*, who says yes to everything."""
    return (await keeper.redeem(await away(town.google.code, email, EVERYTHING, force=True))).id


async def invite(town: Town, keeper: Keeper, emails: Sequence[str], photos: int) -> list[Guest]:
    """Each of *emails* signs in and picks *photos* of their own photos, in as many sessions."""
    await away(town.google.post, "photos/limits", {"requests_per_day": None, "media_requests_per_day": None})
    room = asyncio.Semaphore(TOGETHER)

    async def come(email: str) -> Guest:
        async with room:
            guest = Guest(email, await sign_in(town, keeper, email))
            own = await away(town.google.post, "photos", {"email": email, "samples": photos})
            session = GrantSession(keeper, guest.grant)
            try:
                picker = Picker(session, base=f"{town.google.url}/photospicker/v1")
                for photo in own["photos"]:
                    opened = await picker.create(most=1)
                    await away(town.google.pick, email, session=opened.id, ids=[photo["id"]])
                    guest.sessions.append(opened.id)
            finally:
                await session.close()
            return guest

    return list(await asyncio.gather(*(come(email) for email in emails)))


async def ask_for_all(keeper: Keeper, guests: Sequence[Guest]) -> None:
    """A job for every photo; the guests leave."""
    for place in range(max(len(guest.sessions) for guest in guests)):
        for guest in guests:
            if place < len(guest.sessions):
                parameters = {"session": guest.sessions[place]}
                job = await keeper.jobs.enqueue("improve_photo", guest.grant, parameters=parameters)
                guest.jobs.append(job.id)


async def reports(keeper: Keeper, guests: Sequence[Guest]) -> list[JobDescription]:
    """How the jobs of *guests* stand."""
    found: list[JobDescription] = []
    for guest in guests:
        found += (await keeper.jobs.list(grant=guest.grant, limit=1000)).jobs
    return found


async def until_all(
    keeper: Keeper, guests: Sequence[Guest], *states: str, seconds: float
) -> list[JobDescription]:
    """The reports of all jobs of *guests*, once each is in one of *states*."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = await reports(keeper, guests)
                if {str(job.state) for job in found} <= set(states):
                    return found
                await asyncio.sleep(0.5)
    except TimeoutError:
        left = [job for job in await reports(keeper, guests) if job.state not in states]
        told = [f"{job.id} {job.state} {job.reason} {job.note} {job.steps}" for job in left[:20]]
        raise AssertionError(f"{len(left)} jobs do not come to an end: {told}") from None


# -- afterwards ---------------------------------------------------------------------------------


async def once_each(town: Town, guests: Sequence[Guest]) -> int:
    """By the emulator's listing every album has exactly the photos that were picked; how many that are."""
    count = 0
    for guest in guests:
        listed = await away(town.google.photos, guest.email)
        assert [photo_work.ALBUM] == [album["title"] for album in listed["albums"]], listed["albums"]
        markers = Counter(marker_of(item["description"]) for item in listed["created"])
        assert Counter(f"{job}/0" for job in guest.jobs) == markers, "a photo is missing, or there twice"
        held = Counter(listed["albums"][0]["items"])
        assert Counter(item["id"] for item in listed["created"]) == held
        for item in listed["created"]:
            job = str(marker_of(item["description"])).partition("/")[0]
            improved = (town.folder / photo_work.PICTURES / f"{job}.png").read_bytes()
            assert hashlib.sha256(improved).hexdigest() == item["sha256"]
        count += len(held)
    return count


async def no_step_twice(town: Town, guests: Sequence[Guest]) -> Counts:
    """
    No step that was recorded was begun again: the beginning that the engine recorded was the last one.

    Counted are beginnings, those after a cut or an error, and lookups that saved a second creation.
    """
    diary = read_diary(town)
    counts: Counts = Counter()
    engine = DbosEngine(load_settings({}, town.folder).database_url)
    try:
        for guest in guests:
            for job in guest.jobs:
                recorded = await engine.steps(job)
                assert photo_work.STEPS == tuple(step.name for step in recorded)
                for step in recorded:
                    begun = diary[job, step.name]
                    value = msgspec.json.decode(step.value)
                    assert value["line"] == begun[-1], f"{step.name} of {job} was done again: {begun}"
                    counts.update(steps_begun=len(begun), steps_begun_again=len(begun) - 1)
                made = msgspec.json.decode(recorded[photo_work.STEPS.index("make")].value)
                counts.update(lookups_that_saved_a_second_creation=int(made["looked_up"]))
    finally:
        await engine.stop(seconds=0)
    return counts


def read_diary(town: Town) -> Mapping[tuple[str, str], list[str]]:
    """Every beginning of each step of each job, in order."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in (town.folder / photo_work.DIARY).read_text(encoding="utf-8").splitlines():
        job, step, name = line.split()
        found.setdefault((job, step), []).append(name)
    return found
