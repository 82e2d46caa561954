"""Where the authors' code runs: a loop and threads of its own, so that its blocking harms nobody."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from grantkeeper.ports import Suspended

T = TypeVar("T")

LAST_WORDS: Final = 2.0
"""Seconds for what is cut off at the end to let go of what it has."""

BY_ITSELF: Final = "the job's code was cancelled by itself"


class _Loop(asyncio.SelectorEventLoop):
    """A loop that keeps its threads: an engine whose steps run here would put its own in their place."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        super().__init__()
        super().set_default_executor(threads)

    def set_default_executor(self, executor: object) -> None:
        pass


class Yard:
    """
    A loop in a thread, and threads.

    What runs there sees the context variables of who had it run, by which an engine knows its
    runs. Nothing that it raises is more to the keeper's loop than an error: a ``sys.exit()`` in a
    job would end the worker, and a `StopIteration` would be waited for in vain.

    Args:
        threads: For plain functions and plain steps, and for what an engine records of steps.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self.loop: asyncio.AbstractEventLoop = _Loop(self._threads)
        self._busy = 0
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._turn, name="jobs", daemon=True)
        self._thread.start()

    def _turn(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left, timeout=LAST_WORDS))
        finally:
            self.loop.close()

    @property
    def busy(self) -> int:
        """How many threads are at something now."""
        return self._busy

    async def run(self, call: Coroutine[Any, Any, T]) -> T:
        """What *call* returns, run on the loop here, awaited on any; a cancelled wait cancels it."""

        async def guarded() -> T:
            try:
                return await call
            except asyncio.CancelledError:
                if _asked_to_end():
                    raise
                # Of a task of its own that it cancelled; to us nobody said so.
                raise RuntimeError(BY_ITSELF) from None
            except GeneratorExit:
                # Nobody runs it any more.
                raise
            except BaseException as error:  # noqa: BLE001 - sorted there
                _raise(error)

        if asyncio.get_running_loop() is self.loop:
            return await guarded()
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(guarded(), self.loop))
        except asyncio.CancelledError:
            if _asked_to_end():
                raise
            # The task over there was cancelled, and not by us who wait for it.
            raise RuntimeError(BY_ITSELF) from None

    async def thread(self, call: Callable[[], T]) -> T:
        """What *call* returns, in a thread here; a cancelled wait leaves it running."""

        def guarded() -> T:
            with self._counting:
                self._busy += 1
            try:
                return call()
            except BaseException as error:  # noqa: BLE001 - sorted there
                _raise(error)
            finally:
                with self._counting:
                    self._busy -= 1

        within = partial(contextvars.copy_context().run, guarded)
        return await asyncio.get_running_loop().run_in_executor(self._threads, within)

    def close(self) -> None:
        """End the loop; a thread that does not return is left behind."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5.0)
        self._threads.shutdown(wait=False, cancel_futures=True)


def _asked_to_end() -> bool:
    """Whether somebody cancelled the task that we are in."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _raise(error: BaseException) -> NoReturn:
    """*error* as it may cross from one loop to another."""
    if isinstance(error, Exception | Suspended) and not isinstance(error, StopIteration | StopAsyncIteration):
        raise error
    raise RuntimeError(f"the job's code raised {type(error).__name__}") from error
