"""An old database and a new one, of every pair of kinds."""

from pathlib import Path

import pytest

from tests.backup.places import Place, SqlitePlace


@pytest.fixture(params=["sqlite"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The database that is backed up."""
    return SqlitePlace(tmp_path / "old.db")


@pytest.fixture(params=["sqlite"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The one that is restored into."""
    return SqlitePlace(tmp_path / "new.db")
