"""Doubts end: refreshes left by the dead, tokens that may be spent, databases brought back from a backup."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.adapters.retention import LEASE_SECONDS
from grantkeeper.backoff import PROBE_PAUSES
from grantkeeper.errors import ConsentRequired, IssuerUnavailable, StoreUnavailable
from grantkeeper.keeper import refresh
from grantkeeper.keeper.doubts import OWN_CHANCE, RESTORED
from grantkeeper.library.core import KeeperCore
from grantkeeper.lifecycle import UNCERTAIN
from grantkeeper.model import GrantState, Held, Lease, Reason
from grantkeeper.ports import PutToken, Step
from tests.keeper.delivery_kit import KEY, Stops, Town

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("rotates", [False, True], ids=["google", "rotating"])
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _no_other_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has a journal here that would be waited for."""
    monkeypatch.setattr(refresh, "OTHERS_GRACE", 0.1)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


async def left_by_the_dead(town: Town, core: KeeperCore) -> str:
    """A grant whose refresh was begun by a process that is no more."""
    grant = (await town.sign_in(core)).id
    town.clock.advance(HOUR)
    assert isinstance(await town.store.take(f"refresh:{grant}", "the dead", seconds=17.0), Lease)
    town.lapse()
    return grant


def refreshes(town: Town) -> int:
    return town.issuer.asked.count("refresh_token")


@BOTH
async def test_a_refresh_left_by_the_dead_is_doubted_before_it_is_sent_again(
    tmp_path: Path, rotates: bool
) -> None:
    """
    While the issuer thinks, the row already says it; what works ends the doubt.
    """
    town = Town(tmp_path, rotates=rotates)
    seen = []

    async def look() -> None:
        stored = await town.grant()
        assert stored is not None
        seen.append(stored.uncertain_since)

    async with town.process() as (core, _):
        grant = await left_by_the_dead(town, core)
        town.issuer.before = look
        await core.access_token(grant)
        described = await core.describe(grant)

    assert [town.clock.now()] == seen
    assert (False, GrantState.ACTIVE) == (described.uncertain, described.state)
    assert {} == town.store._tables.leases


@BOTH
async def test_a_doubted_token_that_is_refused_says_why(tmp_path: Path, rotates: bool) -> None:
    """
    Where tokens rotate, the dead process had the new one: answer_lost. Google's was taken back.
    """
    town = Town(tmp_path, rotates=rotates)
    async with town.process() as (core, _):
        grant = await left_by_the_dead(town, core)
        town.issuer.good.clear()

        with pytest.raises(ConsentRequired) as caught:
            await core.access_token(grant)
        described = await core.describe(grant)

    reason = Reason.ANSWER_LOST if rotates else Reason.REVOKED
    assert (reason, reason) == (caught.value.reason, described.reason)
    assert not described.uncertain


async def test_however_late_it_is_what_the_dead_left_is_known(tmp_path: Path) -> None:
    """
    All nodes were down for a quarter of an hour, and the sweep comes first: the doubt is not swept away.
    """
    town = Town(tmp_path, rotates=True)
    async with town.process() as (core, _):
        grant = await left_by_the_dead(town, core)
        town.clock.tick(LEASE_SECONDS + 60.0)
        await core._sweep()
        town.issuer.good.clear()

        with pytest.raises(ConsentRequired) as caught:
            await core.access_token(grant)

    assert Reason.ANSWER_LOST == caught.value.reason


@pytest.mark.parametrize("last", [1, 2, 3])
async def test_who_cannot_store_the_doubt_does_not_give_the_lease_back(tmp_path: Path, last: int) -> None:
    """
    The store goes away after so many steps: the next one who comes must still hear of the dead.
    """
    town = Town(tmp_path, rotates=True)
    async with town.process() as (core, stops):
        grant = await left_by_the_dead(town, core)
        town.issuer.good.clear()
        taken = town.store.take
        left = []

        async def take(name: str, *args: Any, **named: Any) -> Any:
            claim = await taken(name, *args, **named)
            if isinstance(claim, Lease) and claim.orphaned:
                left.append(stops.steps + last)
            return claim

        async def step(name: str, call: Callable[[], Any]) -> Any:
            # Away for one step only: it is back when the lease is to be given back.
            stops.away = bool(left) and stops.steps + 1 == left[0]
            return await Stops.step(stops, name, call)

        town.store.take = take  # type: ignore[method-assign]
        stops.step = step  # type: ignore[method-assign]
        with suppress(StoreUnavailable, ConsentRequired):
            await core.access_token(grant)
        del stops.step
        stops.away = False
        town.lapse()
        with pytest.raises(ConsentRequired) as caught:
            await core.access_token(grant)

    assert Reason.ANSWER_LOST == caught.value.reason


