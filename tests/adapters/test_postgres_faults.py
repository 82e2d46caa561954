"""What databases suffer: it is told as "not now", and heals without opening the store again."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress

import asyncpg
import pytest

from grantkeeper.adapters import postgres_connect, postgres_feed, postgres_pool
from grantkeeper.adapters.postgres import PostgresStore, open_postgres
from grantkeeper.adapters.postgres_schema import migrate_postgres
from grantkeeper.errors import SettingsInvalid, StoreConflict, StoreUnavailable
from grantkeeper.ports import Insert, Note, Replace
from grantkeeper.testing.conformance_base import outcomes, saved
from grantkeeper.testing.conformance_rest import heard, named
from grantkeeper.testing.records import NOW, a_grant, a_redemption, an_event
from tests.postgres import PASSWORD, PostgresServer, database_of, free_port
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

Calls = list[Callable[[], Awaitable[object]]]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server to be hurt; what a crash of the whole machine would lose is not looked at."""
    with PostgresServer(
        {"fsync": "off", "max_connections": "40", "superuser_reserved_connections": "1"}
    ) as server:
        yield server


@pytest.fixture(scope="module")
def template(server: PostgresServer) -> str:
    name = server.create()
    asyncio.run(migrate_postgres(server.url(name)))
    return name


@pytest.fixture
def url(server: PostgresServer, template: str) -> Iterator[str]:
    with server.database(template=template) as url:
        yield url


@pytest.fixture
async def patient(url: str) -> AsyncIterator[PostgresStore]:
    """A store as it comes, for who counts what it does; how long that takes is this machine's affair."""
    store = await open_postgres(url)
    yield store
    await store.close()


@pytest.fixture
async def store(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PostgresStore]:
    """A store about as patient as in life: others make its calls fail, and not this machine."""
    monkeypatch.setattr(postgres_connect, "CONNECT_SECONDS", 5.0)
    monkeypatch.setattr(postgres_connect, "COMMAND_SECONDS", 5.0)
    monkeypatch.setitem(postgres_connect.SESSION, "lock_timeout", "3000")
    monkeypatch.setattr(postgres_feed, "POLL_LIMIT", 5.0)
    store = await open_postgres(url)
    yield store
    await store.close()


def calls(store: PostgresStore) -> Calls:
    """Reads, writes, transactions, the feed."""
    return [
        lambda: store.get(a_grant().id),
        lambda: store.read(a_grant().id),
        lambda: store.commit(Insert(a_grant(8)), Note(an_event())),
        lambda: store.append([an_event()]),
        lambda: store.claim(a_redemption(), seconds=30),
        lambda: store.take("name", "me", seconds=30),
        lambda: store.callers(),
        lambda: store.ready(),
        lambda: store.changes(0, seconds=0),
    ]


async def all_unavailable(store: PostgresStore) -> None:
    """Every kind of call says that it cannot be done now, when to try again, and nothing secret."""
    results = await outcomes(*(call() for call in calls(store)))  # type: ignore[arg-type]

    assert [StoreUnavailable] * len(results) == [type(result) for result in results]
    assert {1.0} == {result.retry_after for result in results}
    for result in results:
        assert PASSWORD not in repr(result) + repr(result.__cause__) + str(result.__cause__)


async def healed(store: PostgresStore, seconds: float = 10.0) -> None:
    """Everything works again at once within *seconds*; a few calls may still meet what is broken."""
    until = time.monotonic() + seconds
    while True:
        results = await outcomes(*(call() for call in calls(store)))  # type: ignore[arg-type]
        # What an earlier round has done is a conflict in the next.
        failed = [
            result
            for result in results
            if isinstance(result, BaseException) and not isinstance(result, StoreConflict)
        ]
        if not failed or time.monotonic() > until:
            break
        await asyncio.sleep(0.02)
    assert [] == failed


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
async def test_a_server_that_went_away_and_came_back(
    store: PostgresStore, server: PostgresServer, mode: str
) -> None:
    """
    Nothing works meanwhile, everything works after, and what was acknowledged is there.
    """
    (mine,) = await saved(store, a_grant())
    lease = await store.take("name", "somebody", seconds=30)
    if mode == "kill":
        server.kill()
    else:
        server.stop(mode)
    try:
        await all_unavailable(store)
    finally:
        server.start()
    found = await store.get(mine.id)
    held = await store.take("name", "me", seconds=30)
    await healed(store)

    assert mine == found
    assert type(lease) is not type(held)


