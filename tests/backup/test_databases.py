"""What a backup takes out of a database and what a restore puts into another, of any kind."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from grantkeeper.adapters.archive import GAP, RESTORING
from grantkeeper.adapters.archive_tables import Table
from grantkeeper.adapters.records import Row
from grantkeeper.errors import BackupRefused
from grantkeeper.model import ENDED, JobState, Lease, Order, RedemptionState
from grantkeeper.ports import Delete, GrantQuery, Insert, JobQuery, PutToken, Settle, Store
from grantkeeper.testing.records import (
    NOW,
    a_bare_grant,
    a_caller,
    a_full_grant,
    a_full_job,
    a_grant,
    a_job,
    a_redemption,
    a_signing_key,
    a_token,
    an_event,
    grant_id,
    job_id,
)
from tests.backup.places import Place, back_up, restore, written

pytestmark = pytest.mark.anyio
EVERY_PAIR = list(product(("sqlite", "postgres"), repeat=2))
LATER = NOW + timedelta(hours=1)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Store]:
    store = await place.store()
    try:
        yield store
    finally:
        await store.close()


async def fill(store: Store) -> None:
    """A row of every kind, in every table."""
    await store.commit(Insert(a_full_grant(1)), Insert(a_bare_grant(2)), Insert(a_grant(3)))
    await store.commit(PutToken(a_token(a_grant(3))))
    await store.claim(a_redemption(key_hash=b"key"), seconds=60)
    await store.claim(a_redemption(b"done", "another"), seconds=60)
    done = a_redemption(
        b"done", "another", state=RedemptionState.DONE, outcome=b"\x00out", settled_at=NOW, grant_id="g"
    )
    await store.commit(Settle(done))
    await store.add_caller(a_caller())
    await store.add_caller(a_caller("gone", 2, clients=frozenset(), expires_at=None))
    await store.revoke_caller("gone", LATER)
    await store.put_once("id_token", b"\x00used", b"code", now=NOW, until=LATER)
    await store.add_signing_key(a_signing_key())
    await store.append([an_event(1), an_event(2)])
    await store.set_mark("progress", b"\xff far")
    assert isinstance(await store.take("lease", "owner", seconds=60), Lease)


@pytest.mark.parametrize("pair", EVERY_PAIR, ids="-".join)
async def test_everything_that_lasts_comes_back(old: Place, new: Place) -> None:
    """
    Grants, redemptions, callers, keys, events, marks and things good once, each as it was.
    """
    async with opened(old) as store:
        await fill(store)
        grants = await store.search(GrantQuery())
        callers, keys = await store.callers(), await store.signing_keys()
        events = await store.events()

    await restore(await back_up(old), new)

    async with opened(new) as store:
        assert grants == await store.search(GrantQuery())
        assert [a_grant(3, version=1)] == [one for one in grants if one.id == grant_id(3)]
        assert callers == await store.callers()
        assert keys == await store.signing_keys()
        assert events == (await store.events())[:2]
        assert b"\xff far" == await store.mark("progress")
        done = await store.redemption(b"done")
        assert done is not None
        assert (RedemptionState.DONE, b"\x00out", "g") == (done.state, done.outcome, done.grant_id)
        assert not await store.put_once("id_token", b"\x00used", b"", now=NOW, until=LATER)


@pytest.mark.parametrize("pair", EVERY_PAIR, ids="-".join)
async def test_jobs_come_back_and_begin_anew(old: Place, new: Place) -> None:
    """
    Unless they have ended: the engine's steps are not in a backup. It is told of what can run; what
    waits, is parked or failed keeps its reason, and its steps are told to be none.
    """
    jobs = [
        a_job(number, state=state, steps=7, attempts=3, reason="why", order=Order.SUSPEND)
        for number, state in enumerate(JobState)
    ]
    async with opened(old) as store:
        await store.commit(Insert(a_grant(1)), Insert(a_grant(2)))
        await store.add_jobs([*jobs, a_full_job(20, grant=2)])
        await store.commit(Delete(a_grant(2).id, 1))
        await store.add_jobs([replace(a_full_job(21), order=None)])
        await store.spend("rate", per_second=0.001, burst=1)
        await store.pause("api", seconds=3600)

    await restore(await back_up(old), new)

    async with opened(new) as store:
        found = {job.id: job for job in await store.jobs(JobQuery())}
        assert replace(a_full_job(21), order=None, steps=0, attempts=0, outages=0) == found.pop(job_id(21))
        for job in jobs:
            kept = found.pop(job.id)
            if job.state in (JobState.QUEUED, JobState.RUNNING):
                assert (JobState.QUEUED, Order.RESUME) == (kept.state, kept.order)
            else:
                assert (job.state, job.order) == (kept.state, kept.order)
            anew = job.state is JobState.FAILED or job.state not in ENDED
            assert ((0, 0) if anew else (7, 3)) == (kept.steps, kept.attempts)
            assert "why" == kept.reason
        assert {} == found
        assert [] == await store.erased_jobs()
        assert {} == await store.pauses(["api"])
        assert 0.0 == await store.spend("rate", per_second=0.001, burst=1)


async def test_a_claim_under_way_counts_as_lost(old: Place, new: Place) -> None:
    """
    Whoever held it is not there to settle it: its code may have been sent, and is never sent again.
    """
    async with opened(old) as store:
        await store.claim(a_redemption(), seconds=3600)

    await restore(await back_up(old), new)

    async with opened(new) as store:
        assert replace(a_redemption(), lapsed=True) == await store.redemption(b"code")


async def test_access_tokens_and_leases_stay_behind(old: Place, new: Place) -> None:
    """
    A token from before may be dead already, and who held a lease is gone.
    """
    async with opened(old) as store:
        await fill(store)

    await restore(await back_up(old), new)

    async with opened(new) as store:
        found = await store.read(grant_id(3))
        assert found is not None
        assert () == found[1]
        lease = await store.take("lease", "somebody", seconds=60)
        assert isinstance(lease, Lease)
        assert not lease.orphaned


async def test_numbers_only_grow(old: Place, new: Place) -> None:
    """
    A lease, a change and an event have numbers above any that was given before the restore.
    """
    async with opened(old) as store:
        await fill(store)
        fence = await store.take("another", "owner", seconds=60)
        change = await store.last_change()
        assert isinstance(fence, Lease)

    await restore(await back_up(old), new)

    async with opened(new) as store:
        assert change + GAP <= await store.last_change()
        taken = await store.take("another", "owner", seconds=60)
        assert isinstance(taken, Lease)
        assert taken.version > fence.version + GAP - 1
        assert (await store.events())[-1][0] >= GAP


@pytest.mark.parametrize("busy", [False, True], ids=["unused", "used"])
async def test_a_running_node_is_told_to_look_at_everything(old: Place, new: Place, busy: bool) -> None:
    """
    One that had the empty database open hears of a change of kind all.
    """
    async with opened(old) as store:
        await fill(store)
    backup = await back_up(old)

    async with opened(new) as node:
        if busy:
            await node.set_mark("somebody", b"here")
        place = await node.last_change()
        await restore(backup, new)
        kinds: list[str] = []
        while not kinds or kinds[-1] != "all":
            for change in (await node.changes(place, seconds=1.0)).changes:
                place = change.seq
                kinds.append(change.kind)
            assert kinds

        assert grant_id(1) == (await node.search(GrantQuery()))[0].id
        assert () == (await node.changes(place, seconds=0.0)).changes


async def test_when_it_was_restored_is_written_down(old: Place, new: Place) -> None:
    """
    As a mark, which makes every grant uncertain, and as an event of the audit.
    """
    async with opened(old) as store:
        await fill(store)

    await restore(await back_up(old), new, at=1_764_000_000_000_000)

    async with opened(new) as store:
        event = (await store.events())[-1][1]
        assert b"1764000000000000" == await store.mark("restored_at")
        assert await store.mark(RESTORING) is None
        assert ("database.restored", NOW.isoformat()) == (event.name, event.detail["backup"])


@pytest.mark.parametrize("pair", EVERY_PAIR, ids="-".join)
async def test_a_copy_of_a_copy_says_the_same(old: Place, new: Place) -> None:
    """
    Whatever kinds of databases it goes through: row by row, but for what the restore itself wrote.
    """
    async with opened(old) as store:
        await fill(store)
    first = await back_up(old)
    await restore(first, new)
    second = await back_up(new)

    lines = second.splitlines()
    missing = [line for line in first.splitlines()[1:-2] if line not in lines]
    assert [] == [line for line in missing if line.startswith(b"[")]


async def test_a_backup_is_of_one_moment(old: Place) -> None:
    """
    What is written while it is read is not in it, and nobody waits for it.
    """
    async with opened(old) as store:
        await fill(store)
        before = await back_up(old)
        source = await old.source()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(source.close)
            await store.commit(Delete(grant_id(2), 1))
            await store.commit(Insert(a_grant(9)))
            await store.append([an_event(9)])
            during = await written(source)
        after = await back_up(old)

    assert before == during
    assert before != after
    assert grant_id(9).encode() in after


USED = {
    "grants": lambda store: store.commit(Insert(a_grant())),
    "redemptions": lambda store: store.claim(a_redemption(), seconds=1),
    "callers": lambda store: store.add_caller(a_caller()),
    "once": lambda store: store.put_once("kind", b"key", b"", now=NOW, until=LATER),
    "signing_keys": lambda store: store.add_signing_key(a_signing_key()),
    "audit": lambda store: store.append([an_event()]),
}


@pytest.mark.parametrize("table", USED)
async def test_nothing_is_restored_over_anything(old: Place, new: Place, table: str) -> None:
    """
    A database with a row in any lasting table is refused, by name, and is as it was.
    """
    async with opened(old) as store:
        await fill(store)
    backup = await back_up(old)
    async with opened(new) as store:
        await USED[table](store)
        change = await store.last_change()

    with pytest.raises(BackupRefused, match=f"not empty: it has {table}") as caught:
        await restore(backup, new)

    assert "grantkeeper migrate" in caught.value.hint
    async with opened(new) as store:
        assert change == await store.last_change()
        assert await store.mark(RESTORING) is None


async def test_what_was_not_finished_left_nothing_but_the_mark(old: Place, new: Place) -> None:
    """
    The rows are not there, the mark is, and the next restore does it all.
    """
    async with opened(old) as store:
        await fill(store)
    backup = await back_up(old)

    with pytest.raises(BackupRefused):
        await restore(backup[: len(backup) // 2], new)

    async with opened(new) as store:
        assert [] == await store.search(GrantQuery())
        assert [] == await store.callers()
        assert b"" == await store.mark(RESTORING)
    with pytest.raises(BackupRefused, match="not finished"):
        await back_up(new)
    await restore(backup, new)
    async with opened(new) as store:
        assert 3 == len(await store.search(GrantQuery()))
        assert await store.mark(RESTORING) is None


async def test_a_row_that_cannot_be_there_twice_is_refused(old: Place, new: Place) -> None:
    """
    Nothing of the backup is restored then.
    """
    async with opened(old) as store:
        await store.commit(Insert(a_grant()))
    source = await old.source()

    class Twice:
        facts = source.facts

        async def rows(self, table: Table) -> AsyncIterator[Sequence[Row]]:
            async for rows in source.rows(table):
                yield [*rows, *rows] if table.name == "grants" else rows

        async def close(self) -> None:
            await source.close()

    doubled = await written(Twice())
    await source.close()

    with pytest.raises(BackupRefused, match="two rows of grants"):
        await restore(doubled, new)
    async with opened(new) as store:
        assert [] == await store.search(GrantQuery())
