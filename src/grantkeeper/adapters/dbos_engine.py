"""
The engine on DBOS: in a SQLite file of its own for one machine, on PostgreSQL for many.

What it stores and what it may be asked by hand is in docs/explanation/jobs-engine.md.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from grantkeeper.adapters.dbos_books import DbosBooks
from grantkeeper.adapters.dbos_runtime import DbosRuntime
from grantkeeper.errors import StoreUnavailable
from grantkeeper.ports import Run, StepRecord, Ticket

THREADS = 4
"""What is asked of the tables at the same time; runs have threads of their own."""

RETRY_AFTER = 1.0

T = TypeVar("T")


class DbosEngine:
    """
    Runs jobs on DBOS; see `Engine`. Nothing is loaded or opened before the first use.

    Every method raises `StoreUnavailable` where the database cannot be used now, and `SettingsInvalid` where
    the extra `jobs` is not installed. A run waits instead, as long as it takes, for its steps to be recorded.

    Args:
        url: Of the database of grants, as the setting has it; past a pooler, if there is a way.
        pooled: There is none: nothing is prepared then.
    """

    def __init__(self, url: str, *, pooled: bool = False) -> None:
        self._books = DbosBooks(url, pooled=pooled)
        self._threads: ThreadPoolExecutor | None = None
        self._opening = asyncio.Lock()
        self._runtime: DbosRuntime | None = None

    async def ready(self) -> None:
        """Make the tables, or bring them to this release's form; every other method does so, too."""
        async with self._opening:
            await self._asked(self._books.open)

    async def start(self, run: Run, *, executor: str, at_once: int) -> None:
        """
        Begin to take jobs.

        Raises:
            RuntimeError: The program uses DBOS itself.
        """
        if self._runtime is not None:
            return
        await self.ready()
        runtime = DbosRuntime(self._books, run, executor=executor, at_once=at_once)
        await self._asked(runtime.make)
        self._runtime = runtime
        try:
            runtime.adopt()
            await self._asked(runtime.launch)
        except BaseException:
            await self.stop(seconds=0)
            raise

    async def submit(self, tickets: Sequence[Ticket]) -> None:
        """Enqueue those that are new."""
        await self._ask(lambda: self._books.submit(tickets))

    async def resume(self, tickets: Sequence[Ticket]) -> None:
        """Enqueue those that are suspended or new."""
        await self._ask(lambda: self._books.resume(tickets))

    async def suspend(self, job_ids: Sequence[str]) -> None:
        """Take them from their queues and runs."""
        await self._ask(lambda: self._books.suspend(job_ids))

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Delete their rows."""
        await self._ask(lambda: self._books.forget(job_ids))

    async def steps(self, job_id: str) -> list[StepRecord]:
        """The rows of a job's steps."""
        return await self._ask(lambda: self._books.steps(job_id))

    async def recover(self, executor: str) -> int:
        """Enqueue again what *executor* had."""
        return await self._ask(lambda: self._books.recover(executor))

    async def stop(self, *, seconds: float) -> None:
        """End DBOS and its threads."""
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            await runtime.drain(seconds)
            try:
                await self._asked(runtime.destroy)
            finally:
                # DBOS had put its own threads, which are gone, in the place of the loop's.
                asyncio.get_running_loop().set_default_executor(
                    ThreadPoolExecutor(thread_name_prefix="asyncio")
                )
        if self._threads is not None:
            await self._asked(self._books.close)
            threads, self._threads = self._threads, None
            threads.shutdown(wait=False)

    async def _ask(self, call: Callable[[], T]) -> T:
        await self.ready()
        return await self._asked(call)

    async def _asked(self, call: Callable[[], T]) -> T:
        """What *call* returns, from a thread; errors of the database's in our words."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="grantkeeper-jobs")
        return await asyncio.get_running_loop().run_in_executor(self._threads, _translated, call)


def _translated(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        if not type(error).__module__.startswith(("sqlalchemy.", "psycopg", "sqlite3")):
            raise
        # Not its text: that may quote the server's address, or a statement.
        raise StoreUnavailable(
            f"the tables of jobs cannot be used now ({type(error).__name__})", retry_after=RETRY_AFTER
        ) from error
