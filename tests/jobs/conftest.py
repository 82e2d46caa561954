"""Workers on SQLite with the engine in memory, an emulator of Google in front, and all under one clock."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.adapters.memory_engine import EngineBook, MemoryEngine
from grantkeeper.adapters.sealing import generate_keys
from grantkeeper.jobs.definition import by_name
from grantkeeper.library.worker import Worker
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator

DRIVE = "https://www.googleapis.com/auth/drive.appdata"
SCOPES = ("openid", "email", DRIVE)


@pytest.fixture
def settings(google_emulator: GoogleEmulator, tmp_path: Path) -> Settings:
    """One client, on a new database."""
    generate_keys(tmp_path / "keys.json")
    assert google_emulator.client_secret is not None
    return Settings.of(
        google_emulator.client_secret,
        directory=tmp_path,
        issuer=google_emulator.issuer,
        keys=tmp_path / "keys.json",
        database_url=f"sqlite:///{tmp_path / 'grants.db'}",
        clock_file=google_emulator.clock_file,
    )


@dataclass
class Town:
    """A worker, and what a test asks of it."""

    worker: Worker
    google: GoogleEmulator
    engine: MemoryEngine

    async def signed_in(self, email: str = "ada@example.com", scopes: tuple[str, ...] = SCOPES) -> str:
        """A user's grant."""
        return (await self.worker.keeper.redeem(self.google.code(email, scopes))).id

    async def enqueue(self, name: str, grant: str, /, **parameters: Any) -> str:
        """A job's id."""
        return (await self.worker.keeper.jobs.enqueue(name, grant, parameters=parameters)).id

    async def until(self, job_id: str, *states: str) -> Any:
        """The job's report once it stands so."""
        import asyncio

        async with asyncio.timeout(20):
            while (found := await self.worker.keeper.jobs.get(job_id)).state not in states:
                await asyncio.sleep(0.02)
        return found


Opener = Callable[..., Awaitable[Town]]


@pytest.fixture
async def open_town(
    settings: Settings, google_emulator: GoogleEmulator, anyio_backend: str
) -> AsyncIterator[Opener]:
    """Opens workers for the jobs that are given, all on one database and one engine's book."""
    book, opened = EngineBook(), []

    async def open_one(*jobs: Any, at_once: int = 4, rates: Any = ()) -> Town:
        engine = MemoryEngine(book)
        worker = Worker(
            settings, by_name(each.definition for each in jobs), at_once=at_once, engine=engine, rates=rates
        )
        await worker.start()
        opened.append(worker)
        return Town(worker, google_emulator, engine)

    yield open_one
    for worker in opened:
        await worker.stop(seconds=1.0)
