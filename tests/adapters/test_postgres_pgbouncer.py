"""Behind PgBouncer in transaction mode the store keeps every promise, the feed beside it or through it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from grantkeeper.adapters.postgres import PostgresStore, open_postgres
from grantkeeper.adapters.postgres_schema import migrate_postgres
from grantkeeper.ports import Insert
from grantkeeper.testing.conformance import StoreConformance
from grantkeeper.testing.conformance_rest import heard, named
from grantkeeper.testing.records import a_grant
from tests.pgbouncer import PgBouncer
from tests.postgres import PostgresServer, database_of

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def pooler(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """PgBouncer in front of the tests' server."""
    with PgBouncer(postgres_server) as pooler:
        yield pooler


class TestBehindPgBouncer(StoreConformance):
    """The whole suite; the feed has a connection of its own to the server."""

    @pytest.fixture
    async def store(self, emptied_url: str, pooler: PgBouncer) -> AsyncIterator[PostgresStore]:
        store = await open_postgres(
            pooler.url(database_of(emptied_url)), statement_cache=0, listen_url=emptied_url
        )
        yield store
        await store.close()


@pytest.mark.anyio
async def test_without_a_direct_url_the_feed_asks_through_it(emptied_url: str, pooler: PgBouncer) -> None:
    """
    Nothing rings there, and a change is heard all the same.
    """
    url = pooler.url(database_of(emptied_url))
    stores = [await open_postgres(url, statement_cache=0) for _ in range(2)]
    try:
        waiting = asyncio.ensure_future(heard(stores[0], 0, 30))
        await asyncio.sleep(0.05)
        await stores[1].commit(Insert(a_grant()))

        assert [("grant", a_grant().id)] == named(await asyncio.wait_for(waiting, 60))
    finally:
        for store in stores:
            await store.close()


def test_migrations_can_go_through_it(postgres_server: PostgresServer, pooler: PgBouncer) -> None:
    """
    Where there is no way past it.
    """
    name = postgres_server.create()
    try:
        first = asyncio.run(migrate_postgres(pooler.url(name)))
        again = asyncio.run(migrate_postgres(pooler.url(name)))

        assert (1, ()) == (first[0], again)
    finally:
        postgres_server.drop(name)
