"""
Connections to PostgreSQL: made when they are needed, bounded, given back as they came.

A connection here has no state of a session, so nothing is reset between two
users: taking one that is idle costs no trip to the server and no task.
"""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from grantkeeper.errors import StoreUnavailable

MOST = 10
"""Connections of one process. A database with 100 of them carries ten processes with room to spare."""

WAIT_SECONDS = 2.0
"""How long a call waits for a connection that others have."""

IDLE_SECONDS = 60.0
"""What nobody has used for so long is closed."""

PARTING_SECONDS = 1.0

Connection = Any
"""asyncpg's, which has no types."""


class _Idle(NamedTuple):
    connection: Connection
    since: float


class PostgresPool:
    """
    At most *most* connections, the one that was used last first.

    Args:
        connecting: Makes a connection; what it raises goes to the caller that needed it.
    """

    def __init__(
        self,
        connecting: Callable[[], Awaitable[Connection]],
        *,
        most: int = MOST,
    ) -> None:
        self._connecting = connecting
        self._most = most
        self._wait_seconds = WAIT_SECONDS
        self._idle: list[_Idle] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open = 0
        self._age = 0
        self._ages: dict[Connection, int] = {}
        self._parting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._process = os.getpid()

    async def take(self) -> Connection:
        """
        A connection for the caller alone, until it is given back.

        Raises:
            StoreUnavailable: Others have all of them for too long, or the pool is closed.
        """
        if self._process != os.getpid():
            raise RuntimeError("this store was opened before the process forked; open one here")
        while True:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            while self._idle:
                connection = self._idle.pop().connection
                if not connection.is_closed():
                    return connection
                self._forget(connection)
            if self._open < self._most:
                return await self._connect()
            await self._wait()

    async def _connect(self) -> Connection:
        self._open += 1
        try:
            age = self._age
            connection = await self._connecting()
        except BaseException:
            self._open -= 1
            self._wake()
            raise
        self._ages[connection] = age
        if self._closed:
            self.give_back(connection)
            raise StoreUnavailable("the store is closed")
        return connection

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._turn()
        except TimeoutError as error:
            raise StoreUnavailable("all connections to the database are in use", retry_after=1.0) from error

    async def _turn(self) -> None:
        """Wait until a connection came back or ended, and nobody who came before needs it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._wake()  # It was our turn; now it is the next one's.
            raise
        finally:
            with suppress(ValueError):
                self._waiting.remove(turn)

    def adopt(self, connection: Connection) -> None:
        """Take over one that was made elsewhere in the same way."""
        self._open += 1
        self._ages[connection] = self._age
        self.give_back(connection)

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def give_back(self, connection: Connection, *, broken: bool = False) -> None:
        """Let others use it; one that is *broken* or out of date is thrown away."""
        if connection not in self._ages:
            return  # Closing took it away.
        if broken or self._closed or connection.is_closed() or self._ages[connection] != self._age:
            self._forget(connection)
        else:
            self._idle.append(_Idle(connection, asyncio.get_running_loop().time()))
            self._let_go_of_old()
        self._wake()

    def _let_go_of_old(self) -> None:
        latest = self._idle[-1].since - IDLE_SECONDS
        while self._idle[0].since < latest:
            self._forget(self._idle.pop(0).connection)

    def _forget(self, connection: Connection) -> None:
        self._open -= 1
        del self._ages[connection]
        if not connection.is_closed():
            parting = asyncio.ensure_future(goodbye(connection))
            self._parting.add(parting)
            parting.add_done_callback(self._parting.discard)

    def expire(self) -> None:
        """Trust none of the connections that there are: each is thrown away when it is free."""
        self._age += 1
        while self._idle:
            self._forget(self._idle.pop().connection)

    @property
    def size(self) -> int:
        """Connections that are open or being opened."""
        return self._open

    async def close(self) -> None:
        """
        Give away no more, and leave none behind: those in use end when they come back, or after
        `PARTING_SECONDS`, which tells whoever uses one that it was lost.
        """
        self._closed = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        while self._idle:
            self._forget(self._idle.pop().connection)
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTING_SECONDS):
                await self._end()
        while self._ages:
            connection, _ = self._ages.popitem()
            self._open -= 1
            connection.terminate()
        await self._end()  # Of what is being made, which has a limit of its own.
        await asyncio.gather(*self._parting)

    async def _end(self) -> None:
        while self._open:
            await self._turn()
        self._wake()  # Another may be closing too.


async def goodbye(connection: Connection) -> None:
    """
    Close it in good order: what was left half-way on it is ended first, at the server too.

    Without an answer for `PARTING_SECONDS` it is closed all the same.
    """
    try:
        async with asyncio.timeout(PARTING_SECONDS):
            await connection.close()
    except BaseException as error:
        connection.terminate()
        # A terminated transport ends in the loop's next round.
        await asyncio.sleep(0)
        if not isinstance(error, Exception):
            raise
