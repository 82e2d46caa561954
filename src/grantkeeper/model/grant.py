"""A grant and what is sealed in it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from grantkeeper.model.identity import Subject


class GrantState(StrEnum):
    """What may be done with a grant; the steps between are `grantkeeper.lifecycle.TRANSITIONS`."""

    ACTIVE = "active"
    NEEDS_CONSENT = "needs_consent"
    BLOCKED = "blocked"
    REVOKED = "revoked"


class Reason(StrEnum):
    """Why a grant is not usable, or not in full."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    REAUTH_REQUIRED = "reauth_required"
    MISSING_SCOPES = "missing_scopes"
    NO_REFRESH_TOKEN = "no_refresh_token"
    ACCOUNT_DISABLED = "account_disabled"
    ANSWER_LOST = "answer_lost"
    ADMIN_POLICY_ENFORCED = "admin_policy_enforced"


class IdentitySource(StrEnum):
    """What proved whose grant it is; the first is the strongest and is never replaced by the others."""

    ANSWER = "answer"
    REQUEST = "request"
    CALLER = "caller"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value at rest: what it says only its grant's data key tells; *generation* is bound into it."""

    box: bytes = field(repr=False)
    generation: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A new refresh token with fewer scopes than the stored live one, kept until one of them is chosen."""

    token: Sealed
    granted: frozenset[str]
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """
    The lasting fact that a subject gave our client some scopes.

    Attributes:
        id: UUIDv7 in its text form; stays when the user consents again.
        client_id: The OAuth client id; the settings name of the client may change.
        project: The issuer's project, whose clients share one consent.
        user: The app's own id for the person, where it told us.
        requested: What the app asked for in all, against `granted`.
        data_key: The wrapped key of every sealed value here; ``None`` once shredded.
        refresh_token: The one in use, sealed.
        waiting: A narrower one that came later and is not decided on.
        generation: Of the newest refresh token ever stored; only grows.
        lookups: Keyed hashes by which security events find the token (google-facts 8).
        ends_at: When the issuer announced the refresh token's end.
        used_at: When an access token was last handed out; may lag by a flush.
        probe_at: When a blocked grant is tried again.
        uncertain_since: Set while the stored token may be out of date; a refresh decides.
        revocation_due: When the issuer is to be told of a revocation again.
        revoked_at: When the grant was last revoked; a consent from before that never revives it.
        consented_at: When the user gave the consent that the refresh token in use came from.
        profile: Sealed; personal data.
        email_index: Keyed hash of the normalised e-mail.
        index_version: Of the index key that `email_index` and `lookups` were made with.
        version: Counts saves; a save names the version it read.
    """

    id: str
    client_id: str
    subject: Subject
    state: GrantState
    identity_source: IdentitySource
    created_at: datetime
    project: str | None = None
    user: str | None = None
    requested: frozenset[str] = frozenset()
    granted: frozenset[str] = frozenset()
    reason: Reason | None = None
    data_key: bytes | None = field(default=None, repr=False)
    refresh_token: Sealed | None = None
    waiting: Waiting | None = None
    generation: int = 0
    lookups: tuple[bytes, ...] = field(default=(), repr=False)
    ends_at: datetime | None = None
    refreshed_at: datetime | None = None
    used_at: datetime | None = None
    probe_at: datetime | None = None
    uncertain_since: datetime | None = None
    revocation_due: datetime | None = None
    revocation_attempts: int = 0
    revoked_at: datetime | None = None
    consented_at: datetime | None = None
    profile: Sealed | None = None
    email_index: bytes | None = field(default=None, repr=False)
    index_version: int = 1
    version: int = 0

    @property
    def missing(self) -> frozenset[str]:
        """What was asked for and not given."""
        return self.requested - self.granted

    @property
    def refreshable(self) -> bool:
        """Whether a refresh token is stored that may be tried."""
        return self.refresh_token is not None and self.state is not GrantState.REVOKED


@dataclass(frozen=True, slots=True)
class StoredToken:
    """
    A sealed access token.

    Attributes:
        scope_key: Which set was asked for: `grantkeeper.protocol.scopes.scope_key`.
        scopes: What the issuer said it opens.
    """

    grant_id: str
    scope_key: str
    sealed: Sealed
    scopes: frozenset[str]
    obtained_at: datetime
    expires_at: datetime
