"""
The token and revocation endpoints: requests built, answers read, refusals sorted by blast radius.

RFC 6749 sections 4.1.3, 5 and 6, RFC 7009 section 2, and what Google's endpoint
really answers (google-facts sections 1 and 2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from grantkeeper.errors import (
    ClientMisconfigured,
    CodeRefused,
    ConsentRequired,
    GrantBlocked,
    GrantkeeperError,
    IssuerMisbehaved,
    IssuerUnavailable,
    OutcomeUnknown,
)
from grantkeeper.lifecycle import REMEDIES
from grantkeeper.model import Client, Endpoints, Provider, Reason
from grantkeeper.protocol.message import (
    HttpRequest,
    HttpResponse,
    json_object,
    retry_after,
    seconds,
    text,
    token,
)
from grantkeeper.protocol.scopes import Scopes, parse, wire
from grantkeeper.secret import (
    AccessToken,
    AuthorizationCode,
    ClientSecret,
    CodeVerifier,
    IdToken,
    RefreshToken,
)

FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}

# -- requests -----------------------------------------------------------------------------------


def code_request(
    client: Client,
    endpoints: Endpoints,
    secret: ClientSecret,
    code: AuthorizationCode,
    redirect_uri: str,
    verifier: CodeVerifier | None = None,
) -> HttpRequest:
    """
    The access token request of RFC 6749 section 4.1.3.

    An empty *redirect_uri* is sent as ``redirect_uri=``: for a phone's code
    Google wants the parameter present and empty (google-facts 3.1).
    """
    form = {
        "grant_type": "authorization_code",
        "code": code.reveal(),
        "client_id": client.client_id,
        "client_secret": secret.reveal(),
        "redirect_uri": redirect_uri,
    }
    if verifier is not None:
        form["code_verifier"] = verifier.reveal()
    return HttpRequest("POST", endpoints.token, urlencode(form).encode(), FORM)


def refresh_request(
    client: Client,
    endpoints: Endpoints,
    secret: ClientSecret,
    refresh_token: RefreshToken,
    scopes: Scopes | None = None,
) -> HttpRequest:
    """
    The access token request of RFC 6749 section 6.

    Args:
        scopes: A part of what is granted, for a narrower token; ``None`` for
            all of it. A scope that is not granted makes Google refuse.
    """
    form = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token.reveal(),
        "client_id": client.client_id,
        "client_secret": secret.reveal(),
    }
    if scopes is not None:
        form["scope"] = wire(scopes, client.provider)
    return HttpRequest("POST", endpoints.token, urlencode(form).encode(), FORM)


def revocation_request(
    endpoint: str,
    refresh_token: RefreshToken,
    client: Client | None = None,
    secret: ClientSecret | None = None,
) -> HttpRequest:
    """
    The revocation request of RFC 7009 section 2.1.

    Google wants the token alone. Others want to know the client, as the RFC
    says: it is named where *client* is theirs and a *secret* is at hand.
    """
    form = {"token": refresh_token.reveal()}
    if client is not None and secret is not None and client.provider is not Provider.GOOGLE:
        form["token_type_hint"] = "refresh_token"
        form["client_id"] = client.client_id
        form["client_secret"] = secret.reveal()
    return HttpRequest("POST", endpoint, urlencode(form).encode(), FORM)


# -- answers ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """
    What a token endpoint gave.

    Attributes:
        scopes: What is really granted; ``None`` where the answer does not say,
            which means all that was asked for (RFC 6749 5.1).
        refresh_token: ``None`` means that the old one stays good (section 6).
        refresh_expires_in: Seconds that the refresh token has left, where announced.
    """

    access_token: AccessToken
    expires_at: datetime
    scopes: Scopes | None
    refresh_token: RefreshToken | None = None
    refresh_expires_in: int | None = None
    id_token: IdToken | None = None


@dataclass(frozen=True, slots=True)
class Salvage:
    """What is good in an answer that is broken elsewhere, and would be lost with it."""

    refresh_token: RefreshToken
    scopes: Scopes | None
    refresh_expires_in: int | None
    id_token: IdToken | None


class BrokenAnswer(IssuerMisbehaved):
    """The answer breaks RFC 6749 section 5 but brought a refresh token, which must be kept all the same."""

    salvage: Salvage

    def __init__(self, text: str, salvage: Salvage) -> None:
        super().__init__(text)
        self.salvage = salvage


def _optional(body: Mapping[str, Any], name: str) -> bool:
    return body.get(name) is not None


def _scopes(body: Mapping[str, Any]) -> Scopes | None:
    # An empty scope is sent by some issuers where nothing is worth saying.
    return parse(text(body, "scope")) or None if body.get("scope") not in (None, "") else None


def _salvaged(body: Mapping[str, Any]) -> Salvage | None:
    try:
        refresh_token = RefreshToken(token(body, "refresh_token"))
    except IssuerMisbehaved:
        return None
    found: dict[str, Any] = {"scope": None, "refresh_token_expires_in": None, "id_token": None}
    for name, read in (("scope", text), ("refresh_token_expires_in", seconds), ("id_token", token)):
        if _optional(body, name):
            try:
                found[name] = read(body, name)
            except IssuerMisbehaved:
                continue
    return Salvage(
        refresh_token,
        scopes=None if found["scope"] is None else parse(found["scope"]) or None,
        refresh_expires_in=found["refresh_token_expires_in"],
        id_token=None if found["id_token"] is None else IdToken(found["id_token"]),
    )


def _answer(response: HttpResponse, sent_at: datetime) -> TokenAnswer:
    body = json_object(response)
    try:
        if text(body, "token_type").lower() != "bearer":
            raise IssuerMisbehaved("the answer's token_type is not Bearer")
        return TokenAnswer(
            access_token=AccessToken(token(body, "access_token")),
            # Counted from the sending, so that the way back cannot lengthen its life.
            expires_at=sent_at + timedelta(seconds=seconds(body, "expires_in")),
            scopes=_scopes(body),
            refresh_token=RefreshToken(token(body, "refresh_token"))
            if _optional(body, "refresh_token")
            else None,
            refresh_expires_in=(
                seconds(body, "refresh_token_expires_in")
                if _optional(body, "refresh_token_expires_in")
                else None
            ),
            id_token=IdToken(token(body, "id_token")) if _optional(body, "id_token") else None,
        )
    except IssuerMisbehaved as error:
        salvage = _salvaged(body)
        if salvage is None:
            raise
        raise BrokenAnswer(error.text, salvage) from error


# -- refusals -----------------------------------------------------------------------------------


class Radius(StrEnum):
    """How much a refusal is about."""

    REQUEST = "this request"
    GRANT = "one grant"
    CLIENT = "one client"
    ISSUER = "the whole deployment"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an error of the token endpoint means for a refresh."""

    radius: Radius
    meaning: str
    reason: Reason | None = None


