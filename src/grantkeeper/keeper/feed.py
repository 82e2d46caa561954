"""Following the change feed: what another node changed is forgotten here within a moment."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from grantkeeper.errors import StoreUnavailable
from grantkeeper.keeper.cache import Cache
from grantkeeper.keeper.means import Means

SILENCE = 0.75
"""Seconds without a word from the feed after which memory is not believed (design section 9)."""

PATIENCE = 0.4
PAUSE = 0.1

Listener = Callable[[str, str], None]


class Follower:
    """Reads the feed for ever and tells what changed to the cache and to listeners."""

    def __init__(self, means: Means, cache: Cache) -> None:
        self._means = means
        self._cache = cache
        self._listeners: list[Listener] = []
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._heard_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def silent(self) -> bool:
        """Whether the feed has said nothing for too long to trust memory; any thread."""
        return self._means.clock.monotonic() - self._heard_at > SILENCE

    def listen(self, listener: Listener) -> None:
        """Call *listener* with kind and id of every change, on the loop."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Begin; memory is believed from the first answer on."""
        after = await self._means.store.last_change()
        self._heard_at = self._means.clock.monotonic()
        self._task = asyncio.create_task(self._follow(after), name="change-feed")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def changed(self, grant_id: str, seconds: float) -> None:
        """Wait until something about the grant changes, but no longer than *seconds*."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(grant_id, []).append(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            waiting = self._waiting.get(grant_id, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._waiting.pop(grant_id, None)

    async def _follow(self, after: int) -> None:
        while True:
            try:
                news = await self._means.store.changes(after, seconds=PATIENCE)
            except StoreUnavailable:
                await asyncio.sleep(PAUSE)
                continue
            except Exception as error:  # noqa: BLE001 - a feed that ended would be noticed by nobody
                self._means.tell("feed.broken", level=logging.ERROR, exception=type(error).__name__)
                await asyncio.sleep(PAUSE)
                continue
            for change in news.changes:
                # "All" begins anew where it says, which is earlier when a database has lost its last changes.
                after = change.seq if change.kind == "all" else max(after, change.seq)
                self._tell(change.kind, change.id)
            # After the changes are obeyed, not before: a node is as young as what it has done.
            self._heard_at = self._means.clock.monotonic() - news.age

    def _tell(self, kind: str, row_id: str) -> None:
        if kind == "grant":
            self._cache.drop(row_id)
            for future in self._waiting.pop(row_id, []):
                if not future.done():
                    future.set_result(None)
        elif kind == "all":
            self._cache.clear()
            for grant_id in list(self._waiting):
                self._tell("grant", grant_id)
        for listener in self._listeners:
            listener(kind, row_id)
