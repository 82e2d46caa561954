"""What an app is told: grants, tokens and reports, as the edges hand them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from grantkeeper.model.grant import GrantState, IdentitySource, Reason
from grantkeeper.model.identity import Profile
from grantkeeper.model.job import JobState
from grantkeeper.secret import AccessToken, SessionToken


@dataclass(frozen=True, slots=True)
class Session:
    """A signed statement for the app's backend that this user just signed in."""

    token: SessionToken
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemedGrant:
    """
    What a redemption tells: who signed in and what was really granted. No token of the issuer's.

    Attributes:
        client: The client's settings name.
        subject: The ``sub`` string.
        profile: ``None`` where identity did not come from an ID token.
        session: ``None`` wherever none is given (design section 3).
    """

    id: str
    client: str
    subject: str
    scopes: frozenset[str]
    missing_scopes: frozenset[str]
    state: GrantState
    refreshable: bool
    reason: Reason | None = None
    hint: str | None = None
    profile: Profile | None = None
    session: Session | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """
    An access token, handed out.

    Attributes:
        expires_at: When the issuer stops accepting it; aware, UTC.
        expires_in: Whole seconds from the moment of the hand-out.
        missing_scopes: What was requested of the user and not granted.
        warning: ``min_ttl_not_met`` where it lives shorter than was asked.
    """

    access_token: AccessToken
    expires_at: datetime
    expires_in: int
    scopes: frozenset[str]
    missing_scopes: frozenset[str]
    grant: str
    warning: str | None = None
    token_type: str = "Bearer"

    def reveal(self) -> str:
        """The token itself, for the line that builds a request."""
        return self.access_token.reveal()


@dataclass(frozen=True, slots=True)
class End:
    """
    An end that can be seen coming, with the day and the remedy.

    Attributes:
        at: ``None`` where it may come any day.
    """

    kind: str
    at: datetime | None
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Our report about a grant. No secret and, but for `profile`, no personal datum is in it."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What an app should do before it shows a sign-in."""

    consent_needed: bool
    missing_scopes: frozenset[str]
    how: str
    login_hint: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """
    What revoking came to.

    Attributes:
        told: Whether the issuer has been told; if not, it will be, with backoff.
        also_affected: Grants of the same project and user that the issuer ended with it.
    """

    grant: str
    state: GrantState
    told: bool
    also_affected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that is written down: a new one, or the one that has its key already."""

    id: str
    state: JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDescription:
    """
    Our report about a job.

    Attributes:
        job: Its name.
        parameters: What the app gave.
        reason: Why it is parked, waits or has failed; a word of the error table.
        note: The same as a sentence.
        remedy: Who can mend that, and how; ``None`` where nothing is wrong.
        hint: What becomes of the job next, where somebody might wait for it.
        attempts: How often it was begun since it last got a step further.
        due_at: When a waiting job goes on.
        steps: How many of its steps are done and kept.
        done, of: Progress as the job tells it; `of` is 0 where it does not know.
        doing: What it says that it is at.
        result: What it returned.
        keep_until: When an ended job is dropped.
    """

    id: str
    job: str
    grant: str
    state: JobState
    created_at: datetime
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    scopes: frozenset[str] = frozenset()
    batch: str | None = None
    key: str | None = None
    reason: str | None = None
    note: str | None = None
    remedy: str | None = None
    hint: str | None = None
    attempts: int = 0
    steps: int = 0
    done: int = 0
    of: int = 0
    doing: str | None = None
    result: Any = field(default=None, repr=False)
    started_at: datetime | None = None
    due_at: datetime | None = None
    ended_at: datetime | None = None
    keep_until: datetime | None = None
