"""A worker as a process: it ends when it is told to, whatever the author's code is at."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grantkeeper import Keeper
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.jobs import kit_settings
from grantkeeper.testing.processes import Process

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

APP = """
import pathlib
import time

from grantkeeper import PlainJobContext, job


@job()
def sleeps(ctx: PlainJobContext, told: str) -> str:
    first = ctx.step(begin, told)
    if pathlib.Path(told).read_text() == "1":
        pathlib.Path(told + "-recorded").touch()
        time.sleep(600)
    return first


def begin(told: str) -> str:
    path = pathlib.Path(told)
    path.write_text(str(int(path.read_text() or 0) + 1) if path.exists() else "1")
    return "begun"
"""


def worker(settings: Settings, folder: Path, name: str) -> Process:
    """One that waits for nobody when it is told to end."""
    (folder / "some_jobs.py").write_text(APP, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRANTKEEPER_")}
    return Process(
        [sys.executable, "-m", "grantkeeper.cli", "jobs", "run", "--app", "some_jobs", "--grace", "0"],
        folder=folder,
        environment=environment
        | {
            "GRANTKEEPER_DATABASE_URL": settings.database_url,
            "GRANTKEEPER_CLIENT_SECRETS": str(folder / "client_secret.json"),
            "GRANTKEEPER_KEYS": str(settings.keys),
            "GRANTKEEPER_ISSUER": next(iter(settings.clients.values())).issuer,
            "GRANTKEEPER_CLOCK_FILE": str(settings.clock_file),
        },
        log=folder / f"{name}.log",
    )


async def until(what: Callable[[], bool], process: Process) -> None:
    """Wait for *what*, and not for ever."""
    until = time.monotonic() + 60
    while not what():
        assert process.alive and time.monotonic() < until, process.said()[-3000:]
        await asyncio.sleep(0.05)


async def test_a_plain_function_does_not_keep_a_worker_from_ending(
    google_emulator: GoogleEmulator, tmp_path: Path
) -> None:
    """
    Python would wait for its thread; the job goes on at once in the next worker, after the step that is done.
    """
    settings = kit_settings(google_emulator, tmp_path)
    assert google_emulator.client_secret is not None
    (tmp_path / "client_secret.json").write_bytes(google_emulator.client_secret.read_bytes())
    told = tmp_path / "told"

    async with Keeper.open(settings=settings) as keeper:
        grant = (await keeper.redeem(google_emulator.code("ada@example.com"))).id
        with worker(settings, tmp_path, "first") as first:
            await until(lambda: "working on sleeps" in first.said(), first)
            asked = await keeper.jobs.enqueue("sleeps", grant, parameters={"told": str(told)})
            await until((tmp_path / "told-recorded").exists, first)
            status = await asyncio.to_thread(first.stop)
        # So that the function returns in its next run.
        told.write_text("2", encoding="utf-8")
        with worker(settings, tmp_path, "second") as second:
            await until(lambda: "working on sleeps" in second.said(), second)
            found: list[Any] = []
            async with asyncio.timeout(60):
                while not found or found[-1].state != "done":
                    found.append(await keeper.jobs.get(asked.id))
                    await asyncio.sleep(0.1)

    assert 0 == status
    assert "what it was at goes on elsewhere" in first.said()
    assert ("begun", "2") == (found[-1].result, told.read_text("utf-8"))
