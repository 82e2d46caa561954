"""What the conformance suites share."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from grantkeeper.model import Grant
from grantkeeper.ports import Insert, Store

SHORT = 0.1
"""Seconds of a lease that a test outwaits."""


async def saved(store: Store, *grants: Grant) -> list[Grant]:
    """*grants* as the store has them after an `Insert` of each."""
    await store.commit(*(Insert(grant) for grant in grants))
    found = [await store.get(grant.id) for grant in grants]
    return [grant for grant in found if grant is not None]


async def outcomes(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """What each of *calls*, begun at once, returned or raised."""
    return await asyncio.gather(*calls, return_exceptions=True)


class Conformance:
    """The root of the suites: on asyncio, with a ``store`` that the user's class gives."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Stores run on asyncio."""
        return "asyncio"

    @pytest.fixture
    def store(self) -> Store:
        """The store under test, empty and open."""
        raise NotImplementedError("give the test class a fixture named store")

    async def outlast(self, seconds: float) -> None:
        """Let *seconds* pass for the store's own clock; override it where that clock is set by hand."""
        await asyncio.sleep(seconds + 0.02)
