"""
The statements of PostgreSQL by name, and what a commit's steps do inside a transaction.

Most steps are one statement. A commit of one such step needs no transaction
around it, and `single` tells which statement that is.
"""

from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from grantkeeper.adapters.postgres_life import LOCKS
from grantkeeper.adapters.postgres_pool import Connection
from grantkeeper.adapters.postgres_work import PostgresWork
from grantkeeper.adapters.records import (
    JOB,
    JOB_BYTES,
    JOB_NUMBERS,
    Row,
    caller_of,
    event_row,
    grant_content,
    grant_indexed,
    grant_row,
    instant,
    settled_row,
    token_row,
)
from grantkeeper.adapters.schema import column_parts, numbered, statements
from grantkeeper.errors import StoreConflict
from grantkeeper.model import AuditEvent, Caller, DataKey, Grant, KeyKind
from grantkeeper.ports import (
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

QUOTED = ("user",)
"""Columns of ours that PostgreSQL would take for something else."""

_REST = " AND ".join(
    [
        "(:client_ids::text[] IS NULL OR client_id = ANY (:client_ids::text[]))",
        *(
            f"(:{name}::{kind} IS NULL OR {column} = :{name})"
            for name, column, kind in (
                ("issuer", "issuer", "text"),
                ("sub", "sub", "text"),
                ("user", '"user"', "text"),
                ("project", "project", "text"),
                ("state", "state", "text"),
                ("email_index", "email_index", "bytea"),
            )
        ),
    ]
)

_JOB_REST = " AND ".join(
    f"(:{column}::text IS NULL OR {column} = :{column})" for column in ("grant_id", "batch", "caller", "name")
)

_JOB_ARRAYS = ", ".join(
    f"?::{'bigint' if column in JOB_NUMBERS else 'bytea' if column in JOB_BYTES else 'text'}[]"
    for column in JOB
)

_DEAD = (
    "(held.server_start = pg_postmaster_start_time()"
    f" AND pg_try_advisory_xact_lock_shared({LOCKS}, held.life))"
)

_PARTS = column_parts(quoted=QUOTED) | {
    "rest": _REST,
    "job_rest": _JOB_REST,
    "job_arrays": _JOB_ARRAYS,
    "saved_job": ", ".join(f"jobs.{column}" for column in JOB),
    "dead": _DEAD,
    "locks": str(LOCKS),
}

_NUMBERED = {name: numbered(text) for name, text in statements("postgres", _PARTS).items()}

SQL = {name: text for name, (text, _) in _NUMBERED.items()}

NAMES = {name: names for name, (_, names) in _NUMBERED.items()}
"""The names of a statement's values, in their order, for those that name them."""

JOBS_AT_ONCE = 2000
"""
Jobs that one statement changes: a grant may have any number, and none may make a commit of its grant last
longer than a statement is given.
"""

# -- the steps of a commit ----------------------------------------------------------------------

Single = Insert | Replace | Delete | PutToken | DropTokens | Settle | Release | Note
"""Steps that are one statement, though `Delete` needs others before it."""


def statement(step: Single) -> tuple[str, Row, str | None]:
    """
    The statement of *step*, its values, and what it means that it changed nothing.

    ``None`` there: that is well.
    """
    match step:
        case Replace(grant):
            return "replace_grant", _replaced(grant), f"grant {grant.id} was saved in between"
        case Insert(grant):
            return (
                "insert_grant",
                grant_row(grant, version=1),
                f"the client and subject of {grant.id} have a grant",
            )
        case Delete(grant_id, version):
            return "delete_grant", (grant_id, version), f"grant {grant_id} was saved in between"
        case PutToken(token):
            return "put_token", token_row(token), None
        case DropTokens(grant_id):
            return "drop_tokens", (grant_id,), None
        case Settle(redemption):
            return "settle", settled_row(redemption), "the redemption is no longer its owner's"
        case Release(lease):
            return "release_lease", (lease.name, lease.version, lease.owner), None
        case Note(event):
            return "append_events", events_columns([event]), None
        case _:
            assert_never(step)


def _replaced(grant: Grant) -> Row:
    used = None if grant.used_at is None else instant(grant.used_at)
    return (*grant_content(grant), used, *grant_indexed(grant), grant.id, grant.version)


async def commit(work: PostgresWork, steps: Sequence[Step]) -> None:
    """
    All of *steps* in their order, or none.

    Raises:
        StoreConflict: A step's condition does not hold.
    """
    if len(steps) == 1 and not isinstance(steps[0], Delete | WakeJobs):
        name, values, failed = statement(steps[0])
        if not await work.write(name, *values) and failed is not None:
            raise StoreConflict(failed)
        return

    async def body(connection: Connection) -> None:
        for step in steps:
            if isinstance(step, WakeJobs):
                await _in_parts(work, connection, "wake_jobs", "parked_of", step.grant_id)
                continue
            if isinstance(step, Delete):
                # So that the next statement sees the jobs of whoever was just adding some.
                await work.rows(connection, "lock_grant", step.grant_id)
                await _in_parts(work, connection, "erase_jobs", "all_of", step.grant_id)
            name, values, failed = statement(step)
            if not await work.rows(connection, name, *values) and failed is not None:
                raise StoreConflict(failed)

    if steps:
        await work.transaction("commit", body)


async def _in_parts(
    work: PostgresWork, connection: Connection, change: str, found: str, grant_id: str
) -> None:
    """Do *change* to the jobs that *found* finds of a grant, and locks."""
    ids = [job_id for (job_id,) in await work.rows(connection, found, grant_id)]
    for first in range(0, len(ids), JOBS_AT_ONCE):
        await work.rows(connection, change, ids[first : first + JOBS_AT_ONCE])


def told(steps: Iterable[Step]) -> bool:
    """Whether *steps* write a line of the change feed."""
    return any(isinstance(step, Insert | Replace | Delete | WakeJobs) for step in steps)


def events_columns(events: Sequence[AuditEvent]) -> tuple[list[Any], ...]:
    """Audit events, turned from rows into columns."""
    return tuple(list(column) for column in zip(*map(event_row, events), strict=True))


# -- what needs more than one statement ---------------------------------------------------------


async def revoke_caller(
    work: PostgresWork, connection: Connection, name_or_id: str, at: int
) -> Caller | None:
    """End a caller's access, once: a later call leaves the first time as it is."""
    found = await work.rows(connection, "caller_named", name_or_id)
    if not found:
        return None
    caller = caller_of(found[0])
    if await work.rows(connection, "revoke_caller", caller.id, at):
        found = await work.rows(connection, "caller_named", caller.id)
        return caller_of(found[0])
    if caller.revoked_at is None:
        # Somebody else has just done it.
        found = await work.rows(connection, "caller_named", caller.id)
        return caller_of(found[0]) if found else None
    return caller


DATA_KEYS = {
    KeyKind.GRANT: ("data_keys_of_grants", "rewrap_grants"),
    KeyKind.REDEMPTION: ("data_keys_of_redemptions", "rewrap_redemptions"),
    KeyKind.SIGNING_KEY: ("data_keys_of_signing_keys", "rewrap_signing_keys"),
    KeyKind.JOB: ("data_keys_of_jobs", "rewrap_jobs"),
}
"""The statements that find and replace the wrapped keys of a kind."""


async def rewrap(work: PostgresWork, connection: Connection, changes: Sequence[tuple[DataKey, bytes]]) -> int:
    """Put newly wrapped keys in the place of unchanged old ones; how many."""
    count = 0
    for kind, (_, name) in DATA_KEYS.items():
        of_kind = [(key.id, key.wrapped, new) for key, new in changes if key.kind is kind]
        if of_kind:
            columns = (list(column) for column in zip(*of_kind, strict=True))
            count += len(await work.rows(connection, name, *columns))
    return count
