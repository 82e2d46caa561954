"""A small world between an issuer's answer and the store: both can be stopped at any step."""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

from grantkeeper.adapters.dice import SystemDice
from grantkeeper.adapters.journal import MemoryJournal
from grantkeeper.adapters.keyset import Keyset
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.sealing import KeysetSealer
from grantkeeper.errors import StoreUnavailable
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.keeper.seals import Seals
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import Grant, JournalEntry, Provider, Source
from grantkeeper.ports import Journal, Store
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from grantkeeper.settings import Settings
from grantkeeper.testing.clock import ManualClock
from tests.keeper.fake_issuer import (
    DISCOVERY,
    DOCUMENT,
    FIRST,
    KEYS,
    REVOKE,
    TOKEN,
    answers,
    client,
    id_token,
    key_set,
    refuses,
)

KEY = "an-idempotency-key-of-some-length"
OUTAGE = 10.0
"""Seconds by the keeper's own clock that a failing call takes: nobody is patient for longer."""


class Killed(BaseException):
    """The process is no more. No handler of the product catches it."""


@dataclass
class LittleIssuer:
    """
    The `Http` port: an issuer of one person's grants.

    Attributes:
        rotates: Whether each refresh brings a new refresh token, and an old one ends the grant.
        good: The refresh tokens that work.
        before: Called before each token request is answered.
    """

    clock: ManualClock
    rotates: bool = False
    good: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    given: int = 0
    refresh_token: bool = True
    before: Callable[[], object] = lambda: None
    trouble: int | None = None
    sub: str = "1"
    scope: str = "openid email"

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        if request.url == DISCOVERY:
            return answers(200, DOCUMENT)
        if request.url == KEYS:
            return key_set(first=FIRST)
        if request.url == REVOKE:
            self.good.clear()
            return answers(200, {})
        assert TOKEN == request.url
        form = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
        self.asked.append(form["grant_type"])
        waited = self.before()
        if inspect.isawaitable(waited):
            await waited
        if self.trouble is not None:
            return answers(self.trouble, {})
        return self._code() if "code" in form else self._refresh(form["refresh_token"])

    def _code(self) -> HttpResponse:
        signed = id_token(
            self.clock, claims={"sub": self.sub, "email": "marker@secret.example", "email_verified": True}
        )
        return self._granted(new=self.refresh_token, id_token=signed.reveal())

    def _refresh(self, token: str) -> HttpResponse:
        if token not in self.good:
            if self.rotates:
                self.good.clear()
            return refuses("invalid_grant")
        if self.rotates:
            self.good.discard(token)
        return self._granted(new=self.rotates)

    def _granted(self, *, new: bool, **more: str) -> HttpResponse:
        self.given += 1
        body: dict[str, Any] = {
            "access_token": f"MARKER-access-{self.given}",
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": self.scope,
            **more,
        }
        if new:
            body["refresh_token"] = f"MARKER-refresh-{self.given}"
            self.good.add(body["refresh_token"])
        return answers(200, body)

    async def close(self) -> None:
        pass


UNCOUNTED = {
    "changes",
    "last_change",
    "append",
    "touch",
    "report",
    "nodes",
    "leave",
    "mark",
    "set_mark",
    "close",
}
"""What runs beside, or is no step of a sign-in or a refresh."""


