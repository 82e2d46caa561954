"""Several stores on one PostgreSQL: what only many nodes show."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from grantkeeper.adapters import postgres_feed
from grantkeeper.adapters.postgres import PostgresStore, open_postgres
from grantkeeper.adapters.retention import LEASE_SECONDS, PACE_SECONDS
from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.model import SOUGHT_LEASES, Change, Held, Job, JobState, Lease, Order
from grantkeeper.ports import Delete, Insert, JobQuery, PutToken, Release, Replace, WakeJobs
from grantkeeper.testing.conformance_base import outcomes, saved
from grantkeeper.testing.conformance_rest import heard, named
from grantkeeper.testing.records import (
    NOW,
    a_caller,
    a_full_grant,
    a_grant,
    a_job,
    a_token,
    an_event,
    job_id,
)
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

NODES = 4


@pytest.fixture
async def stores(emptied_url: str) -> AsyncIterator[list[PostgresStore]]:
    """Stores of several nodes."""
    stores = [await open_postgres(emptied_url) for _ in range(NODES)]
    yield stores
    for store in stores:
        await store.close()


@pytest.fixture
async def other(emptied_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that does what it likes."""
    connection = await asyncpg.connect(emptied_url)
    yield connection
    await connection.close()


async def test_of_a_hundred_writers_on_many_nodes_one_wins(stores: list[PostgresStore]) -> None:
    """
    A version is spent by one save; ninety-nine hear of a conflict, wherever they are.
    """
    (stored,) = await saved(stores[0], a_grant())
    results = await outcomes(
        *(
            stores[number % NODES].commit(
                Replace(replace(stored, user=f"writer {number}")), PutToken(a_token(stored, f"{number}"))
            )
            for number in range(100)
        )
    )
    (winner,) = [number for number, result in enumerate(results) if result is None]
    read = await stores[0].read(stored.id)

    # On a busy machine some do not come through to the database in time, and are told so.
    assert {StoreConflict} <= {type(result) for result in results} - {type(None)}
    assert {type(result) for result in results} <= {type(None), StoreConflict, StoreUnavailable}
    assert (replace(stored, user=f"writer {winner}", version=2), (a_token(stored, f"{winner}"),)) == read


async def test_a_lease_is_one_nodes(stores: list[PostgresStore]) -> None:
    """
    Of many takers on many nodes one gets it; when it lapses, again one, and it alone is told of an orphan.
    """
    for expected in (False, True):
        taken = await outcomes(
            *(stores[number % NODES].take("name", f"{number}", seconds=60) for number in range(60))
        )
        leases = [lease for lease in taken if isinstance(lease, Lease)]
        assert [expected] == [lease.orphaned for lease in leases]
        assert 59 == sum(isinstance(other, Held) for other in taken)
        assert await stores[0].renew(leases[0], seconds=0.05) is not None
        await asyncio.sleep(0.2)


async def test_a_lease_goes_from_hand_to_hand_with_growing_numbers(stores: list[PostgresStore]) -> None:
    """
    Takers who fight for it never hold it together, and later numbers are higher.
    """
    held: list[int] = []
    inside = 0

    async def worker(store: PostgresStore, owner: str) -> None:
        nonlocal inside
        for _ in range(5):
            while not isinstance(lease := await store.take("name", owner, seconds=30), Lease):
                await asyncio.sleep(0.001)
            inside += 1
            assert 1 == inside
            assert not lease.orphaned
            held.append(lease.version)
            await asyncio.sleep(0)
            inside -= 1
            await store.commit(Release(lease))

    await asyncio.gather(
        *(worker(store, f"{number} {turn}") for number, store in enumerate(stores) for turn in range(2))
    )

    assert NODES * 2 * 5 == len(held)
    assert sorted(set(held)) == held


async def test_a_number_that_was_drawn_early_is_not_kept(
    stores: list[PostgresStore], other: asyncpg.Connection
) -> None:
    """
    Whoever drew a later one may have taken the lease and given it back while this taker stood still.
    """
    await other.execute("BEGIN")
    first = await other.fetchval(
        "INSERT INTO leases (name, owner, version, orphaned, held_until, server_start)"
        " VALUES ('name', 'other', nextval('lease_versions'), false, now(), now()) RETURNING version"
    )
    taking = asyncio.ensure_future(stores[0].take("name", "me", seconds=30))
    drawn = "SELECT pg_sequence_last_value('lease_versions'::regclass)"
    async with asyncio.timeout(30):
        while await other.fetchval(drawn) == first:
            await asyncio.sleep(0.01)
    later = await other.fetchval("SELECT nextval('lease_versions')")
    await other.execute("ROLLBACK")
    lease = await taking

    assert isinstance(lease, Lease)
    assert later < lease.version
    assert 0 < await stores[1].check(lease)


