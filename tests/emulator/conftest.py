"""What the tests of the emulator's OAuth side share."""

from collections.abc import Iterator

import pytest

from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.oauth_kit import Backend


@pytest.fixture(scope="session")
def emulator_server() -> Iterator[EmulatorServer]:
    """One server for all tests of a worker."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def emulator(emulator_server: EmulatorServer) -> EmulatorServer:
    """An emulator as new, at the true time."""
    world = emulator_server.world
    world.reset()
    world.clock.advance(-world.clock.offset)
    return emulator_server


@pytest.fixture
def backend(emulator: EmulatorServer) -> Iterator[Backend]:
    """A backend with the default web client."""
    backend = Backend(emulator)
    yield backend
    backend.close()
