"""One job for each of many users, asked for at once."""

from datetime import UTC, datetime
from typing import Any

import pytest

from grantkeeper import JobContext, job
from grantkeeper.adapters.dice import SystemDice
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.errors import InvalidRequest, JobUnknown
from grantkeeper.jobs.fan_out import Errand, fan_out
from grantkeeper.model import GrantState, JobState
from grantkeeper.ports import Insert, JobQuery
from grantkeeper.testing.records import a_grant
from tests.jobs.conftest import DRIVE, Opener

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ERRAND = Errand("export", "b", scopes=frozenset({DRIVE}))


async def register(count: int, **changes: Any) -> MemoryStore:
    """So many users, all alike."""
    store = MemoryStore()
    for number in range(count):
        await store.commit(Insert(a_grant(number + 1, **{"granted": frozenset({DRIVE}), **changes})))
    return store


async def all_pages(store: MemoryStore, errand: Errand = ERRAND) -> int:
    added, after = 0, ""
    while True:
        page, last = await fan_out(store, errand, now=NOW, dice=SystemDice(), after=after, limit=2)
        added += page
        if last is None:
            return added
        after = last


async def owners(store: MemoryStore) -> list[str]:
    return sorted(each.grant_id for each in await store.jobs(JobQuery(limit=100)))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
async def test_everybody_gets_one_however_the_pages_fall(count: int) -> None:
    """
    The last page may be full, half full or empty.
    """
    store = await register(count)

    assert count == await all_pages(store)
    assert [a_grant(number + 1).id for number in range(count)] == await owners(store)


async def test_going_through_them_again_adds_those_alone_who_have_none() -> None:
    """
    Whoever was cut off begins again, with the same batch.
    """
    store = await register(5)
    await fan_out(store, ERRAND, now=NOW, dice=SystemDice(), limit=2)

    assert 3 == await all_pages(store)
    assert 0 == await all_pages(store)
    assert 5 == len(await owners(store))


@pytest.mark.parametrize(
    "changes",
    [
        {"state": GrantState.NEEDS_CONSENT},
        {"state": GrantState.REVOKED},
        {"granted": frozenset({"openid"})},
    ],
)
async def test_who_cannot_have_it_done_now_gets_none(changes: dict[str, Any]) -> None:
    """
    It would only be parked, for a user who never asked for it.
    """
    store = await register(2, **changes)

    assert 0 == await all_pages(store)


async def test_only_those_who_granted_something_beside_it() -> None:
    """
    Who asks may narrow it down further than the job does.
    """
    store = await register(1, granted=frozenset({DRIVE, "calendar"}))
    await store.commit(Insert(a_grant(2, granted=frozenset({DRIVE}))))
    narrowed = Errand("export", "b", scopes=frozenset({DRIVE}), wanted=frozenset({"calendar"}))

    assert 1 == await all_pages(store, narrowed)
    [made] = await store.jobs(JobQuery())
    assert (a_grant(1).id, frozenset({DRIVE})) == (made.grant_id, made.scopes)


@job(scopes=[DRIVE])
async def greet(ctx: JobContext, word: str = "hello") -> str:
    return word


async def test_a_keeper_asks_for_everybody_and_sees_how_far_it_is(open_town: Opener) -> None:
    """
    One batch, by which its jobs are listed and counted; given again it adds who has come meanwhile.
    """
    town = await open_town(greet)
    grants = [await town.signed_in(f"{name}@example.com") for name in ("ada", "ben")]
    made = await town.worker.keeper.jobs.fan_out("greet", parameters={"word": "hi"})
    listed = (await town.worker.keeper.jobs.list(batch=made.batch)).jobs
    results = [(await town.until(each.id, "done")).result for each in listed]

    assert (2, sorted(grants), ["hi", "hi"]) == (made.added, sorted(each.grant for each in listed), results)
    assert {JobState.DONE: 2} == await town.worker.keeper.jobs.progress(made.batch)
    await town.signed_in("eve@example.com")
    again = await town.worker.keeper.jobs.fan_out("greet", parameters={"word": "hi"}, batch=made.batch)
    assert (made.batch, 1) == (again.batch, again.added)


async def test_what_nobody_can_do_is_asked_of_nobody(open_town: Opener) -> None:
    """
    A name that no worker has announced, and parameters that do not fit, are refused before a row is written.
    """
    town = await open_town(greet)
    await town.signed_in()
    jobs = town.worker.keeper.jobs

    with pytest.raises(JobUnknown):
        await jobs.fan_out("great")
    with pytest.raises(InvalidRequest):
        await jobs.fan_out("greet", parameters={"word": 3})
    with pytest.raises(InvalidRequest):
        await jobs.fan_out("greet", batch="\n")
    assert () == (await jobs.list()).jobs
    assert {} == await jobs.progress("\n")
