"""
The store as dictionaries: for tests, and to show what a store has to do.

It keeps every promise of `grantkeeper.ports.Store` but the one to outlast its
process. Nothing in it waits, so every method is one atomic step by itself; a
commit writes down how to undo each step and does so if a later one conflicts.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar, assert_never

from grantkeeper.adapters.records import UNSETTLED
from grantkeeper.errors import StoreConflict, StoreUnavailable
from grantkeeper.model import (
    AuditEvent,
    Caller,
    Change,
    Grant,
    GrantState,
    Held,
    Lease,
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
        return Lease(name, owner, self._fence, seconds)

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

    async def changes(self, after: int, *, seconds: float) -> list[Change]:
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
            return [Change(self._newest, "all", "")]
        return [self._changes[seq][0] for seq in range(after + 1, self._newest + 1)]

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

    async def events(self, *, after: int = 0, limit: int = 100) -> list[tuple[int, AuditEvent]]:
        self._open()
        return list(enumerate(self._events[after : after + limit], start=after + 1))

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
