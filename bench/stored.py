"""Whether a token costs more when PostgreSQL stores more grants, and how large a grant is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from bench import crowd, postgres, servers
from bench.figures import Aim, Figure, Part, ratios
from bench.load import Load, Outcome, send
from bench.meter import in_turns
from bench.shared import urls
from bench.sizes import Sizes
from bench.stage import Stage, strangers
from tests.postgres import PostgresServer

FLAT = Aim(most=1.3)
WAYS = ("uncached", "uncached, pages in memory", "cached")


def stored(sizes: Sizes, directory: Path) -> Part:
    """As many grants as a benchmark of some minutes can have."""
    return _compared(sizes, directory, "stored", sizes.large)


def stored_large(sizes: Sizes, directory: Path) -> Part:
    """More than fit into the memory of most machines."""
    return _compared(sizes, directory, "stored-large", sizes.huge)


@dataclass(frozen=True, slots=True)
class _Store:
    """A database with so many grants, and how fast they were written."""

    stage: Stage
    count: int
    seconds: float


def _compared(sizes: Sizes, directory: Path, name: str, many: int) -> Part:
    with postgres.server(sizes) as started:
        small = _filled(started, directory / "small", sizes, sizes.small)
        large = _filled(started, directory / "large", sizes, many)
        about = postgres.describe(large.stage.database)
        outcomes: dict[tuple[int, str], list[Outcome]] = defaultdict(list)
        in_turns(sizes.rounds, *(partial(_once, store, sizes, outcomes) for store in (small, large)))
        weight = _weight(large)
    return Part(
        name=name,
        title=f"PostgreSQL with {sizes.small:,} grants and with {many:,}",
        about=(
            "Latency of `/v1/token` on one connection, one request at a time, both databases on one server. "
            f"*Uncached*: a new process, and {sizes.distinct:,} grants that neither it nor the server has "
            "read before, at even distances among all; what is not in the system's cache comes from disk. "
            "*Pages in memory*: another new process, the same grants. *Cached*: once more, the same process. "
            "Rows that are not read have random bytes where a sealed value would be, cut from one pool. "
            f"{_memory()} {about}."
        ),
        figures=[
            *(figure for way in WAYS for figure in _latencies(way, small, large, outcomes)),
            *weight,
            Figure.of(f"filled, {many:,} grants", "per second", [many / large.seconds]),
        ],
    )


def _filled(started: PostgresServer, directory: Path, sizes: Sizes, count: int) -> _Store:
    directory.mkdir()
    people = strangers(min(sizes.rounds * sizes.distinct + 1, count))
    begun = perf_counter()
    stage = crowd.furnish(started, directory, people, others=count - len(people))
    return _Store(stage, count, perf_counter() - begun)


def _once(store: _Store, sizes: Sizes, outcomes: dict[tuple[int, str], list[Outcome]], number: int) -> None:
    """New grants, by a new process; the same by another new one; and the same once more."""
    stage = store.stage
    first = number * sizes.distinct
    # The very last grant takes the caller's key and much code into memory; no round has it.
    bodies, elsewhere = stage.bodies(first, first + sizes.distinct), stage.bodies(-1)
    for way, again in ((WAYS[0], None), (WAYS[1], WAYS[2])):
        with servers.service(stage) as server:
            place = urls([server])
            _ask(stage, place, elsewhere)
            outcomes[store.count, way].append(_ask(stage, place, bodies))
            if again is not None:
                outcomes[store.count, again].append(_ask(stage, place, bodies))


def _ask(stage: Stage, place: list[str], bodies: list[str]) -> Outcome:
    return send(Load(urls=place, bodies=bodies, headers=stage.headers, connections=1, seconds=None))


def _latencies(
    way: str, small: _Store, large: _Store, outcomes: dict[tuple[int, str], list[Outcome]]
) -> list[Figure]:
    found = []
    for quantile in ("p50", "p99"):
        base = [getattr(outcome, quantile) for outcome in outcomes[small.count, way]]
        mine = [getattr(outcome, quantile) for outcome in outcomes[large.count, way]]
        aim = FLAT if quantile == "p50" else None
        found += [
            Figure.of(f"{way}: {quantile}, {large.count:,} / {small.count:,}", "", ratios(mine, base), aim),
            Figure.of(f"{way}: {quantile}, {small.count:,} grants", "ms", base),
            Figure.of(f"{way}: {quantile}, {large.count:,} grants", "ms", mine),
        ]
    return found


def _weight(store: _Store) -> Sequence[Figure]:
    """How many bytes a grant takes on disk."""
    weighed = postgres.table_bytes(store.stage.database, "grants", "tokens")
    each = {
        f"{table}, {part}": size / store.count
        for table, both in weighed.items()
        for part, size in zip(("rows", "indexes"), both, strict=True)
    }
    return [
        Figure.of("a grant on disk", "bytes", [sum(each.values())]),
        *(Figure.of(f"a grant on disk: {what}", "bytes", [size]) for what, size in sorted(each.items())),
    ]


def _memory() -> str:
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    return f"The machine has {kilobytes / 2**20:.0f} GiB of memory."
