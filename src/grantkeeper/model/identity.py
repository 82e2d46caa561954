"""Who a person is: claims that passed the verifier."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Subject:
    """A user at an issuer: the only key to a person (OpenID Connect Core 5.7)."""

    issuer: str
    sub: str


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