async def test_a_refresh_that_nobody_asks_for_again_is_found(town: Town) -> None:
    """
    The upkeep finds the lease, marks the grant, gives its users a moment, and then tries it.
    """
    async with town.process() as (core, _):
        grant = await left_by_the_dead(town, core)
        await core._upkeep.once()
        described = await core.describe(grant)
        assert (True, UNCERTAIN, {}) == (described.uncertain, described.remedy, town.store._tables.leases)
        assert 0 == refreshes(town)
        town.clock.advance(OWN_CHANCE)
        await core._upkeep.once()

        described = await core.describe(grant)

    assert (False, None, 1) == (described.uncertain, described.remedy, refreshes(town))
    assert 1 == core.counters["probe", "ok"]


async def test_a_lease_of_the_living_is_left_alone(town: Town) -> None:
    """
    Held, or given back, or of a revoked grant: no doubt and no probe.
    """
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        await town.store.take(f"refresh:{grant}", "the living", seconds=17.0)
        await core._upkeep.once()
        assert not (await core.describe(grant)).uncertain
        town.lapse()
        await core.revoke(grant)
        await core._upkeep.once()

        stored = await town.grant()

    assert stored is not None
    assert stored.uncertain_since is None
    assert ({}, 0) == (town.store._tables.leases, refreshes(town))


@BOTH
async def test_an_answer_that_the_database_took_from_the_dead_is_not_doubted(
    tmp_path: Path, rotates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A process is killed while its commit is under way, and another has the lease before the commit ends.
    """
    town = Town(tmp_path, rotates=rotates)
    commit, take = town.store.commit, town.store.take
    sent, taken = asyncio.Event(), asyncio.Event()
    landed: list[asyncio.Task[None]] = []

    async def slow_commit(*steps: Step) -> None:
        if not landed and any(isinstance(step, PutToken) for step in steps):
            sent.set()
            await taken.wait()
            landed.append(asyncio.ensure_future(commit(*steps)))
            await landed[0]
        else:
            await commit(*steps)

    async def taking(name: str, owner: str, *, seconds: float, **more: Any) -> Lease | Held:
        claim = await take(name, owner, seconds=seconds, **more)
        if sent.is_set() and not taken.is_set():
            taken.set()
            await asyncio.sleep(0)
            await landed[0]
        return claim

    async with town.process() as (dead, _), town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        monkeypatch.setattr(town.store, "commit", slow_commit)
        monkeypatch.setattr(town.store, "take", taking)
        dying = asyncio.create_task(dead.access_token(grant))
        await sent.wait()
        town.lapse()
        await core.access_token(grant)
        await dying
        described = await core.describe(grant)

    assert (1, 0) == (refreshes(town), town.events("grant.doubted"))
    assert not described.uncertain


async def test_who_was_overtaken_takes_no_lease(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Killed while holding it, a process that has nothing to send would leave a doubt behind.
    """
    take = town.store.take
    overtaken: list[Lease | Held] = []

    async with town.process() as (core, _), town.process() as (other, _):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)

        async def taking(name: str, owner: str, **rest: Any) -> Lease | Held:
            monkeypatch.setattr(town.store, "take", take)
            await other.access_token(grant)
            overtaken.append(await take(name, owner, **rest))
            return overtaken[0]

        monkeypatch.setattr(town.store, "take", taking)
        await core.access_token(grant)

    assert ([Held], 1) == ([type(claim) for claim in overtaken], refreshes(town))


@pytest.mark.parametrize("ahead", [5.0, -5.0])
async def test_a_doubt_of_a_process_whose_clock_differs_ends_with_one_refresh(
    town: Town, ahead: float
) -> None:
    """
    What ends a doubt is that the sender knew of it, not which clock is ahead.
    """
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        await doubt(town, grant, at=town.clock.now() + timedelta(seconds=ahead))
        await core.access_token(grant)
        described = await core.describe(grant)

    assert (False, 1) == (described.uncertain, refreshes(town))


@pytest.mark.parametrize("ahead", [5.0, -5.0])
async def test_a_doubt_that_comes_while_the_issuer_thinks_is_not_ended_by_its_answer(
    town: Town, ahead: float
) -> None:
    """
    The answer may be older than whatever the doubt is about: the next one ends it.
    """

    async def doubted() -> None:
        town.issuer.before = lambda: None
        await doubt(town, grant, at=town.clock.now() + timedelta(seconds=ahead))

    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        town.issuer.before = doubted
        await core.access_token(grant)
        described = await core.describe(grant)

    assert (False, 2) == (described.uncertain, refreshes(town))


