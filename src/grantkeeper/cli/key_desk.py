"""What the commands about keys share: the database, the file, names of keys, and a line for who watches."""

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from grantkeeper.cli.common import say, settings
from grantkeeper.errors import InvalidRequest, SealBroken, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from grantkeeper.adapters.keyset import Keyset
    from grantkeeper.keeper.means import Means
    from grantkeeper.keeper.nodes import Nodes, Standing
    from grantkeeper.keeper.rewrap import Proof

T = TypeVar("T")

ASK_EVERY: Final = 0.5
INDEX: Final = "index:"


@dataclass(slots=True)
class Desk:
    """The database, the keys, and this process as a node among the others, while a command runs."""

    means: "Means"
    keyset: "Keyset"
    nodes: "Nodes"
    journal_dir: "Path"

    async def standings(self) -> "tuple[Standing, Standing]":
        """How far the newest keys have come; this command makes none primary."""
        return await self.nodes.tick()

    async def prove(self, tell: Callable[[int], None] = lambda looked: None) -> "Proof":
        """
        Where everything is, in the database and in the journals of this machine.

        Raises:
            StoreUnavailable: Not all of it could be read; nothing is proved.
        """
        from grantkeeper.adapters.journal import wrapped_keys
        from grantkeeper.keeper.rewrap import prove as walk

        try:
            return await walk(self.means, journal=wrapped_keys(self.journal_dir), tell=tell)
        except OSError as error:
            raise StoreUnavailable(f"a journal cannot be read ({error.strerror})") from None


def at_desk(work: "Callable[[Desk], Awaitable[T]]") -> T:
    """Open what *settings* name, do *work*, and close it."""
    import asyncio

    from grantkeeper import __version__
    from grantkeeper.adapters.keyfile import read_file
    from grantkeeper.adapters.kms import open_kms
    from grantkeeper.adapters.sealing import KeysetSealer
    from grantkeeper.issuer import Issuer
    from grantkeeper.keeper.means import Means
    from grantkeeper.keeper.nodes import Nodes
    from grantkeeper.library import adapters

    found = settings()
    keyset = read_file(found.keys, open_kms(found.keys_wrapped_by))

    async def once() -> T:
        store = await adapters.store(found)
        clock = adapters.clock(found)
        means = Means(
            store=store,
            sealer=KeysetSealer(keyset),
            clock=clock,
            dice=adapters.dice(),
            clients=found.clients,
            issuer=Issuer(_NoHttp(), clock),
        )
        nodes = Nodes(means, release=__version__)
        try:
            await nodes.start()
            return await work(Desk(means, keyset, nodes, found.journal_dir))
        finally:
            await nodes.stop()
            await store.close()

    return asyncio.run(once())


class _NoHttp:
    """Nobody is asked about keys."""

    async def send(self, *args: object, **kwargs: object) -> Any:
        raise RuntimeError("a command about keys sends nothing")


async def all_have(desk: Desk, seconds: float) -> "tuple[Standing, Standing]":
    """Make the newest keys primary as soon as every node has them, for which *seconds* are waited."""
    import asyncio

    until = desk.means.clock.monotonic() + seconds
    told = False
    while True:
        wrap, index = await desk.nodes.tick(at_once=True)
        ready = in_use(wrap, desk.keyset.wrap_ids) and in_use(index, desk.keyset.index_versions)
        if ready or desk.means.clock.monotonic() >= until:
            return wrap, index
        if desk.means.sealer.wrap_in_use is None:
            raise SealBroken("keys.json here lacks the key that all nodes seal with")
        if not told:
            say("waiting for nodes that do not have the newest keys yet")
            told = True
        await asyncio.sleep(ASK_EVERY)


def in_use(standing: "Standing", keys: tuple[int, ...]) -> bool:
    """Whether the newest key is in use; a single one always is, unless another is written down."""
    return standing.agreed or (standing.primary is None and len(keys) == 1)


def change_file(change: "Callable[[Keyset], Keyset]") -> "Keyset":
    """Put what *change* makes of the keys in the place of keys.json."""
    from grantkeeper.adapters.keyfile import replace_file
    from grantkeeper.adapters.kms import open_kms

    found = settings()
    kms = open_kms(found.keys_wrapped_by)
    try:
        return replace_file(found.keys, change, kms, kms)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def rewrite_file(uri: str | None) -> None:
    """Write keys.json again, sealed by another KMS key or by none."""
    from grantkeeper.adapters.keyfile import replace_file
    from grantkeeper.adapters.kms import open_kms

    found = settings()
    replace_file(found.keys, lambda keys: keys, open_kms(found.keys_wrapped_by), open_kms(uri))


# -- names --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """A key that a command line named."""

    id: int
    index: bool


def find_key(keyset: "Keyset", text: str, *, gone: bool = False) -> Named:
    """
    The key of that name or id.

    Args:
        gone: Whether a key by its number may be one that is not in the file any more.
    """
    if text.startswith(INDEX):
        version = text.removeprefix(INDEX)
        if version.isdecimal() and (gone or int(version) in keyset.index_versions):
            return Named(int(version), True)
    for key in keyset.wrap_keys:
        if text in (key.name, str(key.id)):
            return Named(key.id, False)
    if gone and text.isdecimal():
        return Named(int(text), False)
    raise InvalidRequest(f"there is no key {text}", hint="grantkeeper keys list shows them.")


def name_of(keyset: "Keyset", key_id: int) -> str:
    """What people call a wrapping key."""
    if key_id == 0:
        return "damaged"
    return next((key.name for key in keyset.wrap_keys if key.id == key_id), str(key_id))


def newer_than(keyset: "Keyset", primary: int, *, index: bool) -> set[int]:
    """The keys that came after *primary*."""
    order = [key.version for key in keyset.index_keys] if index else [key.id for key in keyset.wrap_keys]
    return set(order[: order.index(primary)]) if primary in order else set()


def left_under(proof: "Proof", named: Named) -> dict[str, int]:
    """What a proof found under a key, by kind."""
    return proof.behind(named.id) if named.index else proof.under(named.id)


def counted(kinds: dict[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items()))


def free_name(keys: "Keyset", now: datetime) -> str:
    """A name for a new key that no other has."""
    names = {key.name for key in keys.wrap_keys}
    day = f"{now:%Y-%m-%d}"
    number, name = 1, day
    while name in names:
        number += 1
        name = f"{day}.{number}"
    return name


def now_is() -> datetime:
    """The time by the clock of the settings."""
    from grantkeeper.library import adapters

    return adapters.clock(settings()).now()


# -- for who watches ----------------------------------------------------------------------------


class Line(Protocol):
    """Where a watcher sees how far it came."""

    def at(self, looked: int, note: str) -> None:
        """*looked* of nobody knows how many."""
        ...


class _Silent:
    def at(self, looked: int, note: str) -> None:
        """Nobody watches."""


class _Seen:
    """A line that counts; how many there are nobody knows before all are read."""

    def __init__(self, what: str) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.completed:.0f} read"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(what, total=None, note="")

    def __enter__(self) -> "_Seen":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def at(self, looked: int, note: str) -> None:
        self._progress.update(self._task, completed=looked, note=note)


def bar(what: str, *, shown: bool) -> AbstractContextManager[Line]:
    """A line of progress, if it is to be *shown* and a person watches."""
    return _Seen(what) if shown and sys.stderr.isatty() else nullcontext(_Silent())
