"""
The keeper's own loop thread: what lives there, and how calls from other threads and loops get in and out.

A `Home` belongs to the object that a user holds and survives a fork; the thread,
the loop and the resource on it are one process's *life* and do not.
"""

import asyncio
import atexit
import contextlib
import ctypes
import os
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

Call = Callable[[R], Coroutine[Any, Any, T]]

GRACE = 30.0
"""Seconds that closing waits for calls under way; each of them has limits of its own that are shorter."""

FORK_SECONDS = 10.0
"""How long a fork waits for resources to rest, and they for the fork."""


class _Life(Generic[R]):
    """A thread with a loop in this process, and the resource once it is open."""

    def __init__(self, name: str) -> None:
        self.pid = os.getpid()
        # Not uvloop's: a forked child would crash at its exit, where libuv joins threads that only the
        # parent has (uv__threadpool_cleanup).
        self.loop = asyncio.SelectorEventLoop()
        self.resource: R | None = None
        self.opening: asyncio.Task[R] | None = None
        self.calls: set[asyncio.Task[Any]] = set()
        # A daemon: a program that forgot to close must still be able to end.
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._tidy())
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    async def _tidy(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.loop.shutdown_asyncgens()

    def submit(self, body: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start *body* on the loop; once it is in, nothing that happens to the caller stops it."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def begin() -> None:
            task = self.loop.create_task(body())
            self.calls.add(task)
            task.add_done_callback(done)

        def done(task: asyncio.Task[T]) -> None:
            self.calls.discard(task)
            if task.cancelled():
                future.set_exception(RuntimeError("the keeper was closed before it answered"))
                return
            error = task.exception()
            if error is None:
                future.set_result(task.result())
            else:
                future.set_exception(error)

        self.loop.call_soon_threadsafe(begin)
        return future


class Home(Generic[R]):
    """
    A resource that lives on a loop thread of its own, opened when first needed in each process.

    Args:
        opening: Opens the resource; runs on the loop. Should it fail, its error
            goes to the callers that waited, and the next call tries anew.
        closing: Closes it; runs on the loop.
        resting: What the resource lets go of while the process forks; entered
            on the loop, which stands still meanwhile.
        name: Of the thread.
        grace: Seconds that closing waits for calls under way.
    """

    def __init__(
        self,
        opening: Callable[[], Awaitable[R]],
        closing: Callable[[R], Awaitable[None]],
        *,
        resting: Callable[[R], AbstractContextManager[None]] | None = None,
        name: str = "grantkeeper",
        grace: float = GRACE,
    ) -> None:
        self._grace = grace
        self._opening = opening
        self._closing = closing
        self._resting = resting
        self._forking: threading.Event | None = None
        self._name = name
        self._life: _Life[R] | None = None
        self._closed: Future[None] | None = None
        self._lock = threading.Lock()
        self.resource: R | None = None
        """The open resource, for what any thread may read; `None` while there is none in this process."""
        _HOMES.add(self)

    # -- in -------------------------------------------------------------------------------------

    async def ask(self, call: Call[R, T]) -> T:
        """
        What *call* answers, from whatever loop is running here.

        A caller that is cancelled leaves; the call goes on to its end.

        Raises:
            RuntimeError: The home is closed.
        """
        if self.here():
            return await self._serve(self._living(), call)
        return await asyncio.wrap_future(self.submit(call))

    async def block(self, call: Call[R, T]) -> T:
        """The same as `ask`, for a body that is driven without a loop: it blocks and never suspends."""
        return self.wait(call)

    def wait(self, call: Call[R, T]) -> T:
        """
        What *call* answers; blocks the thread.

        Raises:
            RuntimeError: The home is closed, or this is its own thread, which
                would wait for itself.
        """
        if self.here():
            raise RuntimeError(
                "a blocking call on the keeper's own loop would wait for itself; await it, or use a thread"
            )
        return self.submit(call).result()

    def submit(self, call: Call[R, T]) -> Future[T]:
        """Start *call*; from any thread."""
        # Under the lock: between this look and the hand-over nobody may stop the loop.
        with self._lock:
            life = self._living_locked()
            return life.submit(lambda: self._serve(life, call))

    def here(self) -> bool:
        """Whether this is the home's own thread."""
        life = self._life
        return life is not None and threading.get_ident() == life.thread.ident

    # -- living ---------------------------------------------------------------------------------

    def _living(self) -> _Life[R]:
        with self._lock:
            return self._living_locked()

    def _living_locked(self) -> _Life[R]:
        if self._closed is not None:
            raise RuntimeError("the keeper is closed")
        if self._life is not None and self._life.pid != os.getpid():
            # A fork that ran no Python hooks.
            self._leave()
        if self._life is None:
            self._life = _Life(self._name)
        return self._life

    async def _serve(self, life: _Life[R], call: Call[R, T]) -> T:
        resource = life.resource
        if resource is None:
            resource = await self._open(life)
        return await call(resource)

    async def _open(self, life: _Life[R]) -> R:
        if life.opening is None:
            life.opening = asyncio.ensure_future(self._opened(life))
        # Shielded: the others who wait for it, and a later call, need it still.
        return await asyncio.shield(life.opening)

    async def _opened(self, life: _Life[R]) -> R:
        try:
            life.resource = await self._opening()
        finally:
            life.opening = None
        with self._lock:
            if self._closed is None:
                self.resource = life.resource
        return life.resource

    # -- closing --------------------------------------------------------------------------------

    def close(self) -> None:
        """Let calls under way finish, close the resource and end the thread; again, it does nothing."""
        if self.here():
            raise RuntimeError("the keeper cannot be closed from its own loop")
        life = self._life
        self._begin_closing().result()
        if life is not None and life.pid == os.getpid():
            life.thread.join()

    async def aclose(self) -> None:
        """The same, awaited."""
        if self.here():
            raise RuntimeError("the keeper cannot be closed from its own loop")
        await asyncio.wrap_future(self._begin_closing())

    def _begin_closing(self) -> Future[None]:
        with self._lock:
            if self._closed is not None:
                return self._closed
            self.resource = None
            life, self._life = self._life, None
            if life is None or life.pid != os.getpid():
                self._closed = Future()
                self._closed.set_result(None)
            else:
                self._closed = life.submit(lambda: self._end(life))
                self._closed.add_done_callback(lambda _: life.loop.call_soon_threadsafe(life.loop.stop))
            return self._closed

    async def _end(self, life: _Life[R]) -> None:
        under_way = life.calls - {asyncio.current_task()}
        if under_way:
            await asyncio.wait(under_way, timeout=self._grace)
        if life.resource is not None:
            await self._closing(life.resource)

    def __del__(self) -> None:
        life = self._life
        if life is not None and life.pid == os.getpid():
            warnings.warn("a keeper was dropped and not closed", ResourceWarning, stacklevel=2, source=self)
            self._begin_closing()

    # -- forking --------------------------------------------------------------------------------

    def _leave(self) -> None:
        """In a child: let go of the parent's life without touching it."""
        if self._life is not None:
            _keep_for_ever(self._life)
        self._life = None
        self.resource = None

    def _before_fork(self) -> None:
        """Let the resource rest, and the loop stand still, until the fork is done."""
        if self._resting is None or self.here():
            return
        with contextlib.suppress(Exception):  # what goes wrong is told to those who wait for it
            if self._closed is not None:
                self._closed.exception(FORK_SECONDS)
            elif self._life is not None and self._life.opening is not None:
                self.submit(_nothing).exception(FORK_SECONDS)
        life, resource, resting = self._life, self.resource, self._resting
        if life is None or resource is None or life.pid != os.getpid():
            return
        ready, done = threading.Event(), threading.Event()

        def rest() -> None:
            try:
                with resting(resource):
                    ready.set()
                    done.wait(FORK_SECONDS)
            finally:
                ready.set()

        with contextlib.suppress(RuntimeError):  # the loop has just been closed, and everything with it
            life.loop.call_soon_threadsafe(rest)
            self._forking = done
            ready.wait(FORK_SECONDS)

    def _after_fork_in_parent(self) -> None:
        done, self._forking = self._forking, None
        if done is not None:
            done.set()

    def _after_fork_in_child(self) -> None:
        self._forking = None
        # The lock may have been held by a thread that is not here any more.
        self._lock = threading.Lock()
        if self._closed is not None and not self._closed.done():
            self._closed = Future()
            self._closed.set_result(None)
        self._leave()


_HOMES: "weakref.WeakSet[Home[Any]]" = weakref.WeakSet()


def _keep_for_ever(thing: object) -> None:
    """
    Never free *thing*, not even at exit.

    Its sockets, files and locks are the parent's: a finaliser that ran in the
    child would say goodbye on them.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


async def _nothing(resource: object) -> None:
    """A call that only opens."""


_one_fork = threading.Lock()


def _before_fork() -> None:
    _one_fork.acquire()
    for home in list(_HOMES):
        home._before_fork()


def _after_fork_in_parent() -> None:
    for home in list(_HOMES):
        home._after_fork_in_parent()
    _one_fork.release()


def _after_fork_in_child() -> None:
    for home in list(_HOMES):
        home._after_fork_in_child()
    _one_fork.release()


def _at_exit() -> None:
    for home in list(_HOMES):
        with contextlib.suppress(Exception):
            home.close()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
atexit.register(_at_exit)
