"""An old database and a new one, of every pair of kinds; and Google's side for real processes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from grantkeeper.adapters.postgres_schema import migrate_postgres
from tests.backup.places import EMPTY, Place, PostgresDatabase, SqlitePlace
from tests.contract.stage import Google
from tests.postgres import PostgresServer

PAIRS = [("sqlite", "sqlite"), ("postgres", "postgres")]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Of which kinds the two are; a test may ask for others."""
    return request.param


@pytest.fixture
def old(pair: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The database that is backed up."""
    return _place(pair[0], request, tmp_path / "old.db")


@pytest.fixture
def new(pair: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The one that is restored into."""
    return _place(pair[1], request, tmp_path / "new.db")


def _place(kind: str, request: pytest.FixtureRequest, file: Path) -> Place:
    if kind == "sqlite":
        return SqlitePlace(file)
    databases: dict[str, str] = request.getfixturevalue("postgres_databases")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    # Emptied rather than made anew, which would take ten times as long.
    server.execute(EMPTY, databases[file.stem])
    return PostgresDatabase(server.url(databases[file.stem]))


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: PostgresServer) -> dict[str, str]:
    """The names of two databases with the schema."""
    databases = {name: postgres_server.create() for name in ("old", "new")}
    for name in databases.values():
        asyncio.run(migrate_postgres(postgres_server.url(name)))
    return databases


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Google]:
    """`grantkeeper emulator`, as a process."""
    google = Google(tmp_path_factory.mktemp("google"))
    yield google
    google.process.stop()
