"""What tests with faults share: impatience by a port, a clock that skips rests, and looking for leaks."""

import json
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from grantkeeper.adapters.dice import SystemDice
from grantkeeper.adapters.http import AiohttpHttp
from grantkeeper.emulator.world import MARKERS
from grantkeeper.errors import GrantkeeperError, HttpFailed
from grantkeeper.library.core import KeeperCore
from grantkeeper.ports import Clock
from grantkeeper.protocol.discovery import is_loopback
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from grantkeeper.testing.google import GoogleEmulator

T = TypeVar("T")

SOON = 1.0
"""Seconds that a struck endpoint is waited for; the fault lasts longer on any machine."""

PATHS = {
    "token": "/token",
    "certs": "/oauth2/v3/certs",
    "discovery": "/.well-known/openid-configuration",
    "revoke": "/revoke",
}


class ImpatientHttp:
    """
    The `Http` port, which waits only a moment for the endpoints in `hurried` and never leaves this machine.
    """

    def __init__(self) -> None:
        self._http = AiohttpHttp()
        self.hurried: set[str] = set()

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        where = urlsplit(request.url)
        if not is_loopback(where.hostname):
            raise HttpFailed("the tests have no network", may_have_arrived=False)
        if any(where.path == PATHS[endpoint] for endpoint in self.hurried):
            seconds = min(seconds, SOON)
        return await self._http.send(request, seconds=seconds, largest=largest, fresh=fresh)

    async def close(self) -> None:
        await self._http.close()


@dataclass
class SkippingClock:
    """The `Clock` port: another's time of day, and monotonic time that `skip` moves on."""

    clock: Clock
    skipped: float = 0.0

    def now(self) -> datetime:
        return self.clock.now()

    def monotonic(self) -> float:
        return self.clock.monotonic() + self.skipped

    def skip(self, seconds: float = 300.0) -> None:
        """Past every rest of a circuit and every pause after a failed fetch."""
        self.skipped += seconds


class QuickDice(SystemDice):
    """The `Dice` port, lucky: the shortest of all jittered pauses."""

    def roll(self) -> float:
        return 0.0


@dataclass
class Node:
    """A keeper and the ports that a test plays with."""

    core: KeeperCore
    http: ImpatientHttp
    clock: SkippingClock
    google: GoogleEmulator
    struck: list[str] = field(default_factory=list)

    def strike(self, endpoint: str, name: str, **options: Any) -> None:
        """Let a fault strike until `heal`, without long waits."""
        self.google.fault(endpoint, name, **options)
        if name in ("slow", "drip"):
            self.http.hurried.add(endpoint)

    def heal(self) -> None:
        """All is well again, and long enough that every circuit lets somebody through."""
        self.google.heal()
        self.http.hurried.clear()
        self.clock.skip()


async def told(work: Awaitable[T]) -> tuple[str, T | GrantkeeperError]:
    """``ok`` and the result, or the error's code and the error, which must not leak."""
    try:
        return "ok", await work
    except GrantkeeperError as error:
        assert [] == leaks_of(error)
        return error.code, error


def leaks(texts: Iterable[str], secrets: Iterable[str] = MARKERS) -> list[str]:
    """Of *texts* those with a secret in them."""
    wanted = tuple(secrets)
    return [text for text in texts if any(secret in text for secret in wanted)]


def tellings(error: BaseException) -> list[str]:
    """Everything that can be seen of an error: its own words, its record, and its whole traceback."""
    texts = [str(error), repr(error), "".join(traceback.format_exception(error))]
    if isinstance(error, GrantkeeperError):
        texts += [error.text, error.hint, json.dumps(error.as_record())]
    return texts


def leaks_of(error: BaseException, secrets: Iterable[str] = MARKERS) -> list[str]:
    """Where *error* gives a secret away."""
    return leaks(tellings(error), secrets)


def subject_at_google(google: GoogleEmulator, access_token: str) -> str | None:
    """Whose token it is, if Google takes it."""
    request = Request(f"{google.url}/oauth2/v3/userinfo", headers={"authorization": f"Bearer {access_token}"})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            return str(json.loads(answer.read())["sub"])
    except HTTPError as error:
        error.close()
        return None


OpenNode = Callable[[], Awaitable[Node]]
