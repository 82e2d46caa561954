"""Parked jobs are woken by what ends the reason of their being parked, and by nothing else."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from grantkeeper.errors import ConsentRequired, GrantBlocked
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.keeper.waking import woken
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import GrantState, JobState, Order
from grantkeeper.ports import WakeJobs
from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.records import NOW, a_grant, a_job
from tests.keeper.conftest import FILES, SCOPES

ADA = "ada@example.com"

WAKE = [WakeJobs(a_grant().id)]


@pytest.mark.parametrize("state", [state for state in GrantState if state is not GrantState.ACTIVE])
def test_a_grant_that_works_again_wakes(state: GrantState) -> None:
    """
    Whatever it was before.
    """
    assert WAKE == woken(a_grant(state=state), a_grant())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {"granted": frozenset({"openid", "files"})}, WAKE),
        ({}, {"granted": frozenset({"files"})}, WAKE),
        ({"granted": frozenset({"openid", "files"})}, {"granted": frozenset({"files"})}, []),
        ({"uncertain_since": NOW}, {}, WAKE),
        ({"uncertain_since": NOW}, {"uncertain_since": NOW}, []),
        ({}, {"uncertain_since": NOW}, []),
        ({}, {"state": GrantState.NEEDS_CONSENT, "granted": frozenset({"openid", "files"})}, []),
        ({"state": GrantState.REVOKED}, {"state": GrantState.BLOCKED}, []),
    ],
)
def test_a_wider_or_certain_grant_wakes(
    old: dict[str, Any], new: dict[str, Any], expected: list[WakeJobs]
) -> None:
    """
    A narrower one does not, nor one that does not work now.
    """
    assert expected == woken(a_grant(**old), a_grant(**new))


def test_an_ordinary_refresh_wakes_nobody() -> None:
    """
    It is the hot path: its commit gets no further statement.
    """
    refreshed = replace(a_grant(), refreshed_at=NOW + timedelta(hours=1), generation=2, version=2)

    assert [] == woken(a_grant(), refreshed)


def test_a_new_grant_has_nobody_to_wake() -> None:
    """
    Jobs are for grants that are there.
    """
    assert [] == woken(None, a_grant())


# -- with a keeper ------------------------------------------------------------------------------


async def signed_in(core: KeeperCore, google: GoogleEmulator, *more: str) -> str:
    """The id of the grant after a sign-in."""
    return (await core.redeem(RedeemRequest(code=google.code(ADA, [*SCOPES, *more])))).id


async def parked(core: KeeperCore, grant: str) -> None:
    """A job of *grant* that waits for its user."""
    job = replace(a_job(state=JobState.PARKED), grant_id=grant)
    assert 1 == await core.store.add_jobs([job])


async def state(core: KeeperCore) -> tuple[JobState, Order | None]:
    """How that job stands."""
    job = await core.store.job(a_job().id)
    assert job is not None
    return job.state, job.order


WOKEN = (JobState.QUEUED, Order.RESUME)
STILL = (JobState.PARKED, None)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["online", "offline"])
async def test_a_consent_that_comes_back_wakes(
    core: KeeperCore, google_emulator: GoogleEmulator, kind: str
) -> None:
    """
    With a new refresh token at once, and without one as soon as the old is proved.
    """
    grant = await signed_in(core, google_emulator)
    await parked(core, grant)
    google_emulator.advance(3700)
    google_emulator.fault("token", "invalid_grant", count=1)
    with pytest.raises(ConsentRequired):
        await core.access_token(grant)
    before = await state(core)

    code = google_emulator.code(ADA, SCOPES, access_type=kind, force=kind == "offline")
    await core.redeem(RedeemRequest(code=code))

    assert (STILL, WOKEN) == (before, await state(core))


@pytest.mark.anyio
async def test_a_scope_that_is_added_wakes(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    A sign-in with the same scopes does not: nothing has changed for the job.
    """
    grant = await signed_in(core, google_emulator)
    await parked(core, grant)
    await signed_in(core, google_emulator)
    same = await state(core)

    await signed_in(core, google_emulator, FILES)

    assert (STILL, WOKEN) == (same, await state(core))


@pytest.mark.anyio
async def test_a_grant_that_is_blocked_no_more_wakes(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The refresh that finds it out does; an ordinary one does not.
    """
    grant = await signed_in(core, google_emulator)
    await parked(core, grant)
    google_emulator.advance(3700)
    await core.access_token(grant)
    ordinary = await state(core)
    google_emulator.advance(3700)
    google_emulator.fault("token", "admin_policy_enforced")
    with pytest.raises(GrantBlocked):
        await core.access_token(grant)
    blocked = await state(core)
    google_emulator.heal()
    google_emulator.advance(86_500)

    await core.access_token(grant)

    assert (STILL, STILL, WOKEN) == (ordinary, blocked, await state(core))
