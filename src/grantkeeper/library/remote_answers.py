"""Reading the service's answers back into the records they were made of (design section 3)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from grantkeeper.model import (
    Description,
    End,
    GrantState,
    IdentitySource,
    JobDescription,
    JobState,
    Preflight,
    Profile,
    QueuedJob,
    Reason,
    RedeemedGrant,
    Revocation,
    Session,
    Token,
)
from grantkeeper.secret import AccessToken, SessionToken


class Answer(msgspec.Struct, kw_only=True):
    """Every answer; what a newer service says beyond these fields is passed over."""


class _Grant(Answer):
    id: str
    client: str
    subject: str
    scopes: frozenset[str]
    missing_scopes: frozenset[str]
    state: GrantState
    refreshable: bool
    reason: Reason | None = None
    hint: str | None = None


class _Session(Answer):
    token: str
    expires_in: int


class Redeemed(Answer):
    """Of ``POST /v1/redeem``."""

    grant: _Grant
    profile: Profile | None = None
    session: _Session | None = None

    def record(self) -> RedeemedGrant:
        """The record."""
        session = self.session
        return RedeemedGrant(
            id=self.grant.id,
            client=self.grant.client,
            subject=self.grant.subject,
            scopes=self.grant.scopes,
            missing_scopes=self.grant.missing_scopes,
            state=self.grant.state,
            refreshable=self.grant.refreshable,
            reason=self.grant.reason,
            hint=self.grant.hint,
            profile=self.profile,
            session=None if session is None else Session(SessionToken(session.token), session.expires_in),
        )


class Handed(Answer):
    """Of ``POST /v1/token``."""

    access_token: str
    expires_at: datetime
    expires_in: int
    scopes: frozenset[str]
    missing_scopes: frozenset[str]
    grant: str
    warning: str | None = None
    token_type: str = "Bearer"

    def __repr__(self) -> str:
        return f"Handed({self.grant})"

    def record(self) -> Token:
        """The record; from here on the token is a secret."""
        return Token(
            access_token=AccessToken(self.access_token),
            expires_at=self.expires_at,
            expires_in=self.expires_in,
            scopes=self.scopes,
            missing_scopes=self.missing_scopes,
            grant=self.grant,
            warning=self.warning,
            token_type=self.token_type,
        )


class Preflighted(Answer):
    """Of ``POST /v1/preflight``."""

    consent_needed: bool
    missing_scopes: frozenset[str]
    how: str
    login_hint: str | None = None

    def record(self) -> Preflight:
        """The record."""
        return Preflight(
            consent_needed=self.consent_needed,
            missing_scopes=self.missing_scopes,
            how=self.how,
            login_hint=self.login_hint,
        )


class Described(Answer):
    """Of ``GET /v1/grants/{id}``."""

    id: str
    client: str
    project: str | None
    issuer: str
    subject: str
    user: str | None
    state: GrantState
    reason: Reason | None
    remedy: str | None
    requested_scopes: frozenset[str]
    scopes: frozenset[str]
    missing_scopes: frozenset[str]
    refreshable: bool
    identity_source: IdentitySource
    uncertain: bool
    revocation_pending: bool
    ends: tuple[End, ...]
    created_at: datetime
    refreshed_at: datetime | None
    used_at: datetime | None
    version: int
    profile: Profile | None = None

    def record(self) -> Description:
        """The record."""
        return Description(**msgspec.structs.asdict(self))


class Listed(Answer):
    """Of ``GET /v1/grants``."""

    grants: tuple[Described, ...]
    next_cursor: str | None = None


class Revoked(Answer):
    """Of ``POST /v1/grants/{id}/revoke``."""

    grant: str
    state: GrantState
    told: bool
    also_affected: tuple[str, ...] = ()

    def record(self) -> Revocation:
        """The record."""
        return Revocation(
            grant=self.grant, state=self.state, told=self.told, also_affected=self.also_affected
        )


class Queued(Answer):
    """Of ``POST /v1/jobs``."""

    id: str
    state: JobState

    def record(self) -> QueuedJob:
        """The record."""
        return QueuedJob(self.id, self.state)


class _Progress(Answer):
    done: int = 0
    of: int = 0
    doing: str | None = None


class ToldJob(Answer):
    """Of ``GET /v1/jobs/{id}``."""

    id: str
    job: str
    grant: str
    state: JobState
    progress: _Progress
    created_at: datetime
    parameters: Mapping[str, Any]
    scopes: frozenset[str]
    batch: str | None = None
    key: str | None = None
    reason: str | None = None
    note: str | None = None
    remedy: str | None = None
    hint: str | None = None
    attempts: int = 0
    steps: int = 0
    result: Any = None
    started_at: datetime | None = None
    due_at: datetime | None = None
    ended_at: datetime | None = None
    keep_until: datetime | None = None

    def __repr__(self) -> str:
        return f"ToldJob({self.id})"

    def record(self) -> JobDescription:
        """The record."""
        told = msgspec.structs.asdict(self)
        progress = told.pop("progress")
        return JobDescription(**told, done=progress.done, of=progress.of, doing=progress.doing)


class ListedJobs(Answer):
    """Of ``GET /v1/jobs``."""

    jobs: tuple[ToldJob, ...]
    next_cursor: str | None = None
