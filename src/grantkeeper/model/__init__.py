"""The records that grantkeeper keeps and passes around; none of them does anything."""

from grantkeeper.model.answers import (
    Description,
    End,
    JobDescription,
    Preflight,
    QueuedJob,
    RedeemedGrant,
    Revocation,
    Session,
    Token,
)
from grantkeeper.model.caller import AuditEvent, Caller, Permission, caller_meant
from grantkeeper.model.client import Client, Endpoints, Provider, Source
from grantkeeper.model.grant import Grant, GrantState, IdentitySource, Reason, Sealed, StoredToken, Waiting
from grantkeeper.model.identity import Identity, Profile, Subject
from grantkeeper.model.job import ENDED, Job, JobState, Order, seal_owner
from grantkeeper.model.keys import DataKey, JournalEntry, JournalKind, KeyKind, SigningKey
from grantkeeper.model.nodes import (
    REFRESH_LEASES,
    SOUGHT_LEASES,
    WORKER_LEASES,
    Change,
    Held,
    Lease,
    News,
    Node,
)
from grantkeeper.model.redemption import Redemption, RedemptionState

__all__ = [
    "ENDED",
    "REFRESH_LEASES",
    "SOUGHT_LEASES",
    "WORKER_LEASES",
    "AuditEvent",
    "Caller",
    "Change",
    "Client",
    "DataKey",
    "Description",
    "End",
    "Endpoints",
    "Grant",
    "GrantState",
    "Held",
    "Identity",
    "IdentitySource",
    "Job",
    "JobDescription",
    "JobState",
    "JournalEntry",
    "JournalKind",
    "KeyKind",
    "Lease",
    "News",
    "Node",
    "Order",
    "Permission",
    "Preflight",
    "Profile",
    "Provider",
    "QueuedJob",
    "Reason",
    "RedeemedGrant",
    "Redemption",
    "RedemptionState",
    "Revocation",
    "Sealed",
    "Session",
    "SigningKey",
    "Source",
    "StoredToken",
    "Subject",
    "Token",
    "Waiting",
    "caller_meant",
    "seal_owner",
]
