"""Nothing that the issuer answered is lost between its answer and the store."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from grantkeeper.adapters.journal import FileJournal, MemoryJournal
from grantkeeper.adapters.keyset import Keyset
from grantkeeper.adapters.sealing import KeysetSealer
from grantkeeper.errors import (
    CodeRefused,
    ConsentRequired,
    GrantkeeperError,
    OutcomeUnknown,
    StoreUnavailable,
)
from grantkeeper.keeper.custody import LONGEST_REST
from grantkeeper.keeper.nodes import take_over
from grantkeeper.keeper.seals import Seals
from grantkeeper.model import GrantState, JournalKind, Reason
from tests.keeper.delivery_kit import KEY, Killed, Stops, Town, fails_at
from tests.keeper.rotation_kit import old_alone, two_keys

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("rotates", [False, True], ids=["google", "rotating"])
HOUR = timedelta(hours=1)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def cut_off_after_answer(town: Town, stops: Stops) -> None:
    """The store goes away while the issuer thinks."""

    def away() -> None:
        stops.away = True

    town.issuer.before = away


# -- the store is away ------------------------------------------------------------------------------


@BOTH
async def test_a_refresh_that_could_not_be_stored_is_delivered_once(tmp_path: Path, rotates: bool) -> None:
    """
    The caller is told to come back; then the token of that very answer is handed out.
    """
    town = Town(tmp_path, rotates=rotates)
    async with town.process() as (core, stops):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        cut_off_after_answer(town, stops)

        with pytest.raises(StoreUnavailable):
            await core.access_token(grant)
        assert [JournalKind.REFRESH] == [entry.kind for entry in town.disk.entries()]
        report = await core.ready()
        assert "holds 1 answer since 2026-11-22T13:00:00+00:00" == report["journal"]
        assert not await core._deliverer.once(), "the store is still away"
        stops.away = False
        assert await core._deliverer.once()

        token = await core.access_token(grant)

    assert "MARKER-access-2" == token.reveal()
    assert ["authorization_code", "refresh_token"] == town.issuer.asked
    assert {await town.token_kept()} == town.issuer.good
    assert () == town.disk.entries()
    assert 1 == town.events("grant.refreshed")
    assert [1, 1] == [core.counters["journal", f"refresh_{end}"] for end in ("written", "delivered")]


async def test_a_lease_is_given_back_with_the_delivery(town: Town) -> None:
    """
    Nobody takes the grant for one that was left by the dead.
    """
    async with town.process() as (core, stops):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await core.access_token(grant)
        stops.away = False
        assert f"refresh:{grant}" in town.store._tables.leases
        await core._deliverer.once()

    assert {} == town.store._tables.leases


async def test_a_token_is_not_sent_while_its_answer_waits_here(tmp_path: Path) -> None:
    """
    The store is back, the journal not yet delivered: an issuer that rotates would end the grant.
    """
    town = Town(tmp_path, rotates=True)
    async with town.process() as (core, stops):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await core.access_token(grant)
        stops.away = False
        sent = len(town.issuer.asked)
        # Nobody waits for the clock of this test.
        town.clock.tick(0.0)
        core._refresher._follower.changed = lambda *_: ticks(town)  # type: ignore[method-assign]

        with pytest.raises(StoreUnavailable) as caught:
            await core.access_token(grant)

    assert caught.value.retry_after is not None
    assert sent == len(town.issuer.asked)


async def ticks(town: Town) -> None:
    town.clock.tick(0.6)


async def test_others_wait_for_a_journal_whose_process_is_at_rest(tmp_path: Path) -> None:
    """
    The store is back, and another node is asked before ours has looked again: it must not send the old token.
    """
    town = Town(tmp_path, rotates=True)
    async with (
        town.process() as (one, stops),
        town.process(journal=MemoryJournal()) as (other, _),
    ):
        grant = (await town.sign_in(one)).id
        town.clock.advance(HOUR)
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await one.access_token(grant)
        town.lapse()
        stops.away = False
        asking = asyncio.ensure_future(other.access_token(grant))
        await asyncio.sleep(LONGEST_REST)
        delivered = await one._deliverer.once()
        token = await asking

    assert delivered
    assert "MARKER-access-2" == token.reveal()
    assert ["authorization_code", "refresh_token"] == town.issuer.asked


async def test_a_sign_in_that_could_not_be_stored_is_told_once_it_is(town: Town) -> None:
    """
    503 and never 200 while only a journal knows; the same key then gets the grant.
    """
    async with town.process() as (core, stops):
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable) as caught:
            await town.sign_in(core)
        assert caught.value.retry_after is not None
        assert [JournalKind.REDEMPTION] == [entry.kind for entry in town.disk.entries()]
        stops.away = False
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await town.sign_in(core)
            town.lapse()
        assert await town.grant() is None

        assert await core._deliverer.once()
        grant = await town.sign_in(core)

    assert ("1", GrantState.ACTIVE, True) == (grant.subject, grant.state, grant.refreshable)
    assert ["authorization_code"] == town.issuer.asked
    assert {await town.token_kept()} == town.issuer.good
    assert (1, ()) == (town.events("grant.created"), town.disk.entries())


async def test_a_sign_in_waits_longer_than_its_id_token_lives(town: Town) -> None:
    """
    Delivered two days later, its row gone: the person is known, the grant is there, no session is made.
    """
    async with town.process() as (core, stops):
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await town.sign_in(core)
        stops.away = False
        town.clock.advance(timedelta(days=2))
        await town.store.sweep(town.clock.now())
        assert {} == town.store._tables.claims
        assert await core._deliverer.once()

    grant = await town.grant()
    assert grant is not None
    assert grant.state is GrantState.ACTIVE
    assert () == town.disk.entries()


async def test_another_process_delivers_what_a_dead_one_held(town: Town) -> None:
    """
    At its start, and whoever asks with the same key gets the answer there.
    """
    async with town.process() as (core, stops):
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await town.sign_in(core)
        stops.dead = True
    town.issuer.before = lambda: None
    town.lapse()

    async with town.process() as (heir, _):
        grant = await town.sign_in(heir)

    assert "1" == grant.subject
    assert ["authorization_code"] == town.issuer.asked


async def test_without_store_and_journal_the_store_is_still_tried(town: Town) -> None:
    """
    A full disk is told, and costs nothing if the database comes back in time.
    """
    async with town.process() as (core, stops):
        core.custody.journal.trouble = "the journal cannot be written (No space left on device)"  # type: ignore[misc]
        stops.deaf = {1}

        grant = await town.sign_in(core)
        report = await core.ready()

    assert "1" == grant.subject
    assert "the journal cannot be written (No space left on device)" == report["journal"]
    assert 1 == core.counters["journal", "redemption_failed"]


async def test_a_node_that_lacks_the_key_in_use_tries_the_store_as_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It cannot seal an entry of the journal, but the row's own data key opens: the rotated token is stored.
    """
    town, keys = Town(tmp_path, rotates=True), two_keys()
    town.sealer = KeysetSealer(old_alone(keys))
    town.seals = Seals(town.sealer)
    async with town.process() as (core, _):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        town.sealer.use(keys.wrap_keys[0].id, None)
        monkeypatch.setattr(town.store, "commit", fails_at(1, town.store.commit))

        token = await core.access_token(grant)

    assert "MARKER-access-2" == token.reveal()
    assert {await town.token_kept()} == town.issuer.good
    assert 1 == core.counters["journal", "refresh_failed"]


