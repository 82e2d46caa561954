"""Redemptions, callers, signing keys, nodes and audit events as rows."""

import json
from collections.abc import Sequence
from typing import Any

from grantkeeper.adapters.records.values import (
    Row,
    at_instant,
    instant,
    maybe_at,
    maybe_instant,
    set_of,
    set_text,
)
from grantkeeper.model import (
    AuditEvent,
    Caller,
    Node,
    Permission,
    Redemption,
    RedemptionState,
    Sealed,
    SigningKey,
)

REDEMPTION = (
    "code_hash",
    "client_id",
    "owner",
    "state",
    "created_at",
    "keep_until",
    "key_hash",
    "fingerprint",
    "data_key",
    "outcome",
    "settled_at",
    "grant_id",
    "index_version",
)

UNSETTLED = frozenset({RedemptionState.CLAIMED, RedemptionState.ANSWERED})
"""In these states somebody may still be at work, so that they can lapse."""


def redemption_row(redemption: Redemption) -> Row:
    """`REDEMPTION` of *redemption*; whether it lapsed is not stored but judged."""
    return (
        redemption.code_hash,
        redemption.client_id,
        redemption.owner,
        redemption.state.value,
        instant(redemption.created_at),
        instant(redemption.keep_until),
        redemption.key_hash,
        redemption.fingerprint,
        redemption.data_key,
        redemption.outcome,
        maybe_instant(redemption.settled_at),
        redemption.grant_id,
        redemption.index_version,
    )


def settled_row(redemption: Redemption) -> Row:
    """The values of the statement ``settle``: which redemption of whom, and all that settling changes."""
    return (
        redemption.code_hash,
        redemption.owner,
        redemption.state.value,
        instant(redemption.keep_until),
        redemption.fingerprint,
        redemption.data_key,
        redemption.outcome,
        maybe_instant(redemption.settled_at),
        redemption.grant_id,
        redemption.index_version,
    )


def redemption_of(row: Sequence[Any]) -> Redemption:
    """The redemption in a row of `REDEMPTION` and whether its time is over by the database's clock."""
    state = RedemptionState(row[3])
    return Redemption(
        code_hash=row[0],
        client_id=row[1],
        owner=row[2],
        state=state,
        created_at=at_instant(row[4]),
        keep_until=at_instant(row[5]),
        key_hash=row[6],
        fingerprint=row[7],
        index_version=row[12],
        lapsed=state in UNSETTLED and bool(row[13]),
        data_key=row[8],
        outcome=row[9],
        settled_at=maybe_at(row[10]),
        grant_id=row[11],
    )


CALLER = (
    "id",
    "name",
    "key_hash",
    "created_at",
    "clients",
    "scopes",
    "permissions",
    "expires_at",
    "revoked_at",
)


def caller_row(caller: Caller) -> Row:
    """`CALLER` of *caller*."""
    return (
        caller.id,
        caller.name,
        caller.key_hash,
        instant(caller.created_at),
        set_text(caller.clients),
        set_text(caller.scopes),
        " ".join(sorted(permission.value for permission in caller.permissions)),
        maybe_instant(caller.expires_at),
        maybe_instant(caller.revoked_at),
    )


def caller_of(row: Sequence[Any]) -> Caller:
    """The caller in a row of `CALLER`."""
    return Caller(
        id=row[0],
        name=row[1],
        key_hash=row[2],
        created_at=at_instant(row[3]),
        clients=set_of(row[4]),
        scopes=set_of(row[5]),
        permissions=frozenset(Permission(value) for value in row[6].split()),
        expires_at=maybe_at(row[7]),
        revoked_at=maybe_at(row[8]),
    )


SIGNING_KEY = (
    "kid",
    "public_jwk",
    "data_key",
    "private_box",
    "private_generation",
    "created_at",
    "signs_from",
    "retires_at",
)


def signing_key_row(key: SigningKey) -> Row:
    """`SIGNING_KEY` of *key*."""
    return (
        key.kid,
        key.public_jwk,
        key.data_key,
        key.private.box,
        key.private.generation,
        instant(key.created_at),
        instant(key.signs_from),
        instant(key.retires_at),
    )


def signing_key_of(row: Sequence[Any]) -> SigningKey:
    """The signing key in a row of `SIGNING_KEY`."""
    return SigningKey(
        row[0],
        row[1],
        row[2],
        Sealed(row[3], row[4]),
        at_instant(row[5]),
        at_instant(row[6]),
        at_instant(row[7]),
    )


NODE = ("id", "started_at", "wrap_ids", "index_versions", "release")


def node_row(node: Node) -> Row:
    """`NODE` of *node*."""
    return (
        node.id,
        instant(node.started_at),
        " ".join(map(str, node.wrap_ids)),
        " ".join(map(str, node.index_versions)),
        node.release,
    )


def node_of(row: Sequence[Any]) -> Node:
    """The node in a row of `NODE`."""
    node_id, started_at, wrap_ids, index_versions, release = row
    return Node(
        id=node_id,
        started_at=at_instant(started_at),
        wrap_ids=tuple(map(int, wrap_ids.split())),
        index_versions=tuple(map(int, index_versions.split())),
        release=release,
    )


EVENT = ("at", "name", "grant_id", "caller", "client_id", "detail")


def event_row(event: AuditEvent) -> Row:
    """`EVENT` of *event*."""
    detail = json.dumps(dict(event.detail), sort_keys=True, separators=(",", ":"))
    return instant(event.at), event.name, event.grant_id, event.caller, event.client_id, detail


def event_of(row: Sequence[Any]) -> AuditEvent:
    """The audit event in a row of `EVENT`."""
    at, name, grant_id, caller, client_id, detail = row
    return AuditEvent(at_instant(at), name, grant_id, caller, client_id, json.loads(detail))
