"""
Vouches for a process: a session of its own at the database holds a lock for as long as the process lives.

The system closes the connections of a process that is killed, and the server gives its locks back
at once. Whoever waits for a lease that names the lock then need not wait for the lease's end. The
session does nothing else, so no slow answer ends it; where it ends all the same, the process gets
another and signs its leases anew. A server that was restarted has ended the sessions of the living, too:
so a lease also names the server's start, and one from before says nothing of its owner.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from grantkeeper.adapters.postgres_pool import Connection, goodbye

LOCKS = 0x676B7072
"""The class of the advisory locks that vouch for processes: ``gkpr``, as an identity of ours."""

PING_SECONDS = 30.0
"""How often the session says something, so that nothing on the way takes it for dead."""

PAUSES = (0.1, 0.5, 2.0, 5.0)
"""Seconds before the session is opened again, by how often that has failed in a row."""


class PostgresLife:
    """
    The session that vouches. Belongs to one loop.

    Args:
        connecting: Makes the session's connection, past any pooler.

    Attributes:
        sign: The number of the lock that is held; ``None`` while none is.
    """

    def __init__(
        self,
        connecting: Callable[[], Awaitable[Connection]],
        sql: dict[str, str],
        *,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self.sign: int | None = None
        self._ping_seconds = ping_seconds
        self._connecting = connecting
        self._sql = sql
        self._process = os.getpid()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; until there is a session, leases end by their time alone."""
        self._task = asyncio.create_task(self._live(), name="life")

    async def close(self) -> None:
        """End the session; leases that were not given back are orphans from then on."""
        if self._task is not None and self._process == os.getpid():
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _live(self) -> None:
        failures, before = 0, None
        while True:
            try:
                session = await self._connecting()
                try:
                    await self._vouch(session, before)
                finally:
                    # At once: a lease that names a lock nobody holds is taken for a dead man's.
                    before, self.sign = self.sign or before, None
                    await goodbye(session)
                failures = 0
            except Exception:  # noqa: BLE001 - whatever it was, leases still end by their time
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1

    async def _vouch(self, session: Connection, before: int | None) -> None:
        """Hold a lock until the session ends; *before* is the one that was held last."""
        ended = asyncio.Event()
        session.add_termination_listener(lambda _: ended.set())
        # Not a secret: only two processes with one number at one time would be a mistake.
        sign = random.randrange(1, 2**31)  # noqa: S311
        while not await session.fetchval(self._sql["begin_life"], sign):
            sign = random.randrange(1, 2**31)  # noqa: S311
        if before is not None:
            await session.execute(self._sql["go_on_living"], before, sign)
        self.sign = sign
        while not ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ping_seconds):
                    await ended.wait()
            if not ended.is_set():
                await session.execute(self._sql["still_living"])