# -- what happened meanwhile ------------------------------------------------------------------------


async def test_a_consent_from_before_a_revocation_revives_nothing(town: Town) -> None:
    """
    Sign-in, answer, revocation, delivery, in this order: the grant stays revoked and the app is told why.
    """
    async with town.process() as (core, stops):
        grant = (await town.sign_in(core)).id
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await town.sign_in(core, "4/second", KEY + "-2")
        stops.away = False
        town.clock.advance(timedelta(seconds=1))
        await core.revoke(grant)
        assert await core._deliverer.once()

        with pytest.raises(CodeRefused):
            await town.sign_in(core, "4/second", KEY + "-2")

    stored = await town.grant()
    assert stored is not None
    assert GrantState.REVOKED is stored.state
    assert () == town.disk.entries()


async def test_a_consent_from_after_a_revocation_revives_it(town: Town) -> None:
    """
    The order that counts is that of the answers.
    """
    async with town.process() as (core, stops):
        grant = (await town.sign_in(core)).id
        await core.revoke(grant)
        town.clock.advance(timedelta(seconds=1))
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await town.sign_in(core, "4/second", KEY + "-2")
        stops.away = False
        assert await core._deliverer.once()
        again = await town.sign_in(core, "4/second", KEY + "-2")

    assert (grant, GrantState.ACTIVE) == (again.id, again.state)


