"""Upload addresses that a job records: closed with a key that goes with its row."""

import asyncio
from dataclasses import replace

import pytest

from grantkeeper import JobContext, PlainJobContext, job
from grantkeeper.adapters.keyset import Keyset
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.sealing import KeysetSealer
from grantkeeper.errors import JobNotFound, SealBroken
from grantkeeper.google.drive import Drive
from grantkeeper.google.drive_upload import DriveUpload
from grantkeeper.jobs.envelopes import PREFIX, Envelopes
from grantkeeper.jobs.row import Row
from grantkeeper.model import Job
from grantkeeper.ports import Insert
from grantkeeper.testing.records import a_grant, a_job
from tests.jobs.conftest import DRIVE, Opener
from tests.jobs_kit import lives

pytestmark = pytest.mark.anyio

URL = "https://www.googleapis.com/upload/drive/v3/files?uploadType=resumable&upload_id=ABPtcP"


@pytest.fixture
async def rows(anyio_backend: str) -> list[Row]:
    """Two jobs of one grant."""
    store = MemoryStore()
    await store.commit(Insert(a_grant()))
    jobs: list[Job] = [a_job(1), a_job(2)]
    await store.add_jobs(jobs)
    return [Row(store, each, lives) for each in jobs]


@pytest.fixture
def sealer() -> KeysetSealer:
    return KeysetSealer(Keyset.generate())


async def test_an_address_opens_in_every_run_of_its_job(rows: list[Row], sealer: KeysetSealer) -> None:
    """
    The key is made with the first one and stands in the row; an open address is what it is.
    """
    first = Envelopes(sealer, rows[0], asyncio.Lock())
    one, two = await asyncio.gather(first.closed(URL), first.closed(URL))
    stored = await rows[0]._store.job(rows[0].job.id)
    assert stored is not None
    later = Envelopes(sealer, Row(rows[0]._store, stored, lives), asyncio.Lock())

    assert one != two
    assert [URL] * 3 == [later.opened(each) for each in (one, two, URL)]
    assert "ABPtcP" not in one
    assert 2 == stored.version


async def test_it_opens_nowhere_else(rows: list[Row], sealer: KeysetSealer) -> None:
    """
    Not in another job, not without the key, not damaged, and not under another keyset.
    """
    closed = await Envelopes(sealer, rows[0], asyncio.Lock()).closed(URL)
    other = Envelopes(sealer, rows[1], asyncio.Lock())
    with pytest.raises(SealBroken):
        other.opened(closed)
    await other.closed(URL)
    stranger = Envelopes(KeysetSealer(Keyset.generate()), rows[0], asyncio.Lock())
    mine = Envelopes(sealer, rows[0], asyncio.Lock())
    for envelopes, text in [(other, closed), (stranger, closed), (mine, closed[:-8]), (mine, PREFIX + "*")]:
        with pytest.raises(SealBroken):
            envelopes.opened(text)


async def test_an_upload_whose_key_is_gone_begins_anew(open_town: Opener) -> None:
    """
    As where its wrapping key was dropped meanwhile; nobody has to do anything.
    """
    records: list[DriveUpload] = []

    @job(scopes=[DRIVE])
    async def upload(ctx: JobContext) -> str:
        drive = Drive(ctx.http, base=town.google.issuer)

        async def send() -> str:
            records.append(await drive.begin_upload("a.txt", 5, "text/plain"))
            row = ctx._work.row
            row.job = replace(row.job, seal_key=None)
            return (await drive.send_upload(records[0], b"hello")).id

        return await ctx.step(send)

    town = await open_town(upload)
    ran = await town.run(upload, await town.signed_in())

    assert "done" == ran.state
    assert records[0].url.startswith(PREFIX)


async def test_a_plain_job_may_close_what_it_keeps_itself(open_town: Opener) -> None:
    """
    An address that it read from an answer's header is good for its requests, and for nothing else.
    """

    @job(scopes=[DRIVE])
    def upload(ctx: PlainJobContext) -> int:
        where = f"{town.google.issuer}/upload/drive/v3/files?uploadType=resumable"
        begun = ctx.http.request("POST", where, json={"name": "a", "parents": ["appDataFolder"]})
        closed = ctx.step(ctx.http.closed, begun.headers["location"])
        assert closed.startswith(PREFIX)
        return ctx.http.request("PUT", closed, body=b"hello").status

    town = await open_town(upload)
    ran = await town.run(upload, await town.signed_in())

    assert ("done", 200) == (ran.state, ran.report.result)


async def test_nothing_opens_once_the_job_is_done_or_its_user_erased(open_town: Opener) -> None:
    """
    The engine may still have the step; the key is in no row.
    """

    @job(scopes=[DRIVE])
    async def upload(ctx: JobContext, end: bool) -> None:
        drive = Drive(ctx.http, base=town.google.issuer)

        async def begin() -> str:
            return (await drive.begin_upload("a.txt", 5, "text/plain")).url

        await ctx.step(begin)
        if not end:
            await asyncio.sleep(60)

    town = await open_town(upload)
    grant = await town.signed_in()
    keeper = town.worker.keeper
    done = await town.run(upload, grant, end=True)
    row = await keeper._home.ask(lambda core: core.store.job(done.id))
    assert (None, PREFIX) == (row.seal_key, dict(done.records)["begin"][: len(PREFIX)])

    at_work = await town.enqueue(upload, grant, end=False)
    async with asyncio.timeout(20):
        while (row := await keeper._home.ask(lambda core: core.store.job(at_work))).seal_key is None:
            await asyncio.sleep(0.02)
    await keeper.forget(grant)

    with pytest.raises(JobNotFound):
        await keeper.jobs.get(at_work)
