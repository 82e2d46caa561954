"""
The store on one machine: a SQLite file that several processes share.

Point reads run where they are called, from a connection of their own: a few
microseconds, where any thread would take longer to wake. Writes go to the
process's one writer.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import apsw

from grantkeeper.adapters import sqlite_steps as steps_of
from grantkeeper.adapters.listing import Values, merged, pages
from grantkeeper.adapters.records import (
    GRANT_VERSION,
    TOKEN,
    Row,
    caller_of,
    event_of,
    grant_of,
    instant,
    node_of,
    redemption_of,
    signing_key_of,
    token_of,
)
from grantkeeper.adapters.sqlite_file import BUSY_SECONDS, connect, database_path, prepare
from grantkeeper.adapters.sqlite_jobs import SqliteJobs
from grantkeeper.adapters.sqlite_steps import SQL
from grantkeeper.adapters.sqlite_writer import SqliteWriter
from grantkeeper.errors import StoreUnavailable
from grantkeeper.model import (
    AuditEvent,
    Caller,
    Change,
    DataKey,
    Grant,
    Held,
    KeyKind,
    Lease,
    News,
    Node,
    Redemption,
    SigningKey,
    StoredToken,
    Subject,
)
from grantkeeper.ports import GrantQuery, Step

POLL_SECONDS = 0.05
"""How often the change feed looks whether anybody committed (design section 9)."""

REST_SECONDS = BUSY_SECONDS + 1.0
"""How long a fork waits for the transaction under way."""

FEED_LIMIT = 1000
"""Changes in one answer at most; the next call goes on."""

EVER = -(2**63)
"""Before every time."""

TOUCH_ROWS = 500
"""Stamps in one part at most: each may cost a page."""

L = TypeVar("L", Lease | Held, Lease | None)

# A child of a fork must not even close what its parent has open, so it never lets go of it.
_OPEN: "WeakSet[SqliteStore]" = WeakSet()
_LEFT_BEHIND: "list[SqliteStore]" = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _LEFT_BEHIND.extend(_OPEN))

_TOKEN_WIDTH = len(TOKEN)
_READ_BUSY_SECONDS = 1.0  # reads hold up the event loop; only a recovery after a crash makes them wait


def open_sqlite(url: str | os.PathLike[str], *, busy_seconds: float = BUSY_SECONDS) -> "SqliteStore":
    """
    Open the database that *url* names, made and migrated as needed; this blocks for some milliseconds.

    The store belongs to the process that opens it and to one event loop; close it with
    `SqliteStore.close`.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or a path object.
        busy_seconds: How long a write waits for the other processes of this machine.

    Raises:
        SettingsInvalid: The file cannot be grantkeeper's, or its schema is of another release.
        StoreUnavailable: The database cannot be used now.
    """
    path = database_path(url).absolute()
    prepare(path, busy_seconds=busy_seconds)
    return SqliteStore(path, busy_seconds=busy_seconds)


class SqliteStore(SqliteJobs):
    """The `grantkeeper.ports.Store` of one machine. Open it with `open_sqlite`."""

    def __init__(self, path: Path, *, busy_seconds: float) -> None:
        self._path = path
        self._busy_seconds = min(busy_seconds, _READ_BUSY_SECONDS)
        self._process = os.getpid()
        self._closed = False
        self._reader: apsw.Connection | None = None
        self._place = _place(path)
        # At once: while a reader is open, the journal stays where it is when the writer has to reconnect.
        self._feed_ends()
        self._writer = SqliteWriter(path, busy_seconds=busy_seconds)
        self._do = self._writer.do
        _OPEN.add(self)

    # -- reading ----------------------------------------------------------------------------

    def _rows(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        try:
            return self._connection().execute(SQL[name], values).fetchall()
        except apsw.Error as error:
            raise self._unreadable(error) from error

    def _connection(self) -> apsw.Connection:
        if self._process != os.getpid():
            raise RuntimeError("this store was opened before the process forked; open one here")
        if self._reader is None:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            self._reader = connect(self._path, busy_seconds=self._busy_seconds, read_only=True)
        return self._reader

    def _unreadable(self, error: apsw.Error) -> StoreUnavailable:
        """Begin with a new connection next time, and say why."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close(True)
        return StoreUnavailable(f"the database cannot be read ({type(error).__name__})", retry_after=1)

    # -- grants -----------------------------------------------------------------------------

    async def get(self, grant_id: str) -> Grant | None:
        rows = self._rows("grant", (grant_id,))
        return grant_of(rows[0]) if rows else None

    async def read(self, grant_id: str) -> tuple[Grant, tuple[StoredToken, ...]] | None:
        rows = self._rows("grant_with_tokens", (grant_id,))
        grant, tokens = None, []
        for row in rows:
            if row[GRANT_VERSION] is None:
                tokens.append(token_of(row[:_TOKEN_WIDTH]))
            else:
                grant = grant_of(row)
        return None if grant is None else (grant, tuple(tokens))

    async def find(self, client_id: str, subject: Subject) -> Grant | None:
        rows = self._rows("grant_of_subject", (subject.sub, subject.issuer, client_id))
        return grant_of(rows[0]) if rows else None

    async def search(self, query: GrantQuery) -> list[Grant]:
        return merged([self._listed(name, values) for name, values in pages(query)], query.limit)

    def _listed(self, name: str, values: Values) -> list[Grant]:
        client_ids = values["client_ids"]
        bound = values | {"client_ids": None if client_ids is None else json.dumps(client_ids)}
        return [grant_of(row) for row in self._rows(name, bound)]

    async def due_revocations(self, now: datetime, *, limit: int = 100) -> list[Grant]:
        return [grant_of(row) for row in self._rows("due_revocations", (instant(now), limit))]

    async def idle(self, now: datetime, *, after: datetime | None = None, limit: int = 100) -> list[Grant]:
        return self._due("idle_grants", now, after, limit)

    async def uncertain(
        self, now: datetime, *, after: datetime | None = None, limit: int = 100
    ) -> list[Grant]:
        return self._due("uncertain_grants", now, after, limit)

    def _due(self, name: str, now: datetime, after: datetime | None, limit: int) -> list[Grant]:
        begin = EVER if after is None else instant(after)
        return [grant_of(row) for row in self._rows(name, (instant(now), begin, limit))]

    async def commit(self, *steps: Step) -> None:
        await self._do(lambda db: steps_of.commit(db, steps))

    async def touch(self, used: Mapping[str, datetime]) -> None:
        stamps = list(used.items())
        for first in range(0, len(stamps), TOUCH_ROWS):
            part = stamps[first : first + TOUCH_ROWS]
            await self._do(partial(steps_of.touch, used=part), synced=False)

    # -- redemptions ------------------------------------------------------------------------

    async def claim(self, redemption: Redemption, *, seconds: float) -> Redemption | None:
        return await self._do(lambda db: steps_of.claim(db, redemption, seconds))

    async def redemption(self, code_hash: bytes) -> Redemption | None:
        rows = self._rows("redemption", (code_hash,))
        return redemption_of(rows[0]) if rows else None

    async def reclaim(self, code_hash: bytes, *, owner: str, new_owner: str, seconds: float) -> bool:
        return await self._do(lambda db: steps_of.reclaim(db, code_hash, owner, new_owner, seconds))

    async def unclaim(self, code_hash: bytes, *, owner: str) -> None:
        await self._do(lambda db: steps_of.unclaim(db, code_hash, owner))

    # -- leases: a machine that dies takes their owners along, so they need not outlast it ---

    async def take(
        self, name: str, owner: str, *, seconds: float, seen: tuple[str, int] | None = None
    ) -> Lease | Held:
        return _aged(*await self._do(lambda db: steps_of.take(db, name, owner, seconds, seen), synced=False))

    async def renew(self, lease: Lease, *, seconds: float, lapsed: bool = False) -> Lease | None:
        return _aged(*await self._do(lambda db: steps_of.renew(db, lease, seconds, lapsed), synced=False))

    async def check(self, lease: Lease) -> float:
        rows = self._rows("lease_left", (lease.version, lease.name, lease.owner))
        return max(0.0, rows[0][0]) if rows else 0.0

    async def orphans(self, prefix: str, *, limit: int = 100) -> list[str]:
        return [name for (name,) in self._rows("orphaned_leases", (prefix, limit))]

    # -- the change feed --------------------------------------------------------------------

    async def last_change(self) -> int:
        return self._feed_ends()[1]

    async def changes(self, after: int, *, seconds: float) -> News:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            reader, seen = self._commits()
            if found := self._changes_after(after):
                return News(tuple(found))
            while self._commits() == (reader, seen):
                left = until - loop.time()
                if left <= 0:
                    return News(())
                await asyncio.sleep(min(POLL_SECONDS, left))

    def _commits(self) -> tuple[apsw.Connection, int]:
        """A number that differs when another connection has committed, good for this reader alone."""
        try:
            reader = self._connection()
            return reader, reader.pragma("data_version")
        except apsw.Error as error:
            raise self._unreadable(error) from error

    def _changes_after(self, after: int) -> list[Change]:
        found = [Change(*row) for row in self._rows("changes_after", (after, FEED_LIMIT))]
        if found and found[0].seq == after + 1:
            return found
        oldest, newest = self._feed_ends()
        # Swept away, or a database restored from before: the reader cannot know what it missed.
        if newest < after or (found and oldest > after + 1):
            return [Change(newest, "all", "")]
        return found

    def _feed_ends(self) -> tuple[int, int]:
        ((oldest, newest),) = self._rows("feed_ends")
        return oldest, newest

    # -- callers ----------------------------------------------------------------------------

    async def add_caller(self, caller: Caller) -> None:
        await self._do(lambda db: steps_of.add_caller(db, caller))

    async def caller(self, key_hash: bytes) -> Caller | None:
        rows = self._rows("caller_of_key", (key_hash,))
        return caller_of(rows[0]) if rows else None

    async def callers(self) -> list[Caller]:
        return [caller_of(row) for row in self._rows("callers")]

    async def change_caller(self, caller: Caller) -> None:
        await self._do(lambda db: steps_of.change_caller(db, caller))

    async def revoke_caller(self, name_or_id: str, at: datetime) -> Caller | None:
        return await self._do(lambda db: steps_of.revoke_caller(db, name_or_id, at))

    # -- things good once, signing keys, audit ----------------------------------------------

    async def put_once(self, kind: str, key: bytes, value: bytes, *, now: datetime, until: datetime) -> bool:
        return await self._do(lambda db: steps_of.put_once(db, kind, key, value, now, until))

    async def take_once(self, kind: str, key: bytes, *, now: datetime) -> bytes | None:
        return await self._do(lambda db: steps_of.take_once(db, kind, key, now))

    async def signing_keys(self) -> list[SigningKey]:
        return [signing_key_of(row) for row in self._rows("signing_keys")]

    async def add_signing_key(self, key: SigningKey) -> None:
        await self._do(lambda db: steps_of.add_signing_key(db, key))

    async def append(self, events: Sequence[AuditEvent]) -> None:
        written = list(events)
        if written:
            await self._do(lambda db: steps_of.append(db, written))

    async def events(
        self, *, after: int = 0, limit: int = 100, caller: str | None = None
    ) -> list[tuple[int, AuditEvent]]:
        if caller is None:
            found = self._rows("events", (after, limit))
        else:
            found = self._rows("events_of_caller", (after, limit, caller))
        return [(row[0], event_of(row[1:])) for row in found]

    # -- nodes, marks, data keys ------------------------------------------------------------

    async def report(self, node: Node, *, seconds: float) -> None:
        await self._do(lambda db: steps_of.report(db, node, seconds), synced=False)

    async def nodes(self) -> list[Node]:
        return [node_of(row) for row in self._rows("living_nodes")]

    async def leave(self, node_id: str) -> None:
        await self._do(lambda db: steps_of.leave(db, node_id), synced=False)

    async def mark(self, name: str) -> bytes | None:
        rows = self._rows("mark", (name,))
        return rows[0][0] if rows else None

    async def set_mark(self, name: str, value: bytes | None) -> None:
        await self._do(lambda db: steps_of.set_mark(db, name, value))

    async def swap_mark(self, name: str, value: bytes, *, was: bytes | None) -> bool:
        return await self._do(lambda db: steps_of.swap_mark(db, name, value, was))

    async def data_keys(self, kind: KeyKind, *, after: str = "", limit: int = 500) -> list[DataKey]:
        rows = self._rows(steps_of.DATA_KEYS[kind][0], (after, limit))
        return [DataKey(kind, *row) for row in rows]

    async def rewrap(self, changes: Sequence[tuple[DataKey, bytes]]) -> int:
        written = list(changes)
        return await self._do(lambda db: steps_of.rewrap(db, written))

    async def index_versions(self) -> Mapping[tuple[KeyKind, int], int]:
        rows = self._rows("index_versions")
        return {(KeyKind(kind), version): count for kind, version, count in rows}

    async def behind_index(self, version: int, *, after: str = "", limit: int = 100) -> list[Grant]:
        return [grant_of(row) for row in self._rows("grants_behind_index", (version, after, limit))]

    # -- upkeep -----------------------------------------------------------------------------

    async def ready(self) -> None:
        if _place(self._path) != self._place:
            raise StoreUnavailable(
                "the database file was moved or replaced", hint="Restart grantkeeper to open the new file."
            )
        self._feed_ends()
        await self._do(steps_of.pulse)

    async def sweep(self, now: datetime, *, limit: int = 1000) -> int:
        return await self._do(lambda db: steps_of.sweep(db, now, limit))

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """
        No connection is open meanwhile; enter it on the store's own loop, which it holds up.

        For a fork. SQLite keeps its locks per process in memory: a child that
        inherited an open file believes to hold the parent's locks, takes none of
        its own, and its commits are lost when the parent closes the file.
        """
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        self._writer.rest(REST_SECONDS)
        try:
            yield
        finally:
            self._writer.wake()

    async def close(self) -> None:
        if self._process != os.getpid():
            return
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        # The writer is last: who closes a file last folds its journal into it, which a reader may not.
        await self._writer.close()


def _aged(lease: L, told_at: float) -> L:
    """The answer as it is now: between the statement and here were others' parts and the commit."""
    if lease is None:
        return None
    return replace(lease, remaining=max(0.0, lease.remaining - (time.monotonic() - told_at)))


def _place(path: Path) -> tuple[int, int] | None:
    try:
        place = path.stat()
    except OSError:
        return None
    return place.st_dev, place.st_ino