async def test_a_doubt_that_another_process_has_ended_is_not_tried_again(town: Town) -> None:
    """
    It stood on the list of the upkeep when its user came.
    """
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        await doubt(town, grant)
        await core._refresher.settle(grant)
        await core._refresher.settle(grant)

    assert 1 == refreshes(town)


async def doubt(town: Town, grant: str, at: datetime | None = None) -> None:
    stored = town.store._tables.grants[grant]
    town.store._tables.grants[grant] = replace(
        stored, uncertain_since=at or town.clock.now(), version=stored.version + 1
    )
    town.store._tell("grant", grant)


async def test_probes_rest_after_trouble_that_passes(town: Town) -> None:
    """
    A minute, then five: not every round of the upkeep, and not for ever either.
    """
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        await doubt(town, grant)
        town.clock.advance(OWN_CHANCE)
        town.issuer.trouble = 429
        core._refresher._asking._gates._circuits.clear()
        await core._upkeep.once()
        asked = refreshes(town)
        assert asked > 0
        town.clock.tick(PROBE_PAUSES[0] - 1)
        await core._upkeep.once()
        assert asked == refreshes(town), "it rests"
        town.issuer.trouble = None
        town.clock.tick(PROBE_PAUSES[0] / 2 + 1)
        await core._upkeep.once()
        described = await core.describe(grant)

    assert (False, asked + 1) == (described.uncertain, refreshes(town))


async def test_a_doubtful_grants_valid_token_serves_only_in_trouble(town: Town) -> None:
    """
    It is refreshed first, though the token is fresh; while the issuer is away, the token is as good as ever.
    """
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        first = await core.access_token(grant)
        await doubt(town, grant)
        core.cache.clear()
        town.issuer.trouble = 503
        assert first.reveal() == (await core.access_token(grant)).reveal()
        assert core.fresh_token(grant) is None
        town.issuer.trouble = None
        core._refresher._asking._gates._circuits.clear()

        second = await core.access_token(grant)

    assert first.reveal() != second.reveal()


async def restore(town: Town) -> None:
    """What `restore` writes."""
    since = town.clock.now().timestamp() * 1e6
    await town.store.set_mark(RESTORED, b"%d" % since)


async def until_known(core: KeeperCore) -> None:
    while core.means.restored_at is None:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("running", [False, True], ids=["at start", "by the feed"])
async def test_after_a_restore_every_grant_is_tried_when_used(town: Town, running: bool) -> None:
    """
    Without a row being touched; whoever is younger, or has been tried, is certain.
    """
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        await core.access_token(grant)
        version = (await core.describe(grant)).version
        town.clock.advance(1.0)
        await restore(town)
        if running:
            await until_known(core)
            await used_after_restore(town, core, grant, version)
    if not running:
        async with town.process() as (core, _):
            await used_after_restore(town, core, grant, version)


async def used_after_restore(town: Town, core: KeeperCore, grant: str, version: int) -> None:
    before = await core.describe(grant)
    assert (True, UNCERTAIN, version) == (before.uncertain, before.remedy, before.version)
    assert core.fresh_token(grant) is None
    town.clock.advance(1.0)
    await core.access_token(grant)
    assert 1 == refreshes(town)
    assert not (await core.describe(grant)).uncertain
    await core.access_token(grant)
    assert 1 == refreshes(town)


async def test_after_a_restore_a_grant_that_was_revoked_meanwhile_is_found_out(town: Town) -> None:
    """
    The backup still has it as active, with a token that seems fresh.
    """
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        town.clock.advance(1.0)
        town.issuer.good.clear()
        await restore(town)
        await until_known(core)

        with pytest.raises(ConsentRequired):
            await core.access_token(grant)


async def test_a_mark_that_cannot_be_read_stops_nothing(town: Town) -> None:
    """
    It is told, and the grants are as certain as before.
    """
    await town.store.set_mark(RESTORED, b"yesterday")
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id

        assert not (await core.describe(grant)).uncertain


async def test_trouble_of_one_issuer_ends_the_round_for_its_grants(town: Town) -> None:
    """
    The second grant is not sent for where the first has met an issuer that is away.
    """
    async with town.process() as (core, _):
        for number in range(12):
            town.issuer.sub = str(number)
            signed_in = await town.sign_in(core, f"4/{number}", f"{KEY}-{number}")
            await doubt(town, signed_in.id)
        town.clock.advance(OWN_CHANCE)
        town.issuer.trouble = 503
        await core._upkeep.once()

        tried = core.counters["probe", IssuerUnavailable.code]

    assert 1 <= tried <= 5