REFUSALS: Mapping[str, Refusal] = {
    "invalid_grant": Refusal(Radius.GRANT, "the refresh token is no longer accepted", Reason.REVOKED),
    "invalid_rapt": Refusal(Radius.GRANT, "the user must sign in again by policy", Reason.REAUTH_REQUIRED),
    "rapt_required": Refusal(Radius.GRANT, "the user must sign in again by policy", Reason.REAUTH_REQUIRED),
    "admin_policy_enforced": Refusal(
        Radius.GRANT, "an administrator forbids a requested service", Reason.ADMIN_POLICY_ENFORCED
    ),
    "invalid_scope": Refusal(Radius.REQUEST, "a scope outside the grant was named"),
    "invalid_client": Refusal(Radius.CLIENT, "client id or secret is wrong"),
    "deleted_client": Refusal(Radius.CLIENT, "the client was deleted at the issuer"),
    "disabled_client": Refusal(Radius.CLIENT, "the client is disabled at the issuer"),
    "unauthorized_client": Refusal(Radius.CLIENT, "the token belongs to another client"),
    "org_internal": Refusal(Radius.CLIENT, "the project is limited to one organisation"),
    "redirect_uri_mismatch": Refusal(Radius.REQUEST, "the code was made with another redirect_uri"),
    "invalid_request": Refusal(Radius.REQUEST, "a parameter is missing or doubled"),
    "unsupported_grant_type": Refusal(Radius.REQUEST, "the grant_type is not supported"),
    "invalid_dpop_proof": Refusal(Radius.REQUEST, "a DPoP proof is asked for"),
    "use_dpop_nonce": Refusal(Radius.REQUEST, "a DPoP nonce is asked for"),
    "access_denied": Refusal(Radius.REQUEST, "access was denied"),
    "rate_limit_exceeded": Refusal(Radius.ISSUER, "too many requests"),
    "slow_down": Refusal(Radius.ISSUER, "too many requests"),
    "internal_failure": Refusal(Radius.ISSUER, "a fault inside the issuer"),
    "server_error": Refusal(Radius.ISSUER, "a fault inside the issuer"),
    "temporarily_unavailable": Refusal(Radius.ISSUER, "the issuer is busy"),
}
"""Every error of google-facts section 2, by ``error`` or, for the RAPT pair, by ``error_subtype``."""

CODE_HINTS: Mapping[str, str] = {
    "Malformed auth code.": "The code came damaged: decode it exactly once, and send all of it. "
    "Then sign in again for a new one.",
    "Missing code verifier.": "The code is bound by PKCE: send the app's code_verifier with the next one.",
    "Code was already redeemed.": "Somebody redeemed this code before. Sign in again for a new one.",
}
"""What Google's descriptions of a refused code tell the person. Nothing is ever decided by them."""

TRANSIENT_STATUSES = frozenset({408, 425, 429})


class ScopeRefused(IssuerMisbehaved):
    """A scope that we named is outside the grant: our record is out of date. Ask again without scopes."""


class SecretRefused(ClientMisconfigured):
    """``invalid_client``: the other secret may still work for a refresh, never for a code."""


class RedirectRefused(ClientMisconfigured):
    """One code came from another kind of app than was said; nothing is wrong with other codes."""


class RequestRefused(ClientMisconfigured):
    """The issuer did not accept the form of one request."""


