"""
The store as dictionaries: for tests, and to show what a store has to do.

It keeps every promise of `grantkeeper.ports.Store` but the one to outlast its
process. Nothing in it waits, so every method is one atomic step by itself; a
commit writes down how to undo each step and does so if a later one conflicts.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar, assert_never

from grantkeeper.adapters.records import UNSETTLED
from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.lifecycle import keep_alive_at
from grantkeeper.model import (
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
)
from grantkeeper.ports import (
    Delete,
    DropTokens,
    GrantQuery,
    Insert,
    Note,
    PutToken,
    Release,
    Replace,
    Settle,
    Step,
)

K = TypeVar("K")
V = TypeVar("V")
Undo = list[Callable[[], object]]

FEED_SECONDS = 600.0
FEED_ROWS = 100_000
LEASE_SECONDS = 600.0
NODE_SECONDS = 3600.0


@dataclass(slots=True)
class _Claim:
    redemption: Redemption
    until: float


@dataclass(slots=True)
class _Held:
    owner: str
    version: int
    until: float


def _put(table: dict[K, V], key: K, value: V, undo: Undo) -> None:
    if key in table:
        undo.append(lambda old=table[key]: table.__setitem__(key, old))  # type: ignore[misc]
    else:
        undo.append(lambda: table.pop(key))
    table[key] = value


def _drop(table: dict[K, V], key: K, undo: Undo) -> None:
    if key in table:
        old = table.pop(key)
        undo.append(lambda: table.__setitem__(key, old))


class MemoryStore:
    """
    A `grantkeeper.ports.Store` of one process and one event loop.

    Args:
        monotonic: Seconds that only grow; the "database's time" of leases and claims.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._time = monotonic
        self._closed = False
        self._grants: dict[str, Grant] = {}
        self._subjects: dict[tuple[str, Subject], str] = {}
        self._tokens: dict[str, dict[str, StoredToken]] = {}
        self._claims: dict[bytes, _Claim] = {}
        self._keys: dict[bytes, bytes] = {}
        self._leases: dict[str, _Held] = {}
        self._fence = 0
        self._changes: dict[int, tuple[Change, float]] = {}
        self._newest = 0
        self._listeners: set[asyncio.Future[None]] = set()
        self._callers: dict[str, Caller] = {}
        self._once: dict[tuple[str, bytes], tuple[bytes, datetime]] = {}
        self._signing_keys: dict[str, SigningKey] = {}
        self._events: list[AuditEvent] = []
        self._nodes: dict[str, tuple[Node, float]] = {}
        self._marks: dict[str, bytes] = {}

    def _open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    # -- grants -----------------------------------------------------------------------------

    async def get(self, grant_id: str) -> Grant | None:
        self._open()
        return self._grants.get(grant_id)

    async def read(self, grant_id: str) -> tuple[Grant, tuple[StoredToken, ...]] | None:
        self._open()
        grant = self._grants.get(grant_id)
        return None if grant is None else (grant, tuple(self._tokens.get(grant_id, {}).values()))

    async def find(self, client_id: str, subject: Subject) -> Grant | None:
        self._open()
        grant_id = self._subjects.get((client_id, subject))
        return None if grant_id is None else self._grants[grant_id]

    async def search(self, query: GrantQuery) -> list[Grant]:
        self._open()
        return list(islice((grant for grant in self._in_order() if _fits(grant, query)), query.limit))

    def _in_order(self) -> Iterator[Grant]:
        return (self._grants[grant_id] for grant_id in sorted(self._grants))

    async def due_revocations(self, now: datetime, *, limit: int = 100) -> list[Grant]:
        self._open()
        due = [
            (grant.revocation_due, grant.id)
            for grant in self._grants.values()
            if grant.state is GrantState.REVOKED
            and grant.revocation_due is not None
            and grant.revocation_due <= now
        ]
        return [self._grants[grant_id] for _, grant_id in sorted(due)[:limit]]

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
            for grant in self._grants.values()
            if (at := when(grant)) is not None and at <= now and (after is None or at > after)
        ]
        return [self._grants[grant_id] for _, grant_id in sorted(due)[:limit]]

    async def commit(self, *steps: Step) -> None:
        self._open()
        undo: Undo = []
        news: list[str] = []
        try:
            for step in steps:
                self._step(step, undo, news)
        except BaseException:
            for back in reversed(undo):
                back()
            raise
        for grant_id in news:
            self._tell("grant", grant_id)

    def _step(self, step: Step, undo: Undo, news: list[str]) -> None:
        match step:
            case Insert(grant):
                key = (grant.client_id, grant.subject)
                if grant.id in self._grants or key in self._subjects:
                    raise StoreConflict(f"the client and subject of {grant.id} have a grant")
                _put(self._grants, grant.id, replace(grant, version=1), undo)
                _put(self._subjects, key, grant.id, undo)
                news.append(grant.id)
            case Replace(grant):
                stored = self._current(grant.id, grant.version)
                used = max(filter(None, (grant.used_at, stored.used_at)), default=None)
                kept = replace(
                    grant,
                    client_id=stored.client_id,
                    subject=stored.subject,
                    created_at=stored.created_at,
                    used_at=used,
                    version=stored.version + 1,
                )
                _put(self._grants, grant.id, kept, undo)
                news.append(grant.id)
            case Delete(grant_id, version):
                stored = self._current(grant_id, version)
                _drop(self._grants, grant_id, undo)
                _drop(self._subjects, (stored.client_id, stored.subject), undo)
                _drop(self._tokens, grant_id, undo)
                news.append(grant_id)
            case PutToken(token):
                if token.grant_id not in self._grants:
                    raise StoreConflict(f"there is no grant {token.grant_id}")
                tokens = self._tokens.get(token.grant_id, {})
                _put(self._tokens, token.grant_id, tokens | {token.scope_key: token}, undo)
            case DropTokens(grant_id):
                _drop(self._tokens, grant_id, undo)
            case Settle(redemption):
                self._settle(redemption, undo)
            case Release(lease):
                if self._mine(lease) is not None:
                    _drop(self._leases, lease.name, undo)
            case Note(event):
                self._events.append(event)
                undo.append(self._events.pop)
            case _:
                assert_never(step)

    def _current(self, grant_id: str, version: int) -> Grant:
        stored = self._grants.get(grant_id)
        if stored is None or stored.version != version:
            raise StoreConflict(f"grant {grant_id} was saved in between")
        return stored

    def _settle(self, redemption: Redemption, undo: Undo) -> None:
        claim = self._claims.get(redemption.code_hash)
        if (
            claim is None
            or claim.redemption.owner != redemption.owner
            or claim.redemption.state not in UNSETTLED
        ):
            raise StoreConflict("the redemption is no longer its owner's")
        settled = replace(
            claim.redemption,
            state=redemption.state,
            keep_until=redemption.keep_until,
            fingerprint=redemption.fingerprint,
            data_key=redemption.data_key,
            outcome=redemption.outcome,
            settled_at=redemption.settled_at,
            grant_id=redemption.grant_id,
            index_version=redemption.index_version,
        )
        _put(self._claims, redemption.code_hash, _Claim(settled, claim.until), undo)

    async def touch(self, used: Mapping[str, datetime]) -> None:
        self._open()
        for grant_id, at in used.items():
            grant = self._grants.get(grant_id)
            if grant is not None and (grant.used_at is None or grant.used_at < at):
                self._grants[grant_id] = replace(grant, used_at=at)

    # -- redemptions ------------------------------------------------------------------------

    async def claim(self, redemption: Redemption, *, seconds: float) -> Redemption | None:
        self._open()
        in_the_way = redemption.code_hash
        if in_the_way not in self._claims and redemption.key_hash is not None:
            in_the_way = self._keys.get(redemption.key_hash, in_the_way)
        if in_the_way in self._claims:
            return self._judged(self._claims[in_the_way])
        self._claims[redemption.code_hash] = _Claim(redemption, self._time() + seconds)
        if redemption.key_hash is not None:
            self._keys[redemption.key_hash] = redemption.code_hash
        return None

    def _judged(self, claim: _Claim) -> Redemption:
        over = claim.until <= self._time()
        return replace(claim.redemption, lapsed=over and claim.redemption.state in UNSETTLED)

    async def redemption(self, code_hash: bytes) -> Redemption | None:
        self._open()
        claim = self._claims.get(code_hash)
        return None if claim is None else self._judged(claim)

    async def reclaim(self, code_hash: bytes, *, owner: str, new_owner: str, seconds: float) -> bool:
        self._open()
        claim = self._owned(code_hash, owner, RedemptionState.ANSWERED)
        if claim is None:
            return False
        self._claims[code_hash] = _Claim(replace(claim.redemption, owner=new_owner), self._time() + seconds)
        return True

    async def unclaim(self, code_hash: bytes, *, owner: str) -> None:
        self._open()
        if self._owned(code_hash, owner, RedemptionState.CLAIMED) is not None:
            self._forget_claim(code_hash)

    def _owned(self, code_hash: bytes, owner: str, state: RedemptionState) -> _Claim | None:
        claim = self._claims.get(code_hash)
        if claim is None or claim.redemption.owner != owner or claim.redemption.state is not state:
            return None
        return claim

    def _forget_claim(self, code_hash: bytes) -> None:
        claim = self._claims.pop(code_hash)
        if claim.redemption.key_hash is not None:
            del self._keys[claim.redemption.key_hash]

    # -- leases -----------------------------------------------------------------------------

    async def take(self, name: str, owner: str, *, seconds: float) -> Lease | Held:
        self._open()
        now, held = self._time(), self._leases.get(name)
        if held is not None and held.until > now:
            return Held(name, held.until - now)
        self._fence += 1
        self._leases[name] = _Held(owner, self._fence, now + seconds)
        return Lease(name, owner, self._fence, seconds, orphaned=held is not None)

    async def renew(self, lease: Lease, *, seconds: float) -> Lease | None:
        self._open()
        now, held = self._time(), self._mine(lease)
        if held is None or held.until <= now:
            return None
        self._leases[lease.name] = replace(held, until=now + seconds)
        return replace(lease, remaining=seconds)

    async def check(self, lease: Lease) -> float:
        self._open()
        held = self._mine(lease)
        return 0.0 if held is None else max(0.0, held.until - self._time())

    async def orphans(self, prefix: str, *, limit: int = 100) -> list[str]:
        self._open()
        now = self._time()
        return sorted(
            name for name, held in self._leases.items() if name.startswith(prefix) and held.until <= now
        )[:limit]

    def _mine(self, lease: Lease) -> _Held | None:
        held = self._leases.get(lease.name)
        if held is None or (held.owner, held.version) != (lease.owner, lease.version):
            return None
        return held

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
        for other in self._callers.values():
            if (
                other.id == caller.id
                or other.key_hash == caller.key_hash
                or (other.name == caller.name and other.revoked_at is None)
            ):
                raise StoreConflict(f"there is a caller {caller.name} already")
        self._callers[caller.id] = caller
        self._tell("caller", caller.id)

    async def caller(self, key_hash: bytes) -> Caller | None:
        self._open()
        return next((caller for caller in self._callers.values() if caller.key_hash == key_hash), None)

    async def callers(self) -> list[Caller]:
        self._open()
        return sorted(self._callers.values(), key=lambda caller: (caller.name, caller.created_at, caller.id))

    async def change_caller(self, caller: Caller) -> None:
        self._open()
        stored = self._callers.get(caller.id)
        if stored is None or stored.revoked_at is not None:
            raise StoreConflict(f"there is no living caller {caller.name}")
        self._callers[caller.id] = replace(
            stored,
            clients=caller.clients,
            scopes=caller.scopes,
            permissions=caller.permissions,
            expires_at=caller.expires_at,
        )
        self._tell("caller", caller.id)

    async def revoke_caller(self, name_or_id: str, at: datetime) -> Caller | None:
        self._open()
        caller = self._callers.get(name_or_id) or max(
            (caller for caller in self._callers.values() if caller.name == name_or_id),
            key=lambda caller: (caller.revoked_at is None, caller.created_at, caller.id),
            default=None,
        )
        if caller is not None and caller.revoked_at is None:
            caller = replace(caller, revoked_at=at)
            self._callers[caller.id] = caller
            self._tell("caller", caller.id)
        return caller

    # -- things good once, signing keys, audit ----------------------------------------------

    async def put_once(self, kind: str, key: bytes, value: bytes, *, now: datetime, until: datetime) -> bool:
        self._open()
        kept = self._once.get((kind, key))
        if kept is not None and kept[1] > now:
            return False
        self._once[kind, key] = (value, until)
        return True

    async def take_once(self, kind: str, key: bytes, *, now: datetime) -> bytes | None:
        self._open()
        kept = self._once.pop((kind, key), None)
        return kept[0] if kept is not None and kept[1] > now else None

    async def signing_keys(self) -> list[SigningKey]:
        self._open()
        return sorted(self._signing_keys.values(), key=lambda key: (key.created_at, key.kid))

    async def add_signing_key(self, key: SigningKey) -> None:
        self._open()
        if key.kid in self._signing_keys:
            raise StoreConflict(f"there is a signing key {key.kid} already")
        self._signing_keys[key.kid] = key
        self._tell("signing_key", key.kid)

    async def append(self, events: Sequence[AuditEvent]) -> None:
        self._open()
        self._events.extend(events)

    async def events(
        self, *, after: int = 0, limit: int = 100, caller: str | None = None
    ) -> list[tuple[int, AuditEvent]]:
        self._open()
        numbered = enumerate(self._events[after:], start=after + 1)
        return list(islice((one for one in numbered if caller in (None, one[1].caller)), limit))

    # -- nodes, marks, data keys ------------------------------------------------------------

    async def report(self, node: Node, *, seconds: float) -> None:
        self._open()
        self._nodes[node.id] = (node, self._time() + seconds)

    async def nodes(self) -> list[Node]:
        self._open()
        living = [node for node, until in self._nodes.values() if until > self._time()]
        return sorted(living, key=lambda node: (node.started_at, node.id))

    async def leave(self, node_id: str) -> None:
        self._open()
        self._nodes.pop(node_id, None)

    async def mark(self, name: str) -> bytes | None:
        self._open()
        return self._marks.get(name)

    async def set_mark(self, name: str, value: bytes | None) -> None:
        self._open()
        if value is None:
            self._marks.pop(name, None)
        else:
            self._marks[name] = value
        self._tell("mark", name)

    async def data_keys(self, kind: KeyKind, *, after: str = "", limit: int = 500) -> list[DataKey]:
        self._open()
        return sorted((key for key in self._data_keys(kind) if key.id > after), key=lambda key: key.id)[
            :limit
        ]

    def _data_keys(self, kind: KeyKind) -> list[DataKey]:
        match kind:
            case KeyKind.GRANT:
                found = [(grant.id, grant.client_id, grant.data_key) for grant in self._grants.values()]
            case KeyKind.REDEMPTION:
                held = [claim.redemption for claim in self._claims.values()]
                found = [(one.code_hash.hex(), one.client_id, one.data_key) for one in held]
            case KeyKind.SIGNING_KEY:
                found = [(key.kid, "", key.data_key) for key in self._signing_keys.values()]
        return [
            DataKey(kind, what, client_id, wrapped)
            for what, client_id, wrapped in found
            if wrapped is not None
        ]

    async def rewrap(self, changes: Sequence[tuple[DataKey, bytes]]) -> int:
        self._open()
        done = 0
        for key, wrapped in changes:
            if key in self._data_keys(key.kind):
                self._rewrap(key, wrapped)
                done += 1
        return done

    def _rewrap(self, key: DataKey, wrapped: bytes) -> None:
        match key.kind:
            case KeyKind.GRANT:
                grant = self._grants[key.id]
                self._grants[key.id] = replace(grant, data_key=wrapped, version=grant.version + 1)
            case KeyKind.REDEMPTION:
                claim = self._claims[bytes.fromhex(key.id)]
                claim.redemption = replace(claim.redemption, data_key=wrapped)
            case KeyKind.SIGNING_KEY:
                self._signing_keys[key.id] = replace(self._signing_keys[key.id], data_key=wrapped)

    async def index_versions(self) -> Mapping[tuple[KeyKind, int], int]:
        self._open()
        count = Counter(
            (KeyKind.GRANT, grant.index_version) for grant in self._grants.values() if _hashed(grant)
        )
        count.update((KeyKind.REDEMPTION, one.redemption.index_version) for one in self._claims.values())
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
        codes = [code for code, claim in self._claims.items() if claim.redemption.keep_until <= now][:limit]
        for code in codes:
            self._forget_claim(code)
        dead = [
            (tokens, key)
            for tokens in self._tokens.values()
            for key, token in tokens.items()
            if token.expires_at <= now
        ][:limit]
        for tokens, key in dead:
            del tokens[key]
        went = len(codes) + len(dead)
        went += _sweep(self._once, lambda _, kept: kept[1] <= now, limit)
        went += _sweep(self._nodes, lambda _, node: node[1] <= moment - NODE_SECONDS, limit)
        went += _sweep(self._leases, lambda _, held: held.until <= moment - LEASE_SECONDS, limit)
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
