"""
How records become columns and back, the same for every database.

Times are whole microseconds since 1970, sets sorted texts with single spaces,
enums their values, sealed values two columns. A list of columns here is the
order of every row that goes in or comes out.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from sys import intern
from typing import Any

from grantkeeper.lifecycle import keep_alive_at
from grantkeeper.model import (
    AuditEvent,
    Caller,
    Grant,
    GrantState,
    IdentitySource,
    Node,
    Permission,
    Reason,
    Redemption,
    RedemptionState,
    Sealed,
    SigningKey,
    StoredToken,
    Subject,
    Waiting,
)

Row = tuple[Any, ...]

# -- values -------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def instant(at: datetime) -> int:
    """Microseconds since 1970, exactly; a naive time is a `TypeError`."""
    return (at - _EPOCH) // _MICROSECOND


def at_instant(microseconds: int) -> datetime:
    """The time that `instant` wrote down."""
    # By position: the keyword alone costs as much as all the rest.
    return _EPOCH + timedelta(0, 0, microseconds)


def _maybe_instant(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def _maybe_at(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(0, 0, microseconds)


@lru_cache(maxsize=4096)
def _set_text(names: frozenset[str]) -> str:
    for name in names:
        if not name or " " in name:
            raise ValueError("a name in a stored set may be neither empty nor hold a space")
    return " ".join(sorted(names))


@lru_cache(maxsize=4096)
def _set(text: str) -> frozenset[str]:
    # Most grants have one of a few sets: sharing them keeps a hundred thousand cached grants small.
    return frozenset(text.split())


_STATES = {state.value: state for state in GrantState}
_REASONS: dict[str | None, Reason | None] = {None: None, **{reason.value: reason for reason in Reason}}
_SOURCES = {source.value: source for source in IdentitySource}

# -- grants -------------------------------------------------------------------------------------

GRANT_FIXED = ("id", "client_id", "issuer", "sub", "created_at")
"""What a save never changes."""

GRANT_CONTENT = (
    "reason",
    "identity_source",
    "project",
    "requested",
    "granted",
    "data_key",
    "refresh_box",
    "refresh_generation",
    "waiting_box",
    "waiting_generation",
    "waiting_granted",
    "waiting_ends_at",
    "generation",
    "lookups",
    "ends_at",
    "refreshed_at",
    "probe_at",
    "revocation_attempts",
    "revoked_at",
    "consented_at",
    "profile_box",
    "profile_generation",
    "index_version",
)
"""What every save writes."""

GRANT_INDEXED = ("state", "user", "email_index", "revocation_due", "uncertain_since", "keep_alive_at")
"""What indexes hold beside the fixed columns; seldom changed."""

GRANT = (*GRANT_FIXED, *GRANT_CONTENT, "used_at", "version", *GRANT_INDEXED)

GRANT_VERSION = GRANT.index("version")


def grant_fixed(grant: Grant) -> Row:
    """`GRANT_FIXED` of *grant*."""
    return (
        grant.id,
        grant.client_id,
        grant.subject.issuer,
        grant.subject.sub,
        instant(grant.created_at),
    )


def grant_content(grant: Grant) -> Row:
    """`GRANT_CONTENT` of *grant*."""
    refresh, waiting, profile = grant.refresh_token, grant.waiting, grant.profile
    return (
        None if grant.reason is None else grant.reason.value,
        grant.identity_source.value,
        grant.project,
        _set_text(grant.requested),
        _set_text(grant.granted),
        grant.data_key,
        *((None, None) if refresh is None else (refresh.box, refresh.generation)),
        *(
            (None, None, None, None)
            if waiting is None
            else (
                waiting.token.box,
                waiting.token.generation,
                _set_text(waiting.granted),
                _maybe_instant(waiting.ends_at),
            )
        ),
        grant.generation,
        " ".join(value.hex() for value in grant.lookups),
        _maybe_instant(grant.ends_at),
        _maybe_instant(grant.refreshed_at),
        _maybe_instant(grant.probe_at),
        grant.revocation_attempts,
        _maybe_instant(grant.revoked_at),
        _maybe_instant(grant.consented_at),
        *((None, None) if profile is None else (profile.box, profile.generation)),
        grant.index_version,
    )


def grant_indexed(grant: Grant) -> Row:
    """`GRANT_INDEXED` of *grant*."""
    return (
        grant.state.value,
        grant.user,
        grant.email_index,
        _maybe_instant(grant.revocation_due),
        _maybe_instant(grant.uncertain_since),
        _maybe_instant(keep_alive_at(grant)),
    )


def grant_row(grant: Grant, version: int) -> Row:
    """`GRANT` of *grant* with another version."""
    return (
        *grant_fixed(grant),
        *grant_content(grant),
        _maybe_instant(grant.used_at),
        version,
        *grant_indexed(grant),
    )


def grant_of(row: Sequence[Any]) -> Grant:
    """The grant in a row that begins with `GRANT`."""
    # One unpacking instead of thirty look-ups by name: this is the uncached hot path.
    (
        grant_id,
        client_id,
        issuer,
        sub,
        created_at,
        reason,
        identity_source,
        project,
        requested,
        granted,
        data_key,
        refresh_box,
        refresh_generation,
        waiting_box,
        waiting_generation,
        waiting_granted,
        waiting_ends_at,
        generation,
        lookups,
        ends_at,
        refreshed_at,
        probe_at,
        revocation_attempts,
        revoked_at,
        consented_at,
        profile_box,
        profile_generation,
        index_version,
        used_at,
        version,
        state,
        user,
        email_index,
        revocation_due,
        uncertain_since,
        *_,
    ) = row
    return Grant(
        id=grant_id,
        client_id=intern(client_id),
        subject=Subject(intern(issuer), sub),
        state=_STATES[state],
        identity_source=_SOURCES[identity_source],
        created_at=_EPOCH + timedelta(0, 0, created_at),
        project=None if project is None else intern(project),
        user=user,
        requested=_set(requested),
        granted=_set(granted),
        reason=_REASONS[reason],
        data_key=data_key,
        refresh_token=None if refresh_box is None else Sealed(refresh_box, refresh_generation),
        waiting=None
        if waiting_box is None
        else Waiting(
            Sealed(waiting_box, waiting_generation), _set(waiting_granted), _maybe_at(waiting_ends_at)
        ),
        generation=generation,
        lookups=tuple(map(bytes.fromhex, lookups.split())) if lookups else (),
        ends_at=_maybe_at(ends_at),
        refreshed_at=_maybe_at(refreshed_at),
        used_at=_maybe_at(used_at),
        probe_at=_maybe_at(probe_at),
        uncertain_since=_maybe_at(uncertain_since),
        revocation_due=_maybe_at(revocation_due),
        revocation_attempts=revocation_attempts,
        revoked_at=_maybe_at(revoked_at),
        consented_at=_maybe_at(consented_at),
        profile=None if profile_box is None else Sealed(profile_box, profile_generation),
        email_index=email_index,
        index_version=index_version,
        version=version,
    )


# -- access tokens ------------------------------------------------------------------------------

TOKEN = (
    "grant_id",
    "scope_key",
    "token_box",
    "token_generation",
    "scopes",
    "obtained_at",
    "expires_at",
)


def token_row(token: StoredToken) -> Row:
    """`TOKEN` of *token*."""
    return (
        token.grant_id,
        token.scope_key,
        token.sealed.box,
        token.sealed.generation,
        _set_text(token.scopes),
        instant(token.obtained_at),
        instant(token.expires_at),
    )


def token_of(row: Sequence[Any]) -> StoredToken:
    """The access token in a row of `TOKEN`."""
    grant_id, scope_key, box, generation, scopes, obtained_at, expires_at = row
    return StoredToken(
        grant_id,
        intern(scope_key),
        Sealed(box, generation),
        _set(scopes),
        _EPOCH + timedelta(0, 0, obtained_at),
        _EPOCH + timedelta(0, 0, expires_at),
    )


# -- redemptions --------------------------------------------------------------------------------

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
        _maybe_instant(redemption.settled_at),
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
        settled_at=_maybe_at(row[10]),
        grant_id=row[11],
    )


# -- callers, signing keys, audit ---------------------------------------------------------------

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
        _set_text(caller.clients),
        _set_text(caller.scopes),
        " ".join(sorted(permission.value for permission in caller.permissions)),
        _maybe_instant(caller.expires_at),
        _maybe_instant(caller.revoked_at),
    )


def caller_of(row: Sequence[Any]) -> Caller:
    """The caller in a row of `CALLER`."""
    return Caller(
        id=row[0],
        name=row[1],
        key_hash=row[2],
        created_at=at_instant(row[3]),
        clients=_set(row[4]),
        scopes=_set(row[5]),
        permissions=frozenset(Permission(value) for value in row[6].split()),
        expires_at=_maybe_at(row[7]),
        revoked_at=_maybe_at(row[8]),
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


# -- for statements -----------------------------------------------------------------------------

LISTS = {
    "grant": GRANT,
    "grant_content": GRANT_CONTENT,
    "grant_indexed": GRANT_INDEXED,
    "token": TOKEN,
    "redemption": REDEMPTION,
    "caller": CALLER,
    "signing_key": SIGNING_KEY,
    "node": NODE,
    "event": EVENT,
}
"""The column lists that statements name in braces."""


def column_text(columns: Iterable[str]) -> str:
    """The columns as a statement lists them."""
    return ", ".join(columns)
