"""The authorization request: read, checked against the registration, and answered on a redirect."""

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from grantkeeper.emulator.issuing import redirect_allowed
from grantkeeper.emulator.records import OAuthClient, Source
from grantkeeper.emulator.scopes import parse
from grantkeeper.emulator.world import World

POPUP_SCHEME = "storagerelay"
PROMPTS = frozenset({"none", "consent", "select_account"})
CHALLENGE_LENGTHS = range(43, 129)


class Blocked(Exception):
    """
    The user sees an error page and the app learns nothing.

    Args:
        code: Google's word for it.
        explanation: One sentence for the developer.
        status: The HTTP status, which the page shows as well.
        details: What was sent and what is registered.
        remedy: A command that makes the emulator take the request.
    """

    def __init__(
        self,
        code: str,
        explanation: str,
        status: int = 400,
        details: Iterable[str] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.explanation = explanation
        self.status = status
        self.details = list(details)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """
    A request that passed every check (RFC 6749 4.1.1).

    Attributes:
        redirect_uri: Where the answer goes; for a popup the origin of the page that opened it.
        popup_id: Names the popup to the page that opened it; None where the browser is redirected.
    """

    client: OAuthClient
    source: Source
    redirect_uri: str
    scopes: frozenset[str]
    prompt: frozenset[str]
    offline: bool
    include_granted: bool
    response_mode: str
    popup_id: str | None = None
    state: str | None = field(default=None, repr=False)
    nonce: str | None = field(default=None, repr=False)
    login_hint: str | None = None
    code_challenge: str | None = field(default=None, repr=False)
    code_challenge_method: Literal["S256", "plain"] = "plain"

    def location(self, answer: dict[str, str]) -> str:
        """The redirect that carries *answer* to the app."""
        mark = "#" if self.response_mode == "fragment" else "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{mark}{urlencode(answer)}"


def read_request(world: World, parameters: list[tuple[str, str]]) -> AuthorizationRequest:
    """
    The authorization request that *parameters* are.

    Raises:
        Blocked: It is not one that may be answered on its redirect.
    """
    values = dict(parameters)
    if len(values) != len(parameters):
        raise Blocked("invalid_request", "OAuth 2 parameters can only have a single value.")
    client = _client(world, _required(values, "client_id"))
    redirect_uri, source, popup_id = _destination(world, client, _required(values, "redirect_uri"))
    _one_of(values, "response_type", {"code"}, _required(values, "response_type"))
    prompt = frozenset(values.get("prompt", "").split())
    if not prompt <= PROMPTS or ("none" in prompt and len(prompt) > 1):
        raise Blocked("invalid_request", f"Invalid parameter value for prompt: {values['prompt']}")
    challenge, method = _challenge(values)
    return AuthorizationRequest(
        client=client,
        source=source,
        redirect_uri=redirect_uri,
        popup_id=popup_id,
        scopes=_scopes(values),
        prompt=prompt,
        offline=_one_of(values, "access_type", {"online", "offline"}, "online") == "offline",
        include_granted=_one_of(values, "include_granted_scopes", {"true", "false"}, "false") == "true",
        response_mode=_one_of(values, "response_mode", {"query", "fragment", "form_post"}, "query"),
        state=values.get("state"),
        nonce=values.get("nonce"),
        login_hint=values.get("login_hint"),
        code_challenge=challenge,
        code_challenge_method=method,
    )


def _client(world: World, client_id: str) -> OAuthClient:
    client = world.clients.get(client_id)
    if client is None:
        raise Blocked("invalid_client", "The OAuth client was not found.", 401)
    if client.state != "active":
        raise Blocked(f"{client.state}_client", f"The OAuth client was {client.state}.", 401)
    return client


def _destination(world: World, client: OAuthClient, redirect_uri: str) -> tuple[str, Source, str | None]:
    """Where the answer goes, the source of the code, and the popup's name."""
    if redirect_uri.startswith(POPUP_SCHEME + "://"):
        url = urlsplit(redirect_uri)
        origin = f"{url.netloc}://{url.path.lstrip('/')}"
        if origin not in client.javascript_origins:
            raise Blocked(
                "origin_mismatch",
                "The JavaScript origin of the page is not registered for this OAuth client.",
                details=[f"Sent: {origin}", *(f"Registered: {known}" for known in client.javascript_origins)],
                remedy=_registering(world, client, "javascript_origins", origin),
            )
        return origin, "web-popup", parse_qs(url.query).get("id", [""])[0]
    own_scheme = client.kind == "ios" and redirect_uri.partition(":")[0] == reversed_id(client)
    if not own_scheme and not redirect_allowed(client, redirect_uri):
        raise Blocked(
            "redirect_uri_mismatch",
            "The redirect URI in the request does not match the ones registered for this OAuth client. "
            "Scheme, case and trailing slash all count.",
            details=[f"Sent: {redirect_uri}", *(f"Registered: {known}" for known in client.redirect_uris)],
            remedy=_registering(world, client, "redirect_uris", redirect_uri),
        )
    return redirect_uri, "web" if client.kind == "web" else "desktop", None


def _registering(world: World, client: OAuthClient, name: str, address: str) -> str:
    """The command that registers *address* beside those that are."""
    body = json.dumps({"client_id": client.id, name: [*getattr(client, name), address]})
    return f"curl -X PATCH {world.base_url}/emulator/clients -d {shlex.quote(body)}"


def reversed_id(client: OAuthClient) -> str:
    """The URL scheme of an iOS app: its client id with the dot-parts reversed."""
    return ".".join(reversed(client.id.split(".")))


def _scopes(values: dict[str, str]) -> frozenset[str]:
    scopes = parse(_required(values, "scope"))
    wrong = sorted(scope for scope in scopes if scope != "openid" and not scope.startswith("https://"))
    if wrong or not scopes:
        raise Blocked("invalid_scope", f"Some requested scopes were invalid: {' '.join(wrong)}")
    return scopes


def _challenge(values: dict[str, str]) -> tuple[str | None, Literal["S256", "plain"]]:
    """RFC 7636 4.3; the method is ``plain`` when only the challenge is sent."""
    challenge = values.get("code_challenge")
    method = _one_of(values, "code_challenge_method", {"S256", "plain"}, "plain")
    if challenge is not None and len(challenge) not in CHALLENGE_LENGTHS:
        raise Blocked("invalid_request", "code_challenge must have between 43 and 128 characters.")
    if challenge is None and "code_challenge_method" in values:
        raise Blocked("invalid_request", "Missing required parameter: code_challenge")
    return challenge, "S256" if method == "S256" else "plain"


def _required(values: dict[str, str], name: str) -> str:
    value = values.get(name)
    if not value:
        raise Blocked("invalid_request", f"Missing required parameter: {name}")
    return value


def _one_of(values: dict[str, str], name: str, allowed: set[str], default: str) -> str:
    value = values.get(name, default)
    if value not in allowed:
        raise Blocked("invalid_request", f"Invalid parameter value for {name}: {value}")
    return value
