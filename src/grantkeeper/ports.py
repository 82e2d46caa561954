"""
What a keeper needs from the world: roles, not machines.

Ports speak of grants, not of SQL. Every method of a store is one atomic step,
and a store never sees a token in the clear.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from grantkeeper.model import (
    AuditEvent,
    Caller,
    DataKey,
    Grant,
    GrantState,
    Held,
    JournalEntry,
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
from grantkeeper.protocol.message import HttpRequest, HttpResponse

# -- time, dice, network -----------------------------------------------------------------------


class Clock(Protocol):
    """What time it is, for people and for waiting."""

    def now(self) -> datetime:
        """The time that rules expiry and retention: aware, UTC; tests and the emulator move it."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, for limits, sleeps and backoff; nothing moves them."""
        ...


class Dice(Protocol):
    """Randomness."""

    def roll(self) -> float:
        """A number in [0, 1), for jitter."""
        ...

    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes, for ids, keys and nonces."""
        ...


class Http(Protocol):
    """One request out, one answer in."""

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        """
        Send *request* and read the whole answer. Redirects are answers, not errands.

        Args:
            seconds: Limit on everything together.
            largest: Bytes of the answer's body that are read at most.
            fresh: Use a connection of its own, so that one which the other
                side has just closed cannot make the outcome unknown.

        Raises:
            HttpFailed: No usable answer; it says whether the request may have arrived.
        """
        ...


# -- sealing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealContext:
    """What a sealed value is bound to: it opens nowhere else."""

    client_id: str
    owner: str
    field: str
    generation: int = 0


class Sealer(Protocol):
    """
    Keeps values closed at rest (design section 8). Quick, pure work: nothing here waits.

    A data key is made once for each grant (or redemption, or signing key) and
    is itself sealed ("wrapped") under the keyset's named wrapping key.
    """

    def new_key(self, client_id: str, owner: str) -> bytes:
        """A new data key, wrapped, bound to its client and owner."""
        ...

    def seal(self, data_key: bytes, value: str, context: SealContext) -> bytes:
        """*value*, closed under the wrapped *data_key*."""
        ...

    def unseal(self, data_key: bytes, box: bytes, context: SealContext) -> str:
        """
        The value again. Wrap it into its `Secret` on the same line.

        Raises:
            SealBroken: Another key, another context, or damage.
        """
        ...

    def digest(self, purpose: str, value: str) -> bytes:
        """A keyed hash of *value* under the current index key; *purpose* keeps uses apart."""
        ...

    def digests(self, purpose: str, value: str) -> tuple[bytes, ...]:
        """The same under every index key that may have been used, the current one first."""
        ...


# -- storing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Insert:
    """Save a new grant, at version 1; a conflict if the client and subject have one."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Replace:
    """
    Save a grant if its version is still the stored one; the stored version is then one more.

    Id, client, subject and `created_at` stay what they are; a later `used_at`
    that `GrantStore.touch` wrote in between stays too.
    """

    grant: Grant


@dataclass(frozen=True, slots=True)
class Delete:
    """Drop a grant and its tokens, if the version is still the stored one."""

    grant_id: str
    version: int


@dataclass(frozen=True, slots=True)
class PutToken:
    """
    Cache a sealed access token; replaces the one of the same grant and scope key.

    A conflict if the grant is not there.
    """

    token: StoredToken


@dataclass(frozen=True, slots=True)
class DropTokens:
    """Drop every cached access token of a grant."""

    grant_id: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Write a redemption's new state, if its owner still holds the claim; else a conflict."""

    redemption: Redemption


@dataclass(frozen=True, slots=True)
class Release:
    """Give back a lease if its owner still has it; never a conflict."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Note:
    """Append an audit event."""

    event: AuditEvent


Step = Insert | Replace | Delete | PutToken | DropTokens | Settle | Release | Note
"""What a commit is made of. `Insert`, `Replace`, `Delete` also write the grant's line of the change feed."""


@dataclass(frozen=True, slots=True)
class GrantQuery:
    """
    Which grants to list: in order of id, after *after*.

    A filter that is ``None`` lets all through; an empty set of clients lets none.
    """

    client_ids: frozenset[str] | None = None
    issuer: str | None = None
    sub: str | None = None
    user: str | None = None
    project: str | None = None
    state: GrantState | None = None
    email_index: bytes | None = None
    after: str = ""
    limit: int = 100


