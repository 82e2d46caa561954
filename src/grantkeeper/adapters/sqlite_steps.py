"""
What is done inside a SQLite transaction: the steps of a commit and the other writes.

Everything here takes the writer's connection, runs a few statements and
returns; the transaction around it belongs to `grantkeeper.adapters.sqlite_writer`.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

import apsw

from grantkeeper.adapters.records import (
    Row,
    caller_of,
    caller_row,
    event_row,
    grant_content,
    grant_indexed,
    grant_row,
    instant,
    node_row,
    redemption_of,
    redemption_row,
    settled_row,
    signing_key_row,
    token_row,
)
from grantkeeper.adapters.retention import FEED_ROWS, FEED_SECONDS, LEASE_SECONDS, NODE_SECONDS, PACE_SECONDS
from grantkeeper.adapters.schema import column_parts, statements
from grantkeeper.adapters.sqlite_file import rows
from grantkeeper.errors import StoreConflict
from grantkeeper.model import (
    SOUGHT_LEASES,
    AuditEvent,
    Caller,
    DataKey,
    Grant,
    Held,
    KeyKind,
    Lease,
    Node,
    Redemption,
    SigningKey,
    StoredToken,
)
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

_REST = " AND ".join(
    [
        "(:client_ids IS NULL OR +client_id IN (SELECT value FROM json_each(:client_ids)))",
        *(
            f"(:{column} IS NULL OR +{column} = :{column})"
            for column in ("issuer", "sub", "user", "project", "state", "email_index")
        ),
    ]
)

_JOB_REST = " AND ".join(
    f"(:{column} IS NULL OR +{column} = :{column})" for column in ("grant_id", "batch", "caller", "name")
)

SQL = statements("sqlite", column_parts() | {"rest": _REST, "job_rest": _JOB_REST})

# -- the steps of a commit ----------------------------------------------------------------------


def commit(db: apsw.Connection, steps: Sequence[Step]) -> None:
    """
    Do *steps* in their order.

    Raises:
        StoreConflict: A step's condition does not hold; the caller undoes the others.
    """
    for step in steps:
        match step:
            case Replace(grant):
                _replace(db, grant)
            case Insert(grant):
                _insert(db, grant)
            case Delete(grant_id, version):
                _delete(db, grant_id, version)
            case PutToken(token):
                _put_token(db, token)
            case DropTokens(grant_id):
                db.execute(SQL["drop_tokens"], (grant_id,))
            case Settle(redemption):
                _settle(db, redemption)
            case Release(lease):
                release(db, lease)
            case Note(event):
                append(db, [event])
            case WakeJobs(grant_id):
                db.execute(SQL["tell_parked"], (grant_id,))
                db.execute(SQL["wake_jobs"], (grant_id,))
            case _:
                assert_never(step)


def _must(db: apsw.Connection, name: str, values: Row, text: str) -> None:
    db.execute(SQL[name], values)
    if not db.changes():
        raise StoreConflict(text)


def _change(db: apsw.Connection, kind: str, what: str) -> None:
    db.execute(SQL["add_change"], (kind, what))


def _insert(db: apsw.Connection, grant: Grant) -> None:
    _must(
        db, "insert_grant", grant_row(grant, version=1), f"the client and subject of {grant.id} have a grant"
    )
    _change(db, "grant", grant.id)


def _replace(db: apsw.Connection, grant: Grant) -> None:
    content, indexed = grant_content(grant), grant_indexed(grant)
    used = None if grant.used_at is None else instant(grant.used_at)
    common = (*content, used, used)
    db.execute(SQL["replace_grant_content"], (*common, grant.id, grant.version, *indexed))
    if not db.changes():
        _must(
            db,
            "replace_grant",
            (*common, *indexed, grant.id, grant.version),
            f"grant {grant.id} was saved in between",
        )
    _change(db, "grant", grant.id)


def _delete(db: apsw.Connection, grant_id: str, version: int) -> None:
    _change(db, "grant", grant_id)
    db.execute(SQL["tell_jobs_of"], (grant_id,))
    db.execute(SQL["erase_jobs_of"], (grant_id,))
    # The jobs themselves go with the grant, as its tokens do.
    _must(db, "delete_grant", (grant_id, version), f"grant {grant_id} was saved in between")


def _put_token(db: apsw.Connection, token: StoredToken) -> None:
    try:
        db.execute(SQL["put_token"], token_row(token))
    except apsw.ConstraintError as error:
        if getattr(error, "extendedresult", 0) != apsw.SQLITE_CONSTRAINT_FOREIGNKEY:
            raise
        raise StoreConflict(f"there is no grant {token.grant_id}") from error


def _settle(db: apsw.Connection, redemption: Redemption) -> None:
    _must(db, "settle", settled_row(redemption), "the redemption is no longer its owner's")


def touch(db: apsw.Connection, used: Iterable[tuple[str, datetime]]) -> None:
    """Write hand-out stamps; a later one stays."""
    db.executemany(SQL["touch_grant"], [(instant(at), grant_id) for grant_id, at in used])


# -- redemptions --------------------------------------------------------------------------------


def claim(db: apsw.Connection, redemption: Redemption, seconds: float) -> Redemption | None:
    """Claim a code; else what stands in the way, that of the same code first."""
    db.execute(SQL["claim"], (*redemption_row(redemption), seconds))
    if db.changes():
        return None
    for name, value in (("redemption", redemption.code_hash), ("redemption_of_key", redemption.key_hash)):
        if row := rows(db, SQL[name], (value,)):
            return redemption_of(row[0])
    raise AssertionError("a claim failed and nothing stands in its way")


def reclaim(db: apsw.Connection, code_hash: bytes, owner: str, new_owner: str, seconds: float) -> bool:
    """Hand an answered redemption to another owner."""
    db.execute(SQL["reclaim"], (code_hash, owner, new_owner, seconds))
    return db.changes() == 1


def unclaim(db: apsw.Connection, code_hash: bytes, owner: str) -> None:
    """Drop a claim."""
    db.execute(SQL["unclaim"], (code_hash, owner))


# -- leases -------------------------------------------------------------------------------------


def take(
    db: apsw.Connection, name: str, owner: str, seconds: float, seen: tuple[str, int] | None
) -> tuple[Lease | Held, float]:
    """The lease, or for how long somebody has it; and when that was true, in monotonic seconds."""
    now = time.monotonic()
    if seen is not None and not rows(db, SQL["grant_is_at"], seen):
        left = rows(db, SQL["lease_held"], (name,))
        return Held(name, max(0.0, left[0][0]) if left else 0.0), now
    db.execute(SQL["drop_lapsed_lease"], (name,))
    orphaned = db.changes() == 1
    if found := rows(db, SQL["take_lease"], (name, owner, seconds)):
        return Lease(name, owner, found[0][0], seconds, orphaned), now
    ((left,),) = rows(db, SQL["lease_held"], (name,))
    return Held(name, max(0.0, left)), now


def renew(db: apsw.Connection, lease: Lease, seconds: float, lapsed: bool) -> tuple[Lease | None, float]:
    """The lease with a new end, unless it was lost; and when, as above."""
    now = time.monotonic()
    db.execute(SQL["renew_lease"], (lease.version, lease.name, seconds, lease.owner, lapsed))
    return (replace(lease, remaining=seconds) if db.changes() else None), now


def release(db: apsw.Connection, lease: Lease) -> None:
    """Give it back, if it is still its owner's."""
    db.execute(SQL["release_lease"], (lease.version, lease.name, lease.owner))