def is_transient(status: int) -> bool:
    """Whether a later try can help, whatever the body says."""
    return status in TRANSIENT_STATUSES or status >= 500


def _error_of(response: HttpResponse) -> tuple[str, Refusal | None]:
    """The error's name, for the log, and what it means; unknown names mean nothing."""
    body = json_object(response)
    # Google's device quota says `error_code` where all else says `error` (google-facts 1.10).
    name = text(body, "error_code" if "error" not in body and "error_code" in body else "error")
    subtype = body.get("error_subtype")
    if name == "invalid_grant" and subtype in ("invalid_rapt", "rapt_required"):
        return str(subtype), REFUSALS[str(subtype)]
    known = REFUSALS.get(name)
    return (name if known else "an unknown error"), known


def _refused_refresh(response: HttpResponse, now: datetime) -> GrantkeeperError:
    name, refusal = _error_of(response)
    if refusal is None:
        return IssuerMisbehaved(f"the token endpoint answered {response.status} with {name}")
    line = f"the token endpoint answered {name}: {refusal.meaning}"
    if refusal.reason is Reason.ADMIN_POLICY_ENFORCED:
        return GrantBlocked(line)
    if refusal.reason is not None:
        return ConsentRequired(line, reason=refusal.reason, hint=REMEDIES[refusal.reason])
    if refusal.radius is Radius.ISSUER:
        return IssuerUnavailable(line, retry_after=retry_after(response, now))
    if name == "invalid_client":
        return SecretRefused(line)
    if refusal.radius is Radius.CLIENT:
        return ClientMisconfigured(line)
    return ScopeRefused(line) if name == "invalid_scope" else IssuerMisbehaved(line)


def parse_refresh(response: HttpResponse, *, sent_at: datetime) -> TokenAnswer:
    """
    Read the answer to a `refresh_request`.

    Raises:
        ConsentRequired: The grant is gone; only the user can bring it back.
        GrantBlocked: An administrator forbids it for now.
        ClientMisconfigured: Our client was refused; no grant is to blame.
        IssuerUnavailable: Ask again later with the same token.
        ScopeRefused: Ask again without scopes.
        BrokenAnswer: As below, but keep the refresh token that it brought.
        IssuerMisbehaved: The answer breaks RFC 6749 section 5.
    """
    if is_transient(response.status):
        raise IssuerUnavailable(
            f"the token endpoint answered {response.status}", retry_after=retry_after(response, sent_at)
        )
    if response.status != 200:
        raise _refused_refresh(response, sent_at)
    return _answer(response, sent_at)


def parse_code(response: HttpResponse, *, sent_at: datetime) -> TokenAnswer:
    """
    Read the answer to a `code_request`. The code is spent, whatever comes.

    Raises:
        CodeRefused: The issuer does not know the code, or not any more.
        ClientMisconfigured: Our client, or its redirect policy, was refused.
        OutcomeUnknown: A fault of the issuer after the code was sent.
        BrokenAnswer: As below, but keep the refresh token that it brought.
        IssuerMisbehaved: The answer breaks RFC 6749 section 5.
    """
    if is_transient(response.status):
        raise OutcomeUnknown(f"the token endpoint answered {response.status} to a code")
    if response.status == 200:
        return _answer(response, sent_at)
    name, refusal = _error_of(response)
    line = f"the token endpoint answered {response.status} with {name} to a code"
    if name == "invalid_grant":
        raise CodeRefused(line, hint=CODE_HINTS.get(str(json_object(response).get("error_description"))))
    if refusal is None or name == "access_denied":
        raise IssuerMisbehaved(line)
    if refusal.radius is Radius.ISSUER:
        raise OutcomeUnknown(line)
    if name == "redirect_uri_mismatch":
        raise RedirectRefused(
            line,
            hint="The code's source and the client's redirect policy do not fit: check `source` in the "
            "request and `redirect.<source>` in the settings. The code is spent.",
        )
    if refusal.reason is Reason.ADMIN_POLICY_ENFORCED:
        raise CodeRefused(
            line, hint="Ask the user's Workspace administrator to allow the app, then sign in again."
        )
    if refusal.reason is not None:
        raise CodeRefused(line)
    if name == "invalid_client":
        raise SecretRefused(line)
    raise ClientMisconfigured(line) if refusal.radius is Radius.CLIENT else RequestRefused(line)


def parse_revocation(response: HttpResponse, *, sent_at: datetime) -> bool:
    """
    Read the answer to a `revocation_request`; returning means that it is done.

    200 and 400 both mean done: a token that the issuer does not know any more
    needs no revoking (design section 2).

    Returns:
        Whether the issuer still knew the token.

    Raises:
        IssuerUnavailable: Tell it again later.
        IssuerMisbehaved: The answer is none of RFC 7009 section 2.2.
    """
    if response.status in (200, 400):
        return response.status == 200
    line = f"the revocation endpoint answered {response.status}"
    if is_transient(response.status):
        raise IssuerUnavailable(line, retry_after=retry_after(response, sent_at))
    raise IssuerMisbehaved(line)