class GrantStore(Protocol):
    """Keeps grants and their access tokens."""

    async def get(self, grant_id: str) -> Grant | None:
        """The grant, as last committed."""
        ...

    async def read(self, grant_id: str) -> tuple[Grant, tuple[StoredToken, ...]] | None:
        """The grant with its cached access tokens, of one moment."""
        ...

    async def find(self, client_id: str, subject: Subject) -> Grant | None:
        """The one grant of this client and subject."""
        ...

    async def search(self, query: GrantQuery) -> list[Grant]:
        """At most ``query.limit`` grants in order of id."""
        ...

    async def commit(self, *steps: Step) -> None:
        """
        All of *steps* or none.

        Raises:
            StoreConflict: A condition of a step does not hold. Nothing was written.
            StoreUnavailable: Nothing is known to be written.
        """
        ...

    async def idle(self, now: datetime, *, after: datetime | None = None, limit: int = 100) -> list[Grant]:
        """
        Grants to be refreshed by *now* lest they die unused, the longest due first.

        Which and when is `grantkeeper.lifecycle.keep_alive_at`.

        Args:
            after: Only what was due later than that.
        """
        ...

    async def uncertain(
        self, now: datetime, *, after: datetime | None = None, limit: int = 100
    ) -> list[Grant]:
        """Grants in doubt since *now* or before, the longest first; *after* as in `idle`."""
        ...

    async def touch(self, used: Mapping[str, datetime]) -> None:
        """Set ``used_at`` of many grants, without a new version: a stamp is not news."""
        ...


class RedemptionStore(Protocol):
    """Remembers which codes were sent."""

    async def claim(self, redemption: Redemption, *, seconds: float) -> Redemption | None:
        """
        Claim a code for ``redemption.owner``; committed to disk when this returns.

        Returns:
            ``None`` if the claim is ours; else the redemption that stands in the
            way: of the same code, or of the same ``key_hash`` with another code.
        """
        ...

    async def redemption(self, code_hash: bytes) -> Redemption | None:
        """The redemption of a code, its ``lapsed`` judged by the database's clock."""
        ...

    async def reclaim(self, code_hash: bytes, *, owner: str, new_owner: str, seconds: float) -> bool:
        """Take an ANSWERED redemption over, if *owner* is still its owner."""
        ...

    async def unclaim(self, code_hash: bytes, *, owner: str) -> None:
        """Drop a claim that sent nothing, if *owner* still holds it."""
        ...


class LeaseStore(Protocol):
    """Row leases, judged by the database's own clock."""

    async def take(self, name: str, owner: str, *, seconds: float) -> Lease | Held:
        """The lease, if nobody holds it now; else how long it is held. Never waits."""
        ...

    async def renew(self, lease: Lease, *, seconds: float) -> Lease | None:
        """The lease with a new end; ``None`` if it was lost."""
        ...

    async def check(self, lease: Lease) -> float:
        """Seconds that *lease* still has; 0 if it was lost."""
        ...

    async def orphans(self, prefix: str, *, limit: int = 100) -> list[str]:
        """
        Names, beginning with *prefix*, of leases that lapsed and were never given back.

        Whoever finds one takes it as anybody does, and is told again that it was orphaned.
        """
        ...


class ChangeFeed(Protocol):
    """Tells every node what to look at again."""

    async def last_change(self) -> int:
        """The newest sequence number; 0 on an empty feed."""
        ...

    async def changes(self, after: int, *, seconds: float) -> News:
        """
        Changes after *after*; waits up to *seconds* for the first one.

        Returning, even with nothing, means that the store was heard ``age`` seconds ago. A change
        may come later than one with a higher number, where two were committed at once: a reader
        goes on from the highest number it has seen, and is told of late ones all the same.
        The feed keeps some minutes. A reader whose place is no longer in it
        gets one change of kind ``all``, with no id and the newest number: look
        at everything again and go on from there.

        Raises:
            StoreUnavailable: It was not.
        """
        ...


class CallerStore(Protocol):
    """Keeps the backends that may ask."""

    async def add_caller(self, caller: Caller) -> None:
        """Save a new caller; a conflict if the name is taken by one that is not revoked."""
        ...

    async def caller(self, key_hash: bytes) -> Caller | None:
        """The caller with this key, revoked or not."""
        ...

    async def callers(self) -> list[Caller]:
        """All of them, in order of name."""
        ...

    async def change_caller(self, caller: Caller) -> None:
        """
        Write the rules and the end of *caller*; name and key stay.

        Raises:
            StoreConflict: There is no such caller, or it is revoked.
        """
        ...

    async def revoke_caller(self, name_or_id: str, at: datetime) -> Caller | None:
        """End a caller's access; ``None`` if there is no such caller."""
        ...


class OnceStore(Protocol):
    """Things that are good once: states of a sign-in, tickets, results, ID tokens used as proof."""

    async def put_once(self, kind: str, key: bytes, value: bytes, *, now: datetime, until: datetime) -> bool:
        """Keep *value*; ``False`` if the key is kept already and not past its end."""
        ...

    async def take_once(self, kind: str, key: bytes, *, now: datetime) -> bytes | None:
        """The value, and it is gone; ``None`` if it is not there or past its end."""
        ...


class SigningKeyStore(Protocol):
    """Keeps the sealed keys that sign session tokens."""

    async def signing_keys(self) -> list[SigningKey]:
        """All of them, the newest last."""
        ...

    async def add_signing_key(self, key: SigningKey) -> None:
        """Save a new one."""
        ...


