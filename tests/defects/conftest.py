"""The stages of the proofs, on every kind of database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from grantkeeper.testing.google import GoogleEmulator
from tests.defects.databases import Database, PostgresDatabase, SqliteDatabase
from tests.defects.services import Services
from tests.defects.stage import Stage, a_stage


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> Database:
    """An empty one of every kind; each proof is played on all of them."""
    if request.param == "sqlite":
        return SqliteDatabase(tmp_path)
    return PostgresDatabase(request.getfixturevalue("emptied_url"))


@pytest.fixture
async def stage(tmp_path: Path, database: Database, anyio_backend: str) -> AsyncIterator[Stage]:
    """Keepers in this process."""
    async with a_stage(tmp_path, database) as found:
        yield found


@pytest.fixture
async def services(
    tmp_path: Path, database: Database, google_emulator: GoogleEmulator, anyio_backend: str
) -> AsyncIterator[Services]:
    """Processes."""
    async with Services(tmp_path, database, google_emulator) as found:
        yield found
