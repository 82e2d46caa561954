"""A sign-in that leaves a broken grant to its stored token: one refresh decides, whatever comes between."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.errors import ConsentRequired, GrantkeeperError
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import GrantState, Reason
from tests.keeper.delivery_kit import KEY, Killed, Town

pytestmark = pytest.mark.anyio

SECOND = ("4/second", KEY + "-2")


async def broken(town: Town, core: KeeperCore) -> str:
    """The id of a grant that was refused once, wrongly; further codes bring no refresh token."""
    grant = str((await town.sign_in(core)).id)
    good = set(town.issuer.good)
    town.clock.advance(timedelta(hours=1))
    town.issuer.good.clear()
    with pytest.raises(ConsentRequired):
        await core.access_token(grant)
    town.issuer.good |= good
    town.issuer.refresh_token = False
    return grant


async def test_who_asks_beside_waits_for_the_proof(tmp_path: Path) -> None:
    """
    While the refresh is at the issuer nobody is told that the grant is broken.
    """
    town, beside = Town(tmp_path), []
    async with town.process() as (core, _):
        await broken(town, core)

        async def ask() -> None:
            if town.issuer.asked[-1] == "refresh_token":
                beside.append(asyncio.ensure_future(town.sign_in(core, *SECOND)))
                await asyncio.wait(beside, timeout=0.05)

        town.issuer.before = ask
        first = await town.sign_in(core, *SECOND)
        (again,) = await asyncio.gather(*beside)

    assert GrantState.ACTIVE == first.state
    assert first == again


async def test_undecided_it_is_tried_again_by_itself(tmp_path: Path) -> None:
    """
    The issuer was away at the sign-in: the grant does not stay broken, and a repeat is told so.
    """
    town = Town(tmp_path)
    async with town.process() as (core, _):
        grant = await broken(town, core)

        def away() -> None:
            town.issuer.trouble = 503 if town.issuer.asked[-1] == "refresh_token" else None

        town.issuer.before = away
        first = await town.sign_in(core, *SECOND)
        town.issuer.before = lambda: setattr(town.issuer, "trouble", None)
        town.clock.advance(timedelta(hours=1))
        await core._upkeep.once()
        again = await town.sign_in(core, *SECOND)
        stored = await core.grant(grant)

    assert (GrantState.NEEDS_CONSENT, Reason.NO_REFRESH_TOKEN) == (first.state, first.reason)
    assert (GrantState.ACTIVE, None) == (again.state, again.reason)
    assert (GrantState.ACTIVE, None) == (stored.state, stored.uncertain_since)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
async def test_killed_at_any_step_a_stored_consent_is_proved(tmp_path: Path, done: bool) -> None:
    """
    Once the consent is stored, its grant lives after all, and who asks again is told so.
    """
    ends = set()
    for number in range(1, 16):
        town = Town(tmp_path)
        async with town.process() as (core, stops):
            grant = await broken(town, core)
            stops.steps, stops.log, stops.kill_at, stops.done = 0, [], number, done
            with suppress(Killed, GrantkeeperError):
                await town.sign_in(core, *SECOND)
            stops.dead = True
        consented = town.events("grant.reconsented") == 1
        town.lapse()
        town.clock.advance(timedelta(minutes=5))
        async with town.process() as (heir, _):
            await heir._upkeep.once()
            town.clock.advance(timedelta(minutes=5))
            await heir._upkeep.once()
            stored = await heir.grant(grant)
            told: Any = None
            with suppress(GrantkeeperError):
                told = (await town.sign_in(heir, *SECOND)).state

        ends.add((consented, stored.state, told))
        assert stored.uncertain_since is None, (number, stops.log)
    assert {(True, GrantState.ACTIVE, GrantState.ACTIVE)} == {end for end in ends if end[0]}


async def test_a_fresh_token_that_is_refused_was_taken_back(tmp_path: Path) -> None:
    """
    Of an issuer that rotates: the doubt was about the stored token, and no answer was lost.
    """
    town = Town(tmp_path, rotates=True)
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        town.issuer.scope = "openid"

        def away() -> None:
            town.issuer.trouble = 503 if town.issuer.asked[-1] == "refresh_token" else None

        town.issuer.before = away
        await town.sign_in(core, *SECOND)
        stored = await core.grant(grant)
        town.issuer.before = lambda: setattr(town.issuer, "trouble", None)
        town.issuer.good.clear()
        town.clock.advance(timedelta(hours=2))
        with pytest.raises(ConsentRequired) as refused:
            await core.access_token(grant)

    assert stored.waiting is not None
    assert stored.uncertain_since is not None
    assert Reason.REVOKED == refused.value.reason
