"""What a commit is made of."""

from dataclasses import dataclass

from grantkeeper.model import AuditEvent, Grant, Lease, Redemption, StoredToken


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
    """
    Drop a grant, its tokens and its jobs, if the version is still the stored one.

    The ids of the jobs are kept for `JobStore.erased_jobs`.
    """

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


@dataclass(frozen=True, slots=True)
class WakeJobs:
    """
    Queue the parked jobs of a grant and order the engine to resume them; never a conflict.

    It comes after the `Replace` that is the reason for it: that one holds up whoever is just parking a job.
    """

    grant_id: str


Step = Insert | Replace | Delete | PutToken | DropTokens | Settle | Release | Note | WakeJobs
"""What a commit is made of. Those of a grant or of jobs also write their lines of the change feed."""