async def test_a_restart_costs_a_read_nothing(store: PostgresStore, server: PostgresServer) -> None:
    """
    Connections that died while they were idle are replaced before anybody hears of it.
    """
    (mine,) = await saved(store, a_grant())
    await asyncio.gather(*(store.get(mine.id) for _ in range(20)))
    server.restart()
    results = await outcomes(*(store.get(mine.id) for _ in range(20)))

    assert [mine] * 20 == results


async def test_a_reader_hears_what_came_while_the_server_was_away(
    store: PostgresStore, server: PostgresServer, url: str
) -> None:
    """
    The feed goes on where it was.
    """
    await saved(store, a_grant(1))
    (first,) = await heard(store, 0)
    server.restart("immediate")
    other = await open_postgres(url)
    await other.commit(Insert(a_grant(2)))
    await other.close()
    with suppress(StoreUnavailable):
        assert [("grant", a_grant(2).id)] == named(await heard(store, first.seq))
    assert [("grant", a_grant(2).id)] == named(await heard(store, first.seq))


async def test_a_waiting_reader_hears_of_a_lost_connection_at_once(
    store: PostgresStore, server: PostgresServer
) -> None:
    """
    A node must not believe its memory a moment longer than it may.
    """
    waiting = asyncio.ensure_future(heard(store, 0, 30))
    await asyncio.sleep(0.05)
    server.stop("immediate")
    try:
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(waiting, 60)
    finally:
        server.start()


async def test_a_server_that_stands_still(store: PostgresStore, server: PostgresServer) -> None:
    """
    Nobody waits for ever; connections that were waited for are not used again.
    """
    (mine,) = await saved(store, a_grant())
    await asyncio.gather(*(store.get(mine.id) for _ in range(4)))
    with server.paused():
        async with asyncio.timeout(60):
            await all_unavailable(store)
    await healed(store)

    assert mine == await store.get(mine.id)


async def test_a_server_that_only_reads(store: PostgresStore, server: PostgresServer) -> None:
    """
    Reads are true and go on; writes say "not now", and work again when the server writes.
    """
    (mine,) = await saved(store, a_grant())
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()")
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            results = await outcomes(
                store.ready(),
                store.commit(Replace(mine), Note(an_event())),
                store.take("name", "me", seconds=30),
            )
            if all(isinstance(result, StoreUnavailable) for result in results):
                break
            mine = (await store.get(mine.id)) or mine
        assert [StoreUnavailable] * 3 == [type(result) for result in results]
        assert ["the database takes no writes now"] * 3 == [result.text for result in results]
        assert mine == await store.get(mine.id)
    finally:
        server.execute(
            "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only;"
            "SELECT pg_reload_conf()"
        )
    await healed(store)


async def test_connections_ended_by_an_operator(
    store: PostgresStore, server: PostgresServer, url: str
) -> None:
    """
    As a failover of a proxy ends them: within a call or two everything works.
    """
    (mine,) = await saved(store, a_grant())
    await asyncio.gather(*(store.get(mine.id) for _ in range(10)))
    server.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database_of(url)}'"
    )

    assert mine == await store.get(mine.id)
    await healed(store)


async def test_a_server_without_room_for_connections(store: PostgresStore, url: str) -> None:
    """
    Others have all of them.
    """
    await saved(store, a_grant())
    store._pool.expire()
    store._feed._hang_up()
    await asyncio.gather(*store._pool._parting, *store._feed._parting)
    others = []
    try:
        while True:
            others.append(await asyncpg.connect(url, server_settings={"application_name": "greedy"}))
    except asyncpg.TooManyConnectionsError:
        pass
    try:
        await all_unavailable(store)
    finally:
        for other in others:
            await other.close()
    await healed(store)


