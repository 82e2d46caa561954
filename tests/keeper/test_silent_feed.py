"""A node that is cut off from the change feed: it reads the store each time, and refuses when it cannot."""

import asyncio
from typing import Any

import pytest

from grantkeeper import Keeper
from grantkeeper.adapters.dice import SystemDice
from grantkeeper.errors import ConsentRequired, GrantNotFound, StoreUnavailable
from grantkeeper.ids import uuid7
from grantkeeper.keeper.feed import SILENCE
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.library import adapters
from grantkeeper.library.core import KeeperCore
from grantkeeper.library.local import LocalTokens
from grantkeeper.model import Caller, News, Permission
from grantkeeper.protocol.caller_key import SIZE, caller_key, key_hash
from grantkeeper.server.app import App, create_app
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator
from tests.keeper.conftest import SCOPES, Opener, remembered
from tests.server.asking import ask
from tests.waiting import eventually, struck

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"


class CutOff:
    """A store whose feed can be cut, by an error or by silence, and which can go away altogether."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.how: str | None = None
        self.away = False

    def __getattr__(self, name: str) -> Any:
        if self.away and name not in ("close", "at_rest"):
            raise StoreUnavailable("the database is away", retry_after=1.0)
        return getattr(self._store, name)

    async def changes(self, after: int, *, seconds: float) -> News:
        if self.how == "raises":
            raise StoreUnavailable("the feed is cut")
        if self.how == "hangs":
            await asyncio.Event().wait()
        found: News = await self._store.changes(after, seconds=seconds)
        if self.how == "hangs":
            await asyncio.Event().wait()
        return found


@pytest.fixture
async def there(settings: Settings, anyio_backend: str) -> Any:
    """A second node, and its store."""
    store = CutOff(await adapters.store(settings))
    core = await KeeperCore.open(settings, store=store)
    yield core, store
    store.away = False
    await core.close()


async def silence(core: KeeperCore, store: CutOff, how: str) -> None:
    store.how = how
    async with asyncio.timeout(60):
        while not core.feed_silent:
            await asyncio.sleep(0.05)
    assert SILENCE < 1.0


async def a_caller(core: KeeperCore, **rules: Any) -> tuple[Caller, str]:
    key = caller_key(SystemDice().bytes(SIZE)).reveal()
    now = core.clock.now()
    caller = Caller(
        id=uuid7(now, SystemDice().bytes(10)),
        name="backend",
        key_hash=key_hash(key.encode()),
        created_at=now,
        **rules,
    )
    await core.store.add_caller(caller)
    return caller, key


async def signed_in(core: KeeperCore, google: GoogleEmulator) -> str:
    return (await core.redeem(RedeemRequest(code=google.code(ADA, SCOPES)))).id


@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_a_silent_node_obeys_a_revocation_at_once(
    open_core: Opener, there: Any, google_emulator: GoogleEmulator, how: str
) -> None:
    """
    Memory has a fresh token and is not believed: the store says that it is over, or forgotten.
    """
    here, (core, store) = await open_core(), there
    grant = await signed_in(here, google_emulator)
    await remembered(core, grant)
    await silence(core, store, how)

    await here.revoke(grant)

    assert core.fresh_token(grant) is None
    with pytest.raises(ConsentRequired):
        await core.access_token(grant)
    await here.forget(grant)
    with pytest.raises(GrantNotFound):
        await core.access_token(grant)


async def test_a_silent_node_works_on_from_the_store(
    open_core: Opener, there: Any, google_emulator: GoogleEmulator
) -> None:
    """
    The same token, read anew each time, without asking Google.
    """
    here, (core, store) = await open_core(), there
    grant = await signed_in(here, google_emulator)
    first = await core.access_token(grant)
    await silence(core, store, "hangs")

    again = await core.access_token(grant)

    assert first.reveal() == again.reveal()
    assert 0 == google_emulator.count("token", "refresh_token")


async def test_a_silent_node_without_the_store_hands_nothing_out(
    open_core: Opener, there: Any, google_emulator: GoogleEmulator
) -> None:
    """
    Not from memory, not to Google's clients, not by HTTP; and it heals by itself.
    """
    here, (core, store) = await open_core(), there
    grant = await signed_in(here, google_emulator)
    _, key = await a_caller(here)
    app = create_app(core)
    keyed = {"Authorization": f"Bearer {key}"}
    assert 200 == (await ask(app, "POST", "/v1/token", {"grant": grant}, keyed)).status
    await silence(core, store, "raises")
    store.away = True

    with pytest.raises(StoreUnavailable):
        await core.access_token(grant)
    for method, path, body in (
        ("POST", "/v1/token", {"grant": grant}),
        ("GET", "/v1/grants", None),
        ("GET", f"/v1/grants/{grant}", None),
    ):
        said = await ask(app, method, path, body, keyed)
        assert (503, "store_unavailable") == said.error
        assert said.headers["retry-after"]
    store.away, store.how = False, None
    async with asyncio.timeout(60):
        while core.feed_silent:
            await asyncio.sleep(0.05)
    assert 200 == (await ask(app, "POST", "/v1/token", {"grant": grant}, keyed)).status


async def served(app: App, key: str, grant: str, **more: Any) -> tuple[int, str]:
    said = await ask(app, "POST", "/v1/token", {"grant": grant, **more}, {"Authorization": f"Bearer {key}"})
    return said.status, said.json.get("error", "ok")


@pytest.mark.parametrize("how", [None, "raises", "hangs"])
async def test_a_caller_is_changed_and_ended_everywhere(
    open_core: Opener, there: Any, google_emulator: GoogleEmulator, how: str | None
) -> None:
    """
    Whether the feed is heard or not: each rule, then the end, is obeyed by another node within the second.
    """
    from dataclasses import replace

    here, (core, store) = await open_core(), there
    grant = await signed_in(here, google_emulator)
    caller, key = await a_caller(here)
    app = create_app(core)
    assert (200, "ok") == await served(app, key, grant)
    if how is not None:
        await silence(core, store, how)

    async def after(narrow: Caller) -> tuple[int, str]:
        await here.store.change_caller(narrow)
        await asyncio.sleep(0 if how else 0.9)
        return await served(app, key, grant)

    assert (403, "caller_not_allowed") == await after(
        replace(caller, permissions=frozenset({Permission.REDEEM}))
    )
    assert (404, "grant_not_found") == await after(replace(caller, clients=frozenset({"other"})))
    assert (403, "caller_not_allowed") == await after(replace(caller, scopes=frozenset({"https://other"})))
    assert (401, "caller_unknown") == await after(replace(caller, expires_at=core.clock.now()))
    assert (200, "ok") == await after(caller)
    await here.store.revoke_caller(caller.id, here.clock.now())
    await asyncio.sleep(0 if how else 0.9)
    assert (401, "caller_unknown") == await served(app, key, grant)


async def test_a_caller_that_ends_while_google_is_asked_gets_nothing(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The refresh is stored; the token is not handed out.
    """
    grant = await signed_in(core, google_emulator)
    caller, key = await a_caller(core)
    app = create_app(core)
    google_emulator.advance(3700)
    google_emulator.fault("token", "slow", count=1, seconds=1.5)
    waiting = asyncio.ensure_future(served(app, key, grant))
    await eventually(struck(google_emulator))

    await core.store.revoke_caller(caller.id, core.clock.now())

    assert (401, "caller_unknown") == await waiting
    assert 1 == google_emulator.count("token", "refresh_token")


