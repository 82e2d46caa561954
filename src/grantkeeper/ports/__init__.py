"""
What a keeper needs from the world: roles, not machines.

Ports speak of grants, not of SQL. Every method of a store is one atomic step,
and a store never sees a token in the clear.
"""

from grantkeeper.ports.engine import Engine, Run, StepRecord, Steps, StepsDiffer, Suspended, Ticket
from grantkeeper.ports.grants import ChangeFeed, GrantQuery, GrantStore, LeaseStore, RedemptionStore
from grantkeeper.ports.jobs import JobQuery, JobStore, PaceStore, Pause
from grantkeeper.ports.journal import Journal
from grantkeeper.ports.sealing import Keyring, SealContext, Sealer
from grantkeeper.ports.steps import (
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
from grantkeeper.ports.store import (
    AuditStore,
    CallerStore,
    DataKeyStore,
    NodeStore,
    OnceStore,
    SigningKeyStore,
    Store,
    Upkeep,
)
from grantkeeper.ports.world import Clock, Dice, Http

__all__ = [
    "AuditStore",
    "CallerStore",
    "ChangeFeed",
    "Clock",
    "DataKeyStore",
    "Delete",
    "Dice",
    "DropTokens",
    "Engine",
    "GrantQuery",
    "GrantStore",
    "Http",
    "Insert",
    "JobQuery",
    "JobStore",
    "Journal",
    "Keyring",
    "LeaseStore",
    "NodeStore",
    "Note",
    "OnceStore",
    "PaceStore",
    "Pause",
    "PutToken",
    "RedemptionStore",
    "Release",
    "Replace",
    "Run",
    "SealContext",
    "Sealer",
    "Settle",
    "SigningKeyStore",
    "Step",
    "StepRecord",
    "Steps",
    "StepsDiffer",
    "Store",
    "Suspended",
    "Ticket",
    "Upkeep",
    "WakeJobs",
]
