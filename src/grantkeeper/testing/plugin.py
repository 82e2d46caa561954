"""
The pytest plugin: the fixtures `google_emulator` and `job_kit`.

It imports nothing of ours until a test asks for one.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from grantkeeper.testing.google import GoogleEmulator
    from grantkeeper.testing.jobs import JobKit


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


@pytest.fixture
def job_kit(
    google_emulator: "GoogleEmulator", tmp_path_factory: pytest.TempPathFactory
) -> "Callable[..., AbstractAsyncContextManager[JobKit]]":
    """
    Opens a worker for jobs, with the emulator as Google: ``async with job_kit(work) as kit:``.

    What to do with it is `grantkeeper.testing.jobs.JobKit`: sign users in, run jobs, move
    the clock, let the worker die.
    """
    from grantkeeper.testing.jobs import job_kit as opened

    return partial(opened, google_emulator, tmp_path_factory.mktemp("job-kit"))
