"""Waiting for what others are about to do, as long as it takes; to sleep instead is for idle machines."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from grantkeeper.testing.google import GoogleEmulator

T = TypeVar("T")


def wait_for(what: Callable[[], T], seconds: float = 30.0) -> T:
    """The first true thing that *what* says."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return found


async def eventually(what: Callable[[], T], seconds: float = 30.0) -> T:
    """The first true thing that *what* says, while others work."""
    async with asyncio.timeout(seconds):
        while not (found := what()):
            await asyncio.sleep(0.01)
    return found


def struck(google: GoogleEmulator) -> Callable[[], bool]:
    """Whether every fault that was asked for has met its request: so that one is on its way."""
    return lambda: not google.active_faults()
