"""The keys that seal the database: what there is, changing them, proving that one is not needed any more."""

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from grantkeeper.cli.common import (
    FAILED,
    HUMAN,
    OK,
    UNAVAILABLE,
    Manner,
    answer,
    hint,
    say,
    settings,
    table,
)
from grantkeeper.errors import InvalidRequest, SealBroken

if TYPE_CHECKING:
    from grantkeeper.adapters.keyset import Keyset
    from grantkeeper.keeper.means import Means
    from grantkeeper.keeper.nodes import Nodes, Standing
    from grantkeeper.keeper.rewrap import Proof
    from grantkeeper.model import Node

T = TypeVar("T")

RATE = 2000
WAIT = 60
ASK_EVERY = 0.5

UNDER_WAY = timedelta(minutes=15)
"""
How long after a key became primary something of the older one may still be under way: sign-ins in a browser
live for ten minutes, and are not covered by a proof.
"""

DISTRIBUTE = (
    "Copy keys.json to every node now; each reads it by itself. When all have it the new key is used, and "
    "grantkeeper keys rewrap moves what is stored."
)

INDEX = "index:"

NOT_COVERED = (
    "sign-ins that are in a browser now (10 minutes at most)",
    "backups and other copies of the database",
)


# -- what there is ------------------------------------------------------------------------------


def list_keys(*, manner: Manner = HUMAN) -> int:
    """List the keys of keys.json, which is in use, and how many of the living nodes have each."""

    async def look(desk: "Desk") -> tuple[list[dict[str, Any]], int]:
        nodes = [node for node in await desk.means.store.nodes() if node.id != desk.nodes.id]
        wrap, index = await desk.standings()
        return _rows(desk.keyset, wrap, index, nodes), len(nodes)

    rows, count = _at_desk(look)
    if manner.json:
        answer({"keys": rows, "nodes": count})
    else:
        table(rows, ["kind", "key", "id", "created", "status", "nodes"])
        say(f"{count} nodes live" if count != 1 else "1 node lives")
    return OK


def _rows(keyset: "Keyset", wrap: "Standing", index: "Standing", nodes: "list[Node]") -> list[dict[str, Any]]:
    in_use = keyset.wrap_ids[0] if wrap.primary is None else wrap.primary.key
    version = keyset.index_versions[0] if index.primary is None else index.primary.key
    rows: list[dict[str, Any]] = []
    status = "new"
    for key in keyset.wrap_keys:
        status = "primary" if key.id == in_use else "old" if status != "new" else "new"
        rows.append(
            {
                "kind": "wrap",
                "key": key.name,
                "id": key.id,
                "created": key.created,
                "status": status if key.enabled else "disabled",
                "nodes": sum(key.id in node.wrap_ids for node in nodes),
            }
        )
    rows += [
        {
            "kind": "index",
            "key": f"{INDEX}{one.version}",
            "id": one.version,
            "created": one.created,
            "status": "primary" if one.version == version else "new" if one.version > version else "old",
            "nodes": sum(one.version in node.index_versions for node in nodes),
        }
        for one in keyset.index_keys
    ]
    return rows


# -- changing the file --------------------------------------------------------------------------


def rotate(*, name: str | None = None, index: bool = False, manner: Manner = HUMAN) -> int:
    """
    Add a new key to keys.json. It is used once every living node has it.

    Parameters
    ----------
    name
        What to call the new wrapping key; by default the day.
    index
        Add a key for hashes (look-ups) instead of one that wraps.
    """
    now = _now()
    if index and name is not None:
        raise InvalidRequest("index keys have versions, not names")

    def change(keys: "Keyset") -> "Keyset":
        return keys.with_index_key(now) if index else keys.with_wrap_key(name or _day(keys, now), now)

    keys = _changed(change)
    if index:
        version = keys.index_keys[0].version
        made: dict[str, Any] = {"kind": "index", "key": f"{INDEX}{version}", "id": version, "created": now}
    else:
        new = keys.wrap_keys[0]
        made = {"kind": "wrap", "key": new.name, "id": new.id, "created": new.created}
    if manner.json:
        answer({**made, "distribute": True})
    else:
        say(f"made the key {made['key']} in {settings().keys}; nothing is sealed with it yet")
        hint(DISTRIBUTE)
    return OK


