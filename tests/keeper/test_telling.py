"""Telling the issuer that a grant is over, with the process killed or the store failing at any step of it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.errors import IssuerUnavailable
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import GrantState
from grantkeeper.ports import Delete, Insert
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from grantkeeper.testing.records import a_grant
from tests.keeper.delivery_kit import KEY, Killed, Town
from tests.keeper.fake_issuer import REVOKE

pytestmark = pytest.mark.anyio

PROJECT = "project-1"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """A town whose client has a project."""
    return a_town(tmp_path)


def a_town(directory: Path) -> Town:
    made = Town(directory)
    ours = replace(made.settings.clients["default"], project=PROJECT)
    made.settings = replace(made.settings, clients={"default": ours})
    return made


async def family(town: Town, core: KeeperCore) -> tuple[str, str]:
    """Ids of a grant, and of one that the same person gave another client of the project."""
    grant = await core.grant((await town.sign_in(core)).id)
    sibling = a_grant(2, client_id="222-other", project=PROJECT, subject=grant.subject, uncertain_since=None)
    await town.store.commit(Insert(sibling))
    return grant.id, sibling.id


def as_it_is_told(town: Town, patch: pytest.MonkeyPatch, act: Callable[[], Awaitable[object]]) -> None:
    """*act* while the first revocation is at the issuer."""
    send, acts = town.issuer.send, [act]

    async def acting(request: HttpRequest, **how: Any) -> HttpResponse:
        answer = await send(request, **how)
        if request.url == REVOKE and acts:
            await acts.pop()()
        return answer

    patch.setattr(town.issuer, "send", acting)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
async def test_killed_at_any_step_the_others_of_the_project_are_doubted(tmp_path: Path, done: bool) -> None:
    """
    The issuer ended their tokens, too: whoever takes the work over learns that.
    """
    for number in range(1, 12):
        town = a_town(tmp_path)
        async with town.process() as (core, stops):
            grant, sibling = await family(town, core)
            stops.steps, stops.log, stops.kill_at, stops.done = 0, [], number, done
            with suppress(Killed):
                await core.revoke(grant)
            stops.dead = True
        town.lapse()
        town.clock.advance(timedelta(hours=1))
        async with town.process() as (heir, _):
            await heir._upkeep.once()

        kept, other = await town.store.get(grant), await town.store.get(sibling)
        assert kept is not None and other is not None
        told = not town.issuer.good
        assert told == (kept.state is GrantState.REVOKED), (number, stops.log)
        assert told == (other.uncertain_since is not None), (number, stops.log)
        assert kept.revocation_due is None, (number, stops.log)


async def test_a_store_that_fails_after_the_mark_takes_nothing_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The grant is revoked here; that the issuer knows, nobody has written down.
    """
    async with town.process() as (core, stops):
        grant, _ = await family(town, core)

        async def gone() -> None:
            stops.away = True

        as_it_is_told(town, monkeypatch, gone)

        done = await core.revoke(grant)

    stored = await town.store.get(grant)
    assert stored is not None
    assert (GrantState.REVOKED, False) == (done.state, done.told)
    assert GrantState.REVOKED is stored.state
    assert stored.revocation_due is not None


async def test_another_of_the_project_may_be_forgotten_meanwhile(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Found and gone before it is doubted: the revocation is as good as any.
    """
    async with town.process() as (core, _):
        grant, sibling = await family(town, core)
        search = town.store.search

        async def stale(*query: Any) -> Any:
            found = await search(*query)
            await town.store.commit(Delete(sibling, 1))
            return found

        monkeypatch.setattr(town.store, "search", stale)

        done = await core.revoke(grant)

    stored = await town.store.get(grant)
    assert stored is not None
    assert done.told
    assert (None, None) == (stored.data_key, stored.revocation_due)


@pytest.mark.parametrize("forgotten", [False, True], ids=["revoked", "forgotten"])
async def test_a_newer_token_is_told_although_an_older_one_just_was(
    town: Town, monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    """
    While the issuer hears of the first token, the user consents again and is revoked again.

    Nobody is told that all is told, and no record of it is dropped.
    """
    async with town.process() as (core, _):
        grant, _ = await family(town, core)

        async def again() -> None:
            town.clock.advance(timedelta(seconds=1))
            await core.redeem(RedeemRequest(code="4/2", source="ios", idempotency_key=KEY + "2"))
            await core.revoke(grant)

        as_it_is_told(town, monkeypatch, again)

        if forgotten:
            with pytest.raises(IssuerUnavailable, match="the record is kept"):
                await core.forget(grant)
        else:
            assert not (await core.revoke(grant)).told
        pending = await town.store.get(grant)
        assert {"MARKER-refresh-2"} == town.issuer.good
        await core._upkeep.once()

    told = await town.store.get(grant)
    assert pending is not None and told is not None
    assert pending.revocation_due is not None
    assert set() == town.issuer.good
    assert (None, None) == (told.data_key, told.revocation_due)
