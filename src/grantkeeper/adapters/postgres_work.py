"""
Running statements: reads, single writes and transactions, each on a connection of the pool.

A write that has begun goes on to its end when its caller leaves, and closing
waits for it. A read that meets a connection which died while it was idle is
tried once more; a write never is, but for a transaction that had not begun.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from grantkeeper.adapters.postgres_errors import READ_ONLY, RETRY_AFTER, lost, translated
from grantkeeper.adapters.postgres_pool import Connection, PostgresPool
from grantkeeper.errors import StoreUnavailable

T = TypeVar("T")

Rows = list[Any]
Body = Callable[[Connection], Awaitable[T]]

CLOSE_SECONDS = 10.0
"""How long closing waits for writes; each of them has a shorter limit."""


class PostgresWork:
    """
    Does the work of one store.

    Args:
        whole: Wrap a single statement in a transaction too: behind a pooler that is the only way for
            preparing and running it to meet the same server.
    """

    def __init__(self, pool: PostgresPool, sql: dict[str, str], *, whole: bool) -> None:
        self._pool = pool
        self._sql = sql
        self._whole = whole
        self._writes: set[asyncio.Task[Any]] = set()
        self._closed = False

    # -- what there is to do ----------------------------------------------------------------

    async def read(self, name: str, *values: object) -> Rows:
        """
        The rows of a statement that changes nothing.

        Raises:
            StoreUnavailable: They cannot be had now.
        """
        connection = await self._take(name)
        try:
            found = await self._fetch(connection, name, values)
        except BaseException as error:
            self._after(connection, error)
            if not self._again(error):
                raise translated(error, name) from error
        else:
            self._pool.give_back(connection)
            return found
        connection = await self._take(name)
        try:
            found = await self._fetch(connection, name, values)
        except BaseException as error:
            self._after(connection, error)
            raise translated(error, name) from error
        self._pool.give_back(connection)
        return found

    async def write(self, name: str, *values: object) -> Rows:
        """
        The same of a statement that is a transaction by itself.

        Raises:
            StoreConflict: A condition of the schema does not hold. Nothing was written.
            StoreUnavailable: Nothing is known to be written.
        """
        return await self._to_the_end(self._write(name, values))

    async def transaction(self, name: str, body: Body[T]) -> T:
        """
        Run *body* in a transaction; what it raises undoes everything. Raises as `write`.

        Args:
            name: For errors.
        """
        return await self._to_the_end(self._transaction(name, body))

    async def rows(self, connection: Connection, name: str, *values: object) -> Rows:
        """The rows of a statement inside a transaction's body."""
        found: Rows = await connection.fetch(self._sql[name], *values)
        return found

    async def finish(self) -> None:
        """Begin no more writes, and wait for those that have begun."""
        self._closed = True
        if self._writes:
            await asyncio.wait(self._writes, timeout=CLOSE_SECONDS)

    # -- how --------------------------------------------------------------------------------

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise StoreUnavailable("the store is closed")
        task = asyncio.ensure_future(work)
        self._writes.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have left

    async def _take(self, name: str) -> Connection:
        try:
            return await self._pool.take()
        except BaseException as error:
            raise translated(error, name) from error

    async def _fetch(self, connection: Connection, name: str, values: tuple[object, ...]) -> Rows:
        found: Rows
        if not self._whole:
            found = await connection.fetch(self._sql[name], *values)
            return found
        await connection.execute("BEGIN")
        found = await connection.fetch(self._sql[name], *values)
        await connection.execute("COMMIT")
        return found

    async def _write(self, name: str, values: tuple[object, ...]) -> Rows:
        if self._whole:
            return await self._transaction(name, lambda connection: self.rows(connection, name, *values))
        connection = await self._take(name)
        try:
            found: Rows = await connection.fetch(self._sql[name], *values)
        except BaseException as error:
            self._after(connection, error)
            raise translated(error, name) from error
        self._pool.give_back(connection)
        return found

    async def _transaction(self, name: str, body: Body[T]) -> T:
        connection = await self._begun(name)
        try:
            result = await body(connection)
            if await connection.execute("COMMIT") != "COMMIT":
                raise StoreUnavailable("the database undid the transaction", retry_after=RETRY_AFTER)
        except BaseException as error:
            await self._undo(connection, error)
            raise translated(error, name) from error
        self._pool.give_back(connection)
        return result

    async def _begun(self, name: str) -> Connection:
        """A connection in a new transaction."""
        connection = await self._take(name)
        try:
            await connection.execute("BEGIN")
        except BaseException as error:
            self._after(connection, error)
            if not self._again(error):
                raise translated(error, name) from error
        else:
            return connection
        connection = await self._take(name)
        try:
            await connection.execute("BEGIN")
        except BaseException as error:
            self._after(connection, error)
            raise translated(error, name) from error
        return connection

    async def _undo(self, connection: Connection, error: BaseException) -> None:
        if connection.is_closed() or lost(error):
            self._after(connection, error)
            return
        try:
            await connection.execute("ROLLBACK")
        except BaseException as second:  # noqa: BLE001 - the first error is the one to tell
            self._after(connection, second)
        else:
            self._after(connection, error)

    def _after(self, connection: Connection, error: BaseException) -> None:
        """Give back a connection on which *error* was raised."""
        broken = lost(error) or connection.is_in_transaction()
        if broken and isinstance(error, Exception) and not isinstance(error, TimeoutError):
            # Whatever it was, the others have very likely met it as well.
            self._pool.expire()
        self._pool.give_back(connection, broken=broken)

    @staticmethod
    def _again(error: BaseException) -> bool:
        """Whether a connection died while it was idle: that says nothing about the next one."""
        return (
            isinstance(error, Exception)
            and lost(error)
            and not isinstance(error, TimeoutError)
            and getattr(error, "sqlstate", None) != READ_ONLY
        )
