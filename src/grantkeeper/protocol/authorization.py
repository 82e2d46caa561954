"""
Which ``redirect_uri`` a code needs, and the authorization request of our own redirect flow.

A code must be redeemed with the very ``redirect_uri`` that it was made with, and
each kind of app has its own (google-facts 3.1). The request may *select* among
what the settings list; it never defines one.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from grantkeeper.errors import InvalidRequest
from grantkeeper.model import Client, Endpoints, Source
from grantkeeper.protocol.discovery import is_loopback, split_url
from grantkeeper.protocol.scopes import OPENID, Scopes, wire
from grantkeeper.secret import AuthorizationCode, CodeVerifier

LONGEST_CODE = 2048
"""Google's codes have at most 256 bytes (google-facts 1.11); other issuers write more into theirs."""

EMPTY = ""
POSTMESSAGE = "postmessage"
ORIGIN = "origin"
LOOPBACK_RULE = "loopback"

DEFAULT_REDIRECTS: Mapping[Source, tuple[str, ...]] = {Source.IOS: (EMPTY,), Source.ANDROID: (EMPTY,)}
"""What every client may use when its settings enable no source by name."""

PUBLIC_SOURCES = frozenset({Source.WEB, Source.DESKTOP})
"""Their redirects can be intercepted: without a caller key they need a ``code_verifier``."""


def parse_code(value: object) -> AuthorizationCode:
    """
    The authorization code of a request.

    Raises:
        InvalidRequest: It cannot be a code.
    """
    if not isinstance(value, str) or not value:
        raise InvalidRequest("code must be the authorization code that the app got")
    if len(value) > LONGEST_CODE:
        raise InvalidRequest("code is too long for an authorization code")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidRequest("code has characters that no authorization code has")
    if value[:4].upper() == "4%2F":
        # The issuer would call it malformed and could count it as spent (google-facts 10, T6).
        raise InvalidRequest("code is still percent-encoded; decode it exactly once before sending it")
    return AuthorizationCode(value)


def parse_verifier(value: object) -> CodeVerifier | None:
    """
    The PKCE verifier of a request (RFC 7636 4.1).

    Raises:
        InvalidRequest: It has another length or other characters than the RFC allows.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not 43 <= len(value) <= 128:
        raise InvalidRequest("code_verifier must have 43 to 128 characters")
    if not all(char.isascii() and (char.isalnum() or char in "-._~") for char in value):
        raise InvalidRequest("code_verifier has characters outside RFC 7636 section 4.1")
    return CodeVerifier(value)


def parse_source(client: Client, value: object) -> Source:
    """
    The source of a code; ``ios`` when nothing is said.

    Raises:
        InvalidRequest: It is not a source, or the client does not accept it.
    """
    try:
        source = Source.IOS if value is None else Source(str(value))
    except ValueError:
        raise InvalidRequest(f"source must be one of {', '.join(Source)}") from None
    if source not in client.redirects:
        raise InvalidRequest(
            f"the client {client.name} does not accept codes from {source}",
            hint=f"Enable it with redirect.{source}= in the client's settings.",
        )
    return source


def _selected(source: Source, allowed: tuple[str, ...], selected: str | None) -> str:
    if selected is None:
        if len(allowed) == 1:
            return allowed[0]
        raise InvalidRequest(f"redirect_uri must say which of the {source} addresses the code was made with")
    if selected not in allowed:
        raise InvalidRequest("redirect_uri is not one that the client's settings list")
    return selected


def _loopback(selected: str | None) -> str:
    if selected is None:
        raise InvalidRequest("redirect_uri must be the loopback address that the code was sent to")
    parts = split_url(selected)
    if parts is None or parts.scheme != "http" or not is_loopback(parts.hostname):
        raise InvalidRequest("redirect_uri must be http on a loopback name")
    return selected


def redirect_uri_for(client: Client, source: Source, *, selected: str | None, origin: str | None) -> str:
    """
    The ``redirect_uri`` to redeem a code with.

    Args:
        selected: The request's own, which may only choose from the settings.
        origin: The page the request came from, where a browser said so.

    Returns:
        What to send, and for a phone's code the empty text, which must really be sent.

    Raises:
        InvalidRequest: The choice is not among what the settings list.
    """
    allowed = client.redirects[source]
    if source in (Source.IOS, Source.ANDROID):
        if selected not in (None, "", *allowed):
            raise InvalidRequest(f"a code from {source} is redeemed without redirect_uri; leave it out")
        return allowed[0]
    if source is Source.WEB_POPUP and ORIGIN in allowed:
        allowed = tuple(value for value in allowed if value != ORIGIN) + tuple(sorted(client.origins))
        return _selected(source, allowed, origin if selected is None else selected)
    if (
        source is Source.DESKTOP
        and LOOPBACK_RULE in allowed
        and selected not in set(allowed) - {LOOPBACK_RULE}
    ):
        return _loopback(selected)
    return _selected(source, allowed, selected)


def needs_verifier(source: Source, *, has_caller_key: bool) -> bool:
    """Whether a code of *source* is redeemed only with a ``code_verifier`` (RFC 9700 2.1.1)."""
    return source in PUBLIC_SOURCES and not has_caller_key


def code_challenge(verifier: CodeVerifier) -> str:
    """The S256 challenge (RFC 7636 4.2)."""
    digest = hashlib.sha256(verifier.reveal().encode()).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


def authorization_url(
    client: Client,
    endpoints: Endpoints,
    *,
    redirect_uri: str,
    scopes: Scopes,
    state: str,
    nonce: str,
    verifier: CodeVerifier,
    login_hint: str | None = None,
    force_consent: bool = False,
) -> str:
    """
    Where to send a browser for a code (RFC 6749 4.1.1), offline access asked for.

    ``include_granted_scopes`` merges with what the project has already, so that
    asking for one more scope does not narrow the new token.
    """
    query = {
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": wire(scopes | {OPENID}, client.provider),
        "state": state,
        "nonce": nonce,
        "code_challenge": code_challenge(verifier),
        "code_challenge_method": "S256",
        "access_type": "offline",
        "include_granted_scopes": "true",
    }
    if login_hint is not None:
        query["login_hint"] = login_hint
    if force_consent:
        query["prompt"] = "consent"
    separator = "&" if urlsplit(endpoints.authorization).query else "?"
    return f"{endpoints.authorization}{separator}{urlencode(query)}"
