"""Where the authors' code runs: a loop and threads of its own, so that its blocking harms nobody."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Yard:
    """
    A loop in a thread, and threads.

    Args:
        threads: For plain functions and plain steps.
    """

    def __init__(self, threads: int) -> None:
        self.loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self.loop.set_default_executor(self._threads)
        self._thread = threading.Thread(target=self._turn, name="jobs", daemon=True)
        self._thread.start()

    def _turn(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    async def run(self, call: Coroutine[Any, Any, T]) -> T:
        """What *call* returns, run on the loop here, awaited on any other; a cancelled wait cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self.loop))

    async def thread(self, call: Callable[[], T]) -> T:
        """What *call* returns, in a thread here."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """End the loop; a thread that does not return is left behind."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5.0)
        self._threads.shutdown(wait=False, cancel_futures=True)
