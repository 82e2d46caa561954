"""The SQLite store keeps every promise of a store, and heals from what databases suffer."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import apsw
import pytest

from grantkeeper.adapters.retention import FEED_ROWS, FEED_SECONDS, LEASE_SECONDS, PACE_SECONDS
from grantkeeper.adapters.sqlite import SqliteStore, open_sqlite
from grantkeeper.adapters.sqlite_file import connect, prepare
from grantkeeper.adapters.sqlite_steps import commit
from grantkeeper.adapters.sqlite_writer import GROUP, SqliteWriter
from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.model import SOUGHT_LEASES, Change, Job, JobState, Lease
from grantkeeper.ports import Delete, Insert, Note, Replace, WakeJobs
from grantkeeper.testing.conformance import StoreConformance
from grantkeeper.testing.conformance_base import outcomes
from grantkeeper.testing.conformance_rest import heard
from grantkeeper.testing.records import NOW, a_grant, a_job, an_event, job_id
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


class TestSqliteStore(StoreConformance):
    """One store, its file new."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteStore]:
        store = open_sqlite(tmp_path / "grants.db")
        yield store
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store's file is."""
    return tmp_path / "grants.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """A store that does not wait long for others."""
    store = open_sqlite(path, busy_seconds=0.2)
    yield store
    await store.close()


# -- what others do to the file -----------------------------------------------------------------


async def test_a_long_lock_is_unavailable_and_heals(path: Path, store: SqliteStore) -> None:
    """
    While another holds the database writes are refused after their wait, and reads go on.
    """
    await store.commit(Insert(a_grant(1)))
    with closing(connect(path, busy_seconds=0)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable) as caught:
            await store.commit(Insert(a_grant(2)))
        read = await store.get(a_grant(1).id)
        other.execute("ROLLBACK")
    await store.commit(Insert(a_grant(2)))

    assert isinstance(caught.value.__cause__, apsw.BusyError)
    assert read is not None
    assert await store.get(a_grant(2).id) is not None


async def test_a_short_lock_is_waited_for(path: Path) -> None:
    """
    Another's transaction that ends in time is not noticed.
    """
    store = open_sqlite(path, busy_seconds=30)
    with closing(connect(path, busy_seconds=0)) as other:
        other.execute("BEGIN IMMEDIATE")
        saving = asyncio.ensure_future(store.commit(Insert(a_grant(1))))
        await asyncio.sleep(0.05)
        waited = not saving.done()
        other.execute("ROLLBACK")
    await saving
    found = await store.get(a_grant(1).id)
    await store.close()

    assert waited
    assert found is not None


async def test_nobody_waits_behind_the_waiting_of_others(path: Path) -> None:
    """
    Twenty groups in the queue of a locked database give up together, not one after the other.
    """
    store = open_sqlite(path, busy_seconds=1)
    await store.commit(Insert(a_grant(1)))
    with closing(connect(path, busy_seconds=0)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        results = await outcomes(*(store.touch({a_grant(1).id: NOW}) for _ in range(GROUP * 20)))
        took = time.monotonic() - begun
        other.execute("ROLLBACK")
    await store.ready()
    await store.close()

    assert {StoreUnavailable} == {type(result) for result in results}
    assert took < 20


async def test_damage_is_unavailable_and_heals(path: Path) -> None:
    """
    A store that could not read or write goes on once its file is whole again.
    """
    before = open_sqlite(path)
    await before.commit(*(Insert(a_grant(number)) for number in range(200)))
    await before.close()
    whole = path.read_bytes()
    store = open_sqlite(path, busy_seconds=0.2)
    # In place: a file that is opened anew would not be the one that the store has open.
    with path.open("r+b", buffering=0) as file:
        file.seek(4096 * 4)
        file.write(b"\xff" * (len(whole) - 4096 * 4))
        results = await outcomes(store.get(a_grant(7).id), store.commit(Replace(a_grant(7, version=1))))
        file.seek(0)
        file.write(whole)
    healed = await store.get(a_grant(7).id)
    await store.commit(Replace(a_grant(7, version=1)))
    await store.close()

    assert [StoreUnavailable] * 2 == [type(result) for result in results]
    assert all(isinstance(result.__cause__, apsw.Error) for result in results)
    assert replace(a_grant(7), version=1) == healed


async def test_a_replaced_file_is_not_ready(path: Path, store: SqliteStore) -> None:
    """
    Writing on into a file that has no name any more would lose everything.
    """
    await store.ready()
    path.rename(path.with_name("moved.db"))
    with pytest.raises(StoreUnavailable, match="moved or replaced"):
        await store.ready()
    path.with_name("moved.db").rename(path)
    await store.ready()


# -- one writer for many callers ----------------------------------------------------------------


async def test_a_broken_part_harms_nobody_beside_it(store: SqliteStore) -> None:
    """
    A record that cannot be written is its caller's error alone.
    """
    naive = datetime(2026, 3, 1)  # noqa: DTZ001 - that is the mistake
    results = await outcomes(
        store.commit(Insert(a_grant(1))),
        store.commit(Insert(a_grant(2, created_at=naive))),
        store.commit(Insert(a_grant(3))),
    )

    assert [None, TypeError, None] == [result and type(result) for result in results]
    assert await store.get(a_grant(2).id) is None
    assert await store.get(a_grant(3).id) is not None


@contextmanager
def held_up(
    writer: SqliteWriter, commits: list[int]
) -> Iterator[tuple[asyncio.Future[None], threading.Event]]:
    """
    The writer busy with a first part until the block ends, and what tells that it has begun with it.

    Every commit from then on is counted.
    """
    begun, free = threading.Event(), threading.Event()

    def count() -> bool:
        commits.append(1)
        return False

    def first(db: apsw.Connection) -> None:
        db.set_commit_hook(count)
        begun.set()
        free.wait(60)

    try:
        yield asyncio.ensure_future(writer.do(first)), begun
    finally:
        free.set()


async def test_waiting_writes_are_saved_together(path: Path) -> None:
    """
    A hundred callers that wait while the disk is busy cost one transaction.
    """
    prepare(path)
    writer, commits = SqliteWriter(path, busy_seconds=1), list[int]()
    with held_up(writer, commits) as (first, begun):
        await eventually(begun.is_set)
        rest = [
            asyncio.ensure_future(writer.do(lambda db: commit(db, [Note(an_event())]))) for _ in range(100)
        ]
        await asyncio.sleep(0)
    await asyncio.gather(first, *rest)
    await writer.close()

    assert 2 == len(commits)


async def test_more_writes_than_can_wait_are_refused(path: Path) -> None:
    """
    A disk that does not keep up is not answered with memory; what waits already is saved.
    """
    prepare(path)
    writer = SqliteWriter(path, busy_seconds=1, queue=3)
    with held_up(writer, []) as (first, begun):
        await eventually(begun.is_set)
        waiting = [asyncio.ensure_future(writer.do(lambda db: None)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="too many writes wait"):
            await writer.do(lambda db: None)
    await asyncio.gather(first, *waiting)
    await writer.do(lambda db: None)
    await writer.close()


async def test_a_lease_tells_what_is_left_when_it_is_heard_of(store: SqliteStore) -> None:
    """
    The time that others' parts and the commit took is not the owner's to use.
    """

    async def ends(name: str) -> tuple[Lease, float]:
        """The lease, and when it ends as far as its owner has heard."""
        lease = await store.take(name, "me", seconds=30)
        assert isinstance(lease, Lease)
        return lease, time.monotonic() + lease.remaining

    begun = time.monotonic()
    first, second, _ = await asyncio.gather(
        ends("first"),
        ends("name"),
        store.commit(*(Insert(a_grant(number)) for number in range(3000))),
    )
    took = time.monotonic() - begun
    for lease, believed in (first, second):
        ends_at = await store.check(lease) + time.monotonic()
        assert believed - ends_at < took / 2


async def test_a_store_serves_whatever_loop_calls_it(path: Path) -> None:
    """
    A command line that runs several loops, one after the other, needs one store.
    """
    store = open_sqlite(path)
    await asyncio.to_thread(asyncio.run, store.commit(Insert(a_grant(1))))
    await store.commit(Insert(a_grant(2)))
    found = [await store.get(a_grant(number).id) is not None for number in (1, 2)]
    await store.close()

    assert [True, True] == found


# -- keeping small ------------------------------------------------------------------------------


async def test_an_old_feed_is_swept_but_for_the_newest_change(path: Path, store: SqliteStore) -> None:
    """
    Ten minutes of the feed are kept; who was away longer is told to look at everything.
    """
    await store.commit(*(Insert(a_grant(number)) for number in (1, 2, 3)))
    young = await store.sweep(NOW)
    with closing(connect(path, busy_seconds=1)) as db:
        db.execute("UPDATE changes SET at = at - ?", (FEED_SECONDS,))
    old = await store.sweep(NOW)

    assert (0, 2) == (young, old)
    assert [Change(3, "all", "")] == await heard(store, 0)
    assert [Change(3, "all", "")] == await heard(store, 1)
    assert [Change(3, "grant", a_grant(3).id)] == await heard(store, 2)
    assert [] == await heard(store, 3)


async def test_a_long_feed_is_swept_whatever_its_age(path: Path, store: SqliteStore) -> None:
    """
    The feed keeps a number of rows at most, and numbers go on from the newest.
    """
    extra = 10
    with closing(connect(path, busy_seconds=1)) as db:
        db.execute(
            "WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < ?)"
            " INSERT INTO changes SELECT n, 'grant', 'x', unixepoch('subsec') FROM many",
            (FEED_ROWS + extra,),
        )
    went = [await store.sweep(NOW, limit=4) for _ in range(4)]
    await store.commit(Insert(a_grant(1)))

    assert [4, 4, 2, 0] == went
    assert FEED_ROWS + extra + 1 == await store.last_change()


async def test_a_long_feed_is_read_in_parts(store: SqliteStore) -> None:
    """
    Thousands of changes do not hold up the loop at once, and none is passed over.
    """
    await store.commit(*(Insert(a_grant(number)) for number in range(2500)))
    sizes, place = [], 0
    while changes := await heard(store, place):
        sizes.append(len(changes))
        place = changes[-1].seq

    assert [1000, 1000, 500] == sizes


async def test_leases_long_past_are_forgotten(path: Path, store: SqliteStore) -> None:
    """
    A lease that nobody gave back goes some minutes after its end; its version is not used again.

    But for those whose orphans are somebody's work.
    """
    lapsed = await store.take("lapsed", "me", seconds=0)
    for name in SOUGHT_LEASES:
        await store.take(f"{name}1", "me", seconds=0)
    young = await store.sweep(NOW)
    with closing(connect(path, busy_seconds=1)) as db:
        db.execute("UPDATE leases SET held_until = held_until - ?", (LEASE_SECONDS,))
    old = await store.sweep(NOW)
    again = await store.take("lapsed", "you", seconds=60)
    orphans = [await store.orphans(name) for name in SOUGHT_LEASES]

    assert (0, 1) == (young, old)
    assert [[f"{name}1"] for name in SOUGHT_LEASES] == orphans
    assert isinstance(lapsed, Lease)
    assert isinstance(again, Lease)
    assert again.version > lapsed.version


async def test_an_erased_key_is_not_left_in_the_file(path: Path) -> None:
    """
    Shredding a data key overwrites it: a copy of the closed file does not have it any more.
    """
    marker = b"a data key that must go" * 4
    store = open_sqlite(path)
    await store.commit(Insert(a_grant(1, data_key=marker)), Insert(a_grant(2)))
    await store.close()
    before = path.read_bytes()
    store = open_sqlite(path)
    await store.commit(Replace(a_grant(1, data_key=None, version=1)))
    await store.close()

    assert marker in before
    assert marker not in path.read_bytes()
    assert [path] == list(path.parent.iterdir())


# -- jobs --------------------------------------------------------------------------------


async def test_rates_and_pauses_long_past_are_forgotten(path: Path, store: SqliteStore) -> None:
    """
    A minute after a rate is full again; after a pause is over as long again as it lasted, and a minute.
    """
    await store.spend("key", per_second=1000, burst=1)
    await store.pause("key", seconds=30)
    await store.pause("long", seconds=600)
    young = await store.sweep(NOW)
    with closing(connect(path, busy_seconds=1)) as db:
        db.execute("UPDATE paces SET full_until = full_until - ?", (PACE_SECONDS,))
        db.execute("UPDATE pauses SET paused_until = paused_until - 60 - ?", (PACE_SECONDS,))
    await asyncio.sleep(0.01)

    assert (0, 2) == (young, await store.sweep(NOW))


async def test_jobs_of_two_processes_meet(path: Path) -> None:
    """
    As many spend as may, one takes a job, and none is parked unseen while its user consents.
    """
    store, other = open_sqlite(path), open_sqlite(path)

    async def park(job: Job) -> bool:
        await other.change_job(replace(job, state=JobState.PARKED))
        grant = await other.get(job.grant_id)
        assert grant is not None
        return grant.user == "back"

    try:
        await store.commit(*(Insert(a_grant(number)) for number in range(1, 21)))
        await store.add_jobs([a_job(number, grant=number) for number in range(1, 21)])
        pair = (store, other)
        waits = await outcomes(*(pair[n % 2].spend("key", per_second=0.001, burst=7) for n in range(40)))
        taken = await outcomes(*(pair[n % 2].change_job(a_job(1)) for n in range(20)))
        for number in range(2, 21):
            sees, _ = await asyncio.gather(
                park(a_job(number, grant=number)),
                store.commit(Replace(a_grant(number, version=1, user="back")), WakeJobs(a_grant(number).id)),
            )
            after = await store.job(job_id(number))
            assert after is not None
            assert sees or after.state is JobState.QUEUED
    finally:
        await store.close()
        await other.close()

    assert 7 == waits.count(0.0)
    assert 19 == sum(isinstance(result, StoreConflict) for result in taken)


async def test_what_an_erased_users_jobs_held_is_not_left_in_the_file(path: Path) -> None:
    """
    Parameters and results go from the disk with the grant.
    """
    marker = b'"something personal, again and again"' * 4
    store = open_sqlite(path)
    await store.commit(Insert(a_grant(1)), Insert(a_grant(2)))
    await store.add_jobs([a_job(1, parameters=marker), a_job(2, result=marker, state=JobState.DONE)])
    await store.close()
    before = path.read_bytes()
    store = open_sqlite(path)
    await store.commit(Delete(a_grant(1).id, 1))
    await store.close()

    assert marker in before
    assert marker not in path.read_bytes()
