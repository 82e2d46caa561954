"""What happens without anybody asking: chores, keep-alive, ends that are seen coming."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from grantkeeper.adapters.dice import SystemDice
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.errors import ConsentRequired, GrantBlocked, StoreUnavailable
from grantkeeper.issuer import Issuer
from grantkeeper.keeper.history import tally_of
from grantkeeper.keeper.keep_alive import KeepAlive
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.keeper.upkeep import SWEPT_AT_ONCE, Chore, Upkeep
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import GrantState, Lease, Reason
from grantkeeper.settings import Settings
from grantkeeper.testing.clock import ManualClock
from grantkeeper.testing.google import GoogleEmulator
from tests.keeper.conftest import SCOPES, Opener
from tests.keeper.fake_issuer import client, obliging

pytestmark = pytest.mark.anyio

DAY = 86400.0


def means(store: Any) -> Means:
    clock = ManualClock()
    return Means(
        store=store,
        sealer=None,  # type: ignore[arg-type]
        clock=clock,
        dice=SystemDice(),
        clients={"default": client()},
        issuer=Issuer(obliging(), clock),
    )


async def signed_in(core: KeeperCore, google: GoogleEmulator, email: str) -> str:
    return (await core.redeem(RedeemRequest(code=google.code(email, SCOPES)))).id


# -- chores ---------------------------------------------------------------------------------------


def doing(log: list[str], name: str, error: Exception | None = None) -> Callable[[], Awaitable[bool]]:
    async def do() -> bool:
        log.append(name)
        if error is not None:
            raise error
        return False

    return do


async def test_every_chore_fails_alone() -> None:
    """
    What one of them raises, even a bug, is counted and told; the others are done.
    """
    log: list[str] = []
    given = means(MemoryStore())
    upkeep = Upkeep(
        given,
        [
            Chore("away", doing(log, "away", StoreUnavailable("away"))),
            Chore("bug", doing(log, "bug", KeyError("x")), shared=False),
            Chore("good", doing(log, "good")),
        ],
    )
    await upkeep.once()
    await upkeep.once()

    assert ["away", "bug", "good"] * 2 == log
    assert [(2, 2), (2, 2), (2, 0)] == [(one.runs, one.errors) for one in upkeep.records.values()]
    assert [None, None, given.clock.now()] == [one.last_success for one in upkeep.records.values()]
    assert 2 == given.counters["upkeep_away", "store_unavailable"]
    assert 2 == given.counters["upkeep_bug", "KeyError"]
    assert 2 == given.counters["upkeep_good", "ok"]


async def test_a_shared_chore_is_one_process_at_a_time() -> None:
    """
    The other looks in and leaves; what each does for itself is done by both.
    """
    log: list[str] = []
    store, begun, end = MemoryStore(), asyncio.Event(), asyncio.Event()

    async def slow() -> bool:
        log.append("slow")
        begun.set()
        await end.wait()
        return False

    one = Upkeep(means(store), [Chore("slow", slow)])
    two = Upkeep(means(store), [Chore("slow", slow), Chore("own", doing(log, "own"), shared=False)])
    first = asyncio.ensure_future(one.once())
    await begun.wait()
    await two.once()
    end.set()
    await first
    await two.once()

    assert ["slow", "own", "slow", "own"] == log
    assert 1 == two.records["slow"].runs


async def test_a_chore_with_more_to_do_goes_on_soon() -> None:
    """
    Not in its usual time: a sweep at its limit would fall behind for ever.
    """
    left = [True, True, False]
    done = asyncio.Event()

    async def some() -> bool:
        more = left.pop(0)
        if not left:
            done.set()
        return more

    upkeep = Upkeep(means(MemoryStore()))
    upkeep.add(Chore("some", some, every=0.2))
    upkeep.add(Chore("never", some, every=3600))
    upkeep.start()
    try:
        async with asyncio.timeout(10):
            await done.wait()
    finally:
        await upkeep.stop()

    assert [] == left


async def test_a_sweep_at_its_limit_says_so(core: KeeperCore) -> None:
    """
    More rows than one sweep drops are gone after the next.
    """
    now = core.clock.now()
    for number in range(3):
        await core.store.put_once("kind", b"%d" % number, b"", now=now, until=now)

    assert not await core._sweep()
    assert SWEPT_AT_ONCE > 3
    assert await core.store.take_once("kind", b"1", now=now - timedelta(seconds=1)) is None


async def test_a_lost_lease_stops_the_chore() -> None:
    """
    It was not renewed in time: whoever has it now is at it.
    """

    class Forgetful(MemoryStore):
        async def renew(self, lease: Lease, *, seconds: float, lapsed: bool = False) -> Lease | None:
            return None

    cancelled: list[bool] = []

    async def long() -> bool:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return False

    from grantkeeper.keeper import upkeep as module

    upkeep = Upkeep(means(Forgetful()), [Chore("long", long)])
    before, module.RENEWED_AFTER = module.RENEWED_AFTER, 0.05
    try:
        async with asyncio.timeout(10):
            await upkeep.once()
    finally:
        module.RENEWED_AFTER = before

    assert [True] == cancelled
    assert 1 == upkeep.records["long"].errors


# -- keep-alive -----------------------------------------------------------------------------------


async def test_unused_grants_are_kept_alive(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Refreshed once before six months are over; after eleven they work, and nobody used them.
    """
    grants = [await signed_in(core, google_emulator, f"u{number}@example.com") for number in range(3)]
    keep = KeepAlive(core.means, core._refresher)
    assert not await keep.some()
    for _ in range(2):
        google_emulator.advance(172 * DAY)
        await keep.some()

    assert 6 == google_emulator.count("token", "refresh_token")
    assert not await keep.some()
    assert 6 == google_emulator.count("token", "refresh_token")
    assert (await core.access_token(grants[0])).scopes


