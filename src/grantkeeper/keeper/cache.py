"""What this process remembers of grants, so that a fresh token touches neither disk nor network."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from grantkeeper.model import Grant
from grantkeeper.secret import AccessToken

CAPACITY = 200_000
"""Grants remembered; the one put longest ago goes first."""

REMEMBERED_DROPS = 50_000


@dataclass(frozen=True, slots=True)
class LiveToken:
    """An access token in memory; *stale_at* has its jitter in it already."""

    access_token: AccessToken
    scopes: frozenset[str]
    obtained_at: datetime
    expires_at: datetime
    stale_at: datetime


def fingerprint(token: AccessToken) -> str:
    """How a caller names a token that was refused: base64url SHA-256 without padding (design section 3)."""
    return urlsafe_b64encode(hashlib.sha256(token.reveal().encode()).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Entry:
    """A grant and its open tokens, as of one version. Never changed, only replaced."""

    grant: Grant
    tokens: Mapping[str, LiveToken] = field(default_factory=lambda: MappingProxyType({}))

    def __repr__(self) -> str:
        return f"Entry({self.grant.id} version {self.grant.version})"


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
        grant_id = entry.grant.id
        if ticket < self._forgotten or self._dropped.get(grant_id, 0) > ticket:
            return
        known = self._entries.pop(grant_id, None)
        if known is not None and known.grant.version > entry.grant.version:
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