@BOTH
async def test_a_refresh_answer_never_revives(tmp_path: Path, rotates: bool) -> None:
    """
    Whether the revocation was told already or not, and whether the row is still there or forgotten.
    """
    town = Town(tmp_path, rotates=rotates)
    for ending in ("revoke", "forget"):
        async with town.process() as (core, stops):
            town.issuer.before = lambda: None
            grant = (await town.sign_in(core, f"4/{ending}", KEY + ending)).id
            town.clock.advance(HOUR)
            cut_off_after_answer(town, stops)
            with pytest.raises(StoreUnavailable):
                await core.access_token(grant)
            stops.away = False
            town.clock.advance(timedelta(seconds=1))
            await getattr(core, ending)(grant)
            assert await core._deliverer.once()

            stored = await town.store.read(grant)
            assert stored is None or (GrantState.REVOKED, ()) == (stored[0].state, stored[1])
        assert () == town.disk.entries()


async def test_an_older_consent_does_not_replace_a_younger_one(town: Town) -> None:
    """
    The person signed in again meanwhile: that token stays, and the first sign-in ends well, too.
    """
    async with town.process() as (core, stops):
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await town.sign_in(core)
        stops.away, town.issuer.before = False, lambda: None
        town.clock.advance(timedelta(seconds=30))
        grant = await town.sign_in(core, "4/second", KEY + "-2")
        kept = await town.token_kept()
        assert await core._deliverer.once()

        first = await town.sign_in(core)

    assert (grant.id, GrantState.ACTIVE) == (first.id, first.state)
    assert kept == await town.token_kept()


async def test_a_rotated_token_is_kept_although_the_grant_was_refused_meanwhile(tmp_path: Path) -> None:
    """
    Another process sent the old token and was refused; the journal has the one that may still work.
    """
    town = Town(tmp_path, rotates=True)
    async with town.process() as (core, stops):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await core.access_token(grant)
        stored = await town.grant()
        assert stored is not None
        broken = replace(stored, state=GrantState.NEEDS_CONSENT, reason=Reason.ANSWER_LOST)
        town.store._tables.grants[grant] = replace(broken, version=stored.version + 1)
        stops.away = False
        assert await core._deliverer.once()

        stored = await town.grant()

    assert stored is not None
    assert GrantState.ACTIVE is stored.state
    assert stored.uncertain_since is not None, "a probe will tell whether it works"
    assert {await town.token_kept()} == town.issuer.good


async def test_googles_token_that_was_refused_meanwhile_stays_refused(town: Town) -> None:
    """
    The answer has no newer refresh token: what it opened is over.
    """
    async with town.process() as (core, stops):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await core.access_token(grant)
        stored = await town.grant()
        assert stored is not None
        broken = replace(stored, state=GrantState.NEEDS_CONSENT, reason=Reason.REVOKED)
        town.store._tables.grants[grant] = replace(broken, version=stored.version + 1)
        stops.away = False
        assert await core._deliverer.once()

    stored = await town.grant()
    assert stored is not None
    assert GrantState.NEEDS_CONSENT is stored.state


