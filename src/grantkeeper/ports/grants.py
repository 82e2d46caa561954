"""Where grants, sent codes and leases are kept, and how every node hears of a change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from grantkeeper.model import Grant, GrantState, Held, Lease, News, Redemption, StoredToken, Subject
from grantkeeper.ports.steps import Step


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
        Grants to be refreshed by *now* lest they die unused or stay blocked, the longest due first.

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
        """Take an ANSWERED redemption over, if *owner* is still its owner and has settled it or lapsed."""
        ...

    async def unclaim(self, code_hash: bytes, *, owner: str) -> None:
        """Drop a claim that sent nothing, if *owner* still holds it."""
        ...


class LeaseStore(Protocol):
    """Row leases, judged by the database's own clock."""

    async def take(
        self, name: str, owner: str, *, seconds: float, seen: tuple[str, int] | None = None
    ) -> Lease | Held:
        """
        The lease, if nobody holds it now; else how long it is held. Never waits.

        Args:
            seen: A grant's id and version: where it is at another by now, the lease is not taken, and is
                told to be held for 0 seconds. Look again.
        """
        ...

    async def renew(self, lease: Lease, *, seconds: float, lapsed: bool = False) -> Lease | None:
        """
        The lease with a new end; ``None`` if it was lost.

        Args:
            lapsed: Also one whose time is over, as long as nobody has taken it since.
        """
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
