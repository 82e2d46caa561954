"""
Moving everything that is stored to the keys in use, and proving that nothing is left under another.

Both walk over the wrapped data keys page by page while the service serves. No
value is opened for it: only its data key changes its wrapping. Keyed hashes are
made anew from the sealed profile and refresh token of each grant.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import msgspec

from grantkeeper.errors import SealBroken, StoreConflict, StoreUnavailable
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.outcomes import owner_of
from grantkeeper.keeper.seals import Seals, wrapped_under
from grantkeeper.keeper.sessions import OWNER
from grantkeeper.model import DataKey, Grant, KeyKind, seal_owner
from grantkeeper.ports import Replace

PAGE = 500
"""Data keys in one transaction."""

INDEX_PAGE = 100
REMEMBER_EVERY = 2.0
"""Seconds between two marks of how far it came; what is done twice after a crash is found done."""

MOST_NAMED = 20
TRIES = 10
TRY_PAUSE = 0.5

INDEX: Final = "index"
JOURNAL: Final = "journal"

T = TypeVar("T")


class Place(msgspec.Struct):
    """How far a rewrap has come."""

    kind: str
    after: str
    moved: int


@dataclass(slots=True)
class Progress:
    """
    What a rewrap has done.

    Attributes:
        moved: Data keys by kind, and grants with new hashes under ``index``.
        broken: What does not open, by the first few names; it is left as it is.
        looked: Everything seen, of all passes.
    """

    moved: Counter[str] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)
    broken_count: int = 0
    looked: int = 0
    passes: int = 0
    phase: str = ""
    resumed: bool = False

    @property
    def total(self) -> int:
        """All that was moved."""
        return sum(self.moved.values())


def bound_to(key: DataKey) -> tuple[str, str]:
    """The client and owner that a data key is bound to."""
    match key.kind:
        case KeyKind.GRANT:
            return key.client_id, key.id
        case KeyKind.REDEMPTION:
            return key.client_id, owner_of(key.id)
        case KeyKind.SIGNING_KEY:
            return "", OWNER
        case KeyKind.JOB:
            return "", seal_owner(key.id)


class Rewrapper:
    """
    Moves what is stored to the keys in use. Two at once do each other no harm.

    Args:
        rate: Grants and other owners of keys moved in a second; ``None`` for as many as can be.
        tell: Called now and then with how far it came.
    """

    def __init__(
        self,
        means: Means,
        *,
        rate: float | None = None,
        tell: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._means = means
        self._seals = Seals(means.sealer)
        self._rate = rate
        self._tell = tell
        self._progress = Progress()
        self._began = 0.0
        self._remembered_at = float("-inf")
        self._seen_broken: set[str] = set()

    async def run(self) -> Progress:
        """
        Go on where the last one stopped, until a pass finds nothing to move.

        Raises:
            SealBroken: The keys in use are not here.
            StoreUnavailable: The database is away for longer than a moment; the next run goes on.
        """
        self._began = self._means.clock.monotonic()
        place = await self._place()
        self._progress.resumed = place is not None
        while True:
            self._progress.passes += 1
            found = await self._pass(place)
            # A pass that began in the middle has not seen everything.
            if not found and place is None:
                break
            place = None
        await self._set_place(None)
        self._tell(self._progress)
        return self._progress

    async def _pass(self, place: Place | None) -> int:
        phases = [*(str(kind) for kind in KeyKind), INDEX]
        found, after = 0, ""
        if place is not None and place.kind in phases:
            phases, after = phases[phases.index(place.kind) :], place.after
        for phase in phases:
            self._progress.phase = phase
            if phase == INDEX:
                found += await self._index(after)
            else:
                found += await self._walk(KeyKind(phase), after)
            after = ""
        return found

    async def _walk(self, kind: KeyKind, after: str) -> int:
        found, store = 0, self._means.store
        limit = PAGE if self._rate is None else max(1, min(PAGE, int(self._rate / 4)))
        while True:
            keys = await self._patiently(partial(store.data_keys, kind, after=after, limit=limit))
            if not keys:
                return found
            changes = list(self._rewrapped(keys))
            if changes:
                moved = await self._patiently(partial(store.rewrap, changes))
                found += len(changes)
                self._progress.moved[str(kind)] += moved
            after = keys[-1].id
            self._progress.looked += len(keys)
            await self._step(str(kind), after)

    def _rewrapped(self, keys: Iterable[DataKey]) -> Iterator[tuple[DataKey, bytes]]:
        for key in keys:
            try:
                wrapped = self._means.sealer.rewrap(key.wrapped, *bound_to(key))
            except SealBroken as error:
                if self._means.sealer.wrap_in_use is None:
                    raise
                self._broke(f"{key.kind} {key.id}", error)
                continue
            if wrapped is not None:
                yield key, wrapped

    async def _index(self, after: str) -> int:
        found = 0
        limit = INDEX_PAGE if self._rate is None else max(1, min(INDEX_PAGE, int(self._rate / 4)))
        while True:
            version = self._means.sealer.index_version
            behind = partial(self._means.store.behind_index, version, after=after, limit=limit)
            grants = await self._patiently(behind)
            if not grants:
                return found
            changes = list(self._hashed(grants))
            found += len(changes)
            if changes:
                await self._save(changes)
            after = grants[-1].id
            self._progress.looked += len(grants)
            await self._step(INDEX, after)

    def _hashed(self, grants: Iterable[Grant]) -> Iterator[Replace]:
        for grant in grants:
            try:
                yield Replace(self._seals.hashed(grant))
            except SealBroken as error:
                self._broke(f"index of {grant.id}", error)

    async def _save(self, changes: Sequence[Replace]) -> None:
        """All in one step; where somebody saved one of them in between, one by one, for the others' sake."""
        try:
            await self._patiently(partial(self._means.store.commit, *changes))
            self._progress.moved[INDEX] += len(changes)
        except StoreConflict:
            if len(changes) > 1:
                for change in changes:
                    await self._save([change])
            # Who saved it has made the hashes of what was new; the next pass looks.

    def _broke(self, name: str, error: SealBroken) -> None:
        if name in self._seen_broken:
            return
        self._seen_broken.add(name)
        self._progress.broken_count += 1
        if len(self._progress.broken) < MOST_NAMED:
            self._progress.broken[name] = error.text

    # -- pace and place -------------------------------------------------------------------------

    async def _step(self, kind: str, after: str) -> None:
        now = self._means.clock.monotonic()
        if now - self._remembered_at >= REMEMBER_EVERY:
            self._remembered_at = now
            await self._set_place(Place(kind, after, self._progress.total))
        self._tell(self._progress)
        ahead = 0.0 if self._rate is None else self._progress.total / self._rate - (now - self._began)
        await asyncio.sleep(max(ahead, 0.0))

    def _name(self) -> str:
        return f"rewrap:{self._means.sealer.wrap_in_use}"

    async def _place(self) -> Place | None:
        value = await self._patiently(lambda: self._means.store.mark(self._name()))
        try:
            return None if value is None else msgspec.json.decode(value, type=Place)
        except msgspec.MsgspecError:
            return None

    async def _set_place(self, place: Place | None) -> None:
        value = None if place is None else msgspec.json.encode(place)
        await self._patiently(lambda: self._means.store.set_mark(self._name(), value))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        tried = 0
        while True:
            try:
                return await call()
            except StoreUnavailable:
                tried += 1
                if tried == TRIES:
                    raise
                await asyncio.sleep(TRY_PAUSE)


