"""`Keeper` over a real database and a real emulator: both faces, errors, threads and loops."""

import asyncio
import inspect
import threading
from typing import Any

import pytest

import grantkeeper
from grantkeeper import Keeper
from grantkeeper.errors import CodeRefused, ConsentRequired, GrantNotFound, InvalidRequest, SettingsInvalid
from grantkeeper.library.calls import Calls, SyncKeeper, _through
from grantkeeper.library.local import SyncLocalKeeper
from grantkeeper.library.remote import RemoteKeeper
from grantkeeper.model import GrantState, Token
from grantkeeper.secret import AuthorizationCode
from tests.waiting import eventually, struck, wait_for

DRIVE = "https://www.googleapis.com/auth/drive.appdata"


@pytest.mark.anyio
async def test_the_whole_job_awaited(keeper, google_emulator):
    """Redeem, hand out, describe, list, attach, revoke, forget."""
    code = google_emulator.code("mia@example.com")
    grant = await keeper.redeem(code, source="ios", scopes=["openid", DRIVE])
    token = await keeper.access_token(grant.id, scopes=[DRIVE], min_ttl=600)
    attached = await keeper.attach(grant.id, "user-7")
    page = await keeper.grants(user="user-7")
    revoked = await keeper.revoke(grant.id)
    with pytest.raises(ConsentRequired) as caught:
        await keeper.access_token(grant.id)
    await keeper.forget(grant.id)
    with pytest.raises(GrantNotFound):
        await keeper.describe(grant.id)

    assert code.sub == grant.subject
    assert frozenset({DRIVE}) <= token.scopes
    assert token.expires_in >= 600
    assert "user-7" == attached.user
    assert ([grant.id], None) == ([found.id for found in page.grants], page.next_cursor)
    assert (GrantState.REVOKED, True) == (revoked.state, revoked.told)
    assert "revoked" == caught.value.reason


def test_the_whole_job_blocking(blocking, google_emulator):
    """The same names, the answers at once."""
    code = google_emulator.code("mia@example.com")
    grant = blocking.redeem(code)
    token = blocking.access_token(grant.id)
    blocking.attach(grant.id, "user-7")
    page = blocking.list(state="active")
    described = blocking.describe(grant.id)
    revoked = blocking.revoke(grant.id)
    blocking.forget(grant.id, revoke=False)

    assert token.reveal().startswith("ya29")
    assert [grant.id] == [found.id for found in page.grants]
    assert "user-7" == described.user
    assert GrantState.REVOKED is revoked.state
    assert () == blocking.grants().grants


def test_preflight_tells_whether_consent_is_needed(options, google_emulator):
    """Asked with the phone's own ID token, before a sign-in is shown."""
    client = {"secrets": options["clients"], "app_client_ids": google_emulator.app_client_ids}
    options["clients"] = {"default": client}
    with Keeper.open_sync(**options) as keeper:
        keeper.redeem(google_emulator.code("mia@example.com"))
        known = keeper.preflight(google_emulator.id_token("mia@example.com"), scopes=[DRIVE])
        unknown = keeper.preflight(google_emulator.id_token("noah@example.com"), scopes=[DRIVE])

    assert not known.consent_needed
    assert unknown.consent_needed


@pytest.mark.parametrize(
    "name", ["redeem", "connected", "access_token", "preflight", "describe", "grants", "attach"]
)
def test_both_faces_and_the_remote_one_take_the_same(name):
    """One signature for each call, wherever the keeper is and however it is asked."""
    wanted = inspect.signature(getattr(Calls, name))

    assert wanted == inspect.signature(getattr(Keeper, name))
    assert wanted == inspect.signature(getattr(RemoteKeeper, name))
    assert wanted == inspect.signature(getattr(SyncKeeper, name))


def test_a_result_that_nobody_left_is_refused(blocking):
    """What the browser brings back is good once; `examples/photos` has the whole way."""
    with pytest.raises(InvalidRequest, match="unknown"):
        blocking.connected("nobody's")


