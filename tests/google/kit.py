"""Sessions for the tests of Google's helpers: one whose other side is a function, one over the emulator."""

import json as jsons
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from grantkeeper import Keeper
from grantkeeper.adapters.http import AiohttpHttp
from grantkeeper.emulator.records import OAuthClient
from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.errors import AnswerTooLarge, ApiMisbehaved, HttpFailed, TokenRefused
from grantkeeper.protocol.api import api_failure, unanswered
from grantkeeper.protocol.api_request import LARGEST_ANSWER
from grantkeeper.protocol.message import HttpRequest, HttpResponse


@dataclass(frozen=True)
class Sent:
    """A request, as a helper made it."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    json: Any = None
    idempotent: bool | None = None

    @property
    def path(self) -> str:
        return urlsplit(self.url).path


def said(status: int = 200, body: Any = None, **headers: str) -> HttpResponse:
    """An answer; underscores in a header's name are hyphens."""
    raw = body if isinstance(body, bytes) else b"" if body is None else jsons.dumps(body).encode()
    return HttpResponse(status, raw, {name.replace("_", "-"): value for name, value in headers.items()})


class TimedSession:
    """What both sessions share: a record of what was sent, and time that passes only in pauses."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.pauses: list[float] = []
        self.cut_at: datetime | None = None
        self.time = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += timedelta(seconds=seconds)


class ScriptedSession(TimedSession):
    """A session whose other side is a function; what it raises the network does."""

    def __init__(self, answer: Callable[[Sent], HttpResponse]) -> None:
        super().__init__()
        self._answer = answer

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        json: Any = None,
        seconds: float = 60.0,
        largest: int = LARGEST_ANSWER,
        idempotent: bool | None = None,
        accept: Collection[int] = frozenset(),
    ) -> HttpResponse:
        sent = Sent(method, url, headers or {}, body, json, idempotent)
        self.sent.append(sent)
        try:
            response = self._answer(sent)
        except HttpFailed as error:
            raise unanswered("google.test", error) from None
        if len(response.body) > largest:
            raise ApiMisbehaved("the answer is too large")
        if (failure := api_failure(response, now=self.now(), accept=accept)) is not None:
            raise failure
        return response


class HttpSession(TimedSession):
    """
    A session over HTTP, as plain as one can be: a new token once the old one is refused.

    It repeats nothing, so what survives a fault survives by the helper alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._http = AiohttpHttp()
        self._token: str | None = None
        self.tokens = 0

    async def new_token(self) -> str:
        """A token of the user's that is good now."""
        raise NotImplementedError

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        json: Any = None,
        seconds: float = 60.0,
        largest: int = LARGEST_ANSWER,
        idempotent: bool | None = None,
        accept: Collection[int] = frozenset(),
    ) -> HttpResponse:
        self.sent.append(Sent(method, url, headers or {}, body, json, idempotent))
        full = dict(headers or {})
        if json is not None:
            body = jsons.dumps(json).encode()
            full["content-type"] = "application/json"
        for _ in range(2):
            if self._token is None:
                self._token = await self.new_token()
                self.tokens += 1
            request = HttpRequest(method, url, body, {**full, "authorization": f"Bearer {self._token}"})
            try:
                response = await self._http.send(request, seconds=seconds, largest=largest)
            except AnswerTooLarge:
                raise ApiMisbehaved("the answer is too large") from None
            except HttpFailed as error:
                raise unanswered(urlsplit(url).hostname or "", error) from None
            failure = api_failure(response, now=self.now(), accept=accept)
            if not isinstance(failure, TokenRefused):
                break
            self._token = None
        if failure is not None:
            raise failure
        return response

    async def close(self) -> None:
        await self._http.close()


class EmulatorSession(HttpSession):
    """A user's session at an emulator in this process."""

    def __init__(self, emulator: EmulatorServer, email: str, *scopes: str) -> None:
        super().__init__()
        self._emulator = emulator
        self._email = email
        self._scopes = frozenset(scopes)

    def now(self) -> datetime:
        return self._emulator.world.now()

    async def pause(self, seconds: float) -> None:
        # Time passes only where a test says so.
        self.pauses.append(seconds)

    async def new_token(self) -> str:
        world = self._emulator.world
        client: OAuthClient = world.web_client
        with world.lock:
            grant = world.consent(client, world.user(self._email), self._scopes)
            token, _ = world.new_access_token(client, grant, self._scopes)
        return token.value


class GrantSession(HttpSession):
    """A session for a keeper's grant, for the documentation, where each block of a page has its own loop."""

    def __init__(self, keeper: Keeper, grant_id: str) -> None:
        super().__init__()
        self._keeper = keeper
        self._grant_id = grant_id

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def request(self, *arguments: Any, **options: Any) -> HttpResponse:
        try:
            return await super().request(*arguments, **options)
        finally:
            await self._http.close()
            self._http = AiohttpHttp()

    async def new_token(self) -> str:
        return (await self._keeper.access_token(self._grant_id)).reveal()


def cut(sent: Sent | None = None, *, arrived: bool = True) -> HttpFailed:
    """What the network says when a connection breaks."""
    return HttpFailed("cut", may_have_arrived=arrived)