async def test_a_change_is_heard_by_the_others_at_once(
    stores: list[PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whatever kind it is of; the feed that hears of it would not have asked by itself.
    """
    monkeypatch.setattr(postgres_feed, "POLL_SECONDS", 600)
    reader = stores[1]
    await heard(reader, 0)
    place = 0
    for change in (
        lambda: stores[0].commit(Insert(a_grant())),
        lambda: stores[0].add_caller(a_caller()),
        lambda: stores[0].set_mark("name", b"x"),
    ):
        waiting = asyncio.ensure_future(heard(reader, place, 600))
        await asyncio.sleep(0.05)
        await change()
        (news,) = await asyncio.wait_for(waiting, 60)
        place = news.seq

    assert 3 == place


async def test_a_change_is_heard_without_a_notification(
    stores: list[PostgresStore], other: asyncpg.Connection
) -> None:
    """
    One that got lost costs a fifth of a second and no more.
    """
    waiting = asyncio.ensure_future(heard(stores[0], 0, 30))
    await asyncio.sleep(0.05)
    await other.execute("INSERT INTO changes (kind, id) VALUES ('grant', 'x')")

    assert [("grant", "x")] == named(await asyncio.wait_for(waiting, 60))


async def test_a_change_that_commits_late_is_heard(
    stores: list[PostgresStore], other: asyncpg.Connection
) -> None:
    """
    Its number was drawn before that of a change which the reader has heard already; it comes once.
    """
    store = stores[0]
    late = other.transaction()
    await late.start()
    await other.execute("INSERT INTO changes (kind, id) VALUES ('grant', 'late')")
    await store.commit(Insert(a_grant()))
    first = await heard(store, 0)
    quiet = await heard(store, first[-1].seq, 0.3)
    await late.commit()
    second = await heard(store, first[-1].seq, 5)
    third = await heard(store, first[-1].seq, 0.3)

    assert [Change(2, "grant", a_grant().id)] == first
    assert [] == quiet
    assert [Change(1, "grant", "late")] == second
    assert [] == third


async def test_a_change_under_way_when_the_reader_began_is_heard(
    stores: list[PostgresStore], other: asyncpg.Connection
) -> None:
    """
    A new reader looks below its place for numbers that are missing.
    """
    late = other.transaction()
    await late.start()
    await other.execute("INSERT INTO changes (kind, id) VALUES ('grant', 'late')")
    await stores[0].commit(Insert(a_grant()))
    place = await stores[1].last_change()
    quiet = await heard(stores[1], place)
    await late.commit()

    assert [] == quiet
    assert [("grant", "late")] == named(await heard(stores[1], place, 5))


async def test_a_number_that_never_comes_is_given_up(
    stores: list[PostgresStore], other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An undone transaction leaves a number behind for which nobody asks for ever.
    """
    monkeypatch.setattr(postgres_feed, "GAP_SECONDS", 0.1)
    undone = other.transaction()
    await undone.start()
    await other.execute("INSERT INTO changes (kind, id) VALUES ('grant', 'undone')")
    await undone.rollback()
    await stores[0].commit(Insert(a_grant()))
    (change,) = await heard(stores[0], 0)
    (reader,) = stores[0]._feed._readers.values()
    missed = set(reader.gaps)
    await asyncio.sleep(0.15)
    await heard(stores[0], change.seq)

    assert {1} == missed
    assert {} == reader.gaps


async def test_a_reader_whose_place_was_swept_looks_at_everything(
    stores: list[PostgresStore], other: asyncpg.Connection
) -> None:
    """
    One that is not so far behind reads on; the newest change stays, however old it is.
    """
    await saved(stores[0], *(a_grant(number) for number in range(1, 6)))
    await other.execute("UPDATE changes SET at = at - interval '1 hour' WHERE seq <= 3")
    swept = await stores[0].sweep(NOW)
    await other.execute("UPDATE changes SET at = at - interval '1 hour'")
    swept_all = await stores[0].sweep(NOW)

    assert (3, 1) == (swept, swept_all)
    assert 5 == await stores[0].last_change()
    assert [Change(5, "all", "")] == await heard(stores[0], 3)
    assert [5] == [change.seq for change in await heard(stores[1], 4)]
    assert [] == await heard(stores[0], 5)


async def test_a_server_that_lost_the_last_changes_is_noticed(
    stores: list[PostgresStore], other: asyncpg.Connection
) -> None:
    """
    After a failover the number at a reader's place may be another change: look at everything.
    """
    store = stores[0]
    await saved(store, a_grant(1), a_grant(2))
    (_, last) = await heard(store, 0)
    await other.execute("UPDATE changes SET at = at + interval '1 second' WHERE seq = 2")
    undisturbed = await heard(store, last.seq)
    store._feed._hang_up()

    assert [] == undisturbed
    assert [Change(2, "all", "")] == await heard(store, last.seq)
    assert [] == await heard(store, last.seq)


async def test_news_are_as_old_as_the_question(
    stores: list[PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The last one: not as the moment when the answer came, nor as the call that asked before.
    """
    loop, feed = asyncio.get_running_loop(), stores[0]._feed
    inner, asked = feed._ask, list[tuple[float, float]]()

    async def ask(reader: Any) -> list[Change]:
        begun = loop.time()
        await asyncio.sleep(0.1)
        found = await inner(reader)
        asked.append((begun, loop.time()))
        return found

    monkeypatch.setattr(feed, "_ask", ask)
    waiting = asyncio.ensure_future(stores[0].changes(0, seconds=600))
    await eventually(lambda: asked)
    await stores[1].commit(Insert(a_grant()))
    news = await waiting
    (*_, (_, before), (begun, ended)) = asked

    assert [("grant", a_grant().id)] == named(news.changes)
    assert ended - begun <= news.age <= loop.time() - before


async def test_two_commits_that_wait_for_each_other_end(stores: list[PostgresStore]) -> None:
    """
    The database ends one of them: a conflict, of which nothing is written.
    """
    one, two = await saved(stores[0], a_grant(1), a_grant(2))
    conflicts = 0
    for _ in range(3):
        results = await outcomes(
            *(
                stores[number % NODES].commit(*(Replace(replace(grant, user=f"{number}")) for grant in pair))
                for number, pair in enumerate([(one, two), (two, one)] * 4)
            )
        )
        conflicts += sum(isinstance(result, StoreConflict) for result in results)
        assert 1 == results.count(None)
        found = [await stores[0].get(grant.id) for grant in (one, two)]
        one, two = [grant for grant in found if grant is not None]
        assert one.user == two.user

    assert 3 * 7 == conflicts


async def test_stamps_of_many_nodes_do_not_wait_for_each_other(stores: list[PostgresStore]) -> None:
    """
    However they are ordered: rows are locked by id.
    """
    grants = await saved(stores[0], *(a_grant(number) for number in range(1, 31)))
    ids = [grant.id for grant in grants]
    await asyncio.gather(
        *(
            store.touch(dict.fromkeys(ids if number % 2 else reversed(ids), NOW))
            for number, store in enumerate(stores * 5)
        )
    )
    found = [await stores[0].get(grant_id) for grant_id in ids]

    assert {NOW} == {grant.used_at for grant in found if grant is not None}


async def test_a_refresh_stays_on_its_page(stores: list[PostgresStore], other: asyncpg.Connection) -> None:
    """
    It changes no column that an index of grants holds, so no index is written (HOT).
    """
    (grant,) = await saved(stores[0], replace(a_full_grant(), version=0))
    before = await other.fetchval("SELECT pg_stat_get_tuples_hot_updated('grants'::regclass)")
    for number in range(10):
        await stores[0].commit(
            Replace(replace(grant, version=1 + number, refreshed_at=NOW, generation=20 + number))
        )
    for store in stores:
        await store.close()
    # A server process tells its counts when it ends.
    for _ in range(100):
        await other.execute("SELECT pg_stat_clear_snapshot()")
        hot = await other.fetchval("SELECT pg_stat_get_tuples_hot_updated('grants'::regclass)") - before
        if hot >= 9:
            break
        await asyncio.sleep(0.05)

    assert 10 == hot


async def test_events_keep_the_order_they_came_in(stores: list[PostgresStore]) -> None:
    """
    Those of one append, as many as they are.
    """
    written = [replace(an_event(1), name=f"event {number}") for number in range(500)]
    await stores[0].append(written)

    assert written == [event for _, event in await stores[1].events(limit=1000)]


# -- jobs ---------------------------------------------------------------------------------------


async def test_of_many_nodes_as_many_spend_as_may(stores: list[PostgresStore]) -> None:
    """
    The burst and not one more, also of a rate that nobody has used before.
    """
    waits = await outcomes(
        *(stores[number % NODES].spend("key", per_second=0.001, burst=7) for number in range(60))
    )

    assert 7 == waits.count(0.0)
    assert all(900 < wait <= 1000 for wait in waits if wait)


async def test_of_many_nodes_that_change_a_job_one_wins(stores: list[PostgresStore]) -> None:
    """
    One worker takes it; the others hear of a conflict.
    """
    await saved(stores[0], a_grant())
    await stores[0].add_jobs([a_job()])
    taken = replace(a_job(), state=JobState.RUNNING)
    results = await outcomes(*(stores[number % NODES].change_job(taken) for number in range(40)))

    assert 1 == sum(isinstance(result, Job) for result in results)
    assert 39 == sum(isinstance(result, StoreConflict) for result in results)


async def test_a_job_that_is_parked_waits_for_the_consent_under_way(
    stores: list[PostgresStore], other: asyncpg.Connection
) -> None:
    """
    Whoever parks it then reads the grant with the consent in it: one of the two wakes the job.
    """
    (grant,) = await saved(stores[0], a_grant())
    await stores[0].add_jobs([a_job(state=JobState.RUNNING)])
    await other.execute("BEGIN")
    await other.execute("UPDATE grants SET \"user\" = 'back', version = version + 1")
    parking = asyncio.ensure_future(stores[1].change_job(a_job(state=JobState.PARKED)))
    progress = await stores[2].job(job_id(1))
    await asyncio.sleep(0.3)
    early = parking.done()
    await other.execute("COMMIT")
    job = await parking
    found = await stores[1].get(grant.id)

    assert progress is not None
    assert (JobState.RUNNING, False) == (progress.state, early)
    assert (JobState.PARKED, 2) == (job.state, job.version)
    assert found is not None
    assert "back" == found.user


async def test_no_job_sleeps_through_a_consent(stores: list[PostgresStore]) -> None:
    """
    Parked and woken at once from two nodes, again and again: it is woken, or who parked it knows.
    """
    grants = await saved(stores[0], *(a_grant(number) for number in range(1, 41)))
    await stores[0].add_jobs([a_job(n, grant=n, state=JobState.RUNNING) for n in range(1, 41)])

    async def park(number: int) -> bool:
        await stores[1].change_job(a_job(number, grant=number, state=JobState.PARKED))
        now = await stores[1].get(a_grant(number).id)
        assert now is not None
        return now.user == "back"

    sees = await asyncio.gather(
        *(park(number) for number in range(1, 41)),
        *(
            stores[2].commit(Replace(replace(grant, user="back")), WakeJobs(grant.id), Release(A_LEASE))
            for grant in grants
        ),
    )
    asleep = {job.id for job in await stores[0].jobs(JobQuery(state=JobState.PARKED))}

    assert asleep <= {job_id(number) for number, seen in enumerate(sees[:40], start=1) if seen}


A_LEASE = Lease("none", "nobody", 0, 0.0)


async def test_pages_that_meet_do_not_wait_for_each_other(stores: list[PostgresStore]) -> None:
    """
    Schedules of many workers add the same jobs in any order: each is there once.
    """
    await saved(stores[0], *(a_grant(number) for number in range(1, 101)))
    pages = [
        [a_job(1000 * page + n, grant=n, key="day 1") for n in range(1, 101)][:: 1 if page % 2 else -1]
        for page in range(8)
    ]
    added = await outcomes(*(stores[page % NODES].add_jobs(jobs) for page, jobs in enumerate(pages)))

    assert 100 == sum(added)
    assert 100 == len(await stores[0].jobs(JobQuery(limit=1000)))


async def test_a_deleted_grant_leaves_no_job_behind(stores: list[PostgresStore]) -> None:
    """
    Of jobs that are just being added none stays, and each that was added is known to be erased.
    """
    grants = await saved(stores[0], *(a_grant(number) for number in range(1, 41)))
    results = await outcomes(
        *(stores[1].add_jobs([a_job(number, grant=number)]) for number in range(1, 41)),
        *(stores[2].commit(Delete(grant.id, 1)) for grant in grants),
    )
    added = [job_id(number) for number, count in enumerate(results[:40], start=1) if count]

    assert [None] * 40 == results[40:]
    assert [] == await stores[0].jobs(JobQuery())
    assert added == await stores[0].erased_jobs()


async def test_ten_thousand_parked_jobs_wake_or_go_in_one_commit(
    stores: list[PostgresStore], other: asyncpg.Connection
) -> None:
    """
    In parts, none of which takes long; the jobs of others go on.
    """
    await saved(stores[0], a_grant(1), a_grant(2))
    for first in range(0, 10_000, 500):
        await stores[0].add_jobs([a_job(first + n, state=JobState.PARKED) for n in range(500)])
    await stores[0].add_jobs([a_job(20_000, grant=2, state=JobState.PARKED)])
    await stores[0].commit(WakeJobs(a_grant(1).id))
    counted = await stores[0].count_jobs()
    orders = await other.fetchval("SELECT count(*) FROM jobs WHERE version = 2 AND ordered = 'resume'")
    with pytest.raises(StoreConflict):
        await stores[0].commit(Delete(a_grant(1).id, 7))
    kept = await stores[0].count_jobs()
    await stores[0].commit(Delete(a_grant(1).id, 1))

    assert {JobState.QUEUED: 10_000, JobState.PARKED: 1} == counted == kept
    assert 10_000 == orders
    assert {JobState.PARKED: 1} == await stores[0].count_jobs()
    assert 10_000 == len(await stores[0].erased_jobs(limit=20_000))


async def test_rates_and_pauses_long_past_are_forgotten(
    stores: list[PostgresStore], other: asyncpg.Connection
) -> None:
    """
    A minute after a rate is full again; after a pause is over as long again as it lasted, and a minute.
    """
    await stores[0].spend("key", per_second=1000, burst=1)
    await stores[0].pause("key", seconds=30)
    await stores[0].pause("long", seconds=600)
    young = await stores[0].sweep(NOW)
    past = f"make_interval(secs => {PACE_SECONDS})"
    await other.execute(f"UPDATE paces SET full_until = full_until - {past}")
    await other.execute(f"UPDATE pauses SET paused_until = paused_until - interval '60 seconds' - {past}")
    await asyncio.sleep(0.01)

    assert (0, 2) == (young, await stores[0].sweep(NOW))


async def test_jobs_are_told_while_their_grant_goes(stores: list[PostgresStore]) -> None:
    """
    Rows are locked by id, so that who strikes out orders and who deletes do not wait for each other.
    """
    for number in range(1, 6):
        (grant,) = await saved(stores[0], a_grant(number))
        jobs = [a_job(100 * number + n, grant=number, order=Order.SUBMIT) for n in range(60)]
        for job in reversed(jobs):
            await stores[0].add_jobs([job])
        results = await outcomes(
            stores[1].jobs_told(jobs),
            stores[2].commit(Delete(grant.id, 1)),
            stores[3].jobs_told(jobs[::-1]),
        )
        await stores[0].drop_erased([job.id for job in jobs])

        assert [None] * 3 == results
    assert [] == await stores[0].erased_jobs()


async def test_leases_long_past_are_forgotten(stores: list[PostgresStore], other: asyncpg.Connection) -> None:
    """
    A lease that nobody gave back goes some minutes after its end; not those whose orphans are work.
    """
    sought = [f"{name}1" for name in SOUGHT_LEASES]
    for name in ("lapsed", *sought):
        await stores[0].take(name, "me", seconds=0)
    young = await stores[0].sweep(NOW)
    await other.execute(
        "UPDATE leases SET held_until = held_until - make_interval(secs => $1)", LEASE_SECONDS
    )
    old = await stores[1].sweep(NOW)
    orphans = [await stores[1].orphans(name) for name in SOUGHT_LEASES]

    assert (0, 1) == (young, old)
    assert [[name] for name in sought] == orphans