# -- callers, things good once, signing keys, audit ---------------------------------------------


def add_caller(db: apsw.Connection, caller: Caller) -> None:
    """Save a new caller."""
    _must(db, "add_caller", caller_row(caller), f"there is a caller {caller.name} already")
    _change(db, "caller", caller.id)


def change_caller(db: apsw.Connection, caller: Caller) -> None:
    """Write a caller's rules and end."""
    _, _, _, _, clients, scopes, permissions, expires_at, _ = caller_row(caller)
    _must(
        db,
        "change_caller",
        (caller.id, clients, scopes, permissions, expires_at),
        f"there is no living caller {caller.name}",
    )
    _change(db, "caller", caller.id)


def revoke_caller(db: apsw.Connection, name_or_id: str, at: datetime) -> Caller | None:
    """End a caller's access, once: a later call leaves the first time as it is."""
    found = rows(db, SQL["caller_named"], (name_or_id,))
    if not found:
        return None
    caller = caller_of(found[0])
    if caller.revoked_at is None:
        db.execute(SQL["revoke_caller"], (caller.id, instant(at)))
        _change(db, "caller", caller.id)
        caller = replace(caller, revoked_at=at)
    return caller


def put_once(
    db: apsw.Connection, kind: str, key: bytes, value: bytes, now: datetime, until: datetime
) -> bool:
    """Keep a value, unless the key has another that is not past its end."""
    db.execute(SQL["put_once"], (kind, key, value, instant(now), instant(until)))
    return db.changes() == 1