# -- what cannot be delivered -------------------------------------------------------------------------


async def test_what_cannot_be_delivered_stays_and_blocks_nobody(town: Town) -> None:
    """
    One entry is of other keys, one of a client that is gone; the third, behind them, is stored.
    """
    right = town.sealer
    for number, sealer in enumerate((KeysetSealer(Keyset.generate()), right)):
        town.sealer = sealer
        await take_over(town.store, sealer, town.clock.now())
        async with town.process() as (core, stops):
            cut_off_after_answer(town, stops)
            with pytest.raises(StoreUnavailable):
                await town.sign_in(core, f"4/{number}", KEY + str(number))
            stops.dead = True
        town.clock.advance(timedelta(seconds=1))
    (_, unopened), (_, good) = town.disk._held.items()
    foreign = replace(good, id="foreign", owner="00", client_id="a client that is gone", at=unopened.at)
    town.disk._held["foreign"] = foreign

    async with town.process() as (core, _):
        assert 2 == core.counters["journal", "redemption_undelivered"]
        report = await core.ready()
        await core._deliverer.once()
        again = core.counters["journal", "redemption_undelivered"]

    assert {"foreign", unopened.id} == {entry.id for entry in town.disk.entries()}
    assert await town.grant() is not None
    assert report["journal"].startswith("holds 2 answers since 2026-")
    assert report["journal"].endswith("; 2 cannot be delivered")
    assert 2 == again, "it is told once"


async def test_the_journals_file_holds_nothing_that_can_be_read(town: Town, tmp_path: Path) -> None:
    """
    No token, no name, no address, no ``sub``, no key: only where an entry belongs.
    """
    journal = FileJournal(tmp_path / "journal")
    async with town.process(journal=journal) as (core, stops):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        cut_off_after_answer(town, stops)
        with pytest.raises(StoreUnavailable):
            await core.access_token(grant)
        stops.away = False
        with pytest.raises(StoreUnavailable):
            await town.sign_in(core, "4/second", KEY + "-2")
        assert not await core._deliverer.once()
        assert 2 == len(journal.entries())
        (path,) = (tmp_path / "journal").glob("*.journal")
        content = path.read_bytes()
        stops.away = False
        assert await core._deliverer.once()

    assert grant.encode() in content, "what is no secret is not found either"
    for secret in ("MARKER", "secret.example", KEY, "4/code", "4/second", "openid"):
        assert secret.encode() not in content
    assert [] == list((tmp_path / "journal").glob("*.journal")), "it was delivered at the end"


# -- killed at every step -----------------------------------------------------------------------------


async def settle_all(town: Town) -> None:
    """A new process finds everything and ends every doubt."""
    town.lapse()
    town.issuer.before = lambda: None
    async with town.process() as (heir, _):
        await heir._deliverer.once()
        town.clock.advance(HOUR)
        await heir._upkeep.once()
        town.clock.advance(HOUR)
        await heir._upkeep.once()


def steps_of(done: bool) -> list[tuple[int, bool]]:
    return [(number, done) for number in range(1, 16)]


