"""Handing out: fresh, stale, expired; one refresh; only a terminal answer costs a grant."""

import asyncio
from typing import Any

import pytest

from grantkeeper.backoff import CondemnLimit
from grantkeeper.errors import (
    CallerNotAllowed,
    ConsentRequired,
    GrantBlocked,
    GrantkeeperError,
    GrantNotFound,
    IssuerUnavailable,
)
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import GrantState, Reason, Token
from grantkeeper.protocol.rejected import fingerprint
from grantkeeper.protocol.scopes import OPENID
from grantkeeper.testing.google import GoogleEmulator
from tests.keeper.conftest import DRIVE, FILES, SCOPES, Opener, remembered
from tests.waiting import eventually, struck

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"


async def signed_in(core: KeeperCore, google: GoogleEmulator, email: str = ADA, **fields: Any) -> str:
    """A new grant's id."""
    code = google.code(email, SCOPES)
    return (await core.redeem(RedeemRequest(code=code, **fields))).id


async def refused(core: KeeperCore, grant: str, **fields: Any) -> GrantkeeperError:
    with pytest.raises(GrantkeeperError) as caught:
        await core.access_token(grant, **fields)
    return caught.value


def refreshes(google: GoogleEmulator) -> int:
    return sum(google.stats()["token"]["refresh_token"].values())


async def landed(core: KeeperCore) -> None:
    """Until no refresh is in the air."""
    while core._refresher._flights:
        await asyncio.sleep(0.01)


