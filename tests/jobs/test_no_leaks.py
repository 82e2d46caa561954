"""
Jobs that use everything they are given, and then a search for it where it may not be.

Searched are the database and the engine's, with their journals, and all that the worker and Python's own
log print. The emulator puts a marker into every token, so that none has to be known.
"""

import asyncio
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from grantkeeper import JobContext, PermanentFailure, PlainJobContext, job
from grantkeeper.adapters.postgres_schema import migrate_postgres
from grantkeeper.emulator.world import MARKERS
from grantkeeper.google.drive import Drive
from grantkeeper.google.photos import Photos
from grantkeeper.jobs.definition import by_name
from grantkeeper.jobs.envelopes import PREFIX
from grantkeeper.library.worker import Worker
from grantkeeper.server.logs import configure
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator
from tests.jobs.conftest import DRIVE, SCOPES

pytestmark = pytest.mark.anyio

ADDING = "https://www.googleapis.com/auth/photoslibrary.appendonly"
PLAIN = "a-word-that-is-no-secret"
"""A step returns it: what is searched holds what steps returned."""


@contextmanager
def printed() -> Iterator[io.StringIO]:
    """All that is logged, as our own log prints it and as Python's does: with tracebacks."""
    out, loggers = io.StringIO(), [logging.getLogger(), logging.getLogger("grantkeeper")]
    configure("json", out)
    handler = logging.StreamHandler(out)
    for logger in loggers:
        logger.addHandler(handler)
    yield out
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture(params=["sqlite", "postgres"])
async def placed(request: pytest.FixtureRequest, settings: Settings, anyio_backend: str) -> Settings:
    """Settings for either database."""
    if request.param == "sqlite":
        return settings
    url = request.getfixturevalue("postgres_url")
    await migrate_postgres(url)
    return replace(settings, database_url=url)


async def stored(settings: Settings, folder: Path) -> bytes:
    """All that the databases hold, and their files beside them."""
    if settings.database_url.startswith("sqlite"):
        return b"".join(path.read_bytes() for path in sorted(folder.rglob("*.db*")))
    db = await asyncpg.connect(settings.database_url)
    try:
        tables = await db.fetch(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables "
            "WHERE table_type = 'BASE TABLE' AND table_schema IN ('public', 'grantkeeper_jobs')"
        )
        rows = [row for (table,) in tables for row in await db.fetch(f"SELECT t::text FROM {table} AS t")]
    finally:
        await db.close()
    text = "\n".join(row[0] for row in rows)
    # What is bytes is printed in hexadecimal digits.
    return text.encode()


def found_in(data: bytes, *words: str) -> list[str]:
    """Those of *words* that are there, also in hexadecimal digits."""
    return [word for word in words if word.encode() in data or word.encode().hex().encode() in data]


async def test_jobs_leave_no_token_in_a_database_or_a_log(
    placed: Settings, google_emulator: GoogleEmulator, tmp_path: Path
) -> None:
    """
    Not by asking for one, by requests, by Google's own library, by an upload; nor by errors that quote one.
    """
    base = google_emulator.issuer

    @job(scopes=[DRIVE, ADDING], attempts=1)
    async def busy(ctx: JobContext, how: str) -> str:
        drive, photos = Drive(ctx.http, base=base), Photos(ctx.http, base=f"{base}/photoslibrary/v1")

        async def asked() -> str:
            await ctx.token()
            await ctx.http.request("GET", f"{base}/drive/v3/files?spaces=appDataFolder")
            return PLAIN

        async def begun() -> dict[str, Any]:
            return (await drive.begin_upload("a.txt", 5, "text/plain")).as_record()

        async def sent(upload: dict[str, Any]) -> str:
            assert upload["url"].startswith(PREFIX)
            return (await drive.send_upload(upload, b"hello")).id

        async def begun_there() -> dict[str, Any]:
            return (await photos.begin_upload(5, "image/jpeg")).as_record()

        async def sent_there(upload: dict[str, Any]) -> int:
            assert upload["url"].startswith(PREFIX)
            return len(await photos.send_upload(upload, b"hello"))

        async def fails() -> None:
            header = {"Authorization": f"Bearer {(await ctx.token()).access_token.reveal()}"}
            try:
                raise ValueError(f"sent {header}")
            except ValueError as error:
                if how == "for good":
                    raise PermanentFailure(f"refused {header}") from error
                raise OSError(f"refused {header}") from error

        await ctx.step(asked)
        await ctx.step(sent, await ctx.step(begun))
        await ctx.step(sent_there, await ctx.step(begun_there))
        if how != "well":
            await ctx.step(fails)
        return PLAIN

    @job(scopes=[DRIVE], attempts=1)
    def plain(ctx: PlainJobContext, how: str) -> None:
        def lent() -> str:
            headers: dict[str, str] = {}
            ctx.credentials().before_request(None, "GET", base, headers)
            assert headers["authorization"].startswith("Bearer ")
            if how != "well":
                raise OSError(f"refused {headers}")
            return PLAIN

        ctx.step(lent)

    with printed() as out:
        async with Worker(placed, by_name([busy.definition, plain.definition])) as worker:
            keeper, ended = worker.keeper, []
            grant = (await keeper.redeem(google_emulator.code("ada@example.com", [*SCOPES, ADDING]))).id
            for name, how in [
                *(("busy", how) for how in ("well", "badly", "for good")),
                *(("plain", how) for how in ("well", "badly")),
            ]:
                asked = await keeper.jobs.enqueue(name, grant, parameters={"how": how})
                async with asyncio.timeout(60):
                    while (told := await keeper.jobs.get(asked.id)).state not in ("done", "failed"):
                        await asyncio.sleep(0.05)
                ended.append((told.state, told.note))
            held = await stored(placed, tmp_path)
        log = out.getvalue().encode()

    assert ["done", "failed", "failed", "done", "failed"] == [state for state, _ in ended]
    assert "refused {'Authorization': 'Bearer ****'}" == ended[2][1]
    assert log.count(b"job.raised") >= 3
    assert b"OSError: refused {'Authorization': 'Bearer ****'}" in log, "the author's traceback is there"
    assert [PLAIN] == found_in(held, PLAIN)
    opening = [*MARKERS, "upload_id="]
    assert ([], []) == (found_in(held, *opening), found_in(log, *opening))
