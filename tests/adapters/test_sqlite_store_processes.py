"""Several processes share one SQLite file, and some of them are killed."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.adapters.schema import migrations
from grantkeeper.adapters.sqlite import open_sqlite
from grantkeeper.adapters.sqlite_file import connect, rows
from grantkeeper.ports import Insert
from grantkeeper.testing.records import a_grant

WORKER = Path(__file__).with_name("store_worker.py")
PROCESSES = 4

pytestmark = pytest.mark.anyio


@contextmanager
def working(work: str, path: Path, *arguments: list[object]) -> Iterator[list["subprocess.Popen[str]"]]:
    """A process for each of *arguments*; none outlives the block."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), work, str(path), *map(str, each)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for each in arguments
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def said(work: str, path: Path, *arguments: list[object]) -> list[list[Any]]:
    """What each process said, line by line; all of them ended well."""
    with working(work, path, *arguments) as processes:
        lines = [process.communicate(timeout=60)[0].splitlines() for process in processes]
        statuses = [process.returncode for process in processes]

    assert [0] * len(arguments) == statuses
    return [[json.loads(line) for line in each] for each in lines]


def everybody(*rest: object) -> list[list[object]]:
    """The arguments of all processes: each its number, how many there are, and *rest*."""
    return [[number, PROCESSES, *rest] for number in range(PROCESSES)]


def test_one_of_many_makes_the_database(tmp_path: Path) -> None:
    """
    Processes that open a file nobody has made yet all find it made once.
    """
    path = tmp_path / "grants.db"
    heard = said("opening", path, *everybody())
    with closing(connect(path, busy_seconds=1, read_only=True)) as db:
        numbers = rows(db, "SELECT number FROM migrations ORDER BY number")
        grants = rows(db, "SELECT count(*) FROM grants")

    assert [["opened"]] * PROCESSES == heard
    assert [(migration.number,) for migration in migrations("sqlite")] == numbers
    assert [(PROCESSES,)] == grants


def test_a_lease_is_held_by_one_process(tmp_path: Path) -> None:
    """
    Nobody is inside with somebody else, and each taking has a version greater than all before.
    """
    heard = said("leases", tmp_path / "grants.db", *everybody(25))
    versions = [[version for version, _ in each] for each in heard]
    everything = sorted(version for each in versions for version in each)

    assert [True] * PROCESSES * 25 == [alone for each in heard for _, alone in each]
    assert PROCESSES * 25 == len(set(everything))
    assert all(each == sorted(each) for each in versions)


def test_a_code_is_claimed_by_one_process(tmp_path: Path) -> None:
    """
    Every code is won exactly once, and every loser sees a winner.
    """
    heard = said("claims", tmp_path / "grants.db", *everybody(200))
    won = sorted(code for codes, _ in heard for code in codes)

    assert list(range(200)) == won
    assert [[]] * PROCESSES == [strangers for _, strangers in heard]


async def test_no_save_is_lost_between_processes(tmp_path: Path) -> None:
    """
    Four processes that count up one grant by compare-and-swap end at their sum.
    """
    path = tmp_path / "grants.db"
    store = open_sqlite(path)
    await store.commit(Insert(a_grant()))
    heard = await asyncio.to_thread(said, "saves", path, *everybody(50))
    grant = await store.get(a_grant().id)
    await store.close()

    assert grant is not None
    assert (PROCESSES * 50, PROCESSES * 50 + 1) == (grant.revocation_attempts, grant.version)
    assert PROCESSES == len(heard)


async def test_a_change_of_another_process_is_heard(tmp_path: Path) -> None:
    """
    A waiting reader wakes long before its time is over.
    """
    path = tmp_path / "grants.db"
    store = open_sqlite(path)
    waiting = asyncio.ensure_future(store.changes(0, seconds=60))
    await asyncio.to_thread(said, "one_insert", path, [7])
    news = await asyncio.wait_for(waiting, timeout=30)
    await store.close()

    assert [a_grant(7).id] == [change.id for change in news.changes]


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """
    Writers that die in the middle of their commits lose nothing they were told is saved, and
    nothing is there by half.
    """
    path = tmp_path / "grants.db"
    open_store = open_sqlite(path)
    acknowledged: list[int] = []
    for number in range(6):
        with working("committing", path, [number * 2], [number * 2 + 1]) as processes:
            for process in processes:
                assert process.stdout is not None
                acknowledged.append(int(process.stdout.readline()))
            time.sleep(random.uniform(0, 0.15))
            for process in processes:
                os.kill(process.pid, signal.SIGKILL)
            # A line that the kill cut off has no end; it was not heard.
            for process in processes:
                assert process.stdout is not None
                heard = process.stdout.read().splitlines(keepends=True)
                acknowledged += [int(line) for line in heard if line.endswith("\n")]
    await open_store.close()
    store = open_sqlite(path)
    found = [await store.read(a_grant(number).id) for number in acknowledged]
    await store.ready()
    await store.close()
    with closing(connect(path, busy_seconds=1)) as db:
        integrity = rows(db, "PRAGMA integrity_check")
        counts = {rows(db, f"SELECT count(*) FROM {table}")[0][0] for table in ("grants", "tokens", "audit")}

    assert len(acknowledged) > 12
    assert [] == [number for number, read in zip(acknowledged, found, strict=True) if read is None]
    assert [("ok",)] == integrity
    assert 1 == len(counts)
    assert counts.pop() >= len(acknowledged)


def test_a_full_disk_is_unavailable_and_heals(tmp_path: Path) -> None:
    """
    Writes are refused, reads go on, and nothing has to be restarted once there is room again.
    """
    assert [["store_unavailable", True, "healed"]] == said("full_disk", tmp_path / "grants.db", [0])


def test_a_store_is_not_used_across_a_fork(tmp_path: Path) -> None:
    """
    The child is refused reading and writing alike; the parent goes on.
    """
    assert [[2, "unharmed"]] == said("forked", tmp_path / "grants.db", [0])
