"""
The store as dictionaries: for tests, and to show what a store has to do.

It keeps every promise of `grantkeeper.ports.Store` but the one to outlast its
process. Nothing in it waits, so every method is one atomic step by itself.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from grantkeeper.adapters.memory_jobs import MemoryJobs
from grantkeeper.adapters.memory_tables import Claim, HeldLease, Tables
from grantkeeper.adapters.records import UNSETTLED
from grantkeeper.adapters.retention import FEED_ROWS, FEED_SECONDS, LEASE_SECONDS, NODE_SECONDS, PACE_SECONDS
from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.lifecycle import keep_alive_at
from grantkeeper.model import (
    SOUGHT_LEASES,
    AuditEvent,
    Caller,
    Change,
    DataKey,
    Grant,
    GrantState,
    Held,
    KeyKind,
    Lease,
    News,
    Node,
    Redemption,
    RedemptionState,
    SigningKey,
    StoredToken,
    Subject,
    caller_meant,
)
from grantkeeper.ports import GrantQuery, Step

K = TypeVar("K")
V = TypeVar("V")


class MemoryStore(MemoryJobs):
    """
    A `grantkeeper.ports.Store` of one process and one event loop.

    Args:
        monotonic: Seconds that only grow; the "database's time" of leases and claims.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._time = monotonic
        self._tables = Tables()
        self._closed = False
        self._fence = 0
        self._changes: dict[int, tuple[Change, float]] = {}
        self._newest = 0
        self._listeners: set[asyncio.Future[None]] = set()

    def _open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    # -- grants -----------------------------------------------------------------------------

    async def get(self, grant_id: str) -> Grant | None:
        self._open()
        return self._tables.grants.get(grant_id)

    async def read(self, grant_id: str) -> tuple[Grant, tuple[StoredToken, ...]] | None:
        self._open()
        grant = self._tables.grants.get(grant_id)
        return None if grant is None else (grant, tuple(self._tables.tokens.get(grant_id, {}).values()))

    async def find(self, client_id: str, subject: Subject) -> Grant | None:
        self._open()
        grant_id = self._tables.subjects.get((client_id, subject))
        return None if grant_id is None else self._tables.grants[grant_id]

    async def search(self, query: GrantQuery) -> list[Grant]:
        self._open()
        return list(islice((grant for grant in self._in_order() if _fits(grant, query)), query.limit))

    def _in_order(self) -> Iterator[Grant]:
        return (self._tables.grants[grant_id] for grant_id in sorted(self._tables.grants))

    async def due_revocations(self, now: datetime, *, limit: int = 100) -> list[Grant]:
        self._open()
        due = [
            (grant.revocation_due, grant.id)
            for grant in self._tables.grants.values()
            if grant.state is GrantState.REVOKED
            and grant.revocation_due is not None
            and grant.revocation_due <= now
        ]
        return [self._tables.grants[grant_id] for _, grant_id in sorted(due)[:limit]]

    async def idle(self, now: datetime, *, after: datetime | None = None, limit: int = 100) -> list[Grant]:
        return self._due(keep_alive_at, now, after, limit)

    async def uncertain(
        self, now: datetime, *, after: datetime | None = None, limit: int = 100
    ) -> list[Grant]:
        return self._due(lambda grant: grant.uncertain_since, now, after, limit)

    def _due(
        self, when: Callable[[Grant], datetime | None], now: datetime, after: datetime | None, limit: int
    ) -> list[Grant]:
        self._open()
        due = [
            (at, grant.id)
            for grant in self._tables.grants.values()
            if (at := when(grant)) is not None and at <= now and (after is None or at > after)
        ]
        return [self._tables.grants[grant_id] for _, grant_id in sorted(due)[:limit]]

    async def commit(self, *steps: Step) -> None:
        self._open()
        for kind, what in self._tables.commit(steps):
            self._tell(kind, what)

    async def touch(self, used: Mapping[str, datetime]) -> None:
        self._open()
        for grant_id, at in used.items():
            grant = self._tables.grants.get(grant_id)
            if grant is not None and (grant.used_at is None or grant.used_at < at):
                self._tables.grants[grant_id] = replace(grant, used_at=at)

    # -- redemptions ------------------------------------------------------------------------

    async def claim(self, redemption: Redemption, *, seconds: float) -> Redemption | None:
        self._open()
        in_the_way = redemption.code_hash
        if in_the_way not in self._tables.claims and redemption.key_hash is not None:
            in_the_way = self._tables.keys.get(redemption.key_hash, in_the_way)
        if in_the_way in self._tables.claims:
            return self._judged(self._tables.claims[in_the_way])
        self._tables.claims[redemption.code_hash] = Claim(redemption, self._time() + seconds)
        if redemption.key_hash is not None:
            self._tables.keys[redemption.key_hash] = redemption.code_hash
        return None

    def _judged(self, claim: Claim) -> Redemption:
        over = claim.until <= self._time()
        return replace(claim.redemption, lapsed=over and claim.redemption.state in UNSETTLED)

    async def redemption(self, code_hash: bytes) -> Redemption | None:
        self._open()
        claim = self._tables.claims.get(code_hash)
        return None if claim is None else self._judged(claim)

    async def reclaim(self, code_hash: bytes, *, owner: str, new_owner: str, seconds: float) -> bool:
        self._open()
        claim = self._tables.owned(code_hash, owner, RedemptionState.ANSWERED)
        if claim is None or claim.until > self._time():
            return False
        self._tables.claims[code_hash] = Claim(
            replace(claim.redemption, owner=new_owner), self._time() + seconds
        )
        return True

    async def unclaim(self, code_hash: bytes, *, owner: str) -> None:
        self._open()
        if self._tables.owned(code_hash, owner, RedemptionState.CLAIMED) is not None:
            self._tables.forget_claim(code_hash)

    # -- leases -----------------------------------------------------------------------------

    async def take(
        self, name: str, owner: str, *, seconds: float, seen: tuple[str, int] | None = None
    ) -> Lease | Held:
        self._open()
        now, held = self._time(), self._tables.leases.get(name)
        if held is not None and held.until > now:
            return Held(name, held.until - now)
        if seen is not None:
            grant = self._tables.grants.get(seen[0])
            if grant is None or grant.version != seen[1]:
                return Held(name, 0.0)
        self._fence += 1
        self._tables.leases[name] = HeldLease(owner, self._fence, now + seconds)
        return Lease(name, owner, self._fence, seconds, orphaned=held is not None)

    async def renew(self, lease: Lease, *, seconds: float, lapsed: bool = False) -> Lease | None:
        self._open()
        now, held = self._time(), self._tables.mine(lease)
        if held is None or (held.until <= now and not lapsed):
            return None
        self._tables.leases[lease.name] = replace(held, until=now + seconds)
        return replace(lease, remaining=seconds)

    async def check(self, lease: Lease) -> float:
        self._open()
        held = self._tables.mine(lease)
        return 0.0 if held is None else max(0.0, held.until - self._time())

    async def orphans(self, prefix: str, *, limit: int = 100) -> list[str]:
        self._open()
        now = self._time()
        return sorted(
            name
            for name, held in self._tables.leases.items()
            if name.startswith(prefix) and held.until <= now
        )[:limit]

    # -- the change feed --------------------------------------------------------------------

    def _tell(self, kind: str, what: str) -> None:
        self._newest += 1
        self._changes[self._newest] = (Change(self._newest, kind, what), self._time())
        for listener in self._listeners:
            if not listener.done():
                listener.set_result(None)

    async def last_change(self) -> int:
        self._open()
        return self._newest

    async def changes(self, after: int, *, seconds: float) -> News:
        self._open()
        if self._newest == after:
            listener: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._listeners.add(listener)
            try:
                await asyncio.wait([listener], timeout=seconds)
            finally:
                self._listeners.discard(listener)
            self._open()
        if self._newest < after or (self._changes and next(iter(self._changes)) > after + 1):
            return News((Change(self._newest, "all", ""),))
        return News(tuple(self._changes[seq][0] for seq in range(after + 1, self._newest + 1)))

    # -- callers ----------------------------------------------------------------------------

    async def add_caller(self, caller: Caller) -> None:
        self._open()
        for other in self._tables.callers.values():
            if (
                other.id == caller.id
                or other.key_hash == caller.key_hash
                or (other.name == caller.name and other.revoked_at is None)
            ):
                raise StoreConflict(f"there is a caller {caller.name} already")
        self._tables.callers[caller.id] = caller
        self._tell("caller", caller.id)

    async def caller(self, key_hash: bytes) -> Caller | None:
        self._open()
        return next((caller for caller in self._tables.callers.values() if caller.key_hash == key_hash), None)

    async def callers(self) -> list[Caller]:
        self._open()
        return sorted(
            self._tables.callers.values(), key=lambda caller: (caller.name, caller.created_at, caller.id)
        )

    async def change_caller(self, caller: Caller) -> None:
        self._open()
        stored = self._tables.callers.get(caller.id)
        if stored is None or stored.revoked_at is not None:
            raise StoreConflict(f"there is no living caller {caller.name}")
        self._tables.callers[caller.id] = replace(
            stored,
            clients=caller.clients,
            scopes=caller.scopes,
            permissions=caller.permissions,
            expires_at=caller.expires_at,
        )
        self._tell("caller", caller.id)

    async def revoke_caller(self, name_or_id: str, at: datetime) -> Caller | None:
        self._open()
        caller = caller_meant(self._tables.callers.values(), name_or_id)
        if caller is not None and caller.revoked_at is None:
            caller = replace(caller, revoked_at=at)
            self._tables.callers[caller.id] = caller
            self._tell("caller", caller.id)
        return caller

    # -- things good once, signing keys, audit ----------------------------------------------

    async def put_once(self, kind: str, key: bytes, value: bytes, *, now: datetime, until: datetime) -> bool:
        self._open()
        kept = self._tables.once.get((kind, key))
        if kept is not None and kept[1] > now and kept[0] != value:
            return False
        self._tables.once[kind, key] = (value, until)
        return True

    async def take_once(self, kind: str, key: bytes, *, now: datetime) -> bytes | None:
        self._open()
        kept = self._tables.once.pop((kind, key), None)
        return kept[0] if kept is not None and kept[1] > now else None

    async def signing_keys(self) -> list[SigningKey]:
        self._open()
        return sorted(self._tables.signing_keys.values(), key=lambda key: (key.created_at, key.kid))

    async def add_signing_key(self, key: SigningKey) -> None:
        self._open()
        if key.kid in self._tables.signing_keys:
            raise StoreConflict(f"there is a signing key {key.kid} already")
        self._tables.signing_keys[key.kid] = key
        self._tell("signing_key", key.kid)

    async def append(self, events: Sequence[AuditEvent]) -> None:
        self._open()
        self._tables.events.extend(events)

    async def events(
        self, *, after: int = 0, limit: int = 100, caller: str | None = None
    ) -> list[tuple[int, AuditEvent]]:
        self._open()
        numbered = enumerate(self._tables.events[after:], start=after + 1)
        return list(islice((one for one in numbered if caller in (None, one[1].caller)), limit))

    # -- nodes, marks, data keys ------------------------------------------------------------

    async def report(self, node: Node, *, seconds: float) -> None:
        self._open()
        self._tables.nodes[node.id] = (node, self._time() + seconds)

    async def nodes(self) -> list[Node]:
        self._open()
        living = [node for node, until in self._tables.nodes.values() if until > self._time()]
        return sorted(living, key=lambda node: (node.started_at, node.id))

    async def leave(self, node_id: str) -> None:
        self._open()
        self._tables.nodes.pop(node_id, None)

    async def mark(self, name: str) -> bytes | None:
        self._open()
        return self._tables.marks.get(name)

    async def set_mark(self, name: str, value: bytes | None) -> None:
        self._open()
        if value is None:
            self._tables.marks.pop(name, None)
        else:
            self._tables.marks[name] = value
        self._tell("mark", name)

    async def swap_mark(self, name: str, value: bytes, *, was: bytes | None) -> bool:
        self._open()
        if self._tables.marks.get(name) != was:
            return False
        await self.set_mark(name, value)
        return True

    async def data_keys(self, kind: KeyKind, *, after: str = "", limit: int = 500) -> list[DataKey]:
        self._open()
        return sorted(
            (key for key in self._tables.data_keys(kind) if key.id > after), key=lambda key: key.id
        )[:limit]

    async def rewrap(self, changes: Sequence[tuple[DataKey, bytes]]) -> int:
        self._open()
        done = 0
        for key, wrapped in changes:
            if key in self._tables.data_keys(key.kind):
                self._tables.rewrap(key, wrapped)
                done += 1
        return done

    async def index_versions(self) -> Mapping[tuple[KeyKind, int], int]:
        self._open()
        count = Counter(
            (KeyKind.GRANT, grant.index_version) for grant in self._tables.grants.values() if _hashed(grant)
        )
        count.update(
            (KeyKind.REDEMPTION, one.redemption.index_version) for one in self._tables.claims.values()
        )
        return count

    async def behind_index(self, version: int, *, after: str = "", limit: int = 100) -> list[Grant]:
        self._open()
        behind = (
            grant
            for grant in self._in_order()
            if grant.id > after and grant.index_version != version and _hashed(grant)
        )
        return list(islice(behind, limit))

    # -- upkeep -----------------------------------------------------------------------------

    async def ready(self) -> None:
        self._open()

    async def sweep(self, now: datetime, *, limit: int = 1000) -> int:
        self._open()
        moment = self._time()
        codes = [code for code, claim in self._tables.claims.items() if claim.redemption.keep_until <= now][
            :limit
        ]
        for code in codes:
            self._tables.forget_claim(code)
        dead = [
            (tokens, key)
            for tokens in self._tables.tokens.values()
            for key, token in tokens.items()
            if token.expires_at <= now
        ][:limit]
        for tokens, key in dead:
            del tokens[key]
        went = len(codes) + len(dead) + self._tables.drop_ended(now, limit)
        went += _sweep(self._tables.once, lambda _, kept: kept[1] <= now, limit)
        went += _sweep(self._tables.nodes, lambda _, node: node[1] <= moment - NODE_SECONDS, limit)
        went += _sweep(
            self._tables.leases,
            lambda name, held: held.until <= moment - LEASE_SECONDS and not name.startswith(SOUGHT_LEASES),
            limit,
        )
        went += _sweep(self._tables.paces, lambda _, full: full <= moment - PACE_SECONDS, limit)
        went += _sweep(self._tables.pauses, lambda _, told: sum(told) <= moment - PACE_SECONDS, limit)
        went += _sweep(
            self._changes,
            lambda seq, change: (
                seq < self._newest and (change[1] <= moment - FEED_SECONDS or seq <= self._newest - FEED_ROWS)
            ),
            limit,
        )
        return went

    async def close(self) -> None:
        self._closed = True
        for listener in self._listeners:
            if not listener.done():
                listener.set_result(None)


def _sweep(table: dict[K, V], over: Callable[[K, V], bool], limit: int) -> int:
    gone = [key for key, value in table.items() if over(key, value)][:limit]
    for key in gone:
        del table[key]
    return len(gone)


def _hashed(grant: Grant) -> bool:
    return grant.email_index is not None or bool(grant.lookups)


def _fits(grant: Grant, query: GrantQuery) -> bool:
    wanted: list[tuple[Any, Any]] = [
        (query.issuer, grant.subject.issuer),
        (query.sub, grant.subject.sub),
        (query.user, grant.user),
        (query.project, grant.project),
        (query.state, grant.state),
        (query.email_index, grant.email_index),
    ]
    return (
        grant.id > query.after
        and (query.client_ids is None or grant.client_id in query.client_ids)
        and all(want is None or want == has for want, has in wanted)
    )
