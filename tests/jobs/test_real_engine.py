"""The same functions on the engine that is shipped: what they are does not matter to it."""

import asyncio
from typing import Any

import pytest

from grantkeeper import JobContext, PlainJobContext, job
from grantkeeper.jobs.definition import by_name
from grantkeeper.library.worker import Worker
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator

pytestmark = pytest.mark.anyio


@job()
async def quick(ctx: JobContext, name: str) -> list[str]:
    return [await ctx.step(_upper, name), await ctx.named_step("again", _lower, name)]


@job()
def slow(ctx: PlainJobContext, name: str) -> list[str]:
    ctx.progress(1, 2, "half of it")
    return [ctx.step(_upper, name), ctx.named_step("again", _upper, name)]


def _upper(name: str) -> str:
    return name.upper()


async def _lower(name: str) -> str:
    return name.lower()


async def test_async_and_plain_functions_have_steps(
    settings: Settings, google_emulator: GoogleEmulator
) -> None:
    """
    A plain function's thread is not the task that the engine began: its steps are recorded all the same.
    """
    worker = Worker(settings, by_name([quick.definition, slow.definition]), at_once=2)
    async with worker:
        keeper = worker.keeper
        grant = (await keeper.redeem(google_emulator.code("ada@example.com"))).id
        asked = [
            await keeper.jobs.enqueue(name, grant, parameters={"name": "Ada"}) for name in ("quick", "slow")
        ]
        found: list[Any] = []
        for each in asked:
            async with asyncio.timeout(30):
                while (told := await keeper.jobs.get(each.id)).state != "done":
                    await asyncio.sleep(0.05)
                    assert told.state in ("queued", "running"), told.note
            found.append((told.result, told.steps))

    assert [(["ADA", "ada"], 2), (["ADA", "ADA"], 2)] == found
