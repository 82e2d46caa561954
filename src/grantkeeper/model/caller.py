"""Who asks, and what was done for whom."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Permission(StrEnum):
    """What a caller key may be allowed to do."""

    REDEEM = "redeem"
    TOKEN = "token"
    GRANTS_READ = "grants.read"
    GRANTS_WRITE = "grants.write"
    CREDENTIALS = "credentials"
    PROXY = "proxy"
    JOBS = "jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    A backend that may ask. Empty rules allow everything of their kind.

    Attributes:
        key_hash: SHA-256 of the key; keys are 256 random bits, so no slow hash is needed.
        clients: Settings names of clients.
    """

    id: str
    name: str
    key_hash: bytes = field(repr=False)
    created_at: datetime
    clients: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    permissions: frozenset[Permission] = frozenset()
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def may(self, permission: Permission) -> bool:
        """Whether the rules allow *permission*."""
        return not self.permissions or permission in self.permissions

    def sees(self, client: str) -> bool:
        """Whether the rules allow the client of that settings name."""
        return not self.clients or client in self.clients


def caller_meant(callers: Iterable[Caller], name_or_id: str) -> Caller | None:
    """The one that a name or id means: an id before a name, a living one before a revoked, the newest."""
    return max(
        (one for one in callers if name_or_id in (one.id, one.name)),
        key=lambda one: (one.id == name_or_id, one.revoked_at is None, one.created_at, one.id),
        default=None,
    )


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that was done for somebody; ids and keyed hashes, never e-mail."""

    at: datetime
    name: str
    grant_id: str | None = None
    caller: str | None = None
    client_id: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict)
