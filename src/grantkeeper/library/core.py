"""
A keeper, assembled: the one place where adapters are picked and handed to the keepers.

`KeeperCore` is bound to the event loop it was opened on. The service runs it on
its own loop, the library on a loop thread; both are faces of this.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from grantkeeper import __version__
from grantkeeper.audit import Audit
from grantkeeper.errors import GrantkeeperError, StoreUnavailable
from grantkeeper.issuer import Issuer
from grantkeeper.keeper.access import DEFAULT_MIN_TTL, Access
from grantkeeper.keeper.cache import Cache
from grantkeeper.keeper.connect import Connect
from grantkeeper.keeper.custody import Custody
from grantkeeper.keeper.delivery import Deliverer
from grantkeeper.keeper.doubts import Doubts, Restored
from grantkeeper.keeper.feed import Follower
from grantkeeper.keeper.keep_alive import KeepAlive
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.nodes import Nodes
from grantkeeper.keeper.panic import Panic
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.keeper.preflight import PreflightRequest, preflight
from grantkeeper.keeper.records import Records
from grantkeeper.keeper.redeem import Redeemer
from grantkeeper.keeper.refresh import Refresher
from grantkeeper.keeper.revocation import Revoker
from grantkeeper.keeper.seals import Seals
from grantkeeper.keeper.sessions import Sessions
from grantkeeper.keeper.settling import Settler
from grantkeeper.keeper.upkeep import SWEPT_AT_ONCE, Chore, Record, Upkeep
from grantkeeper.library.offline import Offline
from grantkeeper.model import Client, Description, Grant, Preflight, RedeemedGrant, Revocation, Token
from grantkeeper.ports import Clock, Dice, Http, Journal, Sealer, Store
from grantkeeper.protocol.scopes import Scopes
from grantkeeper.settings import Settings


class KeeperCore:
    """
    Everything a keeper can do, on one loop.

    Attributes:
        means: The ports and the clients.
        cache: What is remembered of grants; reading it is safe from any thread.
        connect: The redirect flow.
        sessions: The keys of session tokens.
        custody: Answers that wait for the store, with the journal they are in.
        panic: Revoking many grants at once.
        jobs: Offline work, as those who ask for it see it.
    """

    def __init__(
        self, settings: Settings, means: Means, http: Http, journal: Journal, public_url: str | None
    ) -> None:
        self.settings = settings
        self.means = means
        self._http = http
        self.cache = Cache()
        seals = Seals(means.sealer)
        self._follower = Follower(means, self.cache)
        self.audit = Audit(means.store, means.store, means.clock)
        self.custody = Custody(means, journal)
        self._refresher = Refresher(means, self.cache, seals, self._follower, self.custody)
        self._access = Access(means, self.cache, self._refresher, self.audit, lambda: self._follower.silent)
        self.sessions = Sessions(means, public_url)
        settler = Settler(means, self.cache, seals)
        self._redeemer = Redeemer(means, settler, self.custody, self._refresher, self.sessions)
        self._deliverer = Deliverer(means, self.custody, self._refresher, settler)
        self._restored = Restored(means, self.cache)
        self._revoker = Revoker(means, self.cache, seals)
        self.panic = Panic(means, self._revoker, self.sessions)
        self._records = Records(means, seals)
        self.connect = Connect(means, self._redeemer, self.sessions, public_url)
        doubts = Doubts(means, self._refresher)
        self._upkeep = Upkeep(
            means,
            (
                Chore("sweep", self._sweep),
                Chore("revocations", self._revoker.deliver_some),
                Chore("doubts", doubts.once),
                Chore("keep_alive", KeepAlive(means, self._refresher).some, every=60.0),
                Chore("history", self._keep_history, every=30.0, shared=False),
            ),
        )
        self.nodes = Nodes(means, release=__version__)
        self.jobs = Offline(self)

    @classmethod
    async def open(
        cls,
        settings: Settings,
        *,
        store: Store | None = None,
        sealer: Sealer | None = None,
        http: Http | None = None,
        clock: Clock | None = None,
        dice: Dice | None = None,
        journal: Journal | None = None,
        public_url: str | None = None,
    ) -> "KeeperCore":
        """
        Open what *settings* name and begin to work, on the running loop.

        Args:
            store: These six take the place of what the settings would open.
            public_url: Our own address, where the settings do not say.

        Raises:
            SettingsInvalid: Something named there cannot be used; no key, no start.
            StoreUnavailable: The database cannot be opened now.
        """
        from grantkeeper.library import adapters

        clock = clock or adapters.clock(settings)
        sealer = sealer or adapters.sealer(settings)
        dice = dice or adapters.dice()
        http = http or adapters.http()
        journal = journal or adapters.journal(settings)
        store = store or await adapters.store(settings)
        means = Means(
            store=store,
            sealer=sealer,
            clock=clock,
            dice=dice,
            clients=settings.clients,
            issuer=Issuer(http, clock),
            condemn_limit=settings.condemn_limit,
        )
        core = cls(settings, means, http, journal, settings.public_url or public_url)
        try:
            await core._start()
        except BaseException:
            # What has begun already would go on for ever.
            await core.close()
            raise
        return core

    async def _start(self) -> None:
        self.on_change(self._read_keys_again)
        self.on_change(self._restored.heard)
        self.on_change(self.nodes.hear)
        await self.nodes.start()
        await self._follower.start()
        await self._restored.read()
        await self._deliverer.start()
        await self.means.history.load(self.store, self.means.clients.values())
        self.audit.start()
        self._upkeep.start()

    async def _sweep(self) -> bool:
        """Drop what is past its end: redemptions, cached tokens, things good once, dead nodes and leases."""
        return await self.store.sweep(self.clock.now(), limit=SWEPT_AT_ONCE) >= SWEPT_AT_ONCE

    async def _keep_history(self) -> bool:
        """Tell the other nodes what this one has seen of its clients, and learn from them."""
        history = self.means.history
        await history.save(self.store, self.means.owner())
        await history.load(self.store, self.means.clients.values())
        return False

    def _read_keys_again(self, kind: str, row_id: str) -> None:
        if kind in ("signing_key", "all"):
            self.sessions.forget()

    async def close(self) -> None:
        """Begin nothing more, wait for what is under way, write what is gathered, and let go."""
        await self._upkeep.stop()
        with suppress(StoreUnavailable):
            await self.means.history.save(self.store, self.means.owner())
        await asyncio.gather(self._redeemer.close(), self._refresher.close())
        await self._deliverer.stop()
        await self.audit.stop()
        await self._follower.stop()
        await self._restored.stop()
        await self.nodes.stop()
        await self.custody.journal.close()
        await self.means.store.close()
        close = getattr(self._http, "close", None)
        if close is not None:
            await close()

    # -- what it works with -------------------------------------------------------------------

    @property
    def clients(self) -> Any:
        """The clients by settings name."""
        return self.means.clients

    @property
    def clock(self) -> Clock:
        """What time it is."""
        return self.means.clock

    @property
    def store(self) -> Store:
        """The database."""
        return self.means.store

    @property
    def sealer(self) -> Sealer:
        """The seals."""
        return self.means.sealer

    @property
    def http(self) -> Http:
        """The network."""
        return self._http

    @property
    def dice(self) -> Dice:
        """Randomness."""
        return self.means.dice

    @property
    def counters(self) -> dict[tuple[str, str], int]:
        """How often what came to which end."""
        return self.means.counters

    def journal_entries(self) -> int:
        """How many answers wait in the journal for the store."""
        return len(self.custody.journal.entries())

    @property
    def chores(self) -> dict[str, Record]:
        """How the chores of the upkeep fare in this process, by name."""
        return self._upkeep.records

    @property
    def feed_silent(self) -> bool:
        """Whether memory is not to be believed now; any thread."""
        return self._follower.silent

    def client(self, name: str | None) -> Client:
        """
        The client of that settings name.

        Raises:
            ClientUnknown: There is none.
        """
        return self.means.client(name)

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        """Call *callback* with kind and id of every change, on the loop; kind ``all`` means everything."""
        self._follower.listen(callback)

    # -- what it does -------------------------------------------------------------------------

    async def redeem(self, request: RedeemRequest) -> RedeemedGrant:
        """See `grantkeeper.keeper.redeem.Redeemer.redeem`."""
        return await self._redeemer.redeem(request)

    async def preflight(self, request: PreflightRequest) -> Preflight:
        """See `grantkeeper.keeper.preflight.preflight`."""
        return await preflight(request, self.means)

    def fresh_token(
        self,
        grant_id: str,
        *,
        scopes: Scopes | None = None,
        min_ttl: int = DEFAULT_MIN_TTL,
        rejected: str | None = None,
        rule: Scopes = frozenset(),
        caller: str | None = None,
    ) -> Token | None:
        """See `grantkeeper.keeper.access.Access.fresh`; any thread, memory only."""
        return self._access.fresh(
            grant_id, scopes=scopes, min_ttl=min_ttl, rejected=rejected, rule=rule, caller=caller
        )

    async def access_token(
        self,
        grant_id: str,
        *,
        scopes: Scopes | None = None,
        min_ttl: int = DEFAULT_MIN_TTL,
        rejected: str | None = None,
        rule: Scopes = frozenset(),
        caller: str | None = None,
    ) -> Token:
        """See `grantkeeper.keeper.access.Access.token`."""
        return await self._access.token(
            grant_id, scopes=scopes, min_ttl=min_ttl, rejected=rejected, rule=rule, caller=caller
        )

    async def resolve(
        self,
        *,
        grant: str | None = None,
        subject: str | None = None,
        client: str | None = None,
        user: str | None = None,
        clients: frozenset[str] = frozenset(),
    ) -> str:
        """See `grantkeeper.keeper.records.Records.resolve`."""
        return await self._records.resolve(
            grant=grant, subject=subject, client=client, user=user, clients=clients
        )

    def visible(self, grant: Grant, clients: frozenset[str]) -> bool:
        """Whether a caller whose rule lists *clients* may know of *grant*."""
        return self._records.visible(grant, clients)

    async def grant(self, grant_id: str) -> Grant:
        """
        The grant.

        Raises:
            GrantNotFound: There is no such grant.
        """
        return await self._records.get(grant_id)

    async def describe(self, grant_id: str, *, profile: bool = True) -> Description:
        """See `grantkeeper.keeper.records.Records.describe`."""
        return await self._records.describe(grant_id, profile=profile)

    async def grants(
        self,
        *,
        client: str | None = None,
        subject: str | None = None,
        user: str | None = None,
        state: str | None = None,
        email: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        clients: frozenset[str] = frozenset(),
    ) -> tuple[list[Description], str | None]:
        """See `grantkeeper.keeper.records.Records.list`."""
        return await self._records.list(
            client=client,
            subject=subject,
            user=user,
            state=state,
            email=email,
            limit=limit,
            cursor=cursor,
            clients=clients,
        )

    async def attach(self, grant_id: str, user: str | None) -> Description:
        """See `grantkeeper.keeper.records.Records.attach`."""
        return await self._records.attach(grant_id, user)

    async def revoke(self, grant_id: str) -> Revocation:
        """See `grantkeeper.keeper.revocation.Revoker.revoke`."""
        return await self._revoker.revoke(grant_id)

    async def forget(self, grant_id: str, *, revoke: bool = True) -> None:
        """See `grantkeeper.keeper.revocation.Revoker.forget`."""
        await self._revoker.forget(grant_id, revoke=revoke)

    async def session_keys(self) -> dict[str, Any]:
        """The JWK set of our session tokens."""
        return await self.sessions.jwks()

    def _keys(self) -> str:
        """What keeps this node from sealing; or what an operator should know although it seals and opens."""
        try:
            self.sealer.digest("ready", "ready")
            self.sealer.new_key("", "ready")
        except GrantkeeperError as error:
            return error.text
        notes = [] if self.sealer.trouble is None else [self.sealer.trouble]
        if self.sealer.missing:
            named = ", ".join(map(str, sorted(self.sealer.missing)))
            notes.append(f"something stored is sealed under keys that keys.json does not have: {named}")
        return f"ok, but {'; '.join(notes)}" if notes else "ok"

    async def ready(self) -> dict[str, str]:
        """
        ``ok``, or a sentence that says what is wrong, for every part that must work.

        What begins with ``ok, but`` should be looked at, and keeps nobody from working.
        """
        report = {"database": "ok", "keys": "ok", "clock": "ok", "feed": "ok"}
        await self.custody.journal.probe()
        report["journal"] = self.custody.report()
        try:
            await self.store.ready()
        except StoreUnavailable as error:
            report["database"] = error.text
        report["keys"] = self._keys()
        if self.clock.now().year < 2025:
            report["clock"] = "the clock is years behind; tokens would never expire"
        if self.feed_silent:
            report["feed"] = "the change feed is silent; tokens are read from the database"
        return report
