"""The keys that seal the database: what there is, changing them, proving that one is not needed any more."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

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
from grantkeeper.cli.key_desk import (
    INDEX,
    Desk,
    Named,
    all_have,
    at_desk,
    bar,
    change_file,
    counted,
    find_key,
    free_name,
    in_use,
    left_under,
    name_of,
    newer_than,
    now_is,
    rewrite_file,
)
from grantkeeper.errors import InvalidRequest

if TYPE_CHECKING:
    from grantkeeper.adapters.keyset import Keyset
    from grantkeeper.keeper.nodes import Standing
    from grantkeeper.model import Node

RATE = 2000
WAIT = 60

UNDER_WAY = timedelta(minutes=15)
"""
How long after a key became primary something of the older one may still be under way: sign-ins in a browser
live for ten minutes, and are not covered by a proof.
"""

DISTRIBUTE = (
    "Copy keys.json to every node now; each reads it by itself. When all have it the new key is used, and "
    "grantkeeper keys rewrap moves what is stored."
)

NOT_COVERED = (
    "sign-ins that are in a browser now (10 minutes at most)",
    "journals of other machines: prove there, too",
    "backups and other copies of the database",
)


# -- what there is ------------------------------------------------------------------------------


def list_keys(*, manner: Manner = HUMAN) -> int:
    """List the keys of keys.json, which is in use, and how many of the living nodes have each."""

    async def look(desk: "Desk") -> tuple[list[dict[str, Any]], int]:
        nodes = [node for node in await desk.means.store.nodes() if node.id != desk.nodes.id]
        wrap, index = await desk.standings()
        return _rows(desk.keyset, wrap, index, nodes), len(nodes)

    rows, count = at_desk(look)
    if manner.json:
        answer({"keys": rows, "nodes": count})
    else:
        table(rows, ["kind", "key", "id", "created", "status", "nodes"])
        say(f"{count} nodes live" if count != 1 else "1 node lives")
    return OK


def _rows(keyset: "Keyset", wrap: "Standing", index: "Standing", nodes: "list[Node]") -> list[dict[str, Any]]:
    primary = keyset.wrap_ids[0] if wrap.primary is None else wrap.primary.key
    version = keyset.index_versions[0] if index.primary is None else index.primary.key
    rows: list[dict[str, Any]] = []
    status = "new"
    for key in keyset.wrap_keys:
        status = "primary" if key.id == primary else "old" if status != "new" else "new"
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
    now = now_is()
    if index and name is not None:
        raise InvalidRequest("index keys have versions, not names")

    def change(keys: "Keyset") -> "Keyset":
        return keys.with_index_key(now) if index else keys.with_wrap_key(name or free_name(keys, now), now)

    keys = change_file(change)
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
        named = find_key(desk.keyset, key)
        wrap, index = await desk.standings()
        standing = index if named.index else wrap
        default = desk.keyset.index_versions[0] if named.index else desk.keyset.wrap_ids[0]
        primary = default if standing.primary is None else standing.primary.key
        others = [node for node in await desk.means.store.nodes() if node.id != desk.nodes.id]
        return await _why_not(desk, named, standing, primary, others), named, primary

    why, named, primary = at_desk(refusal)
    if why is not None:
        if manner.json:
            answer({"dropped": None, "key": key, "reason": why})
        say(f"the key {key} stays: {why}")
        return FAILED
    change_file(
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
    newer = named.id in newer_than(desk.keyset, primary, index=named.index)
    if newer and any(named.id in (node.index_versions if named.index else node.wrap_ids) for node in others):
        return "it is newer than the one in use, and nodes that have it may begin to use it at any moment"
    if not newer and standing.primary is not None:
        until = standing.primary.since + UNDER_WAY
        if desk.means.clock.now() < until:
            return (
                "sign-ins from before the newer key was used may still be under way; "
                f"try again after {until:%H:%M:%S} UTC"
            )
    left = left_under(await desk.prove(), named)
    if not left:
        return None
    # The journal is not rewrapped: what it holds goes into the database, sealed anew.
    remedy = (
        "start the service, which delivers it" if {*left} == {"journal"} else "run grantkeeper keys rewrap"
    )
    return f"still under it: {counted(left)}; {remedy}"


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
    rewrite_file(uri)
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
    rewrite_file(None)
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
        wrap, index = await all_have(desk, wait)
        lacking = {node.id: node for node in (*wrap.lacking, *index.lacking)}
        if not in_use(wrap, desk.keyset.wrap_ids) or not in_use(index, desk.keyset.index_versions):
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
        with bar("rewrapping", shown=not manner.json) as line:
            done = await Rewrapper(
                desk.means,
                rate=rate or None,
                tell=lambda so_far: line.at(so_far.looked, f"{so_far.total} moved"),
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
                f"moved {counted(dict(done.moved)) or 'nothing'} in {seconds:.1f} seconds; "
                "grantkeeper keys prove shows what is where"
            )
        for name, why in done.broken.items():
            say(f"{name}: {why}")
        if done.broken_count > len(done.broken):
            say(f"and {done.broken_count - len(done.broken)} more")
        return FAILED if done.broken_count else OK

    return at_desk(move)


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
        with bar("reading", shown=not manner.json) as line:
            proof = await desk.prove(lambda looked: line.at(looked, ""))
        named = None if key is None else find_key(desk.keyset, key, gone=True)
        if named is not None:
            left = left_under(proof, named)
        else:
            left = {}
            for each, kinds in proof.wrapped.items():
                if each != desk.means.sealer.wrap_in_use:
                    left[name_of(desk.keyset, each)] = sum(kinds.values())
            for version, kinds in proof.indexed.items():
                if version != desk.means.sealer.index_version:
                    left[f"{INDEX}{version}"] = sum(kinds.values())
        primary = index.primary if named is not None and named.index else wrap.primary
        told = {
            "proved": not left,
            "key": key,
            "left": left,
            "wrapped": {name_of(desk.keyset, each): kinds for each, kinds in proof.wrapped.items()},
            "indexed": {f"{INDEX}{version}": kinds for version, kinds in proof.indexed.items()},
            "covered": list(COVERED),
            "not_covered": list(NOT_COVERED),
            "settled_at": None if primary is None else primary.since + UNDER_WAY,
            "settled": primary is None or desk.means.clock.now() >= primary.since + UNDER_WAY,
        }
        return told, not left

    told, good = at_desk(read)
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
        say(f"nothing is left under {under}" if good else f"left under {under}: {counted(told['left'])}")
    return OK if good else FAILED


COVERED = (
    "refresh tokens, access tokens and profiles of grants",
    "outcomes of redemptions",
    "signing keys of sessions",
    "hashes of grants and redemptions",
    "answers that wait in the journals of this machine",
)
