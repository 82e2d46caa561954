"""
The tables of the store in memory, and the writes that touch several of them.

A commit writes down how to undo each step and does so if a later one conflicts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar, assert_never

from grantkeeper.adapters.records import UNSETTLED
from grantkeeper.errors import StoreConflict
from grantkeeper.model import (
    ENDED,
    AuditEvent,
    Caller,
    DataKey,
    Grant,
    Job,
    JobState,
    KeyKind,
    Lease,
    Node,
    Order,
    Redemption,
    RedemptionState,
    SigningKey,
    StoredToken,
    Subject,
)
from grantkeeper.ports import (
    Delete,
    DropTokens,
    Insert,
    Note,
    PutToken,
    Release,
    Replace,
    Settle,
    Step,
    WakeJobs,
)

K = TypeVar("K")
V = TypeVar("V")
Undo = list[Callable[[], object]]
News = list[tuple[str, str]]
JobKey = tuple[str, str, str, str | None, str | None]


def key_of(job: Job) -> JobKey | None:
    """What no other job has, if *job* has a key."""
    return None if job.key is None else (job.name, job.grant_id, job.key, job.caller, job.batch)


@dataclass(slots=True)
class Claim:
    """A redemption and when its claim lapses, in the store's own seconds."""

    redemption: Redemption
    until: float


@dataclass(slots=True)
class HeldLease:
    """Who has a lease, since which taking, and until when in the store's own seconds."""

    owner: str
    version: int
    until: float


