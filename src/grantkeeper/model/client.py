"""Our registration at an issuer, and where that issuer answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from grantkeeper.secret import ClientSecret


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
