"""
A process of its own that works on a SQLite file, for tests of several at once.

Called as ``store_worker.py WORK PATH ARGUMENT…``; it prints what came out as
one JSON text a line, each as soon as it is true.
"""

import asyncio
import json
import os
import random
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from grantkeeper.adapters.sqlite import SqliteStore, open_sqlite
from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.model import Lease
from grantkeeper.ports import Insert, Note, PutToken, Release, Replace
from grantkeeper.testing.records import NOW, a_grant, a_redemption, a_token, an_event


def say(what: Any) -> None:
    """One line for the parent."""
    print(json.dumps(what), flush=True)


async def until_all_are_there(path: Path, name: str, count: int) -> None:
    """Start together: whoever comes last lets all go."""
    path.with_name(f"ready-{name}").touch()
    while len(list(path.parent.glob("ready-*"))) < count:
        await asyncio.sleep(0.001)


async def opening(path: Path, name: str, count: int) -> None:
    """Open a file that may not exist yet."""
    await until_all_are_there(path, name, count)
    store = open_sqlite(path)
    await store.commit(Insert(a_grant(int(name))))
    await store.close()
    say("opened")


async def leases(path: Path, name: str, count: int, wins: int) -> None:
    """Take one lease *wins* times; say each version and whether anybody else was inside."""
    store = open_sqlite(path)
    await until_all_are_there(path, name, count)
    inside = path.with_name("inside")
    won = 0
    while won < wins:
        lease = await store.take("hot", name, seconds=30)
        if not isinstance(lease, Lease):
            await asyncio.sleep(random.uniform(0, 0.002))
            continue
        won += 1
        try:
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            alone = True
        except FileExistsError:
            alone = False
        await asyncio.sleep(0.001)
        inside.unlink(missing_ok=True)
        say([lease.version, alone])
        await store.commit(Release(lease))
    await store.close()


async def claims(path: Path, name: str, count: int, codes: int) -> None:
    """Claim every code in a disorder of its own; say which were won."""
    store = open_sqlite(path)
    await until_all_are_there(path, name, count)
    order = random.sample(range(codes), codes)
    results = await asyncio.gather(
        *(store.claim(a_redemption(b"code %d" % code, owner=name), seconds=30) for code in order)
    )
    say([code for code, result in zip(order, results, strict=True) if result is None])
    say(sorted({result.owner for result in results if result is not None} - {"0", "1", "2", "3"}))
    await store.close()


async def saves(path: Path, name: str, count: int, wanted: int) -> None:
    """Save one grant *wanted* times against everybody else; say how often that conflicted."""
    store = open_sqlite(path)
    await until_all_are_there(path, name, count)
    done = conflicts = 0
    while done < wanted:
        grant = await store.get(a_grant().id)
        assert grant is not None
        try:
            await store.commit(Replace(replace(grant, revocation_attempts=grant.revocation_attempts + 1)))
            done += 1
        except StoreConflict:
            conflicts += 1
    say(conflicts)
    await store.close()


async def committing(path: Path, name: str) -> None:
    """Commit in groups without end; say each number once it is acknowledged."""
    store = open_sqlite(path)

    async def one(number: int) -> None:
        grant = a_grant(number)
        await store.commit(Insert(grant), PutToken(a_token(grant)), Note(an_event(number)))
        say(number)

    first = int(name) * 1_000_000
    while True:
        await asyncio.gather(*(one(number) for number in range(first, first + 20)))
        first += 20


async def one_insert(path: Path, name: str) -> None:
    """Save one grant and end."""
    store = open_sqlite(path)
    await store.commit(Insert(a_grant(int(name))))
    await store.close()
    say("saved")


async def full_disk(path: Path, _name: str) -> None:
    """Write until no file may grow any more, then let them grow again."""
    store = open_sqlite(path)
    await store.commit(Insert(a_grant(1)))
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name(path.name + "-wal").stat().st_size, hard))
    say(await _refusal(store))
    say(await store.get(a_grant(1).id) is not None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await store.ready()
    await store.commit(Insert(a_grant(2)))
    await store.close()
    say("healed")


async def _refusal(store: SqliteStore) -> str | None:
    for number in range(1000, 1200):
        try:
            await store.commit(Insert(a_grant(number, data_key=bytes(10_000))))
        except StoreUnavailable as error:
            return error.code
    return None


async def forked(path: Path, _name: str) -> None:
    """Use the parent's store in a child, then again in the parent."""
    store = open_sqlite(path)
    await store.commit(Insert(a_grant(1)))
    child = os.fork()
    if child == 0:
        refused = 0
        for call in (store.get(a_grant(1).id), store.touch({a_grant(1).id: NOW})):
            try:
                call.send(None)
            except RuntimeError:
                refused += 1
        os._exit(refused)
    _pid, status = os.waitpid(child, 0)
    say(os.waitstatus_to_exitcode(status))
    await store.commit(Insert(a_grant(2)))
    await store.close()
    say("unharmed")


WORK = {
    "opening": opening,
    "leases": leases,
    "claims": claims,
    "saves": saves,
    "committing": committing,
    "one_insert": one_insert,
    "full_disk": full_disk,
    "forked": forked,
}

if __name__ == "__main__":
    _, work, where, who, *numbers = sys.argv
    asyncio.run(WORK[work](Path(where), who, *map(int, numbers)))  # type: ignore[operator]
