"""The stages of the proofs, on every kind of database."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from grantkeeper.testing.google import GoogleEmulator
from tests.defects.services import Services
from tests.defects.stage import Database, SqliteDatabase, Stage, a_stage


@pytest.fixture(params=[SqliteDatabase], ids=["sqlite"])
def database(request: pytest.FixtureRequest) -> Callable[[Path], Database]:
    """A kind of database; each proof is played on all of them."""
    kind: Callable[[Path], Database] = request.param
    return kind


@pytest.fixture
async def stage(
    tmp_path: Path, database: Callable[[Path], Database], anyio_backend: str
) -> AsyncIterator[Stage]:
    """Keepers in this process."""
    async with a_stage(tmp_path, database) as found:
        yield found


@pytest.fixture
async def services(
    tmp_path: Path,
    database: Callable[[Path], Database],
    google_emulator: GoogleEmulator,
    anyio_backend: str,
) -> AsyncIterator[Services]:
    """Processes."""
    async with Services(tmp_path, database(tmp_path), google_emulator) as found:
        yield found
