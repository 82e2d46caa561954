"""Workers on SQLite with the engine in memory, an emulator of Google in front, and all under one clock."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.adapters.memory_engine import EngineBook
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.jobs import JobKit, kit_settings

DRIVE = "https://www.googleapis.com/auth/drive.appdata"
SCOPES = ("openid", "email", DRIVE)


@pytest.fixture
def settings(google_emulator: GoogleEmulator, tmp_path: Path) -> Settings:
    """One client, on a new database."""
    return kit_settings(google_emulator, tmp_path)


Opener = Callable[..., Awaitable[JobKit]]


@pytest.fixture
async def open_town(
    settings: Settings, google_emulator: GoogleEmulator, anyio_backend: str
) -> AsyncIterator[Opener]:
    """Opens workers for the jobs that are given, all on one database and one engine's book."""
    book, opened = EngineBook(), []

    async def open_one(*jobs: Any, at_once: int = 4, rates: Any = ()) -> JobKit:
        kit = JobKit(google_emulator, settings, jobs, book=book, at_once=at_once, rates=rates)
        await kit.worker.start()
        opened.append(kit)
        return kit

    yield open_one
    for kit in opened:
        await kit.worker.stop(seconds=1.0)