@dataclass
class Stops:
    """
    What goes wrong at which step. A step is a call of the store, or a write of the journal.

    Attributes:
        away: The store fails and does nothing.
        deaf: Numbers of commits that are done and reported as failed.
        kill_at: The step at which the process is killed; before it is done, or after if *done*.
    """

    clock: ManualClock
    away: bool = False
    deaf: set[int] = field(default_factory=set)
    kill_at: int | None = None
    done: bool = False
    steps: int = 0
    commits: int = 0
    dead: bool = False
    log: list[str] = field(default_factory=list)

    async def step(self, name: str, call: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed
        self.steps += 1
        self.log.append(name)
        kill = self.steps == self.kill_at
        if kill and not self.done:
            self.dead = True
            raise Killed
        try:
            return await call()
        finally:
            if kill:
                self.dead = True
                raise Killed


def fails_at(number: int, call: Callable[..., Any], *, done: bool = False) -> Callable[..., Any]:
    """A store's *call* that fails once, the time of that *number*; *done* if it is obeyed all the same."""
    count = 0

    async def failing(*args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        fails = count == number
        result = await call(*args, **named) if done or not fails else None
        if fails:
            raise StoreUnavailable("the store is away")
        return result

    return failing


class StoppingStore:
    """A store that `Stops` stop."""

    def __init__(self, store: MemoryStore, stops: Stops) -> None:
        self._store = store
        self._stops = stops

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name in UNCOUNTED:
            return method

        async def call(*args: Any, **named: Any) -> Any:
            async def really() -> Any:
                if self._stops.away:
                    self._stops.clock.tick(OUTAGE)
                    raise StoreUnavailable("the store is away")
                result = await method(*args, **named)
                if name == "commit":
                    self._stops.commits += 1
                    if self._stops.commits in self._stops.deaf:
                        raise StoreUnavailable("the connection was lost while it committed")
                return result

            return await self._stops.step(name, really)

        return call

    async def close(self) -> None:
        pass


class StoppingJournal(MemoryJournal):
    """A journal that `Stops` stop; what is in it outlives the process."""

    def __init__(self, disk: MemoryJournal, stops: Stops) -> None:
        super().__init__()
        self._held = disk._held
        self._stops = stops

    async def write(self, entry: JournalEntry) -> None:
        await self._stops.step("write", lambda: super(StoppingJournal, self).write(entry))

    async def strike(self, entry_id: str) -> None:
        await self._stops.step("strike", lambda: super(StoppingJournal, self).strike(entry_id))


class Town:
    """One database, one disk, one issuer, and one process after the other."""

    def __init__(self, directory: Path, *, rotates: bool = False) -> None:
        self.clock = ManualClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
        self.issuer = LittleIssuer(self.clock, rotates)
        self.store = MemoryStore(monotonic=self.clock.monotonic)
        self.disk = MemoryJournal()
        self.sealer = KeysetSealer(Keyset.generate())
        self.seals = Seals(self.sealer)
        provider = Provider.OIDC if rotates else Provider.GOOGLE
        ours = replace(client(provider=provider), redirects={Source.IOS: ("",)})
        self.settings = Settings.of(ours, directory=directory, keys=directory / "keys.json")

    @asynccontextmanager
    async def process(
        self, *, journal: Journal | None = None, settings: Settings | None = None
    ) -> AsyncIterator[tuple[KeeperCore, Stops]]:
        """A keeper whose journal is delivered only when the test says so."""
        stops = Stops(self.clock)
        core = await KeeperCore.open(
            settings or self.settings,
            store=cast("Store", StoppingStore(self.store, stops)),
            sealer=self.sealer,
            http=self.issuer,
            clock=self.clock,
            dice=SystemDice(),
            journal=journal or StoppingJournal(self.disk, stops),
        )
        await core._upkeep.stop()
        await core._deliverer.stop()
        stops.steps, stops.log = 0, []
        try:
            yield core, stops
        finally:
            await core.close()

    async def sign_in(self, core: KeeperCore, code: str = "4/code", key: str = KEY) -> Any:
        return await core.redeem(RedeemRequest(code=code, source="ios", idempotency_key=key))

    async def grant(self) -> Grant | None:
        """The one grant there is."""
        return next(iter(self.store._tables.grants.values()), None)

    async def token_kept(self) -> str:
        """The refresh token in the store."""
        grant = await self.grant()
        assert grant is not None
        return self.seals.refresh_token(grant).reveal()

    def events(self, name: str) -> int:
        return sum(event.name == name for event in self.store._tables.events)

    def lapse(self) -> None:
        """Let every claim and lease of the dead lapse."""
        self.clock.tick(60.0)