async def test_a_caller_that_ends_between_head_and_body_gets_nothing(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    On the raw lane as on the other: the key was good when the head came.
    """
    import json

    grant = await signed_in(core, google_emulator)
    caller, key = await a_caller(core)
    app = create_app(core)
    assert (200, "ok") == await served(app, key, grant)
    body, gone = json.dumps({"grant": grant}).encode(), asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/token",
        "raw_path": b"/v1/token",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(b"authorization", b"Bearer " + key.encode()), (b"content-type", b"application/json")],
    }
    waiting = asyncio.ensure_future(app(scope, receive, send))
    await asyncio.sleep(0.05)
    await core.store.revoke_caller(caller.id, core.clock.now())
    await asyncio.sleep(0.9)
    gone.set()
    await waiting

    assert 401 == sent[0]["status"]


async def test_an_answer_that_was_long_on_its_way_is_not_believed(
    open_core: Opener, there: Any, google_emulator: GoogleEmulator
) -> None:
    """
    The row was read before the revocation and came after it: it is read again.
    """
    here, (core, store) = await open_core(), there
    grant = await signed_in(here, google_emulator)
    await silence(core, store, "hangs")
    inner, began, over = store._store.read, asyncio.Event(), asyncio.Event()

    async def read(grant_id: str) -> Any:
        found = await inner(grant_id)
        if not over.is_set():
            began.set()
            await over.wait()
        return found

    store.read = read
    waiting = asyncio.ensure_future(core.access_token(grant))
    await began.wait()

    await here.revoke(grant)
    await asyncio.sleep(1.0)
    over.set()

    with pytest.raises(ConsentRequired):
        await waiting


async def test_credentials_do_not_outlive_the_feed(
    settings: Settings, google_emulator: GoogleEmulator
) -> None:
    """
    Google's own clients stop with the token in hand: the mark is gone while the feed is silent.
    """
    opened: list[tuple[KeeperCore, CutOff]] = []

    async def opening() -> KeeperCore:
        store = CutOff(await adapters.store(settings))
        core = await KeeperCore.open(settings, store=store)
        opened.append((core, store))
        return core

    from google.auth.exceptions import RefreshError

    from grantkeeper.library.google_auth import GrantCredentials
    from grantkeeper.library.loop import Home

    home: Home[KeeperCore] = Home(opening, KeeperCore.close)
    keeper = Keeper(home, home.ask)
    async with keeper:
        code = google_emulator.code(ADA, SCOPES)
        grant = (await keeper.redeem(code)).id
        credentials = GrantCredentials(LocalTokens(home), grant)

        def use() -> str:
            headers: dict[str, str] = {}
            credentials.before_request(None, "GET", "https://example.com", headers)
            return headers["authorization"]

        first = await asyncio.to_thread(use)
        [(core, store)] = opened
        await silence(core, store, "raises")
        again = await asyncio.to_thread(use)
        store.away = True
        with pytest.raises(RefreshError) as caught:
            await asyncio.to_thread(use)
        store.away = False
        second = await KeeperCore.open(settings)
        await second.revoke(grant)
        await second.close()
        with pytest.raises(RefreshError) as over:
            await asyncio.to_thread(use)

    assert first == again
    assert isinstance(caught.value.__cause__, StoreUnavailable)
    assert isinstance(over.value.__cause__, ConsentRequired)
