"""What the examples' tests share: an emulator with photographs in it, a user's session, the app's folder."""

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import jobs
import pytest
from dull import dull
from places import ADDING, PICKING, READING, Folder

from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.testing.google import GoogleEmulator
from tests.google.kit import EmulatorSession

ADA = "ada@example.com"
PICTURES = sorted((Path(__file__).parents[2] / "examples" / "photos" / "pictures").glob("*.jpg"))


def add(google: GoogleEmulator, name: str, content: bytes, email: str = ADA) -> str:
    """A photo in a user's own library; its id."""
    body = {"email": email, "filename": name, "content": base64.b64encode(content).decode()}
    return str(google.post("photos", body)["photos"][0]["id"])


@pytest.fixture(scope="session")
def dull_pictures() -> dict[str, bytes]:
    """The photographs as a poor camera would have taken them, by name."""
    return {path.name: dull(path.read_bytes()) for path in PICTURES}


@pytest.fixture
def clock_file(tmp_path: Path) -> Path:
    """The emulator's clock, for whoever shares it."""
    return tmp_path / "clock"


@pytest.fixture
def server(clock_file: Path) -> Iterator[EmulatorServer]:
    """A fresh emulator."""
    with EmulatorServer(clock_file=clock_file) as server:
        yield server


@pytest.fixture
def google(server: EmulatorServer, clock_file: Path, dull_pictures: dict[str, bytes]) -> GoogleEmulator:
    """The emulator's control side; Ada has four dull photographs."""
    emulator = GoogleEmulator(server.url, clock_file=clock_file)
    for name, content in dull_pictures.items():
        add(emulator, name, content)
    return emulator


@pytest.fixture
async def ada(server: EmulatorServer, anyio_backend: str) -> AsyncIterator[EmulatorSession]:
    """Ada's session, for the scopes of the job."""
    session = EmulatorSession(server, ADA, PICKING, ADDING, READING)
    yield session
    await session.close()


@pytest.fixture
def folder(tmp_path: Path, server: EmulatorServer, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """The worker's side of the example, set up for the emulator and a folder of the test's."""
    monkeypatch.setattr(jobs, "PICKER_API", f"{server.url}/photospicker/v1")
    monkeypatch.setattr(jobs, "PHOTOS_API", f"{server.url}/photoslibrary/v1")
    monkeypatch.setenv("PHOTOS_FOLDER", str(tmp_path / "photos"))
    place = Folder.here()
    place.open("grant-0")
    return place
