"""What processes on one database share: leases, the change feed, and who is there."""

from dataclasses import dataclass
from datetime import datetime

REFRESH_LEASES = "refresh:"
"""How the names of leases on refreshes begin; a grant id follows."""

WORKER_LEASES = "worker:"
"""How the names of leases of workers begin; the executor's id follows."""

SOUGHT_LEASES = (REFRESH_LEASES, WORKER_LEASES)
"""
Their orphans are looked for and given back by who has seen to what the dead left, however late that is:
no sweep forgets them. Other names are forgotten when they lapsed long ago.
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """
    A claim on a name with an owner and an end.

    Attributes:
        owner: Random id; only its owner renews or releases a lease.
        version: Grows with every taking; a fence.
        remaining: Seconds left by the database's clock at the moment of the answer.
        orphaned: Whether it was taken from somebody who let it lapse and never gave it back: most
            likely dead, at whatever it was doing.
    """

    name: str
    owner: str
    version: int
    remaining: float
    orphaned: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else has the lease for *remaining* seconds more."""

    name: str
    remaining: float


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the change feed: look at this again."""

    seq: int
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class News:
    """
    What the change feed said.

    Attributes:
        age: Seconds for which the answer may already have been out of date when it came.
    """

    changes: tuple[Change, ...]
    age: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """
    A process that works on the database, as it last reported itself.

    Attributes:
        id: Random, new with every start.
        wrap_ids: Ids of the wrapping keys it has, the one it seals with first.
        index_versions: The same of the index keys.
        release: Of grantkeeper.
    """

    id: str
    started_at: datetime
    wrap_ids: tuple[int, ...]
    index_versions: tuple[int, ...]
    release: str
