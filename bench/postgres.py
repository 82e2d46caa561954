"""
The PostgreSQL that is measured: a server of the measurement's own, and what can be read from it.

It is the one of the tests, with the settings of a small server that keeps its
promises: ``fsync``, ``synchronous_commit`` and ``full_page_writes`` are on.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import asyncpg

from bench.sizes import Sizes
from tests.postgres import PostgresServer

T = TypeVar("T")

Connection = Any
"""asyncpg's, which has no types."""

TOLD = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "max_connections",
)
"""The settings that a report names."""

FILLING = {
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "off",
    "maintenance_work_mem": "1GB",
    "max_wal_size": "8GB",
    "autovacuum": "off",
}
"""While millions of rows are written that no measurement counts; not those of the measurement."""


def options(sizes: Sizes) -> dict[str, str]:
    """The settings of the measurement, over those of the tests' server."""
    return {
        "shared_buffers": sizes.shared_buffers,
        "max_wal_size": "4GB",
        "max_connections": "200",
        "autovacuum_naptime": "1min",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
    }


@contextmanager
def server(sizes: Sizes) -> Iterator[PostgresServer]:
    """A new server, gone afterwards."""
    with PostgresServer(options(sizes)) as started:
        yield started


def describe(url: str) -> str:
    """The server in a sentence: its version and the settings that matter here."""

    async def read(db: Connection) -> str:
        settings = [f"`{name}` {await db.fetchval(f'SHOW {name}')}" for name in TOLD]
        return f"PostgreSQL {await db.fetchval('SHOW server_version')}, {', '.join(settings)}"

    return ask(url, read)


def ask(url: str, errand: Callable[[Connection], Awaitable[T]]) -> T:
    """What *errand* brings from a connection of its own."""

    async def run() -> T:
        db = await asyncpg.connect(url)
        try:
            return await errand(db)
        finally:
            await db.close()

    return asyncio.run(run())


def cpu(started: PostgresServer) -> float:
    """How many processor seconds the server has used: all its processes, those that ended too."""
    ticks = 0
    for pid in started.processes():
        with suppress(OSError):
            found = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            # A process that ended was waited for by the postmaster, who then carries its time.
            ticks += sum(map(int, found[11:15] if pid == started.pid else found[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


# -- what was written ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counters:
    """
    What a database has done so far.

    A connection reports with delay, and at its end: what was done over one that is
    still open may be missing, but for *wal*.

    Attributes:
        wal: Bytes of write-ahead log, of the whole server.
        pages: Whole pages in it.
        hot: Of the *updated* rows, those that no index had to hear of.
    """

    wal: float
    pages: float
    transactions: float
    inserted: float
    updated: float
    hot: float
    deleted: float

    def __sub__(self, other: "Counters") -> "Counters":
        return Counters(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(Counters)))

    def __mul__(self, factor: float) -> "Counters":
        return Counters(*(getattr(self, one.name) * factor for one in fields(Counters)))


COUNTERS = """
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn,
       (SELECT wal_fpi FROM pg_stat_wal),
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
       coalesce(sum(n_tup_ins), 0), coalesce(sum(n_tup_upd), 0),
       coalesce(sum(n_tup_hot_upd), 0), coalesce(sum(n_tup_del), 0)
FROM pg_stat_user_tables
"""


def counters(url: str) -> Counters:
    """The numbers now."""

    async def read(db: Connection) -> Counters:
        return Counters(*map(float, await db.fetchrow(COUNTERS)))

    return ask(url, read)


def checkpoint(url: str) -> None:
    """From now on the first change of a page writes all of it to the log."""
    ask(url, lambda db: db.execute("CHECKPOINT"))


def settle(url: str) -> None:
    """Clean and analyse every table, and write everything to disk: what follows begins in peace."""

    async def run(db: Connection) -> None:
        await db.execute("VACUUM (ANALYZE)")
        await db.execute("CHECKPOINT")

    ask(url, run)


# -- how large it is ----------------------------------------------------------------------------

SIZES = """
SELECT c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = current_schema() AND c.relname = ANY($1)
"""


def table_bytes(url: str, *tables: str) -> Mapping[str, tuple[int, int]]:
    """The size of each table in bytes, and that of its indexes."""

    async def read(db: Connection) -> Mapping[str, tuple[int, int]]:
        return {name: (table, indexes) for name, table, indexes in await db.fetch(SIZES, list(tables))}

    return ask(url, read)


# -- a baseline ---------------------------------------------------------------------------------


def commits_per_second(url: str, seconds: float) -> float:
    """How often one connection can change one small row and have it on disk: what nothing can beat."""

    async def run(db: Connection) -> float:
        await db.execute("CREATE TABLE IF NOT EXISTS baseline (one int, at float8)")
        await db.execute("INSERT INTO baseline VALUES (1, 0)")
        change = await db.prepare("UPDATE baseline SET at = at + 1")
        started, done = perf_counter(), 0
        while perf_counter() < started + seconds:
            await change.fetch()
            done += 1
        rate = done / (perf_counter() - started)
        await db.execute("DROP TABLE baseline")
        return rate

    return ask(url, run)
