"""The rest of what a store keeps, and all of it in one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from grantkeeper.model import AuditEvent, Caller, DataKey, Grant, KeyKind, Node, SigningKey
from grantkeeper.ports.grants import ChangeFeed, GrantStore, LeaseStore, RedemptionStore
from grantkeeper.ports.jobs import JobStore, PaceStore


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
        """
        Keep *value*; ``False`` if the key is kept with another one that is not past its end.

        Who cannot tell whether it was kept puts the same again.
        """
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

    async def swap_mark(self, name: str, value: bytes, *, was: bytes | None) -> bool:
        """The same, if *was* is what is remembered (``None``: nothing is); whether it was."""
        ...


class DataKeyStore(Protocol):
    """Finds every wrapped data key, so that wrapping keys can be changed and proved to be gone."""

    async def data_keys(self, kind: KeyKind, *, after: str = "", limit: int = 500) -> list[DataKey]:
        """The wrapped keys of one kind in order of id, after *after*; what has none is left out."""
        ...

    async def rewrap(self, changes: Sequence[tuple[DataKey, bytes]]) -> int:
        """
        Put a newly wrapped key in the place of each that is still as it was read; how many were.

        A grant or a job gets a new version, so that nobody writes the old key back; nothing is told on
        the feed, because what memory holds of it has not changed.
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
        """
        Drop at most *limit* rows of each kind that are past their end; how many went.

        Leases named as in `grantkeeper.model.SOUGHT_LEASES` stay until somebody has given them back.
        """
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
    JobStore,
    PaceStore,
    Upkeep,
    Protocol,
):
    """All of it in one database, so that a grant and its redemption are saved in one step."""