def take_once(db: apsw.Connection, kind: str, key: bytes, now: datetime) -> bytes | None:
    """The value, gone from here."""
    found = rows(db, SQL["take_once"], (kind, key, instant(now)))
    return found[0][0] if found and found[0][1] else None


def add_signing_key(db: apsw.Connection, key: SigningKey) -> None:
    """Save a new key."""
    _must(db, "add_signing_key", signing_key_row(key), f"there is a signing key {key.kid} already")
    _change(db, "signing_key", key.kid)


def append(db: apsw.Connection, events: Iterable[AuditEvent]) -> None:
    """Add events at the end."""
    db.executemany(SQL["append_event"], [event_row(event) for event in events])


# -- nodes, marks, data keys --------------------------------------------------------------------

DATA_KEYS = {
    KeyKind.GRANT: ("data_keys_of_grants", "rewrap_grant"),
    KeyKind.REDEMPTION: ("data_keys_of_redemptions", "rewrap_redemption"),
    KeyKind.SIGNING_KEY: ("data_keys_of_signing_keys", "rewrap_signing_key"),
    KeyKind.JOB: ("data_keys_of_jobs", "rewrap_job"),
}
"""The statements that find and replace the wrapped keys of a kind."""


def report(db: apsw.Connection, node: Node, seconds: float) -> None:
    """Write down that a node lives."""
    db.execute(SQL["report_node"], (*node_row(node), seconds))


def leave(db: apsw.Connection, node_id: str) -> None:
    """Forget a node."""
    db.execute(SQL["drop_node"], (node_id,))


def set_mark(db: apsw.Connection, name: str, value: bytes | None) -> None:
    """Write or drop a mark."""
    if value is None:
        db.execute(SQL["drop_mark"], (name,))
    else:
        db.execute(SQL["set_mark"], (name, value))
    _change(db, "mark", name)


def swap_mark(db: apsw.Connection, name: str, value: bytes, was: bytes | None) -> bool:
    """Write a mark that is still what it was; whether it was."""
    found = rows(db, SQL["mark"], (name,))
    if (found[0][0] if found else None) != was:
        return False
    set_mark(db, name, value)
    return True


def rewrap(db: apsw.Connection, changes: Iterable[tuple[DataKey, bytes]]) -> int:
    """Put newly wrapped keys in the place of unchanged old ones."""
    before = db.total_changes()
    for key, wrapped in changes:
        db.execute(SQL[DATA_KEYS[key.kind][1]], (key.id, key.wrapped, wrapped))
    return db.total_changes() - before


# -- upkeep -------------------------------------------------------------------------------------


def pulse(db: apsw.Connection) -> None:
    """Write something."""
    db.execute(SQL["pulse"])


def sweep(db: apsw.Connection, now: datetime, limit: int) -> int:
    """Drop what is past its end."""
    ended = rows(db, SQL["sweep_jobs"], (instant(now), limit))
    db.executemany(SQL["erase_job"], ended)
    before = db.total_changes()
    for name in ("sweep_redemptions", "sweep_tokens", "sweep_once"):
        db.execute(SQL[name], (instant(now), limit))
    db.execute(SQL["sweep_leases"], (LEASE_SECONDS, limit, json.dumps(SOUGHT_LEASES)))
    db.execute(SQL["sweep_nodes"], (NODE_SECONDS,))
    for name in ("sweep_paces", "sweep_pauses"):
        db.execute(SQL[name], (PACE_SECONDS, limit))
    db.execute(SQL["sweep_changes"], (FEED_SECONDS, FEED_ROWS, limit))
    return len(ended) + db.total_changes() - before
