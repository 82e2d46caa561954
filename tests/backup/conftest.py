"""An old database and a new one, of every pair of kinds; and Google's side for real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backup.places import Place, SqlitePlace
from tests.contract.stage import Google


@pytest.fixture(params=["sqlite"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The database that is backed up."""
    return SqlitePlace(tmp_path / "old.db")


@pytest.fixture(params=["sqlite"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The one that is restored into."""
    return SqlitePlace(tmp_path / "new.db")


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Google]:
    """`grantkeeper emulator`, as a process."""
    google = Google(tmp_path_factory.mktemp("google"))
    yield google
    google.process.stop()
