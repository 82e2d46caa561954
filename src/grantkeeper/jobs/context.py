"""
What a job's function gets first: the user's tokens, steps that are not done twice, and a few words.

An async function gets a `JobContext`, a plain one a `PlainJobContext` that has the same names
and blocks. Both only carry: from the loop or thread of the author's code to the keeper's.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar, get_type_hints, overload

import msgspec

from grantkeeper.jobs.failures import PermanentFailure
from grantkeeper.jobs.work import Work
from grantkeeper.jobs.yard import Yard
from grantkeeper.model import Token
from grantkeeper.protocol.api_request import LARGEST_ANSWER
from grantkeeper.protocol.message import HttpResponse

P = ParamSpec("P")
T = TypeVar("T")

LOG = logging.getLogger("grantkeeper.job")


class _Base:
    """
    Attributes:
        id: Of the job; the same in every run.
        name: Of the job.
        grant_id: Whose work it is.
        attempt: 1, and more after failures that may pass.
        log: Says which job it is with every line.
    """

    def __init__(self, work: Work, home: asyncio.AbstractEventLoop, yard: Yard) -> None:
        job = work.row.job
        self._work = work
        self._home = home
        self._yard = yard
        self.id = job.id
        self.name = job.name
        self.grant_id = job.grant_id
        self.attempt = job.attempts + job.outages + 1
        ids = {"job": job.id, "name": job.name, "grant": job.grant_id}
        self.log = logging.LoggerAdapter(
            LOG, {"job": job.id, "grant": job.grant_id, "event": "job.says", "ids": ids, "says": True}
        )

    def _carry(self, call: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(call, self._home)

    def now(self) -> datetime:
        """The keeper's time, which tests move: aware, UTC."""
        return self._work.means.clock.now()

    def credentials(self) -> Any:
        """
        The user's grant for Google's own client libraries, opening what the job named.

        They block: in an async job use them inside a plain step, which runs in a thread. Before each
        request they wait for quotas and rates as `http` does, and raise `QuotaExceeded` where it does.
        """
        session = self._work.session

        def turn(url: str) -> None:
            self._carry(session.turn(url)).result()

        return self._work.means.tokens.credentials(self.grant_id, self._work.scopes or None, turn)


