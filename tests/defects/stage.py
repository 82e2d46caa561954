"""
Keepers on one database, an issuer that answers only when it is told to, and clocks set by hand.

Nothing here waits for time to pass: a test knows that a refresh is at the issuer, or that a keeper was
refused the lease, because it was told so; a lease grows old because the database says so.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from grantkeeper.adapters.sealing import generate_keys, load_keys
from grantkeeper.errors import GrantkeeperError
from grantkeeper.keeper.seals import Seals
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import Client, Grant, GrantState, Held, IdentitySource, Lease, StoredToken, Subject
from grantkeeper.ports import Insert, PutToken, Store
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from grantkeeper.secret import AccessToken, ClientSecret, RefreshToken
from grantkeeper.settings import Settings
from grantkeeper.testing.clock import ManualClock
from grantkeeper.testing.dice import SeededDice
from tests.defects.databases import Database
from tests.keeper.fake_issuer import DISCOVERY, DOCUMENT, OURS, TOKEN, Sent, answers
from tests.keeper.fake_issuer import client as a_client

SOON = 20.0
"""Seconds after which what must happen counts as never."""

SCOPES = frozenset({"openid"})
OLD = "access-token-0"
REFRESH = "refresh-token-0"


class Stuck(Exception):
    """A proof got nowhere; that is not what a proof asserts, so no mutant is noticed by it."""


async def until(happened: Callable[[], bool], what: str) -> None:
    """Let everybody work until it has happened."""
    try:
        async with asyncio.timeout(SOON):
            while not happened():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise Stuck(f"it never came to this: {what}") from None


def token_answer(number: int, *, rotated: bool = False) -> HttpResponse:
    """The issuer's answer with access token *number*, and a new refresh token if it rotates them."""
    body = {"access_token": f"access-token-{number}", "expires_in": 3600, "token_type": "Bearer"}
    if rotated:
        body["refresh_token"] = f"refresh-token-{number}"
    return answers(200, body)


REFUSED = answers(400, {"error": "invalid_grant"})


@dataclass
class Asked(Sent):
    """
    A refresh that is at the issuer until it is answered.

    Attributes:
        lease_left: Seconds that the lease it was sent under had left at that moment, by the store.
    """

    lease_left: float = 0.0
    answer: "asyncio.Future[HttpResponse]" = field(default_factory=asyncio.Future)

    def answered(self, response: HttpResponse) -> None:
        """Let it come home."""
        if not self.answer.done():
            self.answer.set_result(response)


class Issuer:
    """
    The `Http` port in front of an issuer that answers by hand.

    Attributes:
        asked: Every refresh, in order of arrival.
        usual: What is answered at once; ``None`` waits for the test.
    """

    def __init__(self, lease_left: Callable[[], Awaitable[float]]) -> None:
        self.asked: list[Asked] = []
        self.usual: HttpResponse | None = None
        self._lease_left = lease_left

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        if request.url == DISCOVERY:
            return answers(200, DOCUMENT)
        assert request.url == TOKEN
        call = Asked(request, seconds, fresh, await self._lease_left())
        self.asked.append(call)
        if self.usual is not None:
            call.answered(self.usual)
        return await call.answer

    async def refresh(self, number: int) -> Asked:
        """The *number*-th refresh, from 1, as soon as it is here."""
        await until(lambda: len(self.asked) >= number, f"{number} refreshes at the issuer")
        return self.asked[number - 1]


class Watched:
    """
    A store that tells what it was asked for.

    Attributes:
        refusals: How often a lease was somebody else's.
        after_get: Done once, right after a grant was read and before its reader goes on.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.refusals = 0
        self.after_get: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def take(
        self, name: str, owner: str, *, seconds: float, seen: tuple[str, int] | None = None
    ) -> Lease | Held:
        found = await self._store.take(name, owner, seconds=seconds, seen=seen)
        if isinstance(found, Held):
            self.refusals += 1
        return found

    async def get(self, grant_id: str) -> Grant | None:
        row = await self._store.get(grant_id)
        if self.after_get is not None:
            then, self.after_get = self.after_get, None
            await then()
        return row


@dataclass
class Node:
    """A keeper, and what its store was asked for."""

    core: KeeperCore
    store: Watched

    def ask(self, grant: str, **need: Any) -> "asyncio.Task[str]":
        """Somebody asks for a token: what they get, or the code of the error."""

        async def told() -> str:
            try:
                return (await self.core.access_token(grant, **need)).reveal()
            except GrantkeeperError as error:
                return error.code

        return asyncio.create_task(told())

    async def landed(self) -> None:
        """Until no refresh of this keeper is in the air."""
        await until(lambda: not self.core._refresher._flights, "no refresh in the air")


@dataclass
class Stage:
    """
    Where a proof is played.

    Attributes:
        database: Shared by all nodes.
        clock: Shared too, and standing still.
    """

    folder: Path
    database: Database
    clock: ManualClock = field(default_factory=ManualClock)
    nodes: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.issuer = Issuer(self.database.lease_left)
        self.client: Client = replace(a_client(), secrets=(ClientSecret("s1"),), scopes=SCOPES)
        generate_keys(self.folder / "keys.json")

    async def node(self) -> Node:
        """One keeper more."""
        store = Watched(await self.database.open())
        settings = Settings.of(
            {"web": {"client_id": "111-ours", "client_secret": "s1"}},
            directory=self.folder,
            keys=self.folder / "keys.json",
            database_url=self.database.url,
        )
        core = await KeeperCore.open(
            replace(settings, clients={"default": self.client}),
            store=store,
            http=self.issuer,
            clock=self.clock,
            dice=SeededDice(len(self.nodes)),
        )
        self.nodes.append(Node(core, store))
        return self.nodes[-1]

    async def grant(self, *, expires_in: float = -1.0, number: int = 1) -> str:
        """The id of a new grant whose access token lives *expires_in* seconds from now."""
        seals = Seals(load_keys(self.folder / "keys.json"))
        now = self.clock.now()
        grant = Grant(
            id=f"01950000-0000-7000-8000-{number:012d}",
            client_id=self.client.client_id,
            subject=Subject(OURS, f"sub-{number}"),
            state=GrantState.ACTIVE,
            identity_source=IdentitySource.ANSWER,
            created_at=now - timedelta(days=1),
            requested=SCOPES,
            granted=SCOPES,
            generation=1,
        )
        grant = replace(grant, data_key=seals.new_key(grant))
        grant = replace(grant, refresh_token=seals.seal_refresh_token(grant, RefreshToken(REFRESH), 1))
        expires_at = now + timedelta(seconds=expires_in)
        token = StoredToken(
            grant.id,
            "",
            seals.seal_access_token(grant, AccessToken(OLD), ""),
            SCOPES,
            expires_at - timedelta(hours=1),
            expires_at,
        )
        store = await self.database.open()
        try:
            await store.commit(Insert(grant), PutToken(token))
        finally:
            await store.close()
        return grant.id

    async def close(self) -> None:
        """Let every refresh fail that still waits, and end."""
        self.issuer.usual = answers(503, {"error": "temporarily_unavailable"}, retry_after="60")
        for call in self.issuer.asked:
            call.answered(self.issuer.usual)
        await asyncio.gather(*(node.core.close() for node in self.nodes))


@asynccontextmanager
async def a_stage(folder: Path, database: Database) -> AsyncIterator[Stage]:
    """A stage in *folder*, cleared afterwards."""
    stage = Stage(folder, database)
    try:
        yield stage
    finally:
        await stage.close()