def test_the_front_door_has_both_keepers():
    """``from grantkeeper import Keeper, RemoteKeeper``."""
    assert Keeper is grantkeeper.Keeper
    assert RemoteKeeper is grantkeeper.RemoteKeeper


def test_a_body_that_would_suspend_is_no_body_of_the_blocking_face():
    """The carrier of that face blocks; anything else is a slip of ours and is told as one."""

    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="suspend"):
        _through(waits())


# -- opening ------------------------------------------------------------------------------------


def test_without_keys_nothing_starts_and_init_is_named(options, tmp_path):
    """No key, no start; the hint says which command makes one."""
    options["keys"] = tmp_path / "none.json"
    with pytest.raises(SettingsInvalid) as caught, Keeper.open_sync(**options):
        pass

    assert "grantkeeper init" in f"{caught.value} {caught.value.hint}"


@pytest.mark.anyio
async def test_without_keys_nothing_starts_awaited(options, tmp_path):
    """The same error from the other face."""
    options["keys"] = tmp_path / "none.json"
    with pytest.raises(SettingsInvalid):
        async with Keeper.open(**options):
            pass


def test_every_wrong_setting_is_told_at_once(options):
    """Before anything is opened."""
    options.update(database_url="mysql://nowhere", issuer="ftp://nowhere", clients="no-such-file.json")
    with pytest.raises(SettingsInvalid) as caught:
        Keeper.open(**options)

    assert 3 <= len(caught.value.problems)


def test_a_setting_of_another_name_is_a_type_error(options):
    """A slip of the keyboard is no setting."""
    with pytest.raises(TypeError, match="condemn_limit"):
        Keeper.open(**options, condemn_limt="50,0.2")


def test_a_path_object_names_the_database(options, place, google_emulator):
    """Where a URL is not to hand."""
    options["database_url"] = place / "by path.db"
    with Keeper.open_sync(**options) as keeper:
        keeper.redeem(google_emulator.code("mia@example.com"))

    assert (place / "by path.db").exists()


def test_a_keeper_made_at_import_time_opens_when_first_asked(options, google_emulator, place):
    """As a module-level object of a program that forks later."""
    keeper = Keeper.open_sync(**options)
    assert not (place / "grants.db").exists()
    keeper.redeem(google_emulator.code("mia@example.com"))
    keeper.close()

    assert (place / "grants.db").exists()


def test_grants_are_there_after_closing_and_opening_again(options, google_emulator):
    """The database is the memory."""
    with Keeper.open_sync(**options) as keeper:
        grant = keeper.redeem(google_emulator.code("mia@example.com"))
    with Keeper.open_sync(**options) as keeper:
        token = keeper.access_token(grant.id)

    assert token.reveal().startswith("ya29")


def test_a_closed_keeper_says_so(options):
    """Not a hang, not a reopening."""
    with Keeper.open_sync(**options) as keeper:
        pass
    keeper.close()
    with pytest.raises(RuntimeError, match="closed"):
        keeper.grants()


# -- threads and loops --------------------------------------------------------------------------


@pytest.mark.anyio
async def test_errors_keep_their_type_across_the_hop(keeper):
    """What the keeper raises on its loop is what the caller catches on another."""
    with pytest.raises(CodeRefused):
        await keeper.redeem(AuthorizationCode("4/0-never-issued-by-anybody"))


def test_one_keeper_serves_one_loop_after_another(options, google_emulator):
    """Sessions and store belong to the keeper's own loop, not to the first that came."""
    keeper = Keeper.open(**options)
    grant = asyncio.run(keeper.redeem(google_emulator.code("mia@example.com")))
    first = asyncio.run(keeper.access_token(grant.id))
    second = asyncio.run(keeper.access_token(grant.id))
    asyncio.run(keeper.aclose())

    assert first.reveal() == second.reveal()


