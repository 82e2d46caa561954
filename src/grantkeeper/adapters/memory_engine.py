"""
The engine in memory, for tests: what it knows lasts as long as its book.

Several engines on one book are what several workers on one database are; each may have a loop of its own.
"""

import asyncio
import threading
from bisect import insort
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from grantkeeper.adapters.engine_log import escaped
from grantkeeper.ports import Run, StepRecord, StepsDiffer, Suspended, Ticket

Lane = tuple[str, int | None]
"""A group and how many of it run at once: what goes in order."""


class _State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    DONE = "done"


@dataclass(slots=True, eq=False)
class _Entry:
    """
    A ticket and what became of it.

    Attributes:
        number: How many were submitted up to it.
        records: The recorded steps by their place, from 0.
        run: The number of the run that may record; no other changes anything.
        executor: Whose run that is, while it runs.
        again: It was resumed while it runs: should it be suspended, it waits at once.
    """

    ticket: Ticket
    number: int
    state: _State = _State.WAITING
    records: dict[int, StepRecord] = field(default_factory=dict)
    run: int = 0
    executor: str = ""
    again: bool = False

    @property
    def lane(self) -> Lane:
        return self.ticket.group, self.ticket.at_once


class EngineBook:
    """
    What engines in memory share: tickets, steps, and who is at what.

    Attributes:
        lock: Held by whoever reads or writes the rest, for no longer than that takes.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.entries: dict[str, _Entry] = {}
        self.waiting: dict[Lane, list[_Entry]] = {}
        self.engines: list[MemoryEngine] = []
        self._submitted = 0
        self._running: dict[Lane, int] = {}

    def add(self, ticket: Ticket) -> None:
        """Let it wait if it is new."""
        if ticket.id not in self.entries:
            self._submitted += 1
            entry = self.entries[ticket.id] = _Entry(ticket, self._submitted)
            self.wait(entry)

    def wait(self, entry: _Entry) -> None:
        """Put it into its lane, where it stands as it was submitted."""
        entry.state, entry.again = _State.WAITING, False
        insort(self.waiting.setdefault(entry.lane, []), entry, key=lambda each: each.number)

    def begin(self, executor: str) -> _Entry | None:
        """The next entry that may run, now run by *executor*; lanes take turns."""
        for lane in self.waiting:
            if lane[1] is None or self._running.get(lane, 0) < lane[1]:
                break
        else:
            return None
        queue = self.waiting.pop(lane)
        entry = queue.pop(0)
        if queue:
            self.waiting[lane] = queue
        entry.state, entry.executor, entry.run = _State.RUNNING, executor, entry.run + 1
        self._running[lane] = self._running.get(lane, 0) + 1
        return entry

    def leave(self, entry: _Entry, state: _State) -> None:
        """It waits or runs no longer; a run of it that goes on has nothing more to say."""
        if entry.state is _State.RUNNING:
            self._running[entry.lane] -= 1
            if not self._running[entry.lane]:
                del self._running[entry.lane]
        elif entry.state is _State.WAITING:
            queue = self.waiting[entry.lane]
            queue.remove(entry)
            if not queue:
                del self.waiting[entry.lane]
        entry.state, entry.executor, entry.run = state, "", entry.run + 1

    def wake(self) -> None:
        """Let every engine see whether it can begin something."""
        for engine in list(self.engines):
            engine.wake()


class MemoryEngine:
    """Runs jobs of a book; see `Engine`."""

    def __init__(self, book: EngineBook | None = None) -> None:
        self._book = EngineBook() if book is None else book
        self._tasks: set[asyncio.Task[None]] = set()
        self._run: Run | None = None
        self._executor = ""
        self._at_once = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, run: Run, *, executor: str, at_once: int) -> None:
        """Begin what waits."""
        if self._run is not None:
            return
        self._run, self._executor, self._at_once = run, executor, at_once
        self._loop = asyncio.get_running_loop()
        with self._book.lock:
            self._book.engines.append(self)
            self._book.wake()

    async def submit(self, tickets: Sequence[Ticket]) -> None:
        """Let those that are new wait."""
        with self._book.lock:
            for ticket in tickets:
                self._book.add(ticket)
            self._book.wake()

    async def resume(self, tickets: Sequence[Ticket]) -> None:
        """Let those that are suspended or new wait."""
        with self._book.lock:
            for ticket in tickets:
                entry = self._book.entries.get(ticket.id)
                if entry is None:
                    self._book.add(ticket)
                elif entry.state is _State.SUSPENDED:
                    self._book.wait(entry)
                elif entry.state is _State.RUNNING:
                    entry.again = True
            self._book.wake()

    async def suspend(self, job_ids: Sequence[str]) -> None:
        """Take them from whoever has them."""
        with self._book.lock:
            for entry in self._known(job_ids):
                if entry.state in (_State.WAITING, _State.RUNNING):
                    self._book.leave(entry, _State.SUSPENDED)
            self._book.wake()

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Take them away and drop them."""
        with self._book.lock:
            for entry in self._known(job_ids):
                self._book.leave(entry, _State.SUSPENDED)
                del self._book.entries[entry.ticket.id]
            self._book.wake()

    def _known(self, job_ids: Iterable[str]) -> list[_Entry]:
        # A dict: an id that stands there twice is one.
        return [self._book.entries[each] for each in dict.fromkeys(job_ids) if each in self._book.entries]

    async def steps(self, job_id: str) -> list[StepRecord]:
        """What is in the book."""
        with self._book.lock:
            entry = self._book.entries.get(job_id)
            return [] if entry is None else [entry.records[place] for place in sorted(entry.records)]

    async def recover(self, executor: str) -> int:
        """Let wait again what *executor* was at."""
        with self._book.lock:
            lost = [
                entry
                for entry in self._book.entries.values()
                if entry.state is _State.RUNNING and entry.executor == executor
            ]
            for entry in lost:
                self._book.leave(entry, _State.WAITING)
                self._book.wait(entry)
            self._book.wake()
            return len(lost)

    async def stop(self, *, seconds: float) -> None:
        """Wait for what runs, then cut it off: the book says that it still runs, which `recover` sees."""
        with self._book.lock:
            if self in self._book.engines:
                self._book.engines.remove(self)
        self._run = None
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- running --------------------------------------------------------------------------------

    def wake(self) -> None:
        """Begin what may be begun, on the loop that this engine was started on; from any thread."""
        assert self._loop is not None
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            self.begin()
            return
        with suppress(RuntimeError):
            # Closed: whoever ended it so has died, and is recovered.
            self._loop.call_soon_threadsafe(self.begin)

    def begin(self) -> None:
        """As many as may be and are there."""
        while self._run is not None and len(self._tasks) < self._at_once:
            with self._book.lock:
                entry = self._book.begin(self._executor)
                number = 0 if entry is None else entry.run
            if entry is None:
                return
            task = asyncio.get_running_loop().create_task(self._do(self._run, entry, number))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def _do(self, run: Run, entry: _Entry, number: int) -> None:
        state = _State.SUSPENDED
        try:
            await run(entry.ticket.id, _MemorySteps(self._book, entry, number))
            state = _State.DONE
        except Suspended:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must not end by it
            escaped(entry.ticket.id, error)
        with self._book.lock:
            if entry.run == number:
                self._book.leave(entry, state)
                if state is _State.SUSPENDED and entry.again:
                    self._book.wait(entry)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        with self._book.lock:
            self._book.wake()


class _MemorySteps:
    """The steps of one run, which may record as long as nobody took its entry."""

    def __init__(self, book: EngineBook, entry: _Entry, number: int) -> None:
        self._book = book
        self._entry = entry
        self._number = number
        self._place = 0
        self._failed = False

    async def step(self, name: str, call: Callable[[], Awaitable[bytes]]) -> bytes:
        if self._failed:
            raise RuntimeError("a run asks for a step after one that failed")
        place, self._place = self._place, self._place + 1
        self._must_be_ours()
        recorded = self._entry.records.get(place)
        if recorded is not None:
            if recorded.name != name:
                self._failed = True
                raise StepsDiffer(f"step {place + 1} was {recorded.name!r} and is {name!r} now")
            return recorded.value
        try:
            value = await call()
        except BaseException:
            self._failed = True
            raise
        with self._book.lock:
            self._must_be_ours()
            self._entry.records[place] = StepRecord(name, value)
        return value

    def _must_be_ours(self) -> None:
        if self._entry.run != self._number:
            self._failed = True
            raise Suspended
