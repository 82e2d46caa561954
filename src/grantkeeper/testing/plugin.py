"""The pytest plugin: the fixture `google_emulator`. It imports nothing of ours until a test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from grantkeeper.testing.google import GoogleEmulator


@pytest.fixture
def google_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator["GoogleEmulator"]:
    """
    A fresh emulator of Google, on a port of its own, in a thread of this process.

    What to do with it is `grantkeeper.testing.google.GoogleEmulator`: make codes,
    move the clock, plan faults, read counters.
    """
    from grantkeeper.emulator.runner import EmulatorServer
    from grantkeeper.testing.google import GoogleEmulator

    place = tmp_path_factory.mktemp("google-emulator")
    clock_file = place / "clock"
    with EmulatorServer(clock_file=clock_file) as server:
        yield GoogleEmulator(server.url, client_secret=place / "client_secret.json", clock_file=clock_file)