def test_a_fresh_token_needs_no_hop(blocking, google_emulator, monkeypatch):
    """Even a keeper's loop that stands still does not hold up a token from memory."""
    # The feed stands still with the loop; in life memory is believed for less than a second of it.
    monkeypatch.setattr("grantkeeper.keeper.feed.SILENCE", 60.0)
    grant = blocking.redeem(google_emulator.code("mia@example.com"))
    blocking.access_token(grant.id)
    release, answers = threading.Event(), []

    async def stand_still(core: Any) -> None:
        release.wait(30)

    still = blocking._keeper._home.submit(stand_still)
    thread = threading.Thread(target=lambda: answers.append(blocking.access_token(grant.id)))
    thread.start()
    thread.join(timeout=10)
    release.set()
    still.result()

    assert [Token] == [type(answer) for answer in answers]


def test_threads_share_one_refresh(blocking, google_emulator):
    """Eight threads on an expired token, one call at Google."""
    grant = blocking.redeem(google_emulator.code("mia@example.com"))
    google_emulator.advance(4000)
    tokens: list[Token] = []
    threads = [
        threading.Thread(target=lambda: tokens.append(blocking.access_token(grant.id))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len({token.reveal() for token in tokens})
    assert 1 == google_emulator.count("token", "refresh_token")


@pytest.mark.anyio
async def test_a_caller_that_gives_up_does_not_cost_the_sign_in(keeper, google_emulator):
    """The code was sent; what came of it is stored and told to the repeat."""
    code, key = google_emulator.code("mia@example.com"), "0123456789-0123456789-0123456789"
    google_emulator.fault("token", "slow", count=1, seconds=2)
    asking = asyncio.create_task(keeper.redeem(code, idempotency_key=key))
    await eventually(struck(google_emulator))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    grant = await keeper.redeem(code, idempotency_key=key)

    assert code.sub == grant.subject
    assert 1 == google_emulator.count("token", "authorization_code")


@pytest.mark.anyio
async def test_the_callers_loop_is_not_held_up(keeper, google_emulator):
    """The caller's own work goes on while Google is slow."""
    google_emulator.fault("token", "slow", count=1, seconds=1)
    asking = asyncio.create_task(keeper.redeem(google_emulator.code("mia@example.com")))
    rounds = 0
    while not asking.done():
        await asyncio.sleep(0.01)
        rounds += 1
    await asking

    # A loop that was held up comes round once, when all is over.
    assert rounds > 2


@pytest.mark.anyio
async def test_the_blocking_face_works_beside_a_running_loop(options, google_emulator):
    """It blocks that loop, as it must, and deadlocks nothing."""
    with Keeper.open_sync(**options) as keeper:
        grant = keeper.redeem(google_emulator.code("mia@example.com"))

    assert GrantState.ACTIVE is grant.state


def test_the_blocking_face_on_the_keepers_own_loop_is_refused(blocking, google_emulator):
    """It would wait for itself."""
    grant = blocking.redeem(google_emulator.code("mia@example.com"))

    async def inside(core: Any) -> None:
        blocking.describe(grant.id)

    with pytest.raises(RuntimeError, match="own loop"):
        blocking._keeper._home.wait(inside)


def test_closing_finishes_a_refresh_in_flight(options, google_emulator):
    """A refresh token that Google has already rotated must reach the database."""
    with Keeper.open_sync(**options) as keeper:
        assert isinstance(keeper, SyncLocalKeeper)
        grant = keeper.redeem(google_emulator.code("mia@example.com"))
        google_emulator.advance(4000)
        google_emulator.fault("token", "slow", count=1, seconds=0.5)
        tokens: list[Token] = []
        thread = threading.Thread(target=lambda: tokens.append(keeper.access_token(grant.id)))
        thread.start()
        wait_for(struck(google_emulator))
    thread.join()

    assert 1 == len(tokens)
    assert 1 == google_emulator.count("token", "refresh_token")