@dataclass(frozen=True, slots=True)
class Proof:
    """
    Under which keys everything is.

    Attributes:
        wrapped: Data keys by wrapping key and kind; key 0 is what cannot be read.
        indexed: Grants and redemptions by version of the index key.
    """

    wrapped: dict[int, dict[str, int]]
    indexed: dict[int, dict[str, int]]

    def under(self, wrap_id: int) -> dict[str, int]:
        """What is left under a wrapping key, by kind."""
        return self.wrapped.get(wrap_id, {})

    def behind(self, version: int) -> dict[str, int]:
        """What is left of a version of the index key, by kind."""
        return self.indexed.get(version, {})


async def prove(
    means: Means,
    *,
    journal: Iterable[bytes] = (),
    tell: Callable[[int], None] = lambda looked: None,
) -> Proof:
    """
    Read every wrapped data key, and count.

    Args:
        journal: Wrapped data keys of the journals that this machine knows.
        tell: Called now and then with how many were read.

    Raises:
        StoreUnavailable: Not everything could be read; nothing is proved.
    """
    wrapped: dict[int, Counter[str]] = {}
    looked = 0

    def count(kind: str, data_key: bytes) -> None:
        wrapped.setdefault(wrapped_under(means.sealer, data_key), Counter())[kind] += 1

    for kind in KeyKind:
        after = ""
        while keys := await means.store.data_keys(kind, after=after, limit=10 * PAGE):
            for key in keys:
                count(str(kind), key.wrapped)
            after = keys[-1].id
            looked += len(keys)
            tell(looked)
            await asyncio.sleep(0)
    for data_key in journal:
        count(JOURNAL, data_key)
    indexed: dict[int, dict[str, int]] = {}
    for (kind, version), number in (await means.store.index_versions()).items():
        indexed.setdefault(version, {})[str(kind)] = number
    return Proof({key: dict(kinds) for key, kinds in wrapped.items()}, indexed)
