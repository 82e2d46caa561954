"""
An issuer's answer that is in our hands and nowhere else: how it is kept until the store has it.

It is written into the journal as soon as the store has failed once, for the
process may be killed while it tries again. Then the store is tried for a while
longer; what it does not take in that time is the deliverer's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TypeVar

import msgspec

from grantkeeper.backoff import pause
from grantkeeper.errors import JournalFailed, SealBroken, StoreUnavailable
from grantkeeper.keeper.means import STORE_LIMIT, Means
from grantkeeper.model import JournalEntry, JournalKind
from grantkeeper.ports import Journal, SealContext

T = TypeVar("T")

LONGEST_PAUSE = 0.5
"""Seconds between two tries of a store that fails; a caller waits."""

LONGEST_REST = 1.5
"""Seconds between two tries to deliver while the store stays away, at most."""

TELL_AGAIN = 5.0
"""Seconds after which a caller may ask again for what is in a journal."""


HOLDS = "holds"
"""How the report about a journal begins that works, and is not empty."""


@dataclass(frozen=True, slots=True)
class Draft:
    """
    An entry of the journal, should it come to that.

    Attributes:
        owner: Grant id, or code hash in hex.
        at: When the issuer answered.
        about: Issuer and, where it is known, ``sub``: bound into the seal and not written down.
        value: The rest, in JSON's own types; asked for only when it is needed.
    """

    kind: JournalKind
    owner: str
    client_id: str
    at: datetime
    about: tuple[str, ...]
    value: Callable[[], object]


class Custody:
    """The answers that this process holds. Belongs to one loop."""

    def __init__(self, means: Means, journal: Journal) -> None:
        self._means = means
        self.journal = journal
        self.stuck: set[str] = set()
        """Ids of entries that cannot be delivered, whether the store is there or not."""
        self._in_hand: set[str] = set()

    def hold(self, draft: Draft) -> "Holding":
        """Hold an answer that has just come."""
        return Holding(self, self._means, draft)

    def holds(self, kind: JournalKind, owner: str) -> bool:
        """Whether this process has such an entry, to be delivered as soon as the store is back."""
        return any(
            entry.kind is kind and entry.owner == owner and entry.id not in self.stuck
            for entry in self.journal.entries()
        )

    def report(self) -> str:
        """``ok``, or a sentence about what is held or why nothing can be."""
        journal, held = self.journal, self.journal.entries()
        said = [] if journal.trouble is None else [journal.trouble]
        if held:
            since = held[0].at.isoformat(timespec="seconds")
            said.append(f"{HOLDS} {len(held)} answer{'s' * (len(held) > 1)} since {since}")
        stuck = sum(entry.id in self.stuck for entry in held)
        if stuck:
            said.append(f"{stuck} cannot be delivered")
        if journal.damaged:
            said.append(f"{HOLDS} damaged files: {journal.damaged}")
        return "; ".join(said) or "ok"

    def waiting(self) -> list[JournalEntry]:
        """Entries that nobody in this process is about to store, the oldest first."""
        return [entry for entry in self.journal.entries() if entry.id not in self._in_hand]

    def open(self, entry: JournalEntry, about: tuple[str, ...]) -> bytes:
        """
        What is in an entry, as JSON.

        Raises:
            SealBroken: It does not open with these keys, or is not about that.
        """
        context = _context(entry.id, entry.kind, entry.owner, entry.client_id, about)
        return self._means.sealer.unseal(entry.data_key, entry.box, context).encode()

    async def write(self, draft: Draft) -> str | None:
        """The id under which *draft* now is in the journal; ``None`` if it could not be written."""
        entry_id = self._means.owner()
        sealer = self._means.sealer
        # The key is bound as the value is, so that nothing of an entry fits another.
        context = _context(entry_id, draft.kind, draft.owner, draft.client_id, draft.about)
        text = msgspec.json.encode(draft.value()).decode()
        self._in_hand.add(entry_id)
        try:
            data_key = sealer.new_key(context.client_id, context.owner)
            entry = JournalEntry(
                id=entry_id,
                kind=draft.kind,
                owner=draft.owner,
                client_id=draft.client_id,
                at=draft.at,
                data_key=data_key,
                box=sealer.seal(data_key, text, context),
            )
            await self.journal.write(entry)
        except (JournalFailed, SealBroken) as error:
            # A node that lacks the key in use still has the store to try.
            self._in_hand.discard(entry_id)
            self._count(draft.kind, "failed")
            self._means.tell("journal.failed", level=logging.ERROR, kind=draft.kind, why=error)
            return None
        self._count(draft.kind, "written")
        self._means.tell("journal.written", level=logging.WARNING, kind=draft.kind, entry=entry_id)
        return entry_id

    async def strike(self, entry_id: str) -> None:
        """The store has it."""
        await self.journal.strike(entry_id)
        self._in_hand.discard(entry_id)
        self.stuck.discard(entry_id)

    def leave(self, entry_id: str) -> None:
        """Nobody holds it now: the deliverer may."""
        self._in_hand.discard(entry_id)

    def _count(self, kind: JournalKind, outcome: str) -> None:
        self._means.counters["journal", f"{kind}_{outcome}"] += 1

    def ended(self, entry: JournalEntry, outcome: str) -> None:
        """Count and tell that an entry was ``delivered``, or stays ``undelivered``."""
        self._count(entry.kind, outcome)
        level = logging.INFO if outcome == "delivered" else logging.ERROR
        self._means.tell(f"journal.{outcome}", level=level, kind=entry.kind, entry=entry.id)


def _context(
    entry_id: str, kind: JournalKind, owner: str, client_id: str, about: tuple[str, ...]
) -> SealContext:
    parts = "".join(f" {len(part)}:{part}" for part in (owner, *about))
    return SealContext(client_id, f"journal {entry_id}", f"{kind}{parts}")


class Holding:
    """
    One answer, held while the block runs.

    Leaving the block without `stored` having been said, whatever the reason,
    leaves the answer in the journal.
    """

    def __init__(self, custody: Custody, means: Means, draft: Draft) -> None:
        self.draft = draft
        self._custody = custody
        self._means = means
        self._give_up = means.clock.monotonic() + STORE_LIMIT
        self._entry_id: str | None = None
        self._attempts = 0
        self._stored = False

    late = False
    """Whether the answer comes from a journal, some time after it was given."""

    @property
    def failed(self) -> bool:
        """Whether a call has failed that may have been obeyed all the same."""
        return self.late or self._attempts > 0

    @property
    def is_stored(self) -> bool:
        """Whether `stored` was said."""
        return self._stored

    def stored(self) -> None:
        """Nothing of the answer is left to be kept: the store has it, or something newer."""
        self._stored = True

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """
        The result of *call*, tried again while the store fails, for a while.

        Raises:
            StoreUnavailable: It failed too long.
        """
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await self._write_down()
                self._attempts += 1
                if self._means.clock.monotonic() >= self._give_up:
                    raise
                await rest(self._means, self._attempts)

    async def __aenter__(self) -> "Holding":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stored:
            if self._entry_id is not None:
                await self._custody.strike(self._entry_id)
            return
        if isinstance(error, Exception):
            await self._write_down()
        if self._entry_id is not None:
            self._custody.leave(self._entry_id)

    async def _write_down(self) -> None:
        if self._entry_id is None:
            self._entry_id = await self._custody.write(self.draft)


class Redelivery(Holding):
    """An answer of the journal, on its way into the store: one try, and the entry stays if that fails."""

    late = True

    def __init__(self, custody: Custody, means: Means, entry: JournalEntry, draft: Draft) -> None:
        super().__init__(custody, means, draft)
        self._entry_id = entry.id
        self._give_up = float("-inf")


async def patiently(means: Means, call: Callable[[], Awaitable[T]]) -> T:
    """
    The result of *call*, tried again while the store fails, for a while, and nothing kept.

    Raises:
        StoreUnavailable: It failed too long.
    """
    give_up = means.clock.monotonic() + STORE_LIMIT
    attempt = 0
    while True:
        attempt += 1
        try:
            return await call()
        except StoreUnavailable:
            if means.clock.monotonic() >= give_up:
                raise
            await rest(means, attempt)


async def rest(means: Means, attempt: int) -> None:
    """A little, before the store is tried again; jittered, for others try, too."""
    await asyncio.sleep(min(pause(attempt, means.dice.roll()) / 2, LONGEST_PAUSE))