def drop(key: str, /, *, manner: Manner = HUMAN) -> int:
    """
    Take a key out of keys.json once nothing is left under it. What only it opens is gone for ever.

    Parameters
    ----------
    key
        Its name or id; index:VERSION for an index key.
    """

    async def refusal(desk: "Desk") -> tuple[str | None, "Named", int]:
        named = _named(desk.keyset, key)
        wrap, index = await desk.standings()
        standing = index if named.index else wrap
        default = desk.keyset.index_versions[0] if named.index else desk.keyset.wrap_ids[0]
        primary = default if standing.primary is None else standing.primary.key
        others = [node for node in await desk.means.store.nodes() if node.id != desk.nodes.id]
        return await _why_not(desk, named, standing, primary, others), named, primary

    why, named, primary = _at_desk(refusal)
    if why is not None:
        if manner.json:
            answer({"dropped": None, "key": key, "reason": why})
        say(f"the key {key} stays: {why}")
        return FAILED
    _changed(
        lambda keys: (
            keys.without_index_key(named.id, primary=primary)
            if named.index
            else keys.without_wrap_key(named.id, primary=primary)
        )
    )
    if manner.json:
        answer({"dropped": named.id, "key": key, "distribute": True})
    else:
        say(f"dropped the key {key} from {settings().keys}")
        hint("Copy keys.json to every node, and destroy every other copy of the old one.")
    return OK


async def _why_not(
    desk: "Desk", named: "Named", standing: "Standing", primary: int, others: "list[Node]"
) -> str | None:
    """Why a key may not go, if it may not."""
    if named.id == primary:
        return "it is the one in use"
    newer = named.id in _newer(desk.keyset, primary, index=named.index)
    if newer and any(named.id in (node.index_versions if named.index else node.wrap_ids) for node in others):
        return "it is newer than the one in use, and nodes that have it may begin to use it at any moment"
    if not newer and standing.primary is not None:
        until = standing.primary.since + UNDER_WAY
        if desk.means.clock.now() < until:
            return (
                "sign-ins from before the newer key was used may still be under way; "
                f"try again after {until:%H:%M:%S} UTC"
            )
    left = _left(await desk.prove(), named)
    return f"still under it: {_counted(left)}; run grantkeeper keys rewrap" if left else None


def wrap(uri: str, /, *, manner: Manner = HUMAN) -> int:
    """
    Seal keys.json under a KMS key; also from one KMS key to another.

    Parameters
    ----------
    uri
        gcp-kms://…, aws-kms://… or hcvault://…
    """
    from pathlib import Path

    from grantkeeper.settings_values import kms_key

    try:
        kms_key(uri, Path())
    except ValueError as error:
        raise InvalidRequest(f"the URI {error}") from None
    _rewritten(uri)
    if manner.json:
        answer({"wrapped_by": uri})
    else:
        say(f"{settings().keys} is sealed by the KMS now")
        hint(
            "Set GRANTKEEPER_KEYS_WRAPPED_BY to the URI on every node, copy the file there, and restart. "
            "Then destroy every copy of the old file."
        )
    return OK


def unwrap(*, manner: Manner = HUMAN) -> int:
    """Write keys.json in the clear again."""
    if settings().keys_wrapped_by is None:
        raise InvalidRequest(
            "GRANTKEEPER_KEYS_WRAPPED_BY is not set: no KMS is named that could open the file"
        )
    _rewritten(None)
    if manner.json:
        answer({"wrapped_by": None})
    else:
        say(f"{settings().keys} lies open now, for its owner alone")
        hint(
            "Take GRANTKEEPER_KEYS_WRAPPED_BY out of the settings of every node, copy the file, and restart."
        )
    return OK


# -- moving and proving -------------------------------------------------------------------------


