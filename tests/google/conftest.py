"""An emulator of Google for the tests of a worker, as new for each of them, and a user's sessions at it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.scopes import (
    DRIVE_APPDATA,
    DRIVE_FILE,
    PHOTOS_APPEND,
    PHOTOS_EDIT,
    PHOTOS_READ,
    PICKER_READ,
)
from grantkeeper.testing.google import GoogleEmulator
from tests.google.kit import EmulatorSession


@pytest.fixture(scope="session")
def google_server() -> Iterator[EmulatorServer]:
    """One server for all tests of a worker."""
    with EmulatorServer() as server:
        yield server


@pytest.fixture
def server(google_server: EmulatorServer) -> EmulatorServer:
    """The emulator as new, at the true time."""
    world = google_server.world
    world.reset()
    world.clock.advance(-world.clock.offset)
    return google_server


@pytest.fixture
def control(server: EmulatorServer) -> GoogleEmulator:
    """The emulator's control side: faults, clock and counters."""
    return GoogleEmulator(server.url)


@pytest.fixture
async def drive_session(server: EmulatorServer) -> AsyncIterator[EmulatorSession]:
    """Ada's session, for Drive."""
    session = EmulatorSession(server, "ada@example.com", DRIVE_APPDATA, DRIVE_FILE)
    yield session
    await session.close()


@pytest.fixture
async def photos_session(server: EmulatorServer) -> AsyncIterator[EmulatorSession]:
    """Ada's session, for Photos and the Picker."""
    scopes = (PHOTOS_APPEND, PHOTOS_READ, PHOTOS_EDIT, PICKER_READ)
    session = EmulatorSession(server, "ada@example.com", *scopes)
    yield session
    await session.close()