class JobContext(_Base):
    """What an async job works with."""

    def __init__(self, work: Work, home: asyncio.AbstractEventLoop, yard: Yard) -> None:
        super().__init__(work, home, yard)
        self.http = JobHttp(self)

    async def _ask(self, call: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(self._carry(call))

    async def token(self, min_ttl: int = 600) -> Token:
        """
        An access token that opens what the job named, and lives *min_ttl* seconds or says that it does not.

        Ask anew for each request, or use `http`: work may outlive many tokens.

        Raises:
            ConsentRequired: Let it go up, and the job waits for the user.
        """
        return await self._ask(self._work.session.token(min_ttl))

    @overload
    async def step(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    @overload
    async def step(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    async def step(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        Do a part of the job that is not done again once it is done.

        What *function* returns is recorded as JSON and comes back as what its annotation says. A
        step that was cut off is done again from its beginning, so it must bear that. A plain
        function runs in a thread. Steps are asked for in the same order in every run.

        Raises:
            RuntimeError: An earlier step of this run failed.
            PermanentFailure: The value is larger than a megabyte, or none that JSON can hold: return
                where it is kept.
        """
        return await self.named_step(_step_name(function), function, *args, **kwargs)

    @overload
    async def named_step(
        self, name: str, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    @overload
    async def named_step(
        self, name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...

    async def named_step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """`step` under another *name* than the function's own."""

        async def do() -> bytes:
            if inspect.iscoroutinefunction(function):
                return _encoded(await self._yard.run(function(*args, **kwargs)))
            return _encoded(await self._yard.thread(partial(function, *args, **kwargs)))

        # Here and not on the keeper's loop: each step would change threads four times.
        return _decoded(await self._work.step(name, do), function)

    async def progress(self, done: int, of: int = 0, doing: str | None = None) -> None:
        """Tell how far the job is: *done* of *of* (0: unknown), and a sentence without anything personal."""
        await self._ask(self._work.progress(done, of, doing))

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncIterator[None]:
        """
        Wait until no other job of this grant, on any machine, is inside the same *name*.

        Raises:
            StoreUnavailable: The claim was lost: the store was away for too long. What is inside is cut off.
        """
        inside = self._work.exclusive(name)
        here, me = asyncio.get_running_loop(), asyncio.current_task()
        assert me is not None
        held, leave = here.create_future(), asyncio.Event()

        async def hold() -> None:
            async with inside:
                here.call_soon_threadsafe(held.set_result, None)
                await leave.wait()

        holding: asyncio.Future[None] = asyncio.wrap_future(self._carry(hold()))
        try:
            await asyncio.wait([holding, held], return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            # Who stops waiting must not be given the claim later.
            holding.cancel()
            raise
        if not held.done():
            await holding
        lost: list[bool] = []

        def ended(_: object) -> None:
            lost.append(True)
            me.cancel()

        holding.add_done_callback(ended)
        try:
            yield
        except asyncio.CancelledError:
            if not lost or me.uncancel():
                raise
        finally:
            holding.remove_done_callback(ended)
            self._home.call_soon_threadsafe(leave.set)
            await asyncio.shield(holding)


class JobHttp:
    """Requests to Google's APIs with the user's token: a `grantkeeper.google.Session`."""

    def __init__(self, context: JobContext) -> None:
        self._context = context

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
        """See `grantkeeper.google.Session.request`."""
        session = self._context._work.session
        return await self._context._ask(
            session.request(
                method,
                url,
                headers=headers,
                body=body,
                json=json,
                seconds=seconds,
                largest=largest,
                idempotent=idempotent,
                accept=accept,
            )
        )

    @property
    def cut_at(self) -> datetime | None:
        """See `grantkeeper.google.Session.cut_at`."""
        return self._context._work.session.cut_at

    def now(self) -> datetime:
        """The keeper's time."""
        return self._context.now()

    async def closed(self, url: str) -> str:
        """See `grantkeeper.google.session.Closing`."""
        return await self._context._ask(self._context._work.session.closed(url))

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(max(0.0, seconds))


class PlainJobContext(_Base):
    """What a plain job works with; everything blocks."""

    def __init__(self, work: Work, home: asyncio.AbstractEventLoop, yard: Yard) -> None:
        super().__init__(work, home, yard)
        self.http = PlainJobHttp(self)

    def token(self, min_ttl: int = 600) -> Token:
        """See `JobContext.token`."""
        return self._carry(self._work.session.token(min_ttl)).result()

    def step(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """See `JobContext.step`."""
        return self.named_step(_step_name(function), function, *args, **kwargs)

    def named_step(self, name: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`step` under another *name* than the function's own."""

        async def do() -> bytes:
            return _encoded(await self._yard.thread(partial(function, *args, **kwargs)))

        return _decoded(self._carry(self._work.step(name, do)).result(), function)  # type: ignore[no-any-return]

    def progress(self, done: int, of: int = 0, doing: str | None = None) -> None:
        """See `JobContext.progress`."""
        self._carry(self._work.progress(done, of, doing)).result()

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """See `JobContext.exclusive`."""
        inside = self._work.exclusive(name)
        leave = asyncio.Event()
        held: Future[None] = Future()

        async def hold() -> None:
            async with inside:
                held.set_result(None)
                await leave.wait()

        holding = self._carry(hold())
        holding.add_done_callback(lambda _: held.cancel())
        try:
            held.result()
        except BaseException:
            holding.result()
            raise
        try:
            yield
        finally:
            self._home.call_soon_threadsafe(leave.set)
            holding.result()


class PlainJobHttp:
    """Requests to Google's APIs with the user's token, as those of `JobHttp`; they block."""

    def __init__(self, context: PlainJobContext) -> None:
        self._context = context

    def request(
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
        """See `grantkeeper.google.Session.request`."""
        session = self._context._work.session
        return self._context._carry(
            session.request(
                method,
                url,
                headers=headers,
                body=body,
                json=json,
                seconds=seconds,
                largest=largest,
                idempotent=idempotent,
                accept=accept,
            )
        ).result()

    @property
    def cut_at(self) -> datetime | None:
        """See `grantkeeper.google.Session.cut_at`."""
        return self._context._work.session.cut_at

    def now(self) -> datetime:
        """The keeper's time."""
        return self._context.now()

    def closed(self, url: str) -> str:
        """See `grantkeeper.google.session.Closing`."""
        return self._context._carry(self._context._work.session.closed(url)).result()

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))


def _step_name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _encoded(value: Any) -> bytes:
    # For good: what the step did would be done again, only to be refused again.
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PermanentFailure(f"a step returns what JSON can hold, not {type(value).__name__}") from error


def _decoded(value: bytes, function: Callable[..., Any]) -> Any:
    """What was recorded, as what the function says that it returns."""
    try:
        kind = get_type_hints(function).get("return", Any)
    except (NameError, TypeError):
        kind = Any
    if kind is type(None):
        return None
    return msgspec.json.decode(value, type=kind)
