"""Records for tests of stores: complete, different from each other, sealed with nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from grantkeeper.model import (
    AuditEvent,
    Caller,
    Grant,
    GrantState,
    IdentitySource,
    Job,
    JobState,
    Node,
    Order,
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

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
"""A time with microseconds, which a store must keep."""

ISSUER = "https://issuer.example"


def grant_id(number: int) -> str:
    """The UUIDv7 of *number*; greater numbers come later in order."""
    return str(UUID(int=(0x0195 << 112) | (7 << 76) | (2 << 62) | number))


def a_grant(number: int = 1, **changes: Any) -> Grant:
    """A plain active grant; *number* makes its id and its subject."""
    values: dict[str, Any] = {
        "id": grant_id(number),
        "client_id": "client.example",
        "subject": Subject(ISSUER, f"sub-{number}"),
        "state": GrantState.ACTIVE,
        "identity_source": IdentitySource.ANSWER,
        "created_at": NOW,
        "requested": frozenset({"openid", "files"}),
        "granted": frozenset({"openid"}),
        "data_key": b"data key",
        "refresh_token": Sealed(b"refresh token", 1),
        "generation": 1,
    }
    return Grant(**(values | changes))


def a_full_grant(number: int = 1) -> Grant:
    """A grant with a value in every field, no two alike."""
    return a_grant(
        number,
        state=GrantState.NEEDS_CONSENT,
        identity_source=IdentitySource.REQUEST,
        project="project",
        user="user \N{SNOWMAN} 7",
        reason=Reason.REAUTH_REQUIRED,
        waiting=Waiting(Sealed(b"\x00waiting", 8), frozenset({"openid"}), NOW + timedelta(days=1)),
        generation=8,
        lookups=(b"\x00\xff one", b"two"),
        ends_at=NOW + timedelta(days=2),
        refreshed_at=NOW + timedelta(seconds=3),
        used_at=NOW + timedelta(seconds=4),
        probe_at=NOW + timedelta(seconds=5),
        uncertain_since=NOW + timedelta(seconds=6),
        revocation_due=NOW + timedelta(seconds=7),
        revocation_attempts=9,
        revoked_at=NOW + timedelta(seconds=10),
        consented_at=NOW + timedelta(seconds=11),
        index_version=12,
        profile=Sealed(b"profile", 3),
        email_index=b"\x00email",
    )


def a_bare_grant(number: int = 1) -> Grant:
    """A tombstone: nothing in every field that may have nothing."""
    return a_grant(
        number,
        state=GrantState.REVOKED,
        requested=frozenset(),
        granted=frozenset(),
        data_key=None,
        refresh_token=None,
        generation=0,
    )


def a_token(grant: Grant, scope_key: str = "all", **changes: Any) -> StoredToken:
    """An access token of *grant* that lives an hour."""
    values: dict[str, Any] = {
        "grant_id": grant.id,
        "scope_key": scope_key,
        "sealed": Sealed(b"access token " + scope_key.encode(), 2),
        "scopes": frozenset({"openid"}),
        "obtained_at": NOW,
        "expires_at": NOW + timedelta(hours=1),
    }
    return StoredToken(**(values | changes))


def job_id(number: int) -> str:
    """The UUIDv7 of the job of *number*; greater numbers come later in order."""
    return str(UUID(int=(0x0196 << 112) | (7 << 76) | (2 << 62) | number))


def a_job(number: int = 1, *, grant: int = 1, **changes: Any) -> Job:
    """A queued job of the grant of that number, with nothing in every field that may have nothing."""
    values: dict[str, Any] = {
        "id": job_id(number),
        "name": "work",
        "grant_id": grant_id(grant),
        "state": JobState.QUEUED,
        "created_at": NOW,
    }
    return Job(**(values | changes))


def a_full_job(number: int = 1, *, grant: int = 1) -> Job:
    """A job with a value in every field, no two alike."""
    return a_job(
        number,
        grant=grant,
        name="full",
        state=JobState.WAITING,
        created_at=NOW + timedelta(seconds=1),
        parameters=b'{"title": "\xe2\x98\x83"}',
        scopes=frozenset({"openid", "files"}),
        caller="caller",
        batch="batch",
        key="key \N{SNOWMAN}",
        per_grant=2,
        reason="quota_exhausted",
        note="A note.",
        attempts=3,
        outages=12,
        due_at=NOW + timedelta(seconds=4),
        steps=5,
        done=6,
        of=7,
        doing="it",
        result=b"[8]",
        order=Order.SUSPEND,
        started_at=NOW + timedelta(seconds=9),
        ended_at=NOW + timedelta(seconds=10),
        keep_until=NOW + timedelta(seconds=11),
        seal_key=b"\x00key",
    )


def a_redemption(code: bytes = b"code", owner: str = "owner", **changes: Any) -> Redemption:
    """A fresh claim."""
    values: dict[str, Any] = {
        "code_hash": code,
        "client_id": "client.example",
        "owner": owner,
        "state": RedemptionState.CLAIMED,
        "created_at": NOW,
        "keep_until": NOW + timedelta(days=1),
        "fingerprint": b"fingerprint",
        "data_key": b"redemption key",
    }
    return Redemption(**(values | changes))


def a_caller(name: str = "backend", number: int = 1, **changes: Any) -> Caller:
    """A caller with rules of every kind."""
    values: dict[str, Any] = {
        "id": grant_id(number),
        "name": name,
        "key_hash": b"key %d" % number,
        "created_at": NOW,
        "clients": frozenset({"default", "other"}),
        "scopes": frozenset({"openid", "files"}),
        "permissions": frozenset({Permission.TOKEN, Permission.GRANTS_READ}),
        "expires_at": NOW + timedelta(days=30),
    }
    return Caller(**(values | changes))


def a_signing_key(kid: str = "kid", **changes: Any) -> SigningKey:
    """A signing key."""
    values: dict[str, Any] = {
        "kid": kid,
        "public_jwk": '{"kty":"EC"}',
        "data_key": b"signing data key",
        "private": Sealed(b"private", 1),
        "created_at": NOW,
        "signs_from": NOW + timedelta(minutes=10),
        "retires_at": NOW + timedelta(days=7),
    }
    return SigningKey(**(values | changes))


def a_node(node_id: str = "node", **changes: Any) -> Node:
    """A process that has two wrapping keys."""
    values: dict[str, Any] = {
        "id": node_id,
        "started_at": NOW,
        "wrap_ids": (4_000_000_000, 7),
        "index_versions": (1,),
        "release": "0.1",
    }
    return Node(**(values | changes))


def an_event(number: int = 1) -> AuditEvent:
    """An audit event with a value in every field."""
    return AuditEvent(
        NOW + timedelta(seconds=number),
        "grant.refreshed",
        grant_id(number),
        "backend",
        "client.example",
        {"attempt": str(number), "why": 'quoted " text'},
    )
