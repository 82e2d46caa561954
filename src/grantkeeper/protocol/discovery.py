"""Where an issuer answers: its discovery document (RFC 8414, OpenID Connect Discovery 4)."""

from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from grantkeeper.errors import IssuerMisbehaved
from grantkeeper.model import Endpoints
from grantkeeper.protocol.message import HttpResponse, json_object, text

GOOGLE = "https://accounts.google.com"
"""Google's identifier as an issuer: no slash at the end."""

GOOGLE_ENDPOINTS = Endpoints(
    authorization="https://accounts.google.com/o/oauth2/v2/auth",
    token="https://oauth2.googleapis.com/token",
    jwks="https://www.googleapis.com/oauth2/v3/certs",
    revocation="https://oauth2.googleapis.com/revoke",
    userinfo="https://openidconnect.googleapis.com/v1/userinfo",
)
"""Google's own, known for years (google-facts 1.1): no sign-in waits for its discovery."""


def is_loopback(host: str | None) -> bool:
    """Whether *host* names this machine for sure: no look-up is made."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host or "")
    except ValueError:
        return False
    # A socket that serves both families calls 127.0.0.1 ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def split_url(url: str) -> SplitResult | None:
    """
    The parts of an absolute address; ``None`` for what is none.

    Strict where the standard library is forgiving, so that nobody downstream
    can read another host out of the same text: visible ASCII without backslash
    and quotes, no user info, no fragment, a host, a port that is one.
    """
    if not all("!" <= char <= "~" and char not in '"\\<>^`{|}' for char in url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.netloc or "#" in url or port == 0:
        return None
    return parts


def is_safe_url(url: str) -> bool:
    """Whether secrets may be sent to *url*: HTTPS, or plain HTTP on loopback; no user info, no fragment."""
    parts = split_url(url)
    if parts is None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def discovery_url(issuer: str) -> str:
    """Where the document of *issuer* lies (OpenID Connect Discovery 4.1)."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def _endpoint(body: dict[str, Any], name: str, issuer: str) -> str:
    url = text(body, name)
    if not is_safe_url(url):
        raise IssuerMisbehaved(f"the discovery document's {name} is not an address that secrets may go to")
    if urlsplit(url).scheme == "http" and not is_loopback(urlsplit(issuer).hostname):
        raise IssuerMisbehaved(f"the discovery document's {name} points to this machine")
    return url


def parse_discovery(response: HttpResponse, *, issuer: str) -> Endpoints:
    """
    Read the discovery document of *issuer*.

    Raises:
        IssuerMisbehaved: It is another issuer's (RFC 8414 3.3), or an endpoint is absent or unsafe.
    """
    if response.status != 200:
        raise IssuerMisbehaved(f"the discovery document answered {response.status}")
    body = json_object(response)
    if text(body, "issuer") != issuer:
        raise IssuerMisbehaved("the discovery document is another issuer's")

    def optional(name: str) -> str | None:
        return None if body.get(name) is None else _endpoint(body, name, issuer)

    return Endpoints(
        authorization=_endpoint(body, "authorization_endpoint", issuer),
        token=_endpoint(body, "token_endpoint", issuer),
        jwks=_endpoint(body, "jwks_uri", issuer),
        revocation=optional("revocation_endpoint"),
        userinfo=optional("userinfo_endpoint"),
        iss_in_answer=body.get("authorization_response_iss_parameter_supported") is True,
    )
