"""What the library's tests share: an emulator, a place with keys and client file, and keepers over them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from grantkeeper import Keeper
from grantkeeper.adapters.sealing import generate_keys
from grantkeeper.library.local import SyncLocalKeeper
from grantkeeper.testing.google import GoogleEmulator


@pytest.fixture
def place(tmp_path: Path, google_emulator: GoogleEmulator) -> Path:
    """A directory with a key file and the emulator's client file."""
    generate_keys(tmp_path / "keys.json")
    (tmp_path / "client_secret.json").write_bytes(google_emulator.client_secret.read_bytes())
    return tmp_path


@pytest.fixture
def options(place: Path, google_emulator: GoogleEmulator) -> dict[str, Any]:
    """What `Keeper.open` wants to work against the emulator and its clock."""
    return {
        "database_url": f"sqlite:///{place}/grants.db",
        "clients": place / "client_secret.json",
        "keys": place / "keys.json",
        "issuer": google_emulator.issuer,
        "clock_file": google_emulator.clock_file,
    }


@pytest.fixture
async def keeper(options: dict[str, Any]) -> AsyncIterator[Keeper]:
    """An open keeper, awaited."""
    async with Keeper.open(**options) as keeper:
        yield keeper


@pytest.fixture
def blocking(options: dict[str, Any]) -> Iterator[SyncLocalKeeper]:
    """An open keeper, blocking."""
    with Keeper.open_sync(**options) as keeper:
        yield keeper