async def test_a_fresh_token_is_from_memory(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Neither Google nor the store is asked.
    """
    grant = await signed_in(core, google_emulator)
    first = await core.access_token(grant)

    again = await remembered(core, grant)

    assert first.access_token == again.access_token
    assert 0 == refreshes(google_emulator)


async def test_a_stale_token_is_served_beside_its_refresh(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The old one is handed out at once; a moment later there is a new one.
    """
    grant = await signed_in(core, google_emulator)
    old = await core.access_token(grant)
    google_emulator.advance(3600 - 200)

    served = await core.access_token(grant)
    await landed(core)
    new = await core.access_token(grant)

    assert old.access_token == served.access_token
    assert old.access_token != new.access_token
    assert 1 == refreshes(google_emulator)


async def test_two_hundred_at_once_refresh_once(open_core: Opener, google_emulator: GoogleEmulator) -> None:
    """
    Over two keepers on one file: one flight in each, one lease between them.
    """
    cores = [await open_core(), await open_core()]
    grant = await signed_in(cores[0], google_emulator)
    google_emulator.advance(3700)

    tokens = await asyncio.gather(*[cores[turn % 2].access_token(grant) for turn in range(200)])

    assert 1 == len({token.reveal() for token in tokens})
    assert 1 == refreshes(google_emulator)


async def test_who_leaves_does_not_stop_a_refresh(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    The first caller is cancelled while Google thinks; the second gets the token of the same refresh.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.advance(3700)
    google_emulator.fault("token", "slow", count=1, seconds=0.4)
    leaving = asyncio.ensure_future(core.access_token(grant))
    await eventually(struck(google_emulator))
    leaving.cancel()

    token = await core.access_token(grant)

    assert isinstance(token, Token)
    assert 1 == refreshes(google_emulator)


async def test_a_short_token_is_refreshed_for_who_needs_longer(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    min_ttl is met by a refresh; others go on with the old token until then.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.advance(1800)

    token = await core.access_token(grant, min_ttl=3000)

    assert token.expires_in >= 3000
    assert token.warning is None
    assert 1 == refreshes(google_emulator)


async def test_a_min_ttl_that_cannot_be_met_warns_and_rests(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Even a new token lives shorter: it is given with a warning, and not refreshed again for a minute.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.advance(61)

    first = await core.access_token(grant, min_ttl=3600)
    second = await core.access_token(grant, min_ttl=3600)

    assert ["min_ttl_not_met"] * 2 == [first.warning, second.warning]
    assert 1 == refreshes(google_emulator)


async def test_a_valid_token_is_served_while_google_is_away(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    A failed early refresh takes nothing from anybody.
    """
    grant = await signed_in(core, google_emulator)
    old = await core.access_token(grant)
    google_emulator.fault("token", "status_503")
    google_emulator.advance(1800)

    token = await core.access_token(grant, min_ttl=3000)

    assert (old.access_token, "min_ttl_not_met") == (token.access_token, token.warning)
    assert GrantState.ACTIVE == (await core.grant(grant)).state


async def test_an_expired_token_is_never_served(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Google is away and nothing valid is left: later, with a time to wait.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.fault("token", "status_503")
    google_emulator.advance(3700)

    error = await refused(core, grant)

    assert isinstance(error, IssuerUnavailable)
    assert error.retry_after is not None
    assert GrantState.ACTIVE == (await core.grant(grant)).state


async def test_a_refusal_drops_every_token_at_once(
    open_core: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    A background refresh learns that access was taken back: no node serves the still valid token.
    """
    cores = [await open_core(), await open_core()]
    grant = await signed_in(cores[0], google_emulator)
    await cores[1].access_token(grant)
    google_emulator.revoke(ADA)
    google_emulator.advance(3600 - 200)

    await cores[0].access_token(grant)
    await landed(cores[0])
    error = await refused(cores[0], grant)
    await eventually(lambda: cores[1].cache.peek(grant) is None)  # the feed has told it
    elsewhere = await refused(cores[1], grant)

    assert isinstance(error, ConsentRequired)
    assert Reason.REVOKED == error.reason
    assert isinstance(elsewhere, ConsentRequired)
    assert GrantState.NEEDS_CONSENT == (await cores[0].grant(grant)).state


async def test_named_scopes_get_a_token_of_their_own(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Narrower than the grant, asked of Google so, cached apart, and not in the way of the full one.
    """
    grant = await signed_in(core, google_emulator)

    narrow = await core.access_token(grant, scopes=frozenset({DRIVE}))
    again = await remembered(core, grant, scopes=frozenset({DRIVE}))
    full = await core.access_token(grant)

    assert {DRIVE} == narrow.scopes
    assert narrow.access_token == again.access_token
    assert OPENID in full.scopes
    assert 1 == refreshes(google_emulator)


async def test_a_scope_that_is_not_granted_changes_nothing(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The caller learns which; Google is not asked; the grant stays as it is.
    """
    grant = await signed_in(core, google_emulator)

    error = await refused(core, grant, scopes=frozenset({DRIVE, FILES}))

    assert isinstance(error, ConsentRequired)
    assert (Reason.MISSING_SCOPES, (FILES,)) == (error.reason, error.missing_scopes)
    assert 0 == refreshes(google_emulator)
    assert GrantState.ACTIVE == (await core.grant(grant)).state


async def test_a_callers_rule_narrows_by_any_route(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Granted, within the rule, among those named; outside the rule is forbidden, granted or not.
    """
    grant = await signed_in(core, google_emulator)
    rule = frozenset({DRIVE})

    unnamed = await core.access_token(grant, rule=rule)
    outside = await refused(core, grant, scopes=frozenset({OPENID}), rule=rule)
    unknown = await refused(core, grant, scopes=frozenset({FILES}), rule=rule)
    nothing = await refused(core, grant, rule=frozenset({FILES}))

    assert {DRIVE} == unnamed.scopes
    assert core.fresh_token(grant, scopes=frozenset({OPENID}), rule=rule) is None
    assert [True] * 3 == [isinstance(one, CallerNotAllowed) for one in (outside, unknown, nothing)]


async def test_an_answer_wider_than_the_rule_is_not_handed_out(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The issuer ignored the narrowing; the rule holds all the same.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.fault("token", "scope_wider", grant_type="refresh_token")

    error = await refused(core, grant, rule=frozenset({DRIVE}))

    assert isinstance(error, CallerNotAllowed)


async def test_a_rejected_token_is_refreshed_once_in_thirty_seconds(
    open_core: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    Whoever reports it, over all processes; who reports an older one adopts the newer.
    """
    cores = [await open_core(), await open_core()]
    grant = await signed_in(cores[0], google_emulator)
    old = await cores[0].access_token(grant)
    rejected = fingerprint(old.access_token)

    new = await cores[0].access_token(grant, rejected=rejected)
    adopted = await cores[1].access_token(grant, rejected=rejected)
    held = await cores[1].access_token(grant, rejected=fingerprint(new.access_token))

    assert old.access_token != new.access_token
    assert [new.access_token] * 2 == [adopted.access_token, held.access_token]
    assert 1 == refreshes(google_emulator)


async def test_a_policy_of_the_organisation_blocks_and_is_probed_daily(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Blocked, not broken: the token is kept, nobody is asked for consent, and a day later it is tried again.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.fault("token", "admin_policy_enforced", grant_type="refresh_token")
    google_emulator.advance(3700)

    first = await refused(core, grant)
    second = await refused(core, grant)
    google_emulator.advance(86_500)
    third = await refused(core, grant)
    google_emulator.heal()
    early = await refused(core, grant)
    google_emulator.advance(86_500)
    token = await core.access_token(grant)

    assert [True] * 4 == [isinstance(one, GrantBlocked) for one in (first, second, third, early)]
    assert DRIVE in token.scopes
    stored = await core.grant(grant)
    assert (GrantState.ACTIVE, None) == (stored.state, stored.reason)


async def test_an_announced_end_is_the_reason_once_it_is_past(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Google says only invalid_grant; our own record knows that the time was up, and had said so before.
    """
    google_emulator.post("users", {"email": ADA, "access_seconds": 7200})
    grant = await signed_in(core, google_emulator)
    described = await core.describe(grant)
    google_emulator.advance(7300)

    error = await refused(core, grant)

    assert ["refresh_token"] == [end.kind for end in described.ends]
    assert isinstance(error, ConsentRequired)
    assert Reason.EXPIRED == error.reason


async def test_when_google_refuses_everyone_nobody_is_condemned(
    open_core: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    From the limit on, refusals are not believed: 503, and the grants stay.
    """
    core = await open_core(condemn_limit=CondemnLimit(3, 0.2))
    grants = [await signed_in(core, google_emulator, f"user{number}@example.com") for number in range(6)]
    google_emulator.fault("token", "invalid_grant", grant_type="refresh_token")
    google_emulator.advance(3700)

    errors = [await refused(core, grant) for grant in grants]

    states = [(await core.grant(grant)).state for grant in grants]
    assert [True, True, False, False, False, False] == [isinstance(one, ConsentRequired) for one in errors]
    assert [GrantState.NEEDS_CONSENT] * 2 + [GrantState.ACTIVE] * 4 == states


async def test_a_client_that_is_refused_condemns_nobody_and_rests(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    invalid_client is the operator's; the circuit opens, and Google is left alone for a while.
    """
    grant = await signed_in(core, google_emulator)
    google_emulator.fault("token", "invalid_client", grant_type="refresh_token")
    google_emulator.advance(3700)

    errors = [await refused(core, grant) for _ in range(5)]

    assert {"client_misconfigured"} == {error.code for error in errors}
    assert all(error.retry_after for error in errors)
    assert 1 == refreshes(google_emulator)
    assert GrantState.ACTIVE == (await core.grant(grant)).state


async def test_a_grant_that_is_not_there(core: KeeperCore) -> None:
    """
    An unknown id is not found, by both ways.
    """
    assert core.fresh_token("01890000-0000-7000-8000-000000000000") is None
    error = await refused(core, "01890000-0000-7000-8000-000000000000")

    assert isinstance(error, GrantNotFound)


async def test_closing_waits_for_a_refresh_in_the_air(
    open_core: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    What Google answers while we shut down is stored; nothing new is begun.
    """
    core = await open_core()
    grant = await signed_in(core, google_emulator)
    google_emulator.advance(3700)
    google_emulator.fault("token", "slow", count=1, seconds=0.5)
    waiting = asyncio.ensure_future(core.access_token(grant))
    await eventually(struck(google_emulator))

    await core.close()
    token = await waiting
    after = await (await open_core()).access_token(grant)

    assert token.access_token == after.access_token
    assert 1 == refreshes(google_emulator)


async def test_a_revoke_during_a_refresh_that_fails_is_obeyed(
    open_core: Opener, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The still valid token is served after passing trouble, but not once another node has revoked the grant.
    """
    here, there = await open_core(), await open_core()
    grant = await signed_in(here, google_emulator)
    await here.access_token(grant)
    google_emulator.advance(1800)
    google_emulator.fault("token", "status_503")
    inner, over = here.means.issuer.refresh, asyncio.Event()

    async def refresh(*asked: Any) -> Any:
        try:
            return await inner(*asked)
        finally:
            await over.wait()

    monkeypatch.setattr(here.means.issuer, "refresh", refresh)
    waiting = asyncio.ensure_future(here.access_token(grant, min_ttl=3000))
    await eventually(lambda: refreshes(google_emulator) > 0)

    await there.revoke(grant)
    # Heard of before the refresh has failed.
    await eventually(lambda: here.cache.peek(grant) is None)
    over.set()

    with pytest.raises(ConsentRequired):
        await waiting
