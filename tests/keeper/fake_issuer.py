"""An issuer of canned answers behind a fake of our own `Http` port, which counts and delays."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import RSAKey

from grantkeeper.errors import (
    HttpFailed,
)
from grantkeeper.model import Client, Provider
from grantkeeper.protocol.id_token import Expectation
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from grantkeeper.secret import AuthorizationCode, ClientSecret, IdToken, RefreshToken
from grantkeeper.testing.clock import ManualClock

OURS = "https://id.example"
DISCOVERY = f"{OURS}/.well-known/openid-configuration"
TOKEN = f"{OURS}/token"
KEYS = f"{OURS}/keys"
REVOKE = f"{OURS}/revoke"

DOCUMENT = {
    "issuer": OURS,
    "authorization_endpoint": f"{OURS}/auth",
    "token_endpoint": TOKEN,
    "jwks_uri": KEYS,
    "revocation_endpoint": REVOKE,
}

FIRST, SECOND = RSAKey.generate_key(2048), RSAKey.generate_key(2048)

LOST = HttpFailed("cut", may_have_arrived=True)
UNSENT = HttpFailed("refused", may_have_arrived=False)

Answer = HttpResponse | HttpFailed


def answers(status: int, body: object, **headers: str) -> HttpResponse:
    return HttpResponse(
        status, json.dumps(body).encode(), {name.replace("_", "-"): value for name, value in headers.items()}
    )


def key_set(**keys: RSAKey) -> HttpResponse:
    """The public halves of *keys* by ``kid``, good for an hour."""
    entries = [{**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in keys.items()]
    return answers(200, {"keys": entries}, cache_control="public, max-age=3600")


def refuses(error: str, status: int = 400) -> HttpResponse:
    return answers(status, {"error": error})


GRANTED = answers(
    200, {"access_token": "ya29.a", "expires_in": 3600, "token_type": "Bearer", "scope": "openid"}
)


@dataclass
class Sent:
    """One call of the port."""

    request: HttpRequest
    seconds: float
    fresh: bool

    @property
    def form(self) -> dict[str, str]:
        return {
            name: value
            for name, (value,) in parse_qs(self.request.body.decode(), keep_blank_values=True).items()
        }


@dataclass
class FakeHttp:
    """The `Http` port: answers by address; of several answers the last one is repeated."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """While set and not open, every answer waits."""
    before: Callable[[HttpRequest], Awaitable[None]] | None = None

    def says(self, url: str, *given: Answer) -> None:
        self.answers[url] = list(given)

    def count(self, url: str) -> int:
        return len([one for one in self.sent if one.request.url == url])

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        self.sent.append(Sent(request, seconds, fresh))
        if self.before is not None:
            await self.before(request)
        if self.gate is not None:
            await self.gate.wait()
        left = self.answers[request.url]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, HttpFailed):
            raise answer
        return answer


def obliging() -> FakeHttp:
    """An issuer that grants everything."""
    http = FakeHttp()
    http.says(DISCOVERY, answers(200, DOCUMENT))
    http.says(KEYS, key_set(first=FIRST))
    http.says(TOKEN, GRANTED)
    http.says(REVOKE, answers(200, {}))
    return http


def client(*secrets: str, issuer: str = OURS, provider: Provider = Provider.OIDC) -> Client:
    return Client(
        name="default",
        provider=provider,
        client_id="111-ours",
        secrets=tuple(ClientSecret(secret) for secret in secrets or ("s1",)),
        issuer=issuer,
    )


def id_token(
    clock: ManualClock,
    key: RSAKey = FIRST,
    kid: str | None = "first",
    claims: Mapping[str, Any] | None = None,
) -> IdToken:
    now = int(clock.now().timestamp())
    body = {"iss": OURS, "aud": "111-ours", "sub": "1", "iat": now, "exp": now + 3600, **(claims or {})}
    header = {"alg": "RS256"} if kid is None else {"alg": "RS256", "kid": kid}
    return IdToken(jwt.encode(header, body, key))


def want(clock: ManualClock) -> Expectation:
    return Expectation(issuer=OURS, audience="111-ours", now=clock.now())


CODE = AuthorizationCode("4/abc")
REFRESH = RefreshToken("1//abc")