class AuditStore(Protocol):
    """Keeps what was done for whom."""

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Save *events* at the end."""
        ...

    async def events(
        self, *, after: int = 0, limit: int = 100, caller: str | None = None
    ) -> list[tuple[int, AuditEvent]]:
        """Events with their numbers, in order; of one caller alone where *caller* names its id."""
        ...


class NodeStore(Protocol):
    """Knows which processes work on the database, and remembers how far common work has come."""

    async def report(self, node: Node, *, seconds: float) -> None:
        """*node* lives and is as it says; for *seconds* by the database's clock nobody doubts it."""
        ...

    async def nodes(self) -> list[Node]:
        """Every node that lives, in order of start."""
        ...

    async def leave(self, node_id: str) -> None:
        """A node ends in peace."""
        ...

    async def mark(self, name: str) -> bytes | None:
        """What was last written under *name*."""
        ...

    async def set_mark(self, name: str, value: bytes | None) -> None:
        """Remember *value* under *name*, or forget it; told on the feed as kind ``mark``."""
        ...


class DataKeyStore(Protocol):
    """Finds every wrapped data key, so that wrapping keys can be changed and proved to be gone."""

    async def data_keys(self, kind: KeyKind, *, after: str = "", limit: int = 500) -> list[DataKey]:
        """The wrapped keys of one kind in order of id, after *after*; what has none is left out."""
        ...

    async def rewrap(self, changes: Sequence[tuple[DataKey, bytes]]) -> int:
        """
        Put a newly wrapped key in the place of each that is still as it was read; how many were.

        A grant gets a new version, so that nobody writes the old key back; nothing is told on the
        feed, because what memory holds of it has not changed.
        """
        ...

    async def index_versions(self) -> Mapping[tuple[KeyKind, int], int]:
        """How many grants and redemptions have hashes of each version of the index key. Reads them all."""
        ...

    async def behind_index(self, version: int, *, after: str = "", limit: int = 100) -> list[Grant]:
        """Grants whose hashes are of another version of the index key, in order of id, after *after*."""
        ...


class Upkeep(Protocol):
    """Opening, closing and keeping small."""

    async def ready(self) -> None:
        """
        Prove that the store can be read and written.

        Raises:
            StoreUnavailable: It cannot.
        """
        ...

    async def sweep(self, now: datetime, *, limit: int = 1000) -> int:
        """Drop at most *limit* rows of each kind that are past their end; how many went."""
        ...

    async def due_revocations(self, now: datetime, *, limit: int = 100) -> list[Grant]:
        """Revoked grants of which the issuer is still to be told by *now*."""
        ...

    async def close(self) -> None:
        """Finish what is written and let go of everything."""
        ...


class Store(
    GrantStore,
    RedemptionStore,
    LeaseStore,
    ChangeFeed,
    CallerStore,
    OnceStore,
    SigningKeyStore,
    AuditStore,
    NodeStore,
    DataKeyStore,
    Upkeep,
    Protocol,
):
    """All of it in one database, so that a grant and its redemption are saved in one step."""


# -- what the store could not take ---------------------------------------------------------------


class Journal(Protocol):
    """
    Keeps sealed answers on this machine's disk until the store has them.

    Entries of processes that died are taken over by whoever finds them.
    """

    @property
    def trouble(self) -> str | None:
        """Why it could not be written when that was last tried; ``None`` while it can."""
        ...

    @property
    def damaged(self) -> int:
        """Entries that cannot be read any more, kept where they are for a person to look at."""
        ...

    def entries(self) -> tuple[JournalEntry, ...]:
        """What this process holds, of its own and taken over, the oldest answer first."""
        ...

    async def write(self, entry: JournalEntry) -> None:
        """
        Keep *entry*; it is on disk when this returns.

        Raises:
            JournalFailed: It is not.
        """
        ...

    async def strike(self, entry_id: str) -> None:
        """
        Drop an entry that the store has taken.

        What cannot be struck out on disk is dropped here all the same, and may be delivered once more
        by another process, which finds that the store has it.
        """
        ...

    async def adopt(self) -> int:
        """Take over what dead processes left; how many entries that brought. Never fails."""
        ...

    async def probe(self) -> None:
        """Find out, for `trouble`, whether an entry could be written now. Never fails."""
        ...

    async def close(self) -> None:
        """Let go; what is still held is for the next process."""
        ...


__all__ = [
    "AuditStore",
    "CallerStore",
    "ChangeFeed",
    "Clock",
    "DataKeyStore",
    "Delete",
    "Dice",
    "DropTokens",
    "GrantQuery",
    "GrantStore",
    "Http",
    "Insert",
    "Journal",
    "LeaseStore",
    "NodeStore",
    "Note",
    "OnceStore",
    "PutToken",
    "RedemptionState",
    "RedemptionStore",
    "Release",
    "Replace",
    "SealContext",
    "Sealer",
    "Settle",
    "SigningKeyStore",
    "Step",
    "Store",
    "Upkeep",
]