@dataclass(slots=True)
class Tables:
    """
    What the store keeps, by key.

    Attributes:
        keys: Code hashes by the keyed hash of their Idempotency-Key.
        job_keys: Ids of jobs by their name, grant and key, and by who asked: caller and batch.
        erased: Ids of jobs that are gone and which the engine may still know.
        paces: When a key will have all of its burst again, in the store's own seconds.
    """

    grants: dict[str, Grant] = field(default_factory=dict)
    subjects: dict[tuple[str, Subject], str] = field(default_factory=dict)
    tokens: dict[str, dict[str, StoredToken]] = field(default_factory=dict)
    claims: dict[bytes, Claim] = field(default_factory=dict)
    keys: dict[bytes, bytes] = field(default_factory=dict)
    leases: dict[str, HeldLease] = field(default_factory=dict)
    callers: dict[str, Caller] = field(default_factory=dict)
    once: dict[tuple[str, bytes], tuple[bytes, datetime]] = field(default_factory=dict)
    signing_keys: dict[str, SigningKey] = field(default_factory=dict)
    events: list[AuditEvent] = field(default_factory=list)
    nodes: dict[str, tuple[Node, float]] = field(default_factory=dict)
    marks: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    job_keys: dict[JobKey, str] = field(default_factory=dict)
    erased: dict[str, None] = field(default_factory=dict)
    paces: dict[str, float] = field(default_factory=dict)
    pauses: dict[str, tuple[float, float]] = field(default_factory=dict)

    def commit(self, steps: Sequence[Step]) -> News:
        """
        All of *steps* or none; what is news, by kind and id, in their order.

        Raises:
            StoreConflict: A condition of a step does not hold.
        """
        undo: Undo = []
        news: News = []
        try:
            for step in steps:
                self._step(step, undo, news)
        except BaseException:
            for back in reversed(undo):
                back()
            raise
        return news

    def _step(self, step: Step, undo: Undo, news: News) -> None:
        match step:
            case Insert(grant):
                key = (grant.client_id, grant.subject)
                if grant.id in self.grants or key in self.subjects:
                    raise StoreConflict(f"the client and subject of {grant.id} have a grant")
                _put(self.grants, grant.id, replace(grant, version=1), undo)
                _put(self.subjects, key, grant.id, undo)
                news.append(("grant", grant.id))
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
                _put(self.grants, grant.id, kept, undo)
                news.append(("grant", grant.id))
            case Delete(grant_id, version):
                stored = self._current(grant_id, version)
                _drop(self.grants, grant_id, undo)
                _drop(self.subjects, (stored.client_id, stored.subject), undo)
                _drop(self.tokens, grant_id, undo)
                news.append(("grant", grant_id))
                for job in self._jobs_of(grant_id):
                    self.erase_job(job, undo)
                    news.append(("job", job.id))
            case PutToken(token):
                if token.grant_id not in self.grants:
                    raise StoreConflict(f"there is no grant {token.grant_id}")
                tokens = self.tokens.get(token.grant_id, {})
                _put(self.tokens, token.grant_id, tokens | {token.scope_key: token}, undo)
            case DropTokens(grant_id):
                _drop(self.tokens, grant_id, undo)
            case Settle(redemption):
                self._settle(redemption, undo)
            case Release(lease):
                if self.mine(lease) is not None:
                    _drop(self.leases, lease.name, undo)
            case Note(event):
                self.events.append(event)
                undo.append(self.events.pop)
            case WakeJobs(grant_id):
                for job in self._jobs_of(grant_id):
                    if job.state is JobState.PARKED:
                        _put(self.jobs, job.id, _woken(job), undo)
                        news.append(("job", job.id))
            case _:
                assert_never(step)

    def _current(self, grant_id: str, version: int) -> Grant:
        stored = self.grants.get(grant_id)
        if stored is None or stored.version != version:
            raise StoreConflict(f"grant {grant_id} was saved in between")
        return stored

    def _settle(self, redemption: Redemption, undo: Undo) -> None:
        claim = self.claims.get(redemption.code_hash)
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
        until = float("-inf") if settled.state is RedemptionState.ANSWERED else claim.until
        _put(self.claims, redemption.code_hash, Claim(settled, until), undo)

    def owned(self, code_hash: bytes, owner: str, state: RedemptionState) -> Claim | None:
        """The claim of a code, if it is *owner*'s and in that state."""
        claim = self.claims.get(code_hash)
        if claim is None or claim.redemption.owner != owner or claim.redemption.state is not state:
            return None
        return claim

    def forget_claim(self, code_hash: bytes) -> None:
        """Drop the claim of a code and of its key."""
        claim = self.claims.pop(code_hash)
        if claim.redemption.key_hash is not None:
            del self.keys[claim.redemption.key_hash]

    def mine(self, lease: Lease) -> HeldLease | None:
        """What *lease* is a claim on, if its owner still has it."""
        held = self.leases.get(lease.name)
        if held is None or (held.owner, held.version) != (lease.owner, lease.version):
            return None
        return held

    def _jobs_of(self, grant_id: str) -> list[Job]:
        return sorted((job for job in self.jobs.values() if job.grant_id == grant_id), key=lambda job: job.id)

    def erase_job(self, job: Job, undo: Undo) -> None:
        """Drop a job; its id is kept until the engine has forgotten it."""
        _drop(self.jobs, job.id, undo)
        unique = key_of(job)
        if unique is not None:
            _drop(self.job_keys, unique, undo)
        _put(self.erased, job.id, None, undo)

    def drop_ended(self, now: datetime, limit: int) -> int:
        """Erase at most *limit* ended jobs that need not be kept any longer; how many went."""
        old = [
            job
            for job in self.jobs.values()
            if job.state in ENDED and job.keep_until is not None and job.keep_until <= now
        ][:limit]
        for job in old:
            self.erase_job(job, [])
        return len(old)

    def data_keys(self, kind: KeyKind) -> list[DataKey]:
        """Every wrapped key of one kind."""
        match kind:
            case KeyKind.GRANT:
                found = [(grant.id, grant.client_id, grant.data_key) for grant in self.grants.values()]
            case KeyKind.REDEMPTION:
                held = [claim.redemption for claim in self.claims.values()]
                found = [(one.code_hash.hex(), one.client_id, one.data_key) for one in held]
            case KeyKind.SIGNING_KEY:
                found = [(key.kid, "", key.data_key) for key in self.signing_keys.values()]
            case KeyKind.JOB:
                found = [(job.id, "", job.seal_key) for job in self.jobs.values()]
        return [
            DataKey(kind, what, client_id, wrapped)
            for what, client_id, wrapped in found
            if wrapped is not None
        ]

    def rewrap(self, key: DataKey, wrapped: bytes) -> None:
        """Put a newly wrapped key in the place of *key*."""
        match key.kind:
            case KeyKind.GRANT:
                grant = self.grants[key.id]
                self.grants[key.id] = replace(grant, data_key=wrapped, version=grant.version + 1)
            case KeyKind.REDEMPTION:
                claim = self.claims[bytes.fromhex(key.id)]
                claim.redemption = replace(claim.redemption, data_key=wrapped)
            case KeyKind.SIGNING_KEY:
                self.signing_keys[key.id] = replace(self.signing_keys[key.id], data_key=wrapped)
            case KeyKind.JOB:
                job = self.jobs[key.id]
                self.jobs[key.id] = replace(job, seal_key=wrapped, version=job.version + 1)


def _woken(job: Job) -> Job:
    # Resumed even if it was never submitted: the engine submits what it does not know.
    return replace(
        job,
        state=JobState.QUEUED,
        order=Order.RESUME,
        reason=None,
        note=None,
        due_at=None,
        version=job.version + 1,
    )


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