async def test_one_that_cannot_be_refreshed_holds_up_no_other(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Passing trouble leaves it for a later round; a terminal answer is stored.
    """
    grants = [await signed_in(core, google_emulator, f"u{number}@example.com") for number in range(3)]
    google_emulator.revoke("u2@example.com")
    google_emulator.advance(172 * DAY)
    google_emulator.fault("token", "status_503", count=3)
    keep = KeepAlive(core.means, core._refresher, page=1)

    more = [await keep.some() for _ in range(4)]
    google_emulator.advance(3700)
    google_emulator.heal()
    await asyncio.sleep(1.1)
    more += [await keep.some() for _ in range(4)]

    assert [True, True, True, False] == more[:4]
    refreshed = [(await core.grant(grant)).refreshed_at for grant in grants]
    assert 2 == sum(at is not None for at in refreshed)
    assert GrantState.NEEDS_CONSENT == (await core.grant(grants[2])).state
    assert [] == await core.store.idle(core.clock.now())


async def test_a_blocked_grant_is_probed_every_day_and_is_back_when_it_may(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Nobody has to ask for it: an administrator who allows the app tells nobody.
    """
    grant = await signed_in(core, google_emulator, "ada@example.com")
    google_emulator.advance(3700)
    google_emulator.fault("token", "admin_policy_enforced")
    with pytest.raises(GrantBlocked):
        await core.access_token(grant)
    keep = KeepAlive(core.means, core._refresher)
    asked = []
    for _ in range(4):
        google_emulator.advance(DAY / 2 + 60)
        await keep.some()
        asked.append(core.counters["keep_alive", "grant_blocked"])
    still = (await core.grant(grant)).state
    google_emulator.heal()
    google_emulator.advance(DAY)
    await keep.some()

    assert [0, 1, 1, 2] == asked
    assert (GrantState.BLOCKED, GrantState.ACTIVE) == (still, (await core.grant(grant)).state)


# -- ends -----------------------------------------------------------------------------------------


async def in_testing_mode(core: KeeperCore, google: GoogleEmulator, count: int) -> list[str]:
    """Grants of a client in testing mode that worked for six days and were then refused."""
    mine = core.means.client(None).client_id
    project = next(one["project"] for one in google.get("clients") if one["client_id"] == mine)
    google.call("PATCH", "clients", {"client_id": mine, "project": project, "testing": True})
    grants = [await signed_in(core, google, f"t{number}@example.com") for number in range(count)]
    google.advance(6 * DAY)
    for grant in grants:
        await core.access_token(grant)
    return grants


async def test_testing_mode_is_inferred_and_told(
    open_core: Opener, settings: Settings, google_emulator: GoogleEmulator
) -> None:
    """
    After three deaths at seven days the next is expired and not revoked; every node names the day.
    """
    core = await open_core()
    grants = await in_testing_mode(core, google_emulator, 4)
    google_emulator.advance(DAY + 600)
    reasons = []
    for grant in grants:
        with pytest.raises(ConsentRequired) as caught:
            await core.access_token(grant)
        reasons.append(caught.value.reason)
    await core._upkeep.once()
    other = await open_core()
    young = await signed_in(other, google_emulator, "young@example.com")
    told = (await other.describe(young)).ends

    assert [Reason.REVOKED, Reason.REVOKED, Reason.REVOKED, Reason.EXPIRED] == reasons
    assert 4 == (await tally_of(core.store, settings.clients["default"].client_id)).deaths
    assert ["testing_mode"] == [end.kind for end in told]
    assert told[0].at is not None
    assert timedelta(days=7) == told[0].at - (await other.grant(young)).created_at


async def test_survivors_speak_against_it(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Grants that live on after the eighth day: a few that were taken back prove nothing.
    """
    grants = [await signed_in(core, google_emulator, f"s{number}@example.com") for number in range(5)]
    for grant in grants:
        google_emulator.advance(10)
        await core.access_token(grant)
    google_emulator.advance(6 * DAY)
    for grant in grants:
        await core.access_token(grant)
    google_emulator.revoke("s0@example.com")
    google_emulator.advance(1.5 * DAY)
    with pytest.raises(ConsentRequired) as caught:
        await core.access_token(grants[0])
    google_emulator.advance(DAY)
    for grant in grants[1:]:
        await core.access_token(grant)
    await core._upkeep.once()

    tally = await tally_of(core.store, core.means.client(None).client_id)
    assert Reason.REVOKED == caught.value.reason
    assert (1, 4) == (tally.deaths, tally.survivors)
    assert () == (await core.describe(grants[1])).ends


async def test_the_end_of_what_nobody_uses_is_told(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    With its day, two months before.
    """
    grant = await signed_in(core, google_emulator, "ada@example.com")
    google_emulator.advance(130 * DAY)

    (end,) = (await core.describe(grant)).ends

    assert "unused" == end.kind