async def test_a_full_pool_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever waits too long for a connection of this process is told to come back.
    """
    store = await open_postgres(url, connections=2)
    monkeypatch.setattr(store._pool, "_wait_seconds", 0.1)
    try:
        taken = [await store._pool.take() for _ in range(2)]
        with pytest.raises(StoreUnavailable, match="in use") as caught:
            await store.get(a_grant().id)
        monkeypatch.setattr(store._pool, "_wait_seconds", 60.0)
        waiting = asyncio.ensure_future(store.get(a_grant().id))
        await eventually(lambda: store._pool._waiting)
        for connection in taken:
            store._pool.give_back(connection)

        assert 1.0 == caught.value.retry_after
        assert await waiting is None
        assert 2 == store._pool.size
    finally:
        await store.close()


async def test_many_calls_need_few_connections(patient: PostgresStore) -> None:
    """
    The pool is bounded, and everybody gets a turn.
    """
    await saved(patient, *(a_grant(number) for number in range(1, 11)))
    await asyncio.gather(*(patient.get(a_grant(number % 10 + 1).id) for number in range(500)))

    assert patient._pool.size <= 10


async def test_closing_leaves_no_connection_behind(patient: PostgresStore) -> None:
    """
    Calls that are on their way are answered, those that wait are told; nothing is left when it returns.
    """
    (mine,) = await saved(patient, a_grant())
    reading = [asyncio.ensure_future(patient.get(mine.id)) for _ in range(100)]
    while not patient._pool._waiting:
        await asyncio.sleep(0)
    await patient._pool.close()
    size = patient._pool.size
    results = await asyncio.gather(*reading, return_exceptions=True)
    gc.collect()  # What nobody closed would be told now.

    assert 0 == size
    assert {"Grant", "StoreUnavailable"} == {type(result).__name__ for result in results}


async def test_closing_cuts_who_does_not_come_back(
    patient: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who reads something long is told that it was lost; giving the rest back later does no harm.
    """
    monkeypatch.setattr(postgres_pool, "PARTING_SECONDS", 0.1)
    (mine,) = await saved(patient, a_grant())
    kept = await patient._pool.take()
    other = await asyncpg.connect(url)
    await other.execute("BEGIN; LOCK grants")
    reading = asyncio.ensure_future(patient.get(mine.id))
    while patient._pool.size < 2:
        await asyncio.sleep(0.01)
    await patient.close()
    size = patient._pool.size
    patient._pool.give_back(kept)
    with pytest.raises(StoreUnavailable):
        await reading
    await other.close()

    assert (0, 0) == (size, patient._pool.size)


async def test_closing_waits_for_a_connection_that_is_being_made(
    patient: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Half a connection cannot be let go of; the whole one is, and who wanted it is told.
    """
    made, go = [], asyncio.Event()
    connecting = patient._pool._connecting

    async def slowly() -> object:
        await go.wait()
        made.append(await connecting())
        return made[0]

    monkeypatch.setattr(postgres_pool, "PARTING_SECONDS", 0.05)
    monkeypatch.setattr(patient._pool, "_connecting", slowly)
    patient._pool.expire()
    reading = asyncio.ensure_future(patient.get(a_grant().id))
    closing = asyncio.ensure_future(patient.close())
    await asyncio.sleep(0.2)
    before = closing.done()
    go.set()
    await closing
    with pytest.raises(StoreUnavailable, match="closed"):
        await reading

    assert (False, [True], 0) == (before, [each.is_closed() for each in made], patient._pool.size)


async def test_a_row_that_somebody_holds(store: PostgresStore, url: str) -> None:
    """
    A save waits for a while and then says "not now"; nothing of it is written.
    """
    (mine,) = await saved(store, a_grant())
    other = await asyncpg.connect(url)
    try:
        held = other.transaction()
        await held.start()
        await other.execute("SELECT FROM grants FOR UPDATE")
        with pytest.raises(StoreUnavailable):
            await store.commit(Note(an_event()), Replace(mine))
        await held.rollback()
    finally:
        await other.close()

    assert [] == await store.events()
    assert mine == await store.get(mine.id)
    await store.commit(Replace(mine))


async def test_callers_that_leave_cost_nobody_a_connection(patient: PostgresStore) -> None:
    """
    However many reads and writes are left alone half-way, everybody else is served.
    """
    (mine,) = await saved(patient, a_grant())
    for _ in range(10):
        leaving = [
            *(asyncio.ensure_future(patient.get(mine.id)) for _ in range(15)),
            *(asyncio.ensure_future(patient.touch({mine.id: NOW})) for _ in range(15)),
        ]
        await asyncio.sleep(0.001)
        for call in leaving:
            call.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
    await healed(patient)

    assert patient._pool.size <= 10


async def test_opening_says_what_is_wrong(server: PostgresServer, template: str) -> None:
    """
    What only the operator can mend is a mistake of the settings; what may pass is not. No URL is shown.
    """
    empty = server.create()
    there = server.url(template)
    wrong = [
        (server.url(empty), "not that of this release"),
        (server.url("nowhere"), "does not have"),
        (there.replace("grantkeeper:", "nobody-here:"), "refuses"),
        (there.replace(f":{server.port}", ":port"), "cannot be understood"),
    ]
    for url, expected in wrong:
        with pytest.raises(SettingsInvalid) as caught:
            await open_postgres(url)
        assert expected in str(caught.value.problems)
        assert PASSWORD not in repr(caught.value) + repr(caught.value.__cause__) + str(caught.value.hint)
    with pytest.raises(SettingsInvalid) as caught:
        await open_postgres(server.url(empty))
    assert "grantkeeper migrate" in caught.value.hint
    with pytest.raises(StoreUnavailable):
        await open_postgres(there.replace(f":{server.port}", f":{free_port()}"))
    server.drop(empty)
