"""``grantkeeper jobs run`` as a person starts it, on SQLite with the real engine; killed in the middle."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grantkeeper import Keeper
from grantkeeper.settings import load_settings
from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.processes import Process, without_settings

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

GRANTKEEPER = [sys.executable, "-m", "grantkeeper.cli"]
LIMIT = 60.0

APP = """
import asyncio
from pathlib import Path
from grantkeeper import JobContext, job

HERE = Path(__file__).parent

@job(scopes=["email"])
async def work(ctx: JobContext) -> list[str]:
    return [await ctx.step(first, ctx), await ctx.step(second)]

def told(what: str) -> None:
    with (HERE / "diary").open("a") as diary:
        diary.write(what + "\\n")

async def first(ctx: JobContext) -> str:
    await ctx.token()
    told("first")
    return "one"

async def second() -> str:
    told("second")
    while (HERE / "hold").exists():
        await asyncio.sleep(0.02)
    return "two"
"""


@pytest.fixture
def place(tmp_path: Path, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with an installation and an app."""
    assert google_emulator.client_secret
    shutil.copy(google_emulator.client_secret, tmp_path / "client_secret.json")
    (tmp_path / "offline.py").write_text(APP)
    monkeypatch.setenv("GRANTKEEPER_ISSUER", google_emulator.issuer)
    monkeypatch.setenv("GRANTKEEPER_CLOCK_FILE", str(google_emulator.clock_file))
    monkeypatch.chdir(tmp_path)
    subprocess.run([*GRANTKEEPER, "init"], check=True, capture_output=True, timeout=LIMIT)
    yield tmp_path


def a_worker(place: Path, google: GoogleEmulator, number: int) -> Process:
    environment = without_settings() | {
        "GRANTKEEPER_ISSUER": google.issuer,
        "GRANTKEEPER_CLOCK_FILE": str(google.clock_file),
        "GRANTKEEPER_JOBS_APP": "offline",
    }
    command = [*GRANTKEEPER, "jobs", "run"]
    return Process(command, folder=place, environment=environment, log=place / f"log-{number}")


async def until_said(worker: Process, text: str) -> None:
    async with asyncio.timeout(LIMIT):
        while text not in worker.said():
            assert worker.alive, worker.said()
            await asyncio.sleep(0.02)


async def test_a_killed_workers_job_is_done_by_the_next(place: Path, google_emulator: GoogleEmulator) -> None:
    """
    The step that was recorded before SIGKILL is not done again, the one it was at is.
    """
    (place / "hold").touch()
    async with await Keeper.open(settings=load_settings()).start() as keeper:
        grant = await keeper.redeem(google_emulator.code("ada@example.com", ["openid", "email"]))
        with a_worker(place, google_emulator, 1) as first:
            await until_said(first, "working on work")
            job = await keeper.jobs.enqueue("work", grant.id)
            async with asyncio.timeout(LIMIT):
                while not (place / "diary").exists() or "second" not in (place / "diary").read_text():
                    await asyncio.sleep(0.02)
            first.kill()
        assert "running" == (await keeper.jobs.get(job.id)).state
        (place / "hold").unlink()
        with a_worker(place, google_emulator, 2):
            async with asyncio.timeout(LIMIT):
                while (found := await keeper.jobs.get(job.id)).state != "done":
                    await asyncio.sleep(0.02)

    assert ["one", "two"] == found.result
    assert ["first", "second", "second"] == (place / "diary").read_text().split()
