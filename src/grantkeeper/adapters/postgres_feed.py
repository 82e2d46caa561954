"""
The change feed of PostgreSQL: one connection that is asked often, and rung up.

Numbers are drawn before their transactions commit. A reader therefore keeps
the numbers below its place that it has not seen, and asks for them again until
they show up or are so old that their transactions were surely undone.

A notification only says "ask now". None is sent inside a transaction that
writes, because it would take a lock that all of them share; a lost one costs
a fifth of a second.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from grantkeeper.adapters.postgres_errors import translated
from grantkeeper.adapters.postgres_pool import Connection, goodbye
from grantkeeper.errors import StoreUnavailable
from grantkeeper.model import Change, News

CHANNEL = "grantkeeper"

POLL_SECONDS = 0.2
"""How often the feed is asked when nothing rings."""

POLL_LIMIT = 0.4
"""A question that takes longer says that the database is not heard."""

NOTIFY_SECONDS = 0.02
"""Notifications of one process are at least so far apart."""

FEED_LIMIT = 1000
"""Changes in one answer at most; the next call goes on."""

LOOK_BACK = 1000
"""How many numbers below its first place a new reader looks at for such as are missing."""

GAP_SECONDS = 60.0
"""A number that was not seen for so long was never committed: no transaction of ours lives so long."""

GAP_LIMIT = 10_000


@dataclass(slots=True)
class _Reader:
    """
    One who reads on from call to call.

    Attributes:
        place: The highest number it was told.
        at: When that change was made; another database has another time there.
        gaps: Numbers below its place that it was not told, and when each was first missed.
        line: The connection on which it was last looked after.
    """

    place: int
    at: datetime | None = None
    gaps: dict[int, float] = field(default_factory=dict)
    line: Connection | None = None


class PostgresFeed:
    """
    Reads the feed for a store.

    Args:
        connecting: Makes the feed's own connection.
        whole: Wrap every question in a transaction, for a pooler.
    """

    def __init__(
        self, connecting: Callable[[], Awaitable[Connection]], sql: dict[str, str], *, whole: bool
    ) -> None:
        self._connecting = connecting
        self._sql = sql
        self._whole = whole
        self._line: Connection | None = None
        self._lock = asyncio.Lock()
        self._bell = asyncio.Event()
        # A task that calls is a reader: it goes on where it was, and hears of late changes once.
        self._readers: WeakKeyDictionary[asyncio.Task[Any], _Reader] = WeakKeyDictionary()
        self._parting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._process = os.getpid()

    async def changes(self, after: int, *, seconds: float) -> News:
        """See `grantkeeper.ports.ChangeFeed.changes`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        reader = self._reader(after)
        while True:
            bell, asked_at = self._bell, loop.time()
            found = await self._ask(reader)
            if found or loop.time() >= until:
                return News(tuple(found), age=loop.time() - asked_at)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(POLL_SECONDS, until - loop.time())):
                    await bell.wait()

    def _reader(self, after: int) -> _Reader:
        task = asyncio.current_task()
        assert task is not None
        reader = self._readers.get(task)
        if reader is None or reader.place != after:
            reader = self._readers[task] = _Reader(after)
        return reader

    def _ring(self, *_: object) -> None:
        self._bell.set()
        self._bell = asyncio.Event()

    async def close(self) -> None:
        """Let go of the connection; who waits hears that the store is closed."""
        self._closed = True
        self._hang_up()
        self._ring()
        async with self._lock:
            # Who was just connecting has put the connection there.
            self._hang_up()
        await asyncio.gather(*self._parting)

    # -- asking -----------------------------------------------------------------------------

    async def _ask(self, reader: _Reader) -> list[Change]:
        async with self._lock:
            if self._process != os.getpid():
                raise RuntimeError("this store was opened before the process forked; open one here")
            if self._closed:
                raise StoreUnavailable("the store is closed")
            try:
                line = await self._connected()
                async with asyncio.timeout(POLL_LIMIT):
                    if reader.line is not line and not await self._look_after(reader, line):
                        return await self._everything(reader, line)
                    rows = await self._rows(line, "poll_changes", reader.place, list(reader.gaps), FEED_LIMIT)
            except BaseException as error:
                # After an error or a departure nobody knows what the line still carries.
                self._hang_up()
                raise self._told_off(error) from error
        newest, swept, *_ = rows[0]
        if newest < reader.place or swept > reader.place:
            # Swept away, or a database restored from before: the reader cannot know what it missed.
            return self._all(reader, newest)
        return self._told(reader, [row for row in rows if row[2] is not None])

    def _told_off(self, error: BaseException) -> BaseException:
        if self._closed and isinstance(error, Exception):
            return StoreUnavailable("the store is closed")
        return translated(error, "poll_changes")

    async def _connected(self) -> Connection:
        if self._line is None or self._line.is_closed():
            line = await self._connecting()
            try:
                line.add_termination_listener(self._ring)
                if not self._whole:
                    await line.add_listener(CHANNEL, self._ring)
            except BaseException:
                line.terminate()
                raise
            self._line = line
        return self._line

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.remove_termination_listener(self._ring)
            parting = asyncio.ensure_future(goodbye(line))
            self._parting.add(parting)
            parting.add_done_callback(self._parting.discard)

    async def _rows(self, line: Connection, name: str, *values: object) -> list[Any]:
        if not self._whole:
            return await line.fetch(self._sql[name], *values)  # type: ignore[no-any-return]
        await line.execute("BEGIN")
        found: list[Any] = await line.fetch(self._sql[name], *values)
        await line.execute("COMMIT")
        return found

    async def _look_after(self, reader: _Reader, line: Connection) -> bool:
        """
        Begin on a new connection.

        A new reader learns which numbers are missing below its place. For an older one the change at its
        place must still be the same: a server that took over may have lost the last ones.
        """
        if reader.at is not None:
            row = await self._rows(line, "change_at", reader.place)
            if not row or row[0][0] != reader.at:
                return False
        elif reader.line is None and reader.place > 0:
            begin = max(0, reader.place - LOOK_BACK)
            seen = {seq for (seq,) in await self._rows(line, "numbers_between", begin, reader.place)}
            now = asyncio.get_running_loop().time()
            reader.gaps = {seq: now for seq in range(begin + 1, reader.place + 1) if seq not in seen}
            row = await self._rows(line, "change_at", reader.place)
            reader.at = row[0][0] if row else None
        reader.line = line
        return True

    async def _everything(self, reader: _Reader, line: Connection) -> list[Change]:
        ((newest,),) = await self._rows(line, "newest_change")
        return self._all(reader, newest)

    @staticmethod
    def _all(reader: _Reader, newest: int) -> list[Change]:
        """Tell it to look at everything, and begin anew at the newest change."""
        reader.place, reader.at, reader.line, reader.gaps = newest, None, None, {}
        return [Change(newest, "all", "")]

    def _told(self, reader: _Reader, rows: list[Any]) -> list[Change]:
        now = asyncio.get_running_loop().time()
        for _, _, seq, _, _, at in rows:
            if seq <= reader.place:
                reader.gaps.pop(seq, None)
                continue
            if seq - reader.place > GAP_LIMIT:
                return self._all(reader, rows[0][0])
            reader.gaps.update(dict.fromkeys(range(reader.place + 1, seq), now))
            reader.place, reader.at = seq, at
        for seq in [seq for seq, since in reader.gaps.items() if now - since > GAP_SECONDS]:
            del reader.gaps[seq]
        return [Change(seq, kind, what) for _, _, seq, kind, what, _ in rows]


class Notifier:
    """
    Rings at the other nodes after a commit; many commits close together ring once.

    Args:
        ringing: Sends one notification.
    """

    def __init__(self, ringing: Callable[[], Awaitable[object]]) -> None:
        self._ringing = ringing
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def poke(self) -> None:
        """Something was committed that others should look at."""
        self._again = True
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="notifier")

    async def _run(self) -> None:
        try:
            while self._again:
                self._again = False
                with suppress(StoreUnavailable):
                    await self._ringing()
                # Pausing after it and not before: the first of a few is heard at once.
                await asyncio.sleep(NOTIFY_SECONDS)
        finally:
            self._task = None

    async def close(self) -> None:
        """Ring no more, once what rings has rung: it has a connection in its hands."""
        task, self._again = self._task, False
        if task is not None:
            await asyncio.wait([task])
