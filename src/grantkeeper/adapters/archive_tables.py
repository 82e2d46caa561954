"""
What a backup keeps of a database: the tables, their columns, and what may stand in each.

Rows go through the records on their way back, so that every value is looked at
and whatever is computed from others is computed anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any

import msgspec

from grantkeeper.adapters.records import (
    CALLER,
    EVENT,
    GRANT,
    GRANT_VERSION,
    JOB,
    JOB_BYTES,
    JOB_NUMBERS,
    REDEMPTION,
    SIGNING_KEY,
    Row,
    caller_of,
    caller_row,
    event_of,
    event_row,
    grant_of,
    grant_row,
    job_of,
    job_row,
    redemption_of,
    redemption_row,
    signing_key_of,
    signing_key_row,
)
from grantkeeper.model import JobState, Order

CONTENTS = 2
"""Raise it with every table or column that is added here: an earlier release would lose it unseen."""

Whole = Annotated[int, msgspec.Meta(ge=-(2**63) + 1, le=2**63 - 1)]

NUMBERS = frozenset({
    "seq", "at", "created_at", "keep_until", "settled_at", "expires_at", "revoked_at", "ends_at",
    "refreshed_at", "used_at", "probe_at", "uncertain_since", "revocation_due", "revocation_attempts",
    "consented_at", "keep_alive_at", "waiting_ends_at", "generation", "refresh_generation",
    "waiting_generation", "profile_generation", "private_generation", "index_version", "version",
    "signs_from", "retires_at", *JOB_NUMBERS,
})  # fmt: skip
BYTES = frozenset({
    "data_key", "refresh_box", "waiting_box", "profile_box", "email_index", "code_hash", "key_hash",
    "fingerprint", "outcome", "private_box", "key", "value", *JOB_BYTES,
})  # fmt: skip
"""Columns of these two kinds; all others are text."""

NEEDED: Mapping[str, frozenset[str]] = {
    "grants": frozenset({
        "id", "client_id", "issuer", "sub", "created_at", "identity_source", "requested", "granted",
        "generation", "lookups", "revocation_attempts", "index_version", "version", "state",
    }),
    "jobs": frozenset({
        "id", "name", "grant_id", "created_at", "parameters", "scopes", "state", "attempts", "outages",
        "steps", "done", "total", "version",
    }),
    "redemptions": frozenset({
        "code_hash", "client_id", "owner", "state", "created_at", "keep_until", "fingerprint",
        "index_version",
    }),
    "callers": frozenset({
        "id", "name", "key_hash", "created_at", "clients", "scopes", "permissions",
    }),
    "once": frozenset({
        "kind", "key", "value", "ends_at",
    }),
    "signing_keys": frozenset(SIGNING_KEY),
    "audit": frozenset({
        "seq", "at", "name", "detail",
    }),
    "marks": frozenset({
        "name", "value",
    }),
}  # fmt: skip
"""What is never empty, of each table."""


def _grant(row: Row) -> Row:
    # Through the record and back: every value is looked at, and what is computed is computed anew.
    return grant_row(grant_of(row), version=row[GRANT_VERSION])


def _job(row: Row) -> Row:
    job = job_of(row)
    if job.state not in (JobState.DONE, JobState.CANCELLED):
        # The engine's steps are not in a backup, and whoever ran the job is gone: it begins anew.
        job = replace(job, steps=0, attempts=0, outages=0)
    if job.state in (JobState.QUEUED, JobState.RUNNING):
        # Resumed and not submitted, so that an engine that still knows it from before runs it as well.
        job = replace(job, state=JobState.QUEUED, order=Order.RESUME)
    return job_row(job, version=job.version)


def _redemption(row: Row) -> Row:
    # Whoever held the claim is gone, so that it counts as lapsed.
    return redemption_row(redemption_of((*row, True)))


def _event(row: Row) -> Row:
    return (row[0], *event_row(event_of(row[1:])))


@dataclass(frozen=True)
class Table:
    """
    What is kept of one table.

    Attributes:
        columns: In the order of a row.
        checked: A row as it is written into the database, after a look at each of its values.
    """

    name: str
    columns: tuple[str, ...]
    checked: Callable[[Row], Row] = field(default=tuple)

    @cached_property
    def types(self) -> tuple[Any, ...]:
        """What JSON must hold for each column."""
        return tuple(_type(column, column in NEEDED[self.name]) for column in self.columns)


def _type(column: str, needed: bool) -> Any:
    kind = Whole if column in NUMBERS else bytes if column in BYTES else str
    return kind if needed else kind | None


TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table("grants", GRANT, _grant),
        Table("jobs", JOB, _job),
        Table("redemptions", REDEMPTION, _redemption),
        Table("callers", CALLER, lambda row: caller_row(caller_of(row))),
        Table("once", ("kind", "key", "value", "ends_at")),
        Table("signing_keys", SIGNING_KEY, lambda row: signing_key_row(signing_key_of(row))),
        Table("audit", ("seq", *EVENT), _event),
        Table("marks", ("name", "value")),
    )
}
"""What a backup keeps, in the order in which it stands there."""

LEFT_OUT: Mapping[str, str] = {
    "tokens": "access tokens live an hour; after a restore every grant is refreshed before it is used",
    "leases": "their owners are processes of that moment; only the number they had come to is kept",
    "changes": "the nodes that read it are gone or are told to look at everything; only its number is kept",
    "nodes": "processes of that moment",
    "erased_jobs": "the engine's own database is not kept either",
    "paces": "how much of a rate is used up is forgotten within seconds anyway",
    "pauses": "what an API asked to be left alone for is over or will be asked for again",
    "pulse": "proof that writing works, written anew all the time",
    "migrations": "the restored database has its own",
}
"""What it does not keep, and why."""