def rewrap(*, rate: int = RATE, wait: int = WAIT, manner: Manner = HUMAN) -> int:
    """
    Move all that is stored to the newest keys, while the service runs. Killed, it goes on where it was.

    Parameters
    ----------
    rate
        How many grants a second; 0 for as many as can be.
    wait
        Seconds to wait for nodes that do not have the newest keys yet.
    """
    from grantkeeper.keeper.rewrap import Rewrapper

    if rate < 0 or wait < 0:
        raise InvalidRequest("--rate and --wait are 0 or more")

    async def move(desk: "Desk") -> int:
        wrap, index = await _all_have(desk, wait)
        lacking = {node.id: node for node in (*wrap.lacking, *index.lacking)}
        if not _ready(wrap, desk.keyset.wrap_ids) or not _ready(index, desk.keyset.index_versions):
            rows = [
                {"node": node.id, "started_at": node.started_at, "release": node.release}
                for node in lacking.values()
            ]
            if manner.json:
                answer({"moved": None, "lacking": rows})
            say(f"{len(rows)} of the nodes that live do not have the newest keys yet; nothing was moved")
            if not manner.json:
                table(rows, ["node", "started_at", "release"])
            hint("Copy keys.json to every node; its log says keys.read. The node's name is in its log, too.")
            return UNAVAILABLE
        began = desk.means.clock.monotonic()
        with _bar("rewrapping", shown=not manner.json) as bar:
            done = await Rewrapper(
                desk.means,
                rate=rate or None,
                tell=lambda so_far: bar.at(so_far.looked, f"{so_far.total} moved"),
            ).run()
        seconds = desk.means.clock.monotonic() - began
        if manner.json:
            answer(
                {
                    "moved": dict(done.moved),
                    "total": done.total,
                    "passes": done.passes,
                    "resumed": done.resumed,
                    "seconds": round(seconds, 3),
                    "broken": done.broken,
                    "broken_count": done.broken_count,
                }
            )
        else:
            say(
                f"moved {_counted(dict(done.moved)) or 'nothing'} in {seconds:.1f} seconds; "
                "grantkeeper keys prove shows what is where"
            )
        for name, why in done.broken.items():
            say(f"{name}: {why}")
        if done.broken_count > len(done.broken):
            say(f"and {done.broken_count - len(done.broken)} more")
        return FAILED if done.broken_count else OK

    return _at_desk(move)


def prove(*, key: str | None = None, manner: Manner = HUMAN) -> int:
    """
    Read everything that is stored and prove that nothing is left under a key. Exit 1 if something is.

    Parameters
    ----------
    key
        Its name or id, or index:VERSION. Without it: that all is under the keys in use.
    """

    async def read(desk: "Desk") -> tuple[dict[str, Any], bool]:
        wrap, index = await desk.standings()
        with _bar("reading", shown=not manner.json) as bar:
            proof = await desk.prove(lambda looked: bar.at(looked, ""))
        named = None if key is None else _named(desk.keyset, key, gone=True)
        if named is not None:
            left = _left(proof, named)
        else:
            left = {}
            for each, kinds in proof.wrapped.items():
                if each != desk.means.sealer.wrap_in_use:
                    left[_name_of(desk.keyset, each)] = sum(kinds.values())
            for version, kinds in proof.indexed.items():
                if version != desk.means.sealer.index_version:
                    left[f"{INDEX}{version}"] = sum(kinds.values())
        primary = index.primary if named is not None and named.index else wrap.primary
        told = {
            "proved": not left,
            "key": key,
            "left": left,
            "wrapped": {_name_of(desk.keyset, each): kinds for each, kinds in proof.wrapped.items()},
            "indexed": {f"{INDEX}{version}": kinds for version, kinds in proof.indexed.items()},
            "covered": list(COVERED),
            "not_covered": list(NOT_COVERED),
            "settled_at": None if primary is None else primary.since + UNDER_WAY,
            "settled": primary is None or desk.means.clock.now() >= primary.since + UNDER_WAY,
        }
        return told, not left

    told, good = _at_desk(read)
    if manner.json:
        answer(told)
    else:
        rows = [
            {"key": name, "what": kind, "count": count}
            for part in ("wrapped", "indexed")
            for name, kinds in told[part].items()
            for kind, count in kinds.items()
        ]
        table(rows, ["key", "what", "count"])
        say(f"covered: {'; '.join(COVERED)}")
        say(f"not covered: {'; '.join(NOT_COVERED)}")
        if not told["settled"]:
            say(f"sign-ins from before that key was used are settled at {told['settled_at']:%H:%M:%S} UTC")
        under = "another key than those in use" if key is None else f"the key {key}"
        say(f"nothing is left under {under}" if good else f"left under {under}: {_counted(told['left'])}")
    return OK if good else FAILED


