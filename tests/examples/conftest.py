"""What the examples' tests share: an emulator, photographs in it, a user's session, the app's folder."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from dull import dull

from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.testing.google import GoogleEmulator

import grantkeeper
grantkeeper.job = lambda **o: (lambda f: f)
grantkeeper.JobContext = object

ADA = "ada@example.com"
PICTURES = sorted((Path(__file__).parents[2] / "examples" / "photos" / "pictures").glob("*.jpg"))


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorServer]:
    """A fresh emulator, with four dull photographs of Ada's."""
    place = tmp_path_factory.mktemp("google")
    with EmulatorServer(clock_file=place / "clock") as server:
        GoogleEmulator(server.url, client_secret=place / "client_secret.json")
        yield server


@pytest.fixture
def google(server: EmulatorServer) -> GoogleEmulator:
    """The emulator's control side, with four dull photographs of Ada's."""
    emulator = GoogleEmulator(server.url)
    for path in PICTURES:
        add(emulator, path.name, dull(path.read_bytes()))
    return emulator
