"""The routes for machines that watch: alive, ready, numbers, and the keys of session tokens."""

import asyncio
from typing import Final

from grantkeeper.keeper.custody import HOLDS
from grantkeeper.server import metrics
from grantkeeper.server.answers import AliveAnswer, ReadyAnswer
from grantkeeper.server.call import Call
from grantkeeper.server.service import Service
from grantkeeper.server.wire import JSON, NO_STORE, Answer, json_answer

READY_SECONDS: Final = 3.0
KEYS_FOR: Final = b"public, max-age=300"
"""Keys are published long before they sign, so a copy of five minutes is never too old."""


async def alive(service: Service, call: Call) -> Answer:
    """``GET /healthz``: the process answers; nothing else is asked."""
    return json_answer(AliveAnswer(status="ok"))


async def ready(service: Service, call: Call) -> Answer:
    """
    ``GET /readyz``: 200 when this node can do its work, else 503.

    A silent change feed makes it slower and not wrong, a journal that holds something is doing
    its work, and what only says "ok, but" keeps nobody from working: these are told and do not count.
    """
    try:
        async with asyncio.timeout(READY_SECONDS):
            checks = await service.core.ready()
    except TimeoutError:
        checks = {"database": f"did not answer within {READY_SECONDS:.0f} seconds"}
    good = all(
        said == "ok"
        or said.startswith("ok, but ")
        or name == "feed"
        or (name == "journal" and said.startswith(HOLDS))
        for name, said in checks.items()
    )
    return json_answer(
        ReadyAnswer(status="ok" if good else "unavailable", checks=checks), 200 if good else 503
    )


async def numbers(service: Service, call: Call) -> Answer:
    """``GET /metrics``: Prometheus text, summed over the workers."""
    found = await metrics.gathered(service.tally, service.board)
    for state, count in (await service.job_counts.read()).items():
        found.gauges[f"{metrics.JOBS}{state}"] = float(count)
    kind = (b"content-type", metrics.CONTENT_TYPE)
    return Answer(200, metrics.exposition(found), (kind, NO_STORE))


async def keys(service: Service, call: Call) -> Answer:
    """``GET /.well-known/jwks.json``."""
    answer = json_answer(await service.core.session_keys())
    return Answer(200, answer.body, (JSON, (b"cache-control", KEYS_FOR)))
