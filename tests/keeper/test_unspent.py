"""A code that was never sent is as good as before, although the store fails as its claim is taken back."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from grantkeeper.adapters.sealing import KeysetSealer
from grantkeeper.errors import IssuerUnavailable, StoreUnavailable
from grantkeeper.keeper.gates import Gates
from grantkeeper.model import GrantState
from tests.keeper.delivery_kit import Town, fails_at
from tests.keeper.fake_issuer import UNSENT
from tests.keeper.rotation_kit import two_keys
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

Patch = pytest.MonkeyPatch


def unsent(town: Town, patch: Patch) -> None:
    """The issuer cannot be reached."""

    def refused() -> None:
        raise UNSENT

    patch.setattr(town.issuer, "before", refused)


def shut(town: Town, patch: Patch) -> None:
    """The issuer could not be reached just now, and is not tried again so soon."""

    def enter(*_: object) -> None:
        raise IssuerUnavailable("the issuer failed several times in a row")

    patch.setattr(Gates, "enter", enter)


def unheard(town: Town, patch: Patch) -> None:
    """The claim is made and reported as failed."""
    patch.setattr(town.store, "claim", fails_at(1, town.store.claim, done=True))


def unseen(town: Town, patch: Patch) -> None:
    """The claim is made; whether another is filed under the other index key, the store does not say."""
    patch.setattr(town.store, "redemption", fails_at(3, town.store.redemption))


@pytest.mark.parametrize("trouble", [unsent, shut, unheard, unseen])
async def test_what_sent_nothing_spends_nothing(
    tmp_path: Path, trouble: Callable[[Town, Patch], None], monkeypatch: Patch
) -> None:
    """
    Whatever comes between the claim and the sending, the same code and key start anew after it.
    """
    town = Town(tmp_path)
    town.sealer = KeysetSealer(two_keys(index=True))
    async with town.process() as (core, _):
        with monkeypatch.context() as patch:
            trouble(town, patch)
            patch.setattr(town.store, "unclaim", fails_at(1, town.store.unclaim))
            with pytest.raises((IssuerUnavailable, StoreUnavailable)):
                await town.sign_in(core)
        await eventually(lambda: not town.store._tables.claims)

        grant = await town.sign_in(core)

    assert GrantState.ACTIVE == grant.state


async def test_nobody_waits_while_a_claim_is_taken_back(tmp_path: Path, monkeypatch: Patch) -> None:
    """
    A store that refuses every write would hold the place of each sign-in; whoever closes waits for it.
    """
    town, heals, tries = Town(tmp_path), asyncio.Event(), list[bytes]()
    really = town.store.unclaim

    async def unclaim(code_hash: bytes, *, owner: str) -> None:
        tries.append(code_hash)
        if len(tries) == 1:
            raise StoreUnavailable("the store is away")
        await heals.wait()
        await really(code_hash, owner=owner)

    unsent(town, monkeypatch)
    monkeypatch.setattr(town.store, "unclaim", unclaim)
    async with town.process() as (core, _):
        async with asyncio.timeout(30):
            with pytest.raises(IssuerUnavailable):
                await town.sign_in(core)
        await eventually(lambda: len(tries) == 2)
        standing = len(town.store._tables.claims)
        asyncio.get_running_loop().call_later(0.05, heals.set)

    assert (1, {}) == (standing, town.store._tables.claims)
