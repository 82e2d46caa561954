"""
The writer: one thread for each store that saves in groups.

Forcing a transaction to disk costs more than everything in it, so whatever
waits is saved together: one transaction for many callers. Each caller's part
succeeds or fails alone, and a caller that leaves does not take its part along.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import Any, TypeVar

import apsw

from grantkeeper.adapters.sqlite_file import connect
from grantkeeper.errors import StoreUnavailable

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]
"""Statements of one atomic step; what it raises undoes it and nothing else."""

GROUP = 256
"""Parts in one transaction at most, so that other processes get their turn."""

QUEUE = 20_000

# These say that one caller's part is at fault, not the database.
_OF_ONE_PART = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.BindingsError)


@dataclass(slots=True)
class _Part:
    work: Work[Any]
    synced: bool
    future: asyncio.Future[Any]
    since: float
    result: Any = None
    error: BaseException | None = None


class SqliteWriter:
    """
    Owns the one connection of a process that writes.

    Args:
        path: The prepared database file.
        busy_seconds: How long to wait for other processes before giving up.
        queue: Parts that may wait; more means that the disk does not keep up.
    """

    def __init__(self, path: Path, *, busy_seconds: float, queue: int = QUEUE) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._queue = queue
        self._waiting: deque[_Part] = deque()
        self._wake = Condition()
        self._closing = False
        self._resting = 0
        self._at_rest = False
        self._gone = False
        self._waiting_for_end: list[asyncio.Future[None]] = []
        self._process = os.getpid()
        self._db: apsw.Connection | None = None
        self._thread = Thread(target=self._run, name="grantkeeper-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Work[T], *, synced: bool = True) -> T:
        """
        Run *work* in a transaction and return its result once that is committed.

        Args:
            synced: Whether the commit must outlast the machine. Without it, it
                outlasts this process alone, for which one machine's leases are enough.

        Raises:
            StoreUnavailable: Nothing is known to be written.
        """
        future = asyncio.get_running_loop().create_future()
        self._put(_Part(work, synced, future, time.monotonic()))
        return await future  # type: ignore[no-any-return]

    def _put(self, part: _Part) -> None:
        if self._process != os.getpid():
            raise RuntimeError("this store was opened before the process forked; open one here")
        with self._wake:
            if self._closing:
                raise StoreUnavailable("the store is closed")
            if len(self._waiting) >= self._queue:
                raise StoreUnavailable("too many writes wait for the database", retry_after=1)
            self._waiting.append(part)
            self._wake.notify_all()

    async def close(self) -> None:
        """Save what waits, let go of the file, end the thread."""
        if self._process != os.getpid():
            return
        # Not joined in another thread: at the end of a program there are no new ones to be had.
        ended = asyncio.get_running_loop().create_future()
        with self._wake:
            self._closing = True
            if self._gone:
                return
            self._waiting_for_end.append(ended)
            self._wake.notify_all()
        await ended
        self._thread.join()

    def rest(self, seconds: float) -> bool:
        """
        Let go of the file and touch nothing until `wake`; whether that came about within *seconds*.

        Blocks. What is put meanwhile waits.
        """
        with self._wake:
            self._resting += 1
            self._wake.notify_all()
            return self._wake.wait_for(lambda: self._at_rest or not self._thread.is_alive(), seconds)

    def wake(self) -> None:
        """End one `rest`."""
        with self._wake:
            self._resting -= 1
            self._wake.notify_all()

    # -- in the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._commit(group)
            except BaseException as error:  # noqa: BLE001 - whatever it was, the callers must hear of it
                self._abandon(error)
                if isinstance(error, apsw.BusyError):
                    group += self._as_patient()
                for part in group:
                    part.result, part.error = None, _unavailable(error)
            _tell(group)
            del group
        self._let_go()
        with self._wake:
            self._gone = True
        for future in self._waiting_for_end:
            with suppress(RuntimeError):  # its loop is closed
                future.get_loop().call_soon_threadsafe(_end, future)

    def _next_group(self) -> list[_Part]:
        with self._wake:
            while self._resting or not (self._waiting or self._closing):
                if self._resting and not self._at_rest:
                    self._let_go()
                    self._at_rest = True
                    self._wake.notify_all()
                self._wake.wait()
            self._at_rest = False
            return [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]

    def _as_patient(self) -> list[_Part]:
        """Whatever else has waited its whole time behind the group that gave up."""
        latest = time.monotonic() - self._busy_seconds
        parts = []
        with self._wake:
            while self._waiting and self._waiting[0].since <= latest:
                parts.append(self._waiting.popleft())
        return parts

    def _commit(self, group: list[_Part]) -> None:
        db = self._connection()
        db.pragma("synchronous", "FULL" if any(part.synced for part in group) else "NORMAL")
        db.execute("BEGIN IMMEDIATE")
        for part in group:
            db.execute("SAVEPOINT part")
            try:
                part.result = part.work(db)
            except Exception as error:
                if isinstance(error, apsw.Error) and not isinstance(error, _OF_ONE_PART):
                    raise
                part.error = error
                db.execute("ROLLBACK TO part")
            db.execute("RELEASE part")
        db.execute("COMMIT")

    def _connection(self) -> apsw.Connection:
        if self._db is None:
            self._db = connect(self._path, busy_seconds=self._busy_seconds)
        return self._db

    def _abandon(self, error: BaseException) -> None:
        """Undo what is open; after anything but a full disk or a long lock, begin with a new connection."""
        db = self._db
        if db is None:
            return
        try:
            if not db.get_autocommit():
                db.execute("ROLLBACK")
        except apsw.Error:
            self._let_go()
            return
        if not isinstance(error, (apsw.BusyError, apsw.FullError)):
            self._let_go()

    def _let_go(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except apsw.Error:
                db.close(True)


_TEXTS: dict[type[BaseException], str] = {
    apsw.BusyError: "another process holds the database for too long",
    apsw.FullError: "the disk of the database is full",
    apsw.CorruptError: "the database is damaged",
    apsw.NotADBError: "the database is damaged",
}


def _unavailable(error: BaseException) -> StoreUnavailable:
    text = _TEXTS.get(type(error), f"the database cannot be written ({type(error).__name__})")
    unavailable = StoreUnavailable(text, retry_after=1)
    unavailable.__cause__ = error
    return unavailable


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _tell(group: list[_Part]) -> None:
    """Hand every part its outcome, with one hop for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Part]] = {}
    for part in group:
        loops.setdefault(part.future.get_loop(), []).append(part)
    for loop, parts in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, parts)
        except RuntimeError:
            # The loop is closed, and with it all that waited.
            continue


def _settle(parts: list[_Part]) -> None:
    for part in parts:
        if part.future.done():
            continue
        if part.error is None:
            part.future.set_result(part.result)
        else:
            part.future.set_exception(part.error)
