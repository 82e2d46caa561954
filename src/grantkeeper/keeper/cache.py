"""What this process remembers of grants, so that a fresh token touches neither disk nor network."""

from dataclasses import dataclass
from datetime import datetime

from grantkeeper.lifecycle import doubtful
from grantkeeper.model import Grant, GrantState, Reason
from grantkeeper.secret import AccessToken

CAPACITY = 200_000
"""Grants remembered; the one put longest ago goes first."""

REMEMBERED_DROPS = 50_000


@dataclass(frozen=True, slots=True)
class LiveToken:
    """An access token in memory under its scope key; *stale_at* has its jitter in it already."""

    key: str
    access_token: AccessToken
    scopes: frozenset[str]
    obtained_at: datetime
    expires_at: datetime
    stale_at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """
    What handing out must know of a grant, and its open tokens, as of one version.

    It is never changed, only replaced. It is not the grant: a hundred thousand
    of these may be in memory, and most of a grant is what is sealed in it.
    """

    id: str
    version: int
    state: GrantState
    reason: Reason | None
    requested: frozenset[str]
    granted: frozenset[str]
    probe_at: datetime | None
    uncertain: bool
    tokens: tuple[LiveToken, ...]

    @classmethod
    def of(
        cls, grant: Grant, tokens: tuple[LiveToken, ...] = (), *, restored_at: datetime | None = None
    ) -> "Entry":
        """The entry of *grant*, in a database that was brought back from a backup at *restored_at*."""
        return cls(
            id=grant.id,
            version=grant.version,
            state=grant.state,
            reason=grant.reason,
            requested=grant.requested,
            granted=grant.granted,
            probe_at=grant.probe_at,
            uncertain=doubtful(grant, restored_at),
            tokens=tokens,
        )

    @property
    def missing(self) -> frozenset[str]:
        """What was asked for and not given."""
        return self.requested - self.granted

    def token(self, key: str) -> LiveToken | None:
        """The token under that scope key; there are one or two, so a search is faster than a mapping."""
        for live in self.tokens:
            if live.key == key:
                return live
        return None

    def __repr__(self) -> str:
        return f"Entry({self.id} version {self.version})"


class Cache:
    """
    Entries by grant id. Reading is safe from any thread; writing is for the keeper's loop.

    A reader that was overtaken must not put back what a change has just thrown
    out: it takes a `ticket` before it reads the store and hands it to `put`.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: dict[str, Entry] = {}
        self._drops = 0
        self._dropped: dict[str, int] = {}
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._entries)

    def peek(self, grant_id: str) -> Entry | None:
        """The entry, if there is one; the same object until something about the grant changes."""
        return self._entries.get(grant_id)

    def ticket(self) -> int:
        """Proof of when a read began, for `put`."""
        return self._drops

    def put(self, entry: Entry, ticket: int) -> None:
        """Remember *entry*, unless news of its grant came after *ticket* or a newer version is here."""
        grant_id = entry.id
        if ticket < self._forgotten or self._dropped.get(grant_id, 0) > ticket:
            return
        known = self._entries.pop(grant_id, None)
        if known is not None and known.version > entry.version:
            entry = known
        self._entries[grant_id] = entry
        if len(self._entries) > self._capacity:
            self._entries.pop(next(iter(self._entries)), None)

    def drop(self, grant_id: str) -> None:
        """Forget a grant: something about it changed."""
        self._drops += 1
        self._entries.pop(grant_id, None)
        self._dropped.pop(grant_id, None)
        self._dropped[grant_id] = self._drops
        if len(self._dropped) > REMEMBERED_DROPS:
            oldest = next(iter(self._dropped))
            self._forgotten = self._dropped.pop(oldest)

    def clear(self) -> None:
        """Forget everything."""
        self._drops += 1
        self._forgotten = self._drops
        self._entries.clear()
        self._dropped.clear()