@pytest.mark.parametrize("away", [False, True], ids=["store", "journal"])
@BOTH
async def test_killed_at_any_step_a_refresh_ends_right(tmp_path: Path, rotates: bool, away: bool) -> None:
    """
    Either the newest token is stored, or the grant says that its answer was lost; Google's is never lost.
    """
    ends = set()
    for number, done in [*steps_of(False), *steps_of(True)]:
        town = Town(tmp_path, rotates=rotates)
        async with town.process() as (core, stops):
            grant = (await town.sign_in(core)).id
            town.clock.advance(HOUR)
            if away:
                cut_off_after_answer(town, stops)
            stops.steps, stops.log, stops.kill_at, stops.done = 0, [], number, done
            try:
                await core.access_token(grant)
                ended = "ok"
            except (Killed, GrantkeeperError) as error:
                ended = type(error).__name__
            survived = "write" in stops.log or ended == "ok"
            stops.dead = True
        await settle_all(town)

        stored = await town.grant()
        assert stored is not None
        place = (number, done, ended, stops.log)
        assert stored.uncertain_since is None, place
        assert () == town.disk.entries(), place
        assert {} == town.store._tables.leases, place
        if stored.state is GrantState.ACTIVE:
            assert {await town.token_kept()} == town.issuer.good, place
        else:
            assert rotates, place
            assert not (survived and (done or ended != "Killed")), place
            assert Reason.ANSWER_LOST is stored.reason, place
        ends.add((ended, stored.state))
    assert len(ends) > 1


@pytest.mark.parametrize("away", [False, True], ids=["store", "journal"])
async def test_killed_at_any_step_a_sign_in_ends_right(tmp_path: Path, away: bool) -> None:
    """
    What was told is so; what was in the journal is stored; and who asks again is never told a lie.
    """
    for number, done in [*steps_of(False), *steps_of(True)]:
        town = Town(tmp_path)
        async with town.process() as (core, stops):
            if away:
                cut_off_after_answer(town, stops)
            stops.kill_at, stops.done = number, done
            told = None
            with suppress(Killed, GrantkeeperError):
                told = await town.sign_in(core)
            stops.dead = True
            written = len(town.disk.entries()) == 1
        await settle_all(town)

        place = (number, done, stops.log)
        stored = await town.grant()
        assert () == town.disk.entries(), place
        assert stored is not None or (told is None and not written), place
        async with town.process() as (heir, _):
            try:
                again = await town.sign_in(heir)
                assert stored is None or again.id == stored.id, place
            except OutcomeUnknown:
                assert stored is None, place
        assert len(town.issuer.asked) <= 1, place


# -- commits that were reported as failed ---------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, 5))
async def test_a_sign_in_knows_its_own_commit(town: Town, number: int) -> None:
    """
    The connection was lost while it committed: one grant, one answer, at whichever commit.
    """
    async with town.process() as (core, stops):
        stops.deaf = {number}
        grant = await town.sign_in(core)
        again = await town.sign_in(core)

    assert ("1", grant.id) == (grant.subject, again.id)
    assert 1 == town.events("grant.created")
    assert () == town.disk.entries()


@BOTH
@pytest.mark.parametrize("number", range(1, 5))
async def test_a_refresh_knows_its_own_commit(tmp_path: Path, rotates: bool, number: int) -> None:
    """
    The same for a refresh: stored once, handed out, and the row has the token that lives.
    """
    town = Town(tmp_path, rotates=rotates)
    async with town.process() as (core, stops):
        grant = (await town.sign_in(core)).id
        town.clock.advance(HOUR)
        stops.commits, stops.deaf = 0, {number}

        token = await core.access_token(grant)

    assert "MARKER-access-2" == token.reveal()
    assert 1 == town.events("grant.refreshed")
    assert {await town.token_kept()} == town.issuer.good
    assert ((), {}) == (town.disk.entries(), town.store._tables.leases)


async def test_a_refusal_knows_its_own_commit(tmp_path: Path) -> None:
    """
    Tried again, it keeps the reason that the first try wrote.
    """
    town = Town(tmp_path, rotates=True)
    async with town.process() as (core, stops):
        grant = (await town.sign_in(core)).id
        stored = await town.grant()
        assert stored is not None
        town.store._tables.grants[grant] = replace(stored, uncertain_since=town.clock.now())
        town.clock.advance(HOUR)
        town.issuer.good.clear()
        stops.commits, stops.deaf = 0, {1}

        with pytest.raises(ConsentRequired) as caught:
            await core.access_token(grant)

    stored = await town.grant()
    assert stored is not None
    assert ("answer_lost", Reason.ANSWER_LOST) == (caught.value.reason, stored.reason)
