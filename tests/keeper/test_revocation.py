"""Revoking and forgetting: obeyed here at once, told to Google with patience."""

import asyncio
import dataclasses

import pytest

from grantkeeper.errors import ConsentRequired, GrantNotFound, IssuerUnavailable, SealBroken
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import GrantState, Reason, Sealed
from grantkeeper.ports import Replace
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator
from tests.keeper.conftest import SCOPES, Opener
from tests.waiting import eventually, struck

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"
PROMISE = 1.0
"""Seconds after an acknowledged revocation in which the last token may be handed out (design section 9)."""


async def signed_in(core: KeeperCore, google: GoogleEmulator) -> str:
    return (await core.redeem(RedeemRequest(code=google.code(ADA, SCOPES)))).id


async def test_revoking_ends_it_here_and_at_google(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Nothing is handed out, Google has been told, and nothing sealed is left in the tombstone.
    """
    grant = await signed_in(core, google_emulator)

    done = await core.revoke(grant)

    with pytest.raises(ConsentRequired) as caught:
        await core.access_token(grant)
    tombstone = await core.grant(grant)
    assert (True, GrantState.REVOKED, ()) == (done.told, done.state, done.also_affected)
    assert Reason.REVOKED == caught.value.reason
    assert (None, None, None, ()) == (
        tombstone.data_key,
        tombstone.refresh_token,
        tombstone.profile,
        tombstone.lookups,
    )
    assert 1 == google_emulator.count("revoke", "refresh_token")


async def test_revoking_twice_is_done_once(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    The second time there is nothing left to tell.
    """
    grant = await signed_in(core, google_emulator)
    await core.revoke(grant)

    again = await core.revoke(grant)

    assert (True, GrantState.REVOKED) == (again.told, again.state)
    assert 1 == google_emulator.count("revoke", "refresh_token")


async def test_every_node_obeys_within_a_second(open_core: Opener, google_emulator: GoogleEmulator) -> None:
    """
    A token that another node has in memory is not handed out any more.
    """
    here, there = await open_core(), await open_core()
    grant = await signed_in(here, google_emulator)
    await there.access_token(grant)

    await here.revoke(grant)
    await asyncio.sleep(PROMISE)

    assert there.fresh_token(grant) is None
    with pytest.raises(ConsentRequired):
        await there.access_token(grant)


async def test_google_is_told_later_if_it_does_not_listen(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The grant is revoked here at once; the sealed token stays until the news is delivered.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.fault("revoke", "status_503")
    done = await core.revoke(grant)
    pending = await core.describe(grant)
    google_emulator.heal()

    await core._upkeep.once()
    too_early = await core.grant(grant)
    google_emulator.advance(120)
    await core._upkeep.once()
    delivered = await core.grant(grant)

    assert (False, True) == (done.told, pending.revocation_pending)
    assert too_early.data_key is not None
    assert (None, None) == (delivered.data_key, delivered.revocation_due)


async def test_a_new_consent_cancels_a_pending_revocation(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The user has come back before Google was told: the news is no longer true.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.fault("revoke", "status_503")
    await core.revoke(grant)
    google_emulator.heal()

    code = google_emulator.code(ADA, SCOPES, force=True)
    again = await core.redeem(RedeemRequest(code=code))
    google_emulator.advance(7200)
    await core._upkeep.once()

    assert (grant, GrantState.ACTIVE) == (again.id, again.state)
    assert 0 == google_emulator.count("revoke", "refresh_token")
    assert (await core.access_token(grant)).scopes


async def test_a_token_google_does_not_know_needs_no_telling(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    400 means done, too.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.revoke(ADA)

    done = await core.revoke(grant)

    assert done.told
    assert (await core.grant(grant)).data_key is None


async def test_other_clients_of_the_project_are_affected_and_doubted(
    open_core: Opener, settings: Settings, google_emulator: GoogleEmulator
) -> None:
    """
    Google ends the consent of the whole project: the answer lists the others, and they are tried before use.
    """
    first = settings.clients["default"]
    known = {one["client_id"]: one["project"] for one in google_emulator.get("clients")}
    made = google_emulator.post("clients", {"kind": "web", "project": known[first.client_id]})
    second = dataclasses.replace(
        first,
        name="second",
        client_id=made["client_id"],
        secrets=tuple(type(first.secrets[0])(secret) for secret in made["secrets"]),
    )
    core = await open_core(clients={"default": first, "second": second})
    grant = await signed_in(core, google_emulator)
    code = google_emulator.code(ADA, SCOPES, client_id=second.client_id, force=True)
    other = (await core.redeem(RedeemRequest(code=code, client="second"))).id

    done = await core.revoke(grant)

    assert (other,) == done.also_affected
    assert (await core.describe(other)).uncertain
    with pytest.raises(ConsentRequired):
        await core.access_token(other)


async def test_forgetting_leaves_nothing(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Revoked at Google, then gone.
    """
    grant = await signed_in(core, google_emulator)

    await core.forget(grant)

    with pytest.raises(GrantNotFound):
        await core.describe(grant)
    with pytest.raises(GrantNotFound):
        await core.access_token(grant)
    assert 1 == google_emulator.count("revoke", "refresh_token")


async def test_forgetting_waits_for_google(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    While Google cannot be told the record stays; without telling it goes.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.fault("revoke", "status_503")

    with pytest.raises(IssuerUnavailable):
        await core.forget(grant)
    kept = await core.grant(grant)
    await core.forget(grant, revoke=False)

    assert GrantState.REVOKED == kept.state
    with pytest.raises(GrantNotFound):
        await core.grant(grant)


async def test_forgetting_tells_a_seal_that_does_not_open(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Then it is not Google that is away: the key must come back, or the record goes without telling.
    """
    grant = await signed_in(core, google_emulator)
    row = await core.store.get(grant)
    assert row is not None and row.refresh_token is not None
    broken = Sealed(b"?" + row.refresh_token.box[1:], row.refresh_token.generation)
    await core.store.commit(Replace(dataclasses.replace(row, refresh_token=broken)))

    with pytest.raises(SealBroken, match="does not open") as caught:
        await core.forget(grant)
    await core.forget(grant, revoke=False)

    assert "--no-revoke" in caught.value.hint
    assert 0 == google_emulator.count("revoke", "refresh_token")


async def test_a_revocation_in_the_middle_of_a_refresh_wins(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Google's answer comes after the row was marked: it never revives the grant.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.advance(3700)
    google_emulator.fault("token", "slow", count=1, seconds=3.0)
    waiting = asyncio.ensure_future(core.access_token(grant))
    await eventually(struck(google_emulator))

    await core.revoke(grant)

    with pytest.raises(ConsentRequired):
        await waiting
    assert GrantState.REVOKED == (await core.grant(grant)).state
