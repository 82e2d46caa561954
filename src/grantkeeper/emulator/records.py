"""What the emulator remembers: users, clients, grants, codes and tokens."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

ClientKind = Literal["web", "installed", "ios", "android"]
Source = Literal["ios", "android", "web-popup", "web", "desktop"]


@dataclass(slots=True, eq=False)
class User:
    """
    An account.

    Attributes:
        sub: 21 digits that never change, whatever happens to the e-mail address.
        hd: The Workspace domain, or None for a consumer account.
        disabled: The account is locked; its tokens work again when it is enabled.
        reauth_required: Refreshing answers ``invalid_rapt`` until the user signs in again.
        admin_blocked: The Workspace administrator restricts the app (``admin_policy_enforced``).
        access_seconds: The user gives time-based access of this length at the next consent.
    """

    email: str
    sub: str
    name: str
    given_name: str
    family_name: str
    picture: str
    hd: str | None = None
    email_verified: bool = True
    disabled: bool = False
    deleted: bool = False
    reauth_required: bool = False
    admin_blocked: bool = False
    access_seconds: int | None = None


@dataclass(slots=True, eq=False)
class OAuthClient:
    """
    A registration in a project of the (imaginary) Cloud console.

    Attributes:
        project: The project number; all clients of one project share each user's grant.
        secrets: One, or two while they are being changed; both are accepted.
        redirect_uris: Compared exactly, every character.
        loopback_paths: Paths accepted on any port of a loopback host over plain HTTP. A convenience of
            the emulator, which is no risk here and lets a server on an ephemeral port take part.
        testing: The consent screen is external and in testing: grants live seven days.
        rotation: A refresh spends its refresh token and answers with a new one; a spent one kills the
            grant. Google does not do this; other issuers do.
        live_cap: How many refresh tokens live per user before the oldest silently dies.
        reuse_revokes: A code sent twice kills the tokens of the first time (RFC 6749 4.1.2).
        state: ``deleted`` and ``disabled`` make every call fail with 401.
        internal_domain: Only accounts of this Workspace domain may sign in (``org_internal``).
    """

    id: str
    kind: ClientKind
    project: str
    name: str = "An app in development"
    secrets: list[str] = field(default_factory=list, repr=False)
    redirect_uris: list[str] = field(default_factory=list)
    javascript_origins: list[str] = field(default_factory=list)
    loopback_paths: list[str] = field(default_factory=list)
    testing: bool = False
    rotation: bool = False
    live_cap: int = 100
    reuse_revokes: bool = False
    state: Literal["active", "deleted", "disabled"] = "active"
    internal_domain: str | None = None
    access_token_seconds: int = 3600
    code_seconds: int = 600


@dataclass(slots=True, eq=False)
class Grant:
    """
    What one user gave one project: every client of the project shares it.

    Attributes:
        ends_at: When it ends by itself (testing mode or time-based access), or None.
        time_based: The end was chosen by the user and is announced in token answers.
        alive: False once revoked; tokens hold their grant and die with it.
    """

    project: str
    sub: str
    scopes: frozenset[str]
    consented_at: datetime
    ends_at: datetime | None = None
    time_based: bool = False
    alive: bool = True


@dataclass(slots=True, eq=False)
class Code:
    """
    An authorization code and all that was promised with it.

    Attributes:
        redirect_uris: The values of which one must be sent with the code.
        refreshable: The code will earn a refresh token.
        spent: It was sent once, with whatever result.
    """

    value: str = field(repr=False)
    client_id: str
    source: Source
    grant: Grant
    scopes: frozenset[str]
    redirect_uris: frozenset[str]
    expires_at: datetime
    offline: bool
    refreshable: bool
    nonce: str | None = None
    code_challenge: str | None = field(default=None, repr=False)
    code_challenge_method: Literal["S256", "plain"] = "plain"
    spent: bool = False
    earned: "list[RefreshToken | AccessToken]" = field(default_factory=list, repr=False)


@dataclass(slots=True, eq=False)
class RefreshToken:
    """A refresh token; *dead* says why it no longer works, *spent* that rotation replaced it."""

    value: str = field(repr=False)
    client_id: str
    grant: Grant
    scopes: frozenset[str]
    issued_at: datetime
    used_at: datetime
    dead: str | None = None
    spent: bool = False


@dataclass(slots=True, eq=False)
class AccessToken:
    """A bearer token for the APIs."""

    value: str = field(repr=False)
    client_id: str
    grant: Grant
    scopes: frozenset[str]
    expires_at: datetime
    offline: bool
    refresh_token: RefreshToken | None = field(default=None, repr=False)
    dead: bool = False
