"""
What was done for whom, gathered in memory and written in batches.

A hand-out of a token costs an append here and nothing else. Equal hand-outs of
one tenth of a second become one event with a count. A crash may lose that last
tenth; events of redemption, refresh and revocation are written in the same
commit as what they tell of and are never lost with it.
"""

import asyncio
from collections import Counter, deque
from contextlib import suppress
from datetime import datetime
from itertools import islice

from grantkeeper.errors import StoreUnavailable
from grantkeeper.model import AuditEvent
from grantkeeper.ports import AuditStore, Clock, GrantStore

FLUSH_SECONDS = 0.1
CAPACITY = 100_000
BATCH = 2_000


class Audit:
    """The buffer in front of an `AuditStore`; appending is safe from any thread."""

    def __init__(self, store: AuditStore, grants: GrantStore, clock: Clock, capacity: int = CAPACITY) -> None:
        self._store = store
        self._grants = grants
        self._clock = clock
        self._capacity = capacity
        self._handed_out: deque[tuple[str, str | None]] = deque()
        self._pending: Counter[tuple[str, str | None]] = Counter()
        self._events: deque[AuditEvent] = deque()
        self._used: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def full(self) -> bool:
        """Whether a token must be refused because its hand-out could not be recorded."""
        return len(self._handed_out) + len(self._pending) + len(self._events) >= self._capacity

    def handed_out(self, grant_id: str, caller: str | None) -> None:
        """
        A token was handed out.

        Raises:
            StoreUnavailable: The buffer is full; do not hand it out.
        """
        if len(self._handed_out) + len(self._pending) >= self._capacity:
            raise StoreUnavailable(
                "the audit buffer is full because the database takes nothing", retry_after=1.0
            )
        self._handed_out.append((grant_id, caller))

    def note(self, event: AuditEvent) -> None:
        """Something else happened that is not part of a commit; the oldest goes when there is no room."""
        if not self.full:
            self._events.append(event)

    def start(self) -> None:
        """Begin to write in the background."""
        self._task = asyncio.create_task(self._run(), name="audit")

    async def stop(self) -> None:
        """Write what is left, if the store takes it, and end."""
        self._ending.set()
        if self._task is not None:
            # Not cancelled: a batch cut off half-way would be written twice.
            await self._task
        with suppress(StoreUnavailable):
            await self.flush()

    async def flush(self) -> None:
        """
        Write what has been gathered so far.

        Raises:
            StoreUnavailable: It stays gathered.
        """
        # One at a time: two would write the same twice.
        async with self._writing:
            await self._flush(self._clock.now())

    async def _flush(self, now: datetime) -> None:
        while self._handed_out:
            key = self._handed_out.popleft()
            self._pending[key] += 1
            self._used[key[0]] = now
        # What is written is dropped before anything else can fail; what comes meanwhile joins at the end.
        while events := list(islice(self._events, BATCH)):
            await self._store.append(events)
            for _ in events:
                self._events.popleft()
        while counts := list(islice(self._pending.items(), BATCH)):
            await self._store.append(
                [
                    AuditEvent(now, "token.handed_out", grant_id, caller, detail={"count": str(count)})
                    for (grant_id, caller), count in counts
                ]
            )
            for key, _ in counts:
                del self._pending[key]
        if self._used:
            used, self._used = self._used, {}
            await self._grants.touch(used)

    async def _run(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._ending.wait()
            if self._handed_out or self._events or self._pending:
                with suppress(StoreUnavailable):
                    await self.flush()
