"""`Keeper`: a keeper inside this program, on a database of its own, awaited from any loop or blocking."""

import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar
from urllib.parse import quote

from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.keeper.preflight import PreflightRequest
from grantkeeper.library.calls import Calls, Page, Scopes, SyncKeeper, plain
from grantkeeper.library.core import KeeperCore
from grantkeeper.library.job_calls import LocalJobs
from grantkeeper.library.loop import Home
from grantkeeper.model import Description, GrantState, Preflight, RedeemedGrant, Revocation, Token
from grantkeeper.protocol.scopes import Scopes as ScopeSet
from grantkeeper.protocol.scopes import asked
from grantkeeper.secret import AuthorizationCode, CodeVerifier, IdToken
from grantkeeper.settings import Settings
from grantkeeper.settings_clients import ClientsLike

if TYPE_CHECKING:
    from starlette.types import ASGIApp

T = TypeVar("T")

Path = str | PathLike[str]

DATABASE = "sqlite:///grantkeeper.db"
CLIENTS = "client_secret.json"
KEYS = "keys.json"


class Carrier(Protocol):
    """Brings a call to the core and the answer back."""

    def __call__(self, call: Callable[[KeeperCore], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]: ...


class Keeper(Calls):
    """
    Redeems codes, keeps grants, hands out tokens; the database is opened here.

    Use `Keeper.open` in async code and `Keeper.open_sync` elsewhere. Either may
    be made once for the whole program, before it forks: each process opens the
    database for itself when it first needs it.

    For example::

        async with Keeper.open("sqlite:///grants.db", clients="client_secret.json") as keeper:
            grant = await keeper.redeem(code, source="ios")
    """

    def __init__(self, home: Home[KeeperCore], carry: Carrier) -> None:
        self._home = home
        self._carry = carry

    @classmethod
    def open(
        cls,
        database_url: Path = DATABASE,
        *,
        clients: ClientsLike = CLIENTS,
        keys: Path = KEYS,
        issuer: str | None = None,
        clock_file: Path | None = None,
        public_url: str | None = None,
        settings: Settings | None = None,
        **others: Any,
    ) -> "Keeper":
        """
        A keeper whose calls are awaited, from any loop; use it with ``async with``.

        Args:
            database_url: ``sqlite:///…`` or ``postgresql://…``.
            clients: Google's ``client_secret_*.json``; several by the name they
                shall have here; or `grantkeeper.model.Client` records.
            keys: The file that ``grantkeeper init`` made.
            issuer: Of the client; default Google, for tests an emulator.
            clock_file: An emulator's, to share its moved clock.
            public_url: Our own address; without it no session tokens are made.
            settings: Everything together, in the place of all else.
            others: Any other setting by its name, such as ``condemn_limit="50,0.2"``.

        Raises:
            SettingsInvalid: Something of this cannot be used. What only opening
                finds out, such as a missing key file, is raised on entering, or
                by the first call.
        """
        if settings is None:
            settings = Settings.of(
                clients,
                database_url=_url(database_url),
                keys=keys,
                issuer=issuer,
                clock_file=clock_file,
                public_url=public_url,
                **others,
            )
        home: Home[KeeperCore] = Home(lambda: KeeperCore.open(settings), KeeperCore.close, resting=_at_rest)
        return cls(home, home.ask)

    @classmethod
    def open_sync(
        cls,
        database_url: Path = DATABASE,
        *,
        clients: ClientsLike = CLIENTS,
        keys: Path = KEYS,
        issuer: str | None = None,
        clock_file: Path | None = None,
        public_url: str | None = None,
        settings: Settings | None = None,
        **others: Any,
    ) -> "SyncLocalKeeper":
        """The same as `open`, with calls that block; use it with ``with``."""
        keeper = cls.open(
            database_url,
            clients=clients,
            keys=keys,
            issuer=issuer,
            clock_file=clock_file,
            public_url=public_url,
            settings=settings,
            **others,
        )
        return SyncLocalKeeper(cls(keeper._home, keeper._home.block))

    # -- the calls ------------------------------------------------------------------------------

    async def redeem(
        self,
        code: AuthorizationCode | str,
        source: str = "ios",
        *,
        client: str | None = None,
        redirect_uri: str | None = None,
        code_verifier: CodeVerifier | str | None = None,
        nonce: str | None = None,
        id_token: IdToken | str | None = None,
        scopes: Scopes = None,
        idempotency_key: str | None = None,
        user: str | None = None,
        expect_subject: str | None = None,
    ) -> RedeemedGrant:
        request = RedeemRequest(
            code=plain(code),
            client=client,
            source=source,
            redirect_uri=redirect_uri,
            code_verifier=plain(code_verifier),
            nonce=nonce,
            id_token=plain(id_token),
            scopes=scopes,
            idempotency_key=idempotency_key,
            trusted=True,
            user=user,
            expect_subject=expect_subject,
        )
        return await self._carry(lambda core: core.redeem(request))

    async def connected(self, result: str) -> RedeemedGrant:
        return await self._carry(lambda core: core.connect.result(result))

    async def access_token(
        self, grant_id: str, scopes: Scopes = None, min_ttl: int = 60, rejected: str | None = None
    ) -> Token:
        named = asked(scopes)
        core = self._home.resource
        if core is not None and rejected is None:
            token = core.fresh_token(grant_id, scopes=named, min_ttl=min_ttl)
            if token is not None:
                return token
        return await self._carry(
            lambda core: core.access_token(grant_id, scopes=named, min_ttl=min_ttl, rejected=rejected)
        )

    async def preflight(
        self,
        id_token: IdToken | str,
        source: str = "ios",
        *,
        client: str | None = None,
        scopes: Scopes = None,
    ) -> Preflight:
        request = PreflightRequest(id_token=plain(id_token), client=client, source=source, scopes=scopes)
        return await self._carry(lambda core: core.preflight(request))

    async def describe(self, grant_id: str) -> Description:
        return await self._carry(lambda core: core.describe(grant_id))

    async def grants(
        self,
        *,
        client: str | None = None,
        subject: str | None = None,
        user: str | None = None,
        state: GrantState | str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        found, next_cursor = await self._carry(
            lambda core: core.grants(
                client=client, subject=subject, user=user, state=state, limit=limit, cursor=cursor
            )
        )
        return Page(tuple(found), next_cursor)

    async def attach(self, grant_id: str, user: str | None) -> Description:
        return await self._carry(lambda core: core.attach(grant_id, user))

    async def revoke(self, grant_id: str) -> Revocation:
        return await self._carry(lambda core: core.revoke(grant_id))

    async def forget(self, grant_id: str, *, revoke: bool = True) -> None:
        await self._carry(lambda core: core.forget(grant_id, revoke=revoke))

    list = grants

    @property
    def jobs(self) -> LocalJobs:
        return LocalJobs(self._carry)

    # -- for others -----------------------------------------------------------------------------

    def asgi(self) -> "ASGIApp":
        """The routes for apps, from ``/v1/redeem`` to ``/connect/…``, to mount in your own app."""
        from grantkeeper.library.asgi import app_facing

        return app_facing(self._home)

    def _source(self) -> "LocalTokens":
        return LocalTokens(self._home)

    # -- lifetime -------------------------------------------------------------------------------

    async def start(self) -> Self:
        await self._carry(_nothing)
        return self

    async def aclose(self) -> None:
        await self._home.aclose()

    def close(self) -> None:
        self._home.close()


class SyncLocalKeeper(SyncKeeper):
    """The blocking face of `Keeper`."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__(keeper)
        self._keeper = keeper

    def asgi(self) -> "ASGIApp":
        """As `Keeper.asgi`."""
        return self._keeper.asgi()


class LocalTokens:
    """The tokens of a keeper of this process, for credentials: see `grantkeeper.library.tokens`."""

    def __init__(self, home: Home[KeeperCore]) -> None:
        self._home = home

    def now(self) -> datetime:
        core = self._home.resource
        return (core or self._home.wait(_itself)).means.clock.now()

    def mark(self, grant_id: str) -> object | None:
        core = self._home.resource
        return None if core is None or core.feed_silent else core.cache.peek(grant_id)

    def mark_of(self, token: Token) -> object | None:
        core = self._home.resource
        entry = None if core is None else core.cache.peek(token.grant)
        if entry is None or all(live.access_token is not token.access_token for live in entry.tokens):
            return None
        return entry

    def fresh(self, grant_id: str, scopes: ScopeSet | None, min_ttl: int) -> Token | None:
        core = self._home.resource
        return None if core is None else core.fresh_token(grant_id, scopes=scopes, min_ttl=min_ttl)

    def fetch(self, grant_id: str, scopes: ScopeSet | None, min_ttl: int, rejected: str | None) -> Token:
        return self._home.wait(
            lambda core: core.access_token(grant_id, scopes=scopes, min_ttl=min_ttl, rejected=rejected)
        )

    async def ask(self, grant_id: str, scopes: ScopeSet | None, min_ttl: int, rejected: str | None) -> Token:
        token = self.fresh(grant_id, scopes, min_ttl) if rejected is None else None
        if token is not None:
            return token
        return await self._home.ask(
            lambda core: core.access_token(grant_id, scopes=scopes, min_ttl=min_ttl, rejected=rejected)
        )


async def _nothing(core: KeeperCore) -> None:
    """What opening needs as a call."""


async def _itself(core: KeeperCore) -> KeeperCore:
    return core


def _at_rest(core: KeeperCore) -> AbstractContextManager[None]:
    """While the process forks; a store that does not mind forks has no such method."""
    rest: Callable[[], AbstractContextManager[None]] = getattr(core.store, "at_rest", nullcontext)
    return rest()


def _url(database: Path) -> str:
    """The setting ``database_url``, for which a path object may stand as well."""
    return database if isinstance(database, str) else f"sqlite:///{quote(os.fspath(database))}"
