"""
Which nodes live, which keys they have, and so which key is used for what is new.

A key is distributed first. It becomes the primary one when every node that lives
has reported it, and that is written down once, as a mark in the database: from
then on all use it, and a node that comes without it does not seal at all (design
section 8, docs/decisions/0012-how-a-key-becomes-primary.md).
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from grantkeeper.errors import GrantkeeperError, SealBroken, SettingsInvalid, StoreUnavailable
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.seals import wrapped_under
from grantkeeper.model import KeyKind, Node
from grantkeeper.ports import Sealer, Store

PRIMARY_WRAP: Final = "primary:wrap"
PRIMARY_INDEX: Final = "primary:index"


LOOKED_AT: Final = 20
"""Grants whose keys tell whose database it is: a row that came from elsewhere is no proof."""


@dataclass(frozen=True, slots=True)
class Pace:
    """
    Seconds between the steps of a node.

    Attributes:
        look: Between two looks at the keys, which cost the time of a `stat`.
        report: Between two reports.
        believed: How long a report is believed; and how long a node watches before it
            makes a key the primary one, so that all who live had time to say so.
    """

    look: float = 2.0
    report: float = 5.0
    believed: float = 20.0


class Primary(msgspec.Struct, frozen=True):
    """A key that is used for what is new, and since when."""

    key: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """
    How far a kind of key has come.

    Attributes:
        newest: The newest key that this node has.
        primary: The key in use; ``None`` while nothing is written down: it is the file's primary one.
        lacking: The nodes that live and do not have the newest.
    """

    newest: int
    primary: Primary | None
    lacking: tuple[Node, ...]

    @property
    def agreed(self) -> bool:
        """Whether all live nodes use the newest key."""
        return self.primary is not None and self.primary.key == self.newest


def agreed_on(mine: Sequence[int], others: Iterable[Sequence[int]], current: int | None) -> int | None:
    """
    The key that should be primary: the newest that every node has, if it is newer than *current*.

    Args:
        mine: The keys of this node, the newest first.
        others: Those of every other node.
        current: The one in use.

    Returns:
        ``None`` where all stays as it is; in particular where *current* is not
        here, for then this node's keys are the old ones.
    """
    if current is not None and current not in mine:
        return None
    newer = mine if current is None else mine[: mine.index(current)]
    theirs = [frozenset(keys) for keys in others]
    return next((key for key in newer if all(key in keys for keys in theirs)), None)


async def take_over(store: Store, sealer: Sealer, now: datetime) -> None:
    """Make the keys of *sealer* those of a database that has no grants, whatever keys it knew before."""
    assert sealer.wrap_in_use is not None, "new keys are in use"
    await store.set_mark(PRIMARY_INDEX, None)
    await store.set_mark(PRIMARY_WRAP, msgspec.json.encode(Primary(sealer.wrap_in_use, now)))


def _primary(mark: bytes | None) -> Primary | None:
    return None if mark is None else msgspec.json.decode(mark, type=Primary)


class Nodes:
    """
    This process among the nodes. Belongs to one loop.

    Args:
        release: Of grantkeeper, for the operator who looks for a node.
    """

    def __init__(self, means: Means, *, release: str, pace: Pace | None = None) -> None:
        self._means = means
        self._release = release
        self._pace = pace or Pace()
        self.id = means.owner()
        self._started_at = means.clock.now()
        self._watching_since = float("inf")
        self._reported_at = float("-inf")
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    async def start(self) -> None:
        """
        Report, and use the keys that all use.

        Raises:
            SettingsInvalid: Our keys open nothing of what the database holds: they belong to another.
            StoreUnavailable: Which those are cannot be read; nothing may be sealed.
        """
        await self._belong()
        await self._follow_marks()
        # A database that cannot be written to can still be served from.
        with suppress(StoreUnavailable):
            await self.tick()
        self._task = asyncio.create_task(self._run(), name="nodes")

    async def stop(self) -> None:
        """End, and say so."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(GrantkeeperError):
            await self._means.store.leave(self.id)

    def hear(self, kind: str, row_id: str) -> None:
        """Obey a change: another node has made a key the primary one."""
        if kind == "all" or (kind == "mark" and row_id in (PRIMARY_WRAP, PRIMARY_INDEX)):
            self._wake.set()

    async def tick(self, *, at_once: bool = False) -> tuple[Standing, Standing]:
        """
        Report, look at the others, and use what all agree on.

        Args:
            at_once: Make a key primary without having watched for a while: an operator says that
                it was distributed.

        Returns:
            The wrapping and the index keys' standing.

        Raises:
            StoreUnavailable: The database does not say.
        """
        await self._report()
        now = self._means.clock.monotonic()
        self._watching_since = min(self._watching_since, now)
        may = at_once or now - self._watching_since >= self._pace.believed
        nodes = [node for node in await self._means.store.nodes() if node.id != self.id]
        sealer = self._means.sealer
        wrap = await self._standing(
            PRIMARY_WRAP, sealer.wrap_ids, [(node, node.wrap_ids) for node in nodes], promote=may
        )
        index = await self._standing(
            PRIMARY_INDEX, sealer.index_versions, [(node, node.index_versions) for node in nodes], promote=may
        )
        self._use(wrap.primary, index.primary)
        return wrap, index

    async def _belong(self) -> None:
        """
        Where nothing says which key is in use: see that ours are this database's, and write it down.

        From then on a node with foreign keys seals nothing, were it the next to come to an empty database.
        """
        if await self._means.store.mark(PRIMARY_WRAP) is not None:
            return
        sealer = self._means.sealer
        found = await self._means.store.data_keys(KeyKind.GRANT, limit=LOOKED_AT)
        under = {wrapped_under(sealer, row.wrapped) for row in found} - {0}
        if under and not under.intersection(sealer.wrap_ids):
            named = ", ".join(map(str, sorted(under)))
            raise SettingsInvalid(
                [f"keys.json opens nothing in the database, whose grants are sealed under {named}"],
                hint=SealBroken.advice,
            )
        in_use = sealer.wrap_in_use
        assert in_use is not None, "without a mark it is the file's own"
        mark = msgspec.json.encode(Primary(in_use, self._means.clock.now()))
        # A database that cannot be written to can still be served from; and another may have been quicker.
        with suppress(StoreUnavailable):
            await self._means.store.swap_mark(PRIMARY_WRAP, mark, was=None)

    async def _standing(
        self, name: str, mine: Sequence[int], others: list[tuple[Node, tuple[int, ...]]], *, promote: bool
    ) -> Standing:
        written = await self._means.store.mark(name)
        primary = _primary(written)
        current = None if primary is None else primary.key
        chosen = agreed_on(mine, (keys for _, keys in others), current) if promote else None
        # While nothing is written down, an older key is in use by itself, and so is a single one.
        if chosen is not None and len(mine) > 1 and (current is not None or chosen == mine[0]):
            promoted = Primary(chosen, self._means.clock.now())
            if await self._means.store.swap_mark(name, msgspec.json.encode(promoted), was=written):
                self._means.tell("keys.primary", kind=name.removeprefix("primary:"), key=chosen, node=self.id)
            primary = _primary(await self._means.store.mark(name))
        lacking = tuple(node for node, keys in others if mine[0] not in keys)
        return Standing(mine[0], primary, lacking)

    async def _report(self) -> None:
        sealer = self._means.sealer
        first = sealer.wrap_in_use
        node = Node(
            id=self.id,
            started_at=self._started_at,
            wrap_ids=tuple(sorted(sealer.wrap_ids, key=lambda key: key != first)),
            index_versions=sealer.index_versions,
            release=self._release,
        )
        await self._means.store.report(node, seconds=self._pace.believed)
        self._reported_at = self._means.clock.monotonic()

    async def _follow_marks(self) -> None:
        store = self._means.store
        self._use(_primary(await store.mark(PRIMARY_WRAP)), _primary(await store.mark(PRIMARY_INDEX)))

    def _use(self, wrap: Primary | None, index: Primary | None) -> None:
        self._means.sealer.use(None if wrap is None else wrap.key, None if index is None else index.key)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._pace.look):
                    await self._wake.wait()
            except TimeoutError:
                pass
            try:
                await self._once()
            except GrantkeeperError as error:
                self._means.counters["nodes", error.code] += 1
            except Exception as error:  # noqa: BLE001 - a node that fell silent would hold up every rotation
                self._means.tell("nodes.broken", level=logging.ERROR, exception=type(error).__name__)

    async def _once(self) -> None:
        woken = self._wake.is_set()
        self._wake.clear()
        changed = await self._means.sealer.look()
        trouble = self._means.sealer.trouble
        if changed:
            self._means.tell("keys.read", node=self.id, newest=self._means.sealer.wrap_ids[0])
        elif trouble is not None and trouble != self._trouble:
            self._means.tell("keys.not_read", level=logging.ERROR, node=self.id, reason=trouble)
        self._trouble = trouble
        due = self._means.clock.monotonic() - self._reported_at >= self._pace.report
        if changed or woken or due:
            await self.tick()