COVERED = (
    "refresh tokens, access tokens and profiles of grants",
    "outcomes of redemptions",
    "signing keys of sessions",
    "hashes of grants and redemptions",
)


# -- at the desk --------------------------------------------------------------------------------


@dataclass(slots=True)
class Desk:
    """The database, the keys, and this process as a node among the others, while a command runs."""

    means: "Means"
    keyset: "Keyset"
    nodes: "Nodes"

    async def standings(self) -> "tuple[Standing, Standing]":
        """How far the newest keys have come; this command makes none primary."""
        return await self.nodes.tick()

    async def prove(self, tell: Callable[[int], None] = lambda looked: None) -> "Proof":
        """Where everything is."""
        from grantkeeper.keeper.rewrap import prove as walk

        return await walk(self.means, tell=tell)


def _at_desk(work: "Callable[[Desk], Awaitable[T]]") -> T:
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
            return await work(Desk(means, keyset, nodes))
        finally:
            await nodes.stop()
            await store.close()

    return asyncio.run(once())


class _NoHttp:
    """Nobody is asked about keys."""

    async def send(self, *args: object, **kwargs: object) -> Any:
        raise RuntimeError("a command about keys sends nothing")


async def _all_have(desk: Desk, seconds: float) -> "tuple[Standing, Standing]":
    """Make the newest keys primary as soon as every node has them, for which *seconds* are waited."""
    import asyncio

    until = desk.means.clock.monotonic() + seconds
    told = False
    while True:
        wrap, index = await desk.nodes.tick(at_once=True)
        ready = _ready(wrap, desk.keyset.wrap_ids) and _ready(index, desk.keyset.index_versions)
        if ready or desk.means.clock.monotonic() >= until:
            return wrap, index
        if desk.means.sealer.wrap_in_use is None:
            raise SealBroken("keys.json here lacks the key that all nodes seal with")
        if not told:
            say("waiting for nodes that do not have the newest keys yet")
            told = True
        await asyncio.sleep(ASK_EVERY)


def _ready(standing: "Standing", keys: tuple[int, ...]) -> bool:
    """Whether the newest key is in use; a single one always is, unless another is written down."""
    return standing.agreed or (standing.primary is None and len(keys) == 1)


def _changed(change: "Callable[[Keyset], Keyset]") -> "Keyset":
    from grantkeeper.adapters.keyfile import replace_file
    from grantkeeper.adapters.kms import open_kms

    found = settings()
    kms = open_kms(found.keys_wrapped_by)
    try:
        return replace_file(found.keys, change, kms, kms)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _rewritten(uri: str | None) -> None:
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


def _named(keyset: "Keyset", text: str, *, gone: bool = False) -> Named:
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


def _name_of(keyset: "Keyset", key_id: int) -> str:
    if key_id == 0:
        return "damaged"
    return next((key.name for key in keyset.wrap_keys if key.id == key_id), str(key_id))


def _newer(keyset: "Keyset", primary: int, *, index: bool) -> set[int]:
    order = [key.version for key in keyset.index_keys] if index else [key.id for key in keyset.wrap_keys]
    return set(order[: order.index(primary)]) if primary in order else set()


def _left(proof: "Proof", named: Named) -> dict[str, int]:
    return proof.behind(named.id) if named.index else proof.under(named.id)


def _counted(kinds: dict[str, int]) -> str:
    return ", ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items()))


def _day(keys: "Keyset", now: datetime) -> str:
    """A name for a new key that no other has."""
    names = {key.name for key in keys.wrap_keys}
    day = f"{now:%Y-%m-%d}"
    number, name = 1, day
    while name in names:
        number += 1
        name = f"{day}.{number}"
    return name


def _now() -> datetime:
    from grantkeeper.library import adapters

    return adapters.clock(settings()).now()


# -- for who watches ----------------------------------------------------------------------------


class _Bar(Protocol):
    def at(self, looked: int, note: str) -> None: ...


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


def _bar(what: str, *, shown: bool) -> AbstractContextManager[_Bar]:
    return _Seen(what) if shown and sys.stderr.isatty() else nullcontext(_Silent())
