"""Grants and their access tokens as rows."""

from collections.abc import Sequence
from datetime import timedelta
from sys import intern
from typing import Any

from grantkeeper.adapters.records.values import EPOCH, Row, instant, maybe_at, maybe_instant, set_of, set_text
from grantkeeper.lifecycle import keep_alive_at
from grantkeeper.model import (
    Grant,
    GrantState,
    IdentitySource,
    Reason,
    Sealed,
    StoredToken,
    Subject,
    Waiting,
)

_STATES = {state.value: state for state in GrantState}

_REASONS: dict[str | None, Reason | None] = {None: None, **{reason.value: reason for reason in Reason}}

_SOURCES = {source.value: source for source in IdentitySource}

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
        set_text(grant.requested),
        set_text(grant.granted),
        grant.data_key,
        *((None, None) if refresh is None else (refresh.box, refresh.generation)),
        *(
            (None, None, None, None)
            if waiting is None
            else (
                waiting.token.box,
                waiting.token.generation,
                set_text(waiting.granted),
                maybe_instant(waiting.ends_at),
            )
        ),
        grant.generation,
        " ".join(value.hex() for value in grant.lookups),
        maybe_instant(grant.ends_at),
        maybe_instant(grant.refreshed_at),
        maybe_instant(grant.probe_at),
        grant.revocation_attempts,
        maybe_instant(grant.revoked_at),
        maybe_instant(grant.consented_at),
        *((None, None) if profile is None else (profile.box, profile.generation)),
        grant.index_version,
    )


def grant_indexed(grant: Grant) -> Row:
    """`GRANT_INDEXED` of *grant*."""
    return (
        grant.state.value,
        grant.user,
        grant.email_index,
        maybe_instant(grant.revocation_due),
        maybe_instant(grant.uncertain_since),
        maybe_instant(keep_alive_at(grant)),
    )


def grant_row(grant: Grant, version: int) -> Row:
    """`GRANT` of *grant* with another version."""
    return (
        *grant_fixed(grant),
        *grant_content(grant),
        maybe_instant(grant.used_at),
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
        created_at=EPOCH + timedelta(0, 0, created_at),
        project=None if project is None else intern(project),
        user=user,
        requested=set_of(requested),
        granted=set_of(granted),
        reason=_REASONS[reason],
        data_key=data_key,
        refresh_token=None if refresh_box is None else Sealed(refresh_box, refresh_generation),
        waiting=None
        if waiting_box is None
        else Waiting(
            Sealed(waiting_box, waiting_generation), set_of(waiting_granted), maybe_at(waiting_ends_at)
        ),
        generation=generation,
        lookups=tuple(map(bytes.fromhex, lookups.split())) if lookups else (),
        ends_at=maybe_at(ends_at),
        refreshed_at=maybe_at(refreshed_at),
        used_at=maybe_at(used_at),
        probe_at=maybe_at(probe_at),
        uncertain_since=maybe_at(uncertain_since),
        revocation_due=maybe_at(revocation_due),
        revocation_attempts=revocation_attempts,
        revoked_at=maybe_at(revoked_at),
        consented_at=maybe_at(consented_at),
        profile=None if profile_box is None else Sealed(profile_box, profile_generation),
        email_index=email_index,
        index_version=index_version,
        version=version,
    )


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
        set_text(token.scopes),
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
        set_of(scopes),
        EPOCH + timedelta(0, 0, obtained_at),
        EPOCH + timedelta(0, 0, expires_at),
    )
