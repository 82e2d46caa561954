"""A process that dies is noticed at once by those who wait for its leases, and one that lives is not."""

import asyncio
import gc
import subprocess
import sys

import pytest

from grantkeeper.adapters.postgres import PostgresStore, open_postgres
from grantkeeper.adapters.postgres_life import PostgresLife
from grantkeeper.model import Held, Lease
from tests.postgres import PostgresServer, database_of

pytestmark = pytest.mark.anyio

HOLDER = """
import asyncio, sys
from grantkeeper.adapters.postgres import open_postgres

async def main():
    store = await open_postgres(sys.argv[1])
    while store._life.sign is None:
        await asyncio.sleep(0.01)
    await store.take("work", "holder", seconds=600)
    print("holds", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def lives(store: PostgresStore) -> int:
    """Wait until a session vouches for *store*'s process; its number."""
    while store._life.sign is None:
        await asyncio.sleep(0.01)
    return store._life.sign


async def taken_at_last(store: PostgresStore) -> Lease:
    """The lease ``work``, asked for until it is had."""
    while isinstance(lease := await store.take("work", "waiter", seconds=600), Held):
        await asyncio.sleep(0.02)
    return lease


async def test_the_lease_of_a_killed_process_is_taken_at_once(emptied_url: str) -> None:
    """
    Long before its time is over, and who takes it is told that it was orphaned.
    """
    process = subprocess.Popen([sys.executable, "-c", HOLDER, emptied_url], stdout=subprocess.PIPE)
    store = await open_postgres(emptied_url)
    try:
        assert process.stdout is not None
        said = await asyncio.to_thread(process.stdout.readline)
        held = await store.take("work", "waiter", seconds=600)
        before = await store.orphans("work")
        process.kill()
        async with asyncio.timeout(60):
            while not (after := await store.orphans("work")):
                await asyncio.sleep(0.02)
            lease = await taken_at_last(store)
    finally:
        process.kill()
        process.communicate()
        await store.close()

    assert (b"holds\n", True, []) == (said, isinstance(held, Held), before)
    assert (["work"], True) == (after, lease.orphaned)


async def test_a_process_whose_session_was_cut_signs_its_leases_anew(
    emptied_url: str, postgres_server: PostgresServer
) -> None:
    """
    It lives, so nobody takes them once it has another session.
    """
    one, two = await open_postgres(emptied_url), await open_postgres(emptied_url)
    try:
        before = await lives(one)
        await one.take("work", "me", seconds=600)
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            f" WHERE locktype = 'advisory' AND objid = {before}",
            database_of(emptied_url),
        )
        async with asyncio.timeout(60):
            while await lives(one) == before:
                await asyncio.sleep(0.01)
        held = await two.take("work", "waiter", seconds=600)
    finally:
        await one.close()
        await two.close()

    assert isinstance(held, Held)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_closing_in_the_middle_of_connecting_leaves_nothing_behind(
    emptied_url: str, steps: int
) -> None:
    """
    No half connection, whose loss would be told to whoever runs the loop.
    """
    for _ in range(5):
        store = await open_postgres(emptied_url)
        for _ in range(steps):
            await asyncio.sleep(0)
        await store.close()
        await asyncio.sleep(0.01)
    gc.collect()


class Session:
    """What a process that vouches asks of its connection; the first one fails at its first ping."""

    made = 0

    def __init__(self, life: "list[PostgresLife]", said: list[object]) -> None:
        Session.made += 1
        self._fails, self._life, self._said = Session.made == 1, life, said

    def add_termination_listener(self, listener: object) -> None:
        pass

    async def fetchval(self, statement: str, sign: int) -> bool:
        self._said.append((statement, self._life[0].sign))
        return True

    async def execute(self, statement: str, *values: int) -> None:
        self._said.append((statement, *values))
        if statement == "still_living" and self._fails:
            raise ConnectionError

    async def close(self) -> None:
        self._said.append(("closed", self._life[0].sign))


async def test_a_session_that_fails_at_a_ping_vouches_no_longer() -> None:
    """
    From that moment no lease names its lock, and those that did are signed anew.
    """
    Session.made = 0
    said: list[object] = []
    lives_here: list[PostgresLife] = []
    names = ("begin_life", "go_on_living", "still_living")

    async def connecting() -> Session:
        return Session(lives_here, said)

    life = PostgresLife(connecting, {name: name for name in names}, ping_seconds=0.01)
    lives_here.append(life)
    life.start()
    async with asyncio.timeout(60):
        while len([each for each in said if each == ("still_living",)]) < 2:
            await asyncio.sleep(0.005)
    sign = life.sign
    await life.close()

    begun, failed, closed, again, anew = said[:5]
    assert [("begin_life", None), ("still_living",), ("closed", None), ("begin_life", None)] == [
        begun,
        failed,
        closed,
        again,
    ]
    assert isinstance(anew, tuple)
    assert ("go_on_living", sign) == (anew[0], anew[2])
    assert life.sign is None


async def test_without_a_session_a_lease_ends_by_its_time(
    emptied_url: str, postgres_server: PostgresServer
) -> None:
    """
    Nobody vouched for it, or the server was started since: then silence says nothing of its owner.
    """
    gone, dead, waiter = [await open_postgres(emptied_url) for _ in range(3)]
    try:
        await gone._life.close()
        await gone.take("unsigned", "me", seconds=600)
        await lives(dead)
        await dead.take("from before", "me", seconds=600)
        postgres_server.execute(
            "UPDATE leases SET server_start = server_start - interval '1 day' WHERE name = 'from before'",
            database_of(emptied_url),
        )
        await dead._life.close()
        claims = [await waiter.take(name, "waiter", seconds=600) for name in ("unsigned", "from before")]
    finally:
        for store in (gone, dead, waiter):
            await store.close()

    assert [Held, Held] == [type(claim) for claim in claims]


async def test_a_lease_that_is_renewed_after_a_restart_is_vouched_for_again(
    emptied_url: str, postgres_server: PostgresServer
) -> None:
    """
    By the session of now: should its owner be killed, nobody waits for its end.
    """
    owner, waiter = [await open_postgres(emptied_url) for _ in range(2)]
    try:
        await lives(owner)
        lease = await owner.take("name", "me", seconds=600)
        assert isinstance(lease, Lease)
        postgres_server.execute(
            "UPDATE leases SET server_start = server_start - interval '1 day'", database_of(emptied_url)
        )
        assert await owner.renew(lease, seconds=600) is not None
        held = await waiter.take("name", "waiter", seconds=600)
        await owner._life.close()
        taken = await waiter.take("name", "waiter", seconds=600)
    finally:
        for store in (owner, waiter):
            await store.close()

    assert [Held, Lease] == [type(held), type(taken)]
