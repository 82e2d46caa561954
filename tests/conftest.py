"""What every test shares."""

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, configuration, settings

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

configuration.set_hypothesis_home_dir(Path(__file__).parent.parent / ".build" / "hypothesis")
# No deadline: a busy machine is slow, not wrong. CI tries the same examples each time, people new ones.
settings.register_profile(
    "grantkeeper",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("grantkeeper")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, the only loop the product runs on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def same_logging() -> Iterator[None]:
    """A service that began in this process, if only to be refused, leaves no log on a stream of the past."""
    loggers = [logging.getLogger(), logging.getLogger("grantkeeper")]
    before = [(list(each.handlers), each.level, each.propagate) for each in loggers]
    yield
    for each, (handlers, level, propagate) in zip(loggers, before, strict=True):
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def patient_postgres() -> Iterator[None]:
    """
    Stores on PostgreSQL wait for a machine that stands still.

    How long they wait in life is less than some machines do. A test of that sets it anew; services in
    processes of their own are as they are in life.
    """
    from grantkeeper.adapters import postgres_connect, postgres_feed, postgres_pool

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_connect, "CONNECT_SECONDS", 30.0)
        patch.setattr(postgres_connect, "COMMAND_SECONDS", 25.0)
        patch.setitem(postgres_connect.SESSION, "statement_timeout", "20000")
        patch.setitem(postgres_connect.SESSION, "lock_timeout", "15000")
        patch.setattr(postgres_feed, "POLL_LIMIT", 20.0)
        patch.setattr(postgres_pool, "WAIT_SECONDS", 60.0)
        yield


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[PostgresServer]":
    """One PostgreSQL for all tests of this worker; a test that stops or slows it starts its own."""
    from tests.postgres import PostgresServer

    # What a crash would lose is not what these tests look at.
    with PostgresServer({"fsync": "off"}) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: "PostgresServer") -> Iterator[str]:
    """The URL of an empty database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: "PostgresServer") -> str:
    """The name of a database to copy; making the schema in each would take ten times as long."""
    from grantkeeper.adapters.postgres_schema import migrate_postgres

    name = postgres_server.create()
    asyncio.run(migrate_postgres(postgres_server.url(name)))
    return name


@pytest.fixture(scope="session")
def shared_url(postgres_server: "PostgresServer", migrated_template: str) -> str:
    """A database that `emptied_url` empties for each test: a new one for each costs ten times as much."""
    return postgres_server.url(postgres_server.create(template=migrated_template))


@pytest.fixture
async def emptied_url(shared_url: str) -> str:
    """The URL of a database of grantkeeper's that others have used before; nobody uses it now."""
    import asyncpg

    connection = await asyncpg.connect(shared_url)
    # Quicker than TRUNCATE, which makes new files.
    await connection.execute(
        """
        DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT relname FROM pg_class
                WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                AND relname NOT IN ('feed', 'grantkeeper_migrations')
            LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
        END $$;
        SELECT setval(pg_get_serial_sequence('changes', 'seq'), 1, false);
        UPDATE feed SET swept = 0
        """
    )
    await connection.close()
    return shared_url
