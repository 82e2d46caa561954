"""The records that grantkeeper keeps and passes around; none of them does anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from grantkeeper.secret import AccessToken, ClientSecret, SessionToken


class Source(StrEnum):
    """Where an authorization code was born; it decides the ``redirect_uri`` (google-facts 3.1)."""

    IOS = "ios"
    ANDROID = "android"
    WEB_POPUP = "web-popup"
    WEB = "web"
    DESKTOP = "desktop"


class Provider(StrEnum):
    """Whose habits the issuer has: Google's, or just OpenID Connect's."""

    GOOGLE = "google"
    OIDC = "oidc"


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


class Permission(StrEnum):
    """What a caller key may be allowed to do."""

    REDEEM = "redeem"
    TOKEN = "token"
    GRANTS_READ = "grants.read"
    GRANTS_WRITE = "grants.write"
    CREDENTIALS = "credentials"
    PROXY = "proxy"
    JOBS = "jobs"


@dataclass(frozen=True, slots=True)
class Subject:
    """A user at an issuer: the only key to a person (OpenID Connect Core 5.7)."""

    issuer: str
    sub: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an issuer answers (RFC 8414 section 2); told by the issuer, never by a client file."""

    authorization: str
    token: str
    jwks: str
    revocation: str | None = None
    userinfo: str | None = None
    iss_in_answer: bool = False
    """Whether authorization answers carry ``iss`` (RFC 9207), which makes its check required."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """
    Our registration at an issuer, from the settings.

    Attributes:
        name: What the settings call it; ``default`` where nothing is said.
        secrets: One or two; during a change of secret both work for a while.
        app_client_ids: Client ids of our phone and web apps, the only ``azp``
            accepted beside our own.
        redirects: For every enabled source, the values it may use; what they
            mean is `grantkeeper.protocol.authorization`.
        scopes: What the app asks for when a request does not say.
    """

    name: str
    provider: Provider
    client_id: str
    secrets: tuple[ClientSecret, ...]
    issuer: str
    project: str | None = None
    app_client_ids: frozenset[str] = frozenset()
    redirects: Mapping[Source, tuple[str, ...]] = field(default_factory=dict)
    origins: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    return_to: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Profile:
    """What the issuer says about the person (OpenID Connect Core 5.1); never an identity."""

    sub: str
    email: str | None = field(default=None, repr=False)
    email_verified: bool | None = None
    name: str | None = field(default=None, repr=False)
    picture: str | None = field(default=None, repr=False)
    locale: str | None = None
    family_name: str | None = field(default=None, repr=False)
    given_name: str | None = field(default=None, repr=False)
    hd: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Claims that passed the verifier."""

    subject: Subject
    profile: Profile
    audience: frozenset[str]
    authorized_party: str | None
    issued_at: datetime
    expires_at: datetime
    nonce: str | None = field(default=None, repr=False)


class RedemptionState(StrEnum):
    """How far a redemption came."""

    CLAIMED = "claimed"
    ANSWERED = "answered"
    """The issuer answered, and who it is remains to be proved; the answer is sealed inside."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """
    The record that a code was, or is about to be, sent.

    Attributes:
        code_hash: Keyed hash of client and code.
        owner: Random id of the attempt that holds the claim.
        key_hash: Keyed hash of the Idempotency-Key, where one came.
        fingerprint: Keyed hash of all else that must be equal for a repeat.
        until: When an unsettled claim counts as lost; the database's time.
        outcome: What is replayed to a repeat, sealed under `data_key`.
        index_version: Of the index key that the hashes were made with.
    """

    code_hash: bytes = field(repr=False)
    client_id: str
    owner: str
    state: RedemptionState
    created_at: datetime
    keep_until: datetime
    key_hash: bytes | None = field(default=None, repr=False)
    fingerprint: bytes = field(default=b"", repr=False)
    lapsed: bool = False
    """Whether `until` has passed by the database's clock; set when read."""
    data_key: bytes | None = field(default=None, repr=False)
    outcome: bytes | None = field(default=None, repr=False)
    settled_at: datetime | None = None
    grant_id: str | None = None
    index_version: int = 1


@dataclass(frozen=True, slots=True)
class Lease:
    """
    A claim on a name with an owner and an end.

    Attributes:
        owner: Random id; only its owner renews or releases a lease.
        version: Grows with every taking; a fence.
        remaining: Seconds left by the database's clock at the moment of the answer.
        orphaned: Whether it was taken from somebody who let it lapse and never gave it back: most
            likely dead, at whatever it was doing.
    """

    name: str
    owner: str
    version: int
    remaining: float
    orphaned: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else has the lease for *remaining* seconds more."""

    name: str
    remaining: float


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the change feed: look at this again."""

    seq: int
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class News:
    """
    What the change feed said.

    Attributes:
        age: Seconds for which the answer may already have been out of date when it came.
    """

    changes: tuple[Change, ...]
    age: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """
    A process that works on the database, as it last reported itself.

    Attributes:
        id: Random, new with every start.
        wrap_ids: Ids of the wrapping keys it has, the one it seals with first.
        index_versions: The same of the index keys.
        release: Of grantkeeper.
    """

    id: str
    started_at: datetime
    wrap_ids: tuple[int, ...]
    index_versions: tuple[int, ...]
    release: str


class KeyKind(StrEnum):
    """What has a wrapped data key of its own."""

    GRANT = "grant"
    REDEMPTION = "redemption"
    SIGNING_KEY = "signing_key"


@dataclass(frozen=True, slots=True)
class DataKey:
    """
    A wrapped data key and what it belongs to.

    Attributes:
        id: Grant id, code hash in hex, or ``kid``.
        client_id: Empty for a signing key, which belongs to no client.
    """

    kind: KeyKind
    id: str
    client_id: str
    wrapped: bytes = field(repr=False)


class JournalKind(StrEnum):
    """What a journal may have to keep for the store."""

    REFRESH = "refresh"
    """The answer to a refresh, whole or what was good of it; belongs to a grant id."""
    REDEMPTION = "redemption"
    """The answer to a code; belongs to a code hash, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """
    An issuer's answer that waits for the store, sealed.

    Attributes:
        id: Random; bound into the seal, as are `kind`, `owner` and `client_id`.
        owner: Grant id, or code hash in hex.
        at: When the issuer answered.
        data_key: Its own, wrapped.
    """

    id: str
    kind: JournalKind
    owner: str
    client_id: str
    at: datetime
    data_key: bytes = field(repr=False)
    box: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    A backend that may ask. Empty rules allow everything of their kind.

    Attributes:
        key_hash: SHA-256 of the key; keys are 256 random bits, so no slow hash is needed.
        clients: Settings names of clients.
    """

    id: str
    name: str
    key_hash: bytes = field(repr=False)
    created_at: datetime
    clients: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    permissions: frozenset[Permission] = frozenset()
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def may(self, permission: Permission) -> bool:
        """Whether the rules allow *permission*."""
        return not self.permissions or permission in self.permissions

    def sees(self, client: str) -> bool:
        """Whether the rules allow the client of that settings name."""
        return not self.clients or client in self.clients


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that was done for somebody; ids and keyed hashes, never e-mail."""

    at: datetime
    name: str
    grant_id: str | None = None
    caller: str | None = None
    client_id: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An ES256 key for session tokens: the public JWK in the clear, the private one sealed."""

    kid: str
    public_jwk: str
    data_key: bytes = field(repr=False)
    private: Sealed
    created_at: datetime
    signs_from: datetime
    retires_at: datetime


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
    """An end that can be seen coming, with the day and the remedy."""

    kind: str
    at: datetime
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
