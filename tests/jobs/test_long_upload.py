"""The whole of it: hours of uploading under several tokens, and access that ends in between."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from grantkeeper import JobContext, job
from grantkeeper.google.drive import Drive
from grantkeeper.google.uploading import GRANULARITY
from tests.jobs.conftest import DRIVE, Opener

pytestmark = pytest.mark.anyio

CHUNKS = 5
CONTENT = bytes(range(256)) * (GRANULARITY // 256) * CHUNKS
CHUNK_SECONDS = 1800.0


@pytest.mark.parametrize(("how", "chunks"), [("revoked", 3), ("expired", 4)])
async def test_hours_of_uploading_outlive_tokens_and_a_consent(
    open_town: Opener, how: str, chunks: int
) -> None:
    """
    The job parks with what has arrived, says why, and goes on from there when the user consents again.

    Access for a time ends with the last token that was given in it: after the fourth half hour.
    """
    arrived: list[int] = []

    @job(scopes=[DRIVE])
    async def upload(ctx: JobContext) -> str:
        drive = Drive(ctx.http, base=town.google.issuer)

        async def begin() -> Mapping[str, Any]:
            upload = await drive.begin_upload("long.bin", len(CONTENT), "application/octet-stream")
            return upload.as_record()

        async def told(done: int, of: int) -> None:
            first = done not in arrived
            arrived.append(done)
            await ctx.progress(done, of, "uploading")
            if first and 0 < done < of:
                await asyncio.to_thread(town.advance, CHUNK_SECONDS)
            if first and done == chunks * GRANULARITY and how == "revoked":
                await asyncio.to_thread(town.google.revoke, "ada@example.com")

        async def send(record: Mapping[str, Any]) -> str:
            return (await drive.send_upload(record, CONTENT, chunk=GRANULARITY, told=told)).id

        return await ctx.step(send, await ctx.step(begin))

    town = await open_town(upload)
    wanted = sorted({"openid", "email", DRIVE})
    seconds = {"access_seconds": int(2.5 * CHUNK_SECONDS)} if how == "expired" else {}
    code = town.google.code("ada@example.com", wanted, force=True, **seconds)
    grant = (await town.worker.keeper.redeem(code)).id
    parked = await town.until(await town.enqueue(upload, grant))
    refreshed = town.google.count("token", "refresh_token")
    assert ("parked", how, chunks * GRANULARITY) == (parked.state, parked.reason, parked.report.done)
    assert parked.note
    assert ["begin"] == [name for name, _ in parked.records]

    assert grant == await town.signed_in()
    done = await town.until(parked.id, "done")

    assert list(range(0, len(CONTENT) + 1, GRANULARITY)) == sorted(set(arrived))
    assert ["begin", "send"] == [name for name, _ in done.records]
    assert refreshed >= 1
    assert len(CONTENT) == town.google.count("totals", "drive", "bytes_received")
    assert 1 == town.google.count("totals", "drive", "uploads_begun")
    assert 1 == town.google.count("totals", "drive", "uploads_finished")
