"""
The store for many nodes: one PostgreSQL that all of them share.

Leases and everything else that must hold between nodes is judged by the
database: its rows, its clock. Nothing here waits for a lock that another node
holds for longer than one short transaction.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from grantkeeper.adapters import postgres_steps as steps_of
from grantkeeper.adapters.listing import Values, merged, pages
from grantkeeper.adapters.postgres_connect import STATEMENTS, PostgresPlace, connect, first_connect
from grantkeeper.adapters.postgres_feed import Notifier, PostgresFeed
from grantkeeper.adapters.postgres_jobs import PostgresJobs
from grantkeeper.adapters.postgres_life import PostgresLife
from grantkeeper.adapters.postgres_pool import MOST, PostgresPool, goodbye
from grantkeeper.adapters.postgres_schema import check
from grantkeeper.adapters.postgres_steps import NAMES, SQL
from grantkeeper.adapters.postgres_work import PostgresWork
from grantkeeper.adapters.records import (
    GRANT,
    TOKEN,
    caller_of,
    caller_row,
    event_of,
    grant_of,
    instant,
    node_of,
    node_row,
    redemption_of,
    redemption_row,
    signing_key_of,
    signing_key_row,
    token_of,
)
from grantkeeper.adapters.retention import FEED_ROWS, FEED_SECONDS, LEASE_SECONDS, NODE_SECONDS, PACE_SECONDS
from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.model import (
    SOUGHT_LEASES,
    AuditEvent,
    Caller,
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

EVER = -(2**63)
"""Before every time."""

TOUCH_ROWS = 500
"""Stamps in one statement at most: it locks their rows."""

AGAIN = 5
"""How often what lost a race of two statements begins anew; each time somebody else has won."""

_GRANT_WIDTH = len(GRANT)
_TOKEN_END = _GRANT_WIDTH + len(TOKEN)


async def open_postgres(
    url: str,
    *,
    statement_cache: int | None = None,
    listen_url: str | None = None,
    connections: int = MOST,
) -> "PostgresStore":
    """
    Open the database that *url* names. It must have been migrated (`grantkeeper migrate`).

    The store belongs to the process and the event loop that open it; close it with `PostgresStore.close`.

    Args:
        url: ``postgresql://user:password@host:5432/database``, with any of libpq's parameters for TLS.
        statement_cache: 0 behind PgBouncer.
        listen_url: The same database past PgBouncer, for the change feed.
        connections: At most, beside that of the feed and the one that vouches for the process.

    Raises:
        SettingsInvalid: The URL is wrong, or the database is not (yet) of this release.
        StoreUnavailable: The database cannot be used now.
    """
    place = PostgresPlace(url, STATEMENTS if statement_cache is None else statement_cache, listen_url)
    first = await first_connect(place)
    try:
        await check(first, whole=place.pooled)
    except BaseException:
        await goodbye(first)
        raise
    store = PostgresStore(place, connections=connections)
    store._pool.adopt(first)
    return store


class PostgresStore(PostgresJobs):
    """The `grantkeeper.ports.Store` of many nodes. Open it with `open_postgres`."""

    def __init__(self, place: PostgresPlace, *, connections: int = MOST) -> None:
        self._pool = PostgresPool(lambda: connect(place), most=connections)
        self._work = PostgresWork(self._pool, SQL, whole=place.pooled)
        self._read, self._write = self._work.read, self._work.write
        self._feed = PostgresFeed(lambda: connect(place.direct), SQL, whole=place.direct.pooled)
        self._notifier = Notifier(lambda: self._read("notify"))
        self._life = PostgresLife(lambda: connect(place.direct), SQL)
        if not place.direct.pooled:
            self._life.start()
        self._closed = False

    # -- grants -----------------------------------------------------------------------------

    async def get(self, grant_id: str) -> Grant | None:
        rows = await self._read("grant", grant_id)
        return grant_of(rows[0]) if rows else None

    async def read(self, grant_id: str) -> tuple[Grant, tuple[StoredToken, ...]] | None:
        rows = await self._read("grant_with_tokens", grant_id)
        if not rows:
            return None
        tokens = [token_of(row[_GRANT_WIDTH:_TOKEN_END]) for row in rows if row[_GRANT_WIDTH] is not None]
        return grant_of(rows[0]), tuple(tokens)

    async def find(self, client_id: str, subject: Subject) -> Grant | None:
        rows = await self._read("grant_of_subject", subject.sub, subject.issuer, client_id)
        return grant_of(rows[0]) if rows else None

    async def search(self, query: GrantQuery) -> list[Grant]:
        found = [await self._listed(name, values) for name, values in pages(query)]
        return merged(found, query.limit)

    async def _listed(self, name: str, values: Values) -> list[Grant]:
        return [grant_of(row) for row in await self._read(name, *(values[each] for each in NAMES[name]))]

    async def due_revocations(self, now: datetime, *, limit: int = 100) -> list[Grant]:
        return [grant_of(row) for row in await self._read("due_revocations", instant(now), limit)]

    async def idle(self, now: datetime, *, after: datetime | None = None, limit: int = 100) -> list[Grant]:
        return await self._due("idle_grants", now, after, limit)

    async def uncertain(
        self, now: datetime, *, after: datetime | None = None, limit: int = 100
    ) -> list[Grant]:
        return await self._due("uncertain_grants", now, after, limit)

    async def _due(self, name: str, now: datetime, after: datetime | None, limit: int) -> list[Grant]:
        begin = EVER if after is None else instant(after)
        return [grant_of(row) for row in await self._read(name, instant(now), begin, limit)]

    async def commit(self, *steps: Step) -> None:
        await steps_of.commit(self._work, steps)
        if steps_of.told(steps):
            self._notifier.poke()

    async def touch(self, used: Mapping[str, datetime]) -> None:
        stamps = sorted(used.items())
        for first in range(0, len(stamps), TOUCH_ROWS):
            part = stamps[first : first + TOUCH_ROWS]
            ids, times = [grant_id for grant_id, _ in part], [instant(at) for _, at in part]
            try:
                await self._write("touch_grants", ids, times)
            except StoreConflict as error:
                # Two commits and this waited for each other; whoever stamps tries again.
                raise StoreUnavailable("the grants are being saved", retry_after=1.0) from error

    # -- redemptions ------------------------------------------------------------------------

    async def claim(self, redemption: Redemption, *, seconds: float) -> Redemption | None:
        for _ in range(AGAIN):
            if await self._write("claim", *redemption_row(redemption), float(seconds)):
                return None
            for name, value in (
                ("redemption", redemption.code_hash),
                ("redemption_of_key", redemption.key_hash),
            ):
                if rows := await self._read(name, value):
                    return redemption_of(rows[0])
            # It was given back in between.
        raise StoreUnavailable("the redemption changes faster than it can be read", retry_after=1.0)

    async def redemption(self, code_hash: bytes) -> Redemption | None:
        rows = await self._read("redemption", code_hash)
        return redemption_of(rows[0]) if rows else None

    async def reclaim(self, code_hash: bytes, *, owner: str, new_owner: str, seconds: float) -> bool:
        return bool(await self._write("reclaim", code_hash, owner, new_owner, float(seconds)))

    async def unclaim(self, code_hash: bytes, *, owner: str) -> None:
        await self._write("unclaim", code_hash, owner)

    # -- leases: what is left of one counts from before the question was sent -----------------

    async def take(
        self, name: str, owner: str, *, seconds: float, seen: tuple[str, int] | None = None
    ) -> Lease | Held:
        at = seen or (None, None)
        for _ in range(AGAIN):
            asked_at = _monotonic()
            if rows := await self._write("take_lease", name, owner, float(seconds), self._life.sign, *at):
                version, orphaned, overtaken = rows[0]
                if overtaken:
                    if not (rows := await self._write("number_lease", name, version, owner)):
                        continue  # It has lapsed meanwhile, and somebody has it.
                    ((version,),) = rows
                return Lease(name, owner, version, _left(seconds, asked_at), orphaned)
            asked_at = _monotonic()
            if rows := await self._read("lease_held", name):
                return Held(name, _left(rows[0][0], asked_at))
            if seen is not None:
                break
            # It was given back in between.
        return Held(name, 0.0)

    async def renew(self, lease: Lease, *, seconds: float, lapsed: bool = False) -> Lease | None:
        asked_at = _monotonic()
        names = lease.name, lease.version, lease.owner
        rows = await self._write("renew_lease", *names, float(seconds), lapsed, self._life.sign)
        return replace(lease, remaining=_left(seconds, asked_at)) if rows else None

    async def check(self, lease: Lease) -> float:
        asked_at = _monotonic()
        rows = await self._read("lease_left", lease.name, lease.version, lease.owner)
        return _left(rows[0][0], asked_at) if rows else 0.0

    async def orphans(self, prefix: str, *, limit: int = 100) -> list[str]:
        return [name for (name,) in await self._read("orphaned_leases", prefix, limit)]

    # -- the change feed --------------------------------------------------------------------

    async def last_change(self) -> int:
        ((newest,),) = await self._read("newest_change")
        return int(newest)

    async def changes(self, after: int, *, seconds: float) -> News:
        return await self._feed.changes(after, seconds=seconds)

    # -- callers ----------------------------------------------------------------------------

    async def add_caller(self, caller: Caller) -> None:
        if not await self._write("add_caller", *caller_row(caller)):
            raise StoreConflict(f"there is a caller {caller.name} already")
        self._notifier.poke()

    async def caller(self, key_hash: bytes) -> Caller | None:
        rows = await self._read("caller_of_key", key_hash)
        return caller_of(rows[0]) if rows else None

    async def callers(self) -> list[Caller]:
        return [caller_of(row) for row in await self._read("callers")]

    async def change_caller(self, caller: Caller) -> None:
        _, _, _, _, clients, scopes, permissions, expires_at, _ = caller_row(caller)
        if not await self._write("change_caller", caller.id, clients, scopes, permissions, expires_at):
            raise StoreConflict(f"there is no living caller {caller.name}")
        self._notifier.poke()

    async def revoke_caller(self, name_or_id: str, at: datetime) -> Caller | None:
        revoked = await self._work.transaction(
            "revoke_caller",
            lambda connection: steps_of.revoke_caller(self._work, connection, name_or_id, instant(at)),
        )
        self._notifier.poke()
        return revoked

    # -- things good once, signing keys, audit ----------------------------------------------

    async def put_once(self, kind: str, key: bytes, value: bytes, *, now: datetime, until: datetime) -> bool:
        return bool(await self._write("put_once", kind, key, value, instant(now), instant(until)))

    async def take_once(self, kind: str, key: bytes, *, now: datetime) -> bytes | None:
        rows = await self._write("take_once", kind, key, instant(now))
        return rows[0][0] if rows and rows[0][1] else None

    async def signing_keys(self) -> list[SigningKey]:
        return [signing_key_of(row) for row in await self._read("signing_keys")]

    async def add_signing_key(self, key: SigningKey) -> None:
        if not await self._write("add_signing_key", *signing_key_row(key)):
            raise StoreConflict(f"there is a signing key {key.kid} already")
        self._notifier.poke()

    async def append(self, events: Sequence[AuditEvent]) -> None:
        if events:
            await self._write("append_events", *steps_of.events_columns(events))

    async def events(
        self, *, after: int = 0, limit: int = 100, caller: str | None = None
    ) -> list[tuple[int, AuditEvent]]:
        if caller is None:
            rows = await self._read("events", after, limit)
        else:
            rows = await self._read("events_of_caller", after, limit, caller)
        return [(row[0], event_of(row[1:])) for row in rows]

    # -- nodes, marks, data keys ------------------------------------------------------------

    async def report(self, node: Node, *, seconds: float) -> None:
        await self._write("report_node", *node_row(node), float(seconds))

    async def nodes(self) -> list[Node]:
        return [node_of(row) for row in await self._read("living_nodes")]

    async def leave(self, node_id: str) -> None:
        await self._write("drop_node", node_id)

    async def mark(self, name: str) -> bytes | None:
        rows = await self._read("mark", name)
        return rows[0][0] if rows else None

    async def set_mark(self, name: str, value: bytes | None) -> None:
        if value is None:
            await self._write("drop_mark", name)
        else:
            await self._write("set_mark", name, value)
        self._notifier.poke()

    async def swap_mark(self, name: str, value: bytes, *, was: bytes | None) -> bool:
        swapped = bool(await self._write("swap_mark", name, value, was))
        self._notifier.poke()
        return swapped

    async def data_keys(self, kind: KeyKind, *, after: str = "", limit: int = 500) -> list[DataKey]:
        rows = await self._read(steps_of.DATA_KEYS[kind][0], after, limit)
        return [DataKey(kind, *row) for row in rows]

    async def rewrap(self, changes: Sequence[tuple[DataKey, bytes]]) -> int:
        if not changes:
            return 0
        return await self._work.transaction(
            "rewrap", lambda connection: steps_of.rewrap(self._work, connection, changes)
        )

    async def index_versions(self) -> Mapping[tuple[KeyKind, int], int]:
        rows = await self._read("index_versions")
        return {(KeyKind(kind), version): count for kind, version, count in rows}

    async def behind_index(self, version: int, *, after: str = "", limit: int = 100) -> list[Grant]:
        return [grant_of(row) for row in await self._read("grants_behind_index", version, after, limit)]

    # -- upkeep -----------------------------------------------------------------------------

    async def ready(self) -> None:
        await self._write("pulse")

    async def sweep(self, now: datetime, *, limit: int = 1000) -> int:
        went = 0
        for name, *values in (
            ("sweep_redemptions", instant(now), limit),
            ("sweep_tokens", instant(now), limit),
            ("sweep_once", instant(now), limit),
            ("sweep_leases", float(LEASE_SECONDS), limit, SOUGHT_LEASES),
            ("sweep_nodes", float(NODE_SECONDS)),
            ("sweep_jobs", instant(now), limit),
            ("sweep_paces", float(PACE_SECONDS), limit),
            ("sweep_pauses", float(PACE_SECONDS), limit),
            ("sweep_changes", float(FEED_SECONDS), FEED_ROWS, limit),
        ):
            ((count,),) = await self._write(name, *values)
            went += count
        return went

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._feed.close()
        await self._work.finish()
        await self._life.close()
        await self._notifier.close()
        await self._pool.close()


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def _left(seconds: float, asked_at: float) -> float:
    """Of a time that the database told: it may have been true when the question was sent."""
    return max(0.0, seconds - (_monotonic() - asked_at))
