"""
A worker: a keeper, an engine, and the jobs of an app, assembled on the keeper's own loop.

The authors' code runs beside that loop, never on it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from grantkeeper.errors import GrantkeeperError
from grantkeeper.jobs.announcing import Announcer
from grantkeeper.jobs.definition import Definition
from grantkeeper.jobs.dispatcher import Dispatcher
from grantkeeper.jobs.liveness import Liveness
from grantkeeper.jobs.means import Means
from grantkeeper.jobs.rates import ApiRate
from grantkeeper.jobs.runner import Runner
from grantkeeper.jobs.schedules import Schedules
from grantkeeper.jobs.telling import described
from grantkeeper.jobs.yard import Yard
from grantkeeper.library import adapters
from grantkeeper.library.core import KeeperCore
from grantkeeper.library.google_auth import GrantCredentials
from grantkeeper.library.local import Keeper, LocalTokens
from grantkeeper.library.loop import Home
from grantkeeper.model import JobDescription, JobState, Token
from grantkeeper.ports import Engine
from grantkeeper.settings import Settings

AT_ONCE = 8
GRACE = 20.0
"""Seconds that what runs is waited for when a worker ends; what is left is run elsewhere."""


class CoreTokens:
    """The tokens of a core, for jobs."""

    def __init__(self, core: KeeperCore, home: Home[KeeperCore]) -> None:
        self._core = core
        self._home = home

    async def token(
        self, grant_id: str, scopes: frozenset[str] | None, min_ttl: int, rejected: str | None
    ) -> Token:
        return await self._core.access_token(grant_id, scopes=scopes, min_ttl=min_ttl, rejected=rejected)

    def credentials(self, grant_id: str, scopes: frozenset[str] | None, turn: Callable[[str], None]) -> Any:
        return GrantCredentials(LocalTokens(self._home), grant_id, scopes, turn=turn)


class _Parts:
    """What lives on the keeper's loop."""

    def __init__(
        self, means: Means, yard: Yard, lost: asyncio.Event, told: asyncio.AbstractEventLoop
    ) -> None:
        self.means = means
        self.yard = yard
        self.announcer = Announcer(means)
        self.dispatcher = Dispatcher(means)
        self.liveness = Liveness(means, lambda: _tell(told, lost))
        self.schedules = Schedules(means)
        self.runner = Runner(means, yard, self.liveness.lives)


class Worker:
    """
    Works on jobs until it is stopped; from any loop.

    Attributes:
        executor: Its name.
        lost: Set when another worker took it for dead: it must end.
        left: After `stop`, how many threads are still at a job: nobody can end them but the process.
    """

    def __init__(
        self,
        settings: Settings,
        definitions: Mapping[str, Definition],
        *,
        at_once: int = AT_ONCE,
        engine: Engine | None = None,
        rates: Sequence[ApiRate] = (),
    ) -> None:
        self._settings = settings
        self._definitions = definitions
        self._at_once = at_once
        self._engine = engine
        self._rates = tuple(rates)
        self._keeper = Keeper.open(settings=settings)
        self._parts: _Parts | None = None
        self.executor = ""
        self.left = 0
        self.lost = asyncio.Event()

    @property
    def keeper(self) -> Keeper:
        """The keeper it works with."""
        return self._keeper

    @property
    def running(self) -> list[JobDescription]:
        """The jobs that it is at, as it last wrote them down; any thread."""
        rows = [] if self._parts is None else list(self._parts.runner.at.values())
        return [described(row.job) for row in rows]

    @property
    def ended(self) -> Mapping[JobState, int]:
        """How many runs of jobs came to which state here; any thread."""
        return {} if self._parts is None else dict(self._parts.runner.ended)

    async def start(self) -> None:
        """
        Begin.

        Raises:
            SettingsInvalid: Something in the settings cannot be used, or an extra is missing.
            StoreUnavailable: A database cannot be opened now.
        """
        here = asyncio.get_running_loop()
        home = self._keeper._home

        async def begin(core: KeeperCore) -> _Parts:
            means = Means(
                store=core.store,
                engine=self._engine or adapters.engine(self._settings),
                http=core.http,
                tokens=CoreTokens(core, home),
                clock=core.clock,
                dice=core.dice,
                definitions=self._definitions,
                executor=core.nodes.id,
                hosts=_emulators(core),
                rates=self._rates,
                sealer=core.sealer,
            )
            parts = _Parts(means, Yard(2 * self._at_once), self.lost, here)
            try:
                await parts.announcer.start()
                core.on_change(parts.dispatcher.heard)
                await parts.liveness.start()
                await means.engine.start(parts.runner.run, executor=means.executor, at_once=self._at_once)
            except BaseException:
                # What has begun already would go on for ever.
                await parts.announcer.stop()
                await parts.liveness.stop(idle=True)
                parts.yard.close()
                raise
            parts.dispatcher.start()
            parts.schedules.start()
            return parts

        try:
            self._parts = await home.ask(begin)
        except BaseException:
            await self._keeper.aclose()
            raise
        self.executor = self._parts.means.executor

    async def stop(self, *, seconds: float = GRACE) -> None:
        """Begin nothing more, wait up to *seconds* for what runs, and let go."""
        parts, self._parts = self._parts, None

        async def end(core: KeeperCore) -> None:
            assert parts is not None
            await parts.announcer.stop()
            await parts.schedules.stop()
            await parts.dispatcher.stop()
            try:
                await parts.means.engine.stop(seconds=seconds)
            except GrantkeeperError as error:
                # The database is away. What is not given back is missed with our lease.
                parts.means.tell("worker.stop", level=logging.WARNING, outcome=error.code)
            finally:
                self.left = parts.yard.busy
                parts.yard.close()
                await parts.liveness.stop(idle=await self._given_back(parts.means))

        try:
            if parts is not None:
                await self._keeper._home.ask(end)
        finally:
            await self._keeper.aclose()

    async def _given_back(self, means: Means) -> bool:
        """Let others run what was cut off; whether nothing is left for a lapsed lease to tell them of."""
        try:
            try:
                await means.engine.recover(means.executor)
            finally:
                await means.engine.stop(seconds=0)
        except GrantkeeperError:
            return False
        return True

    async def __aenter__(self) -> "Worker":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _emulators(core: KeeperCore) -> frozenset[str]:
    """Issuers on this machine: they are all of Google's hosts at once."""
    found = set()
    for client in core.means.clients.values():
        parts = urlsplit(client.issuer)
        if parts.scheme == "http":
            found.add(f"{parts.scheme}://{parts.netloc}")
    return frozenset(found)


def _tell(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)
