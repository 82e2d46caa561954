"""Jobs of three steps: ours and the engine alone on the same work, and what workers and parked jobs weigh."""

import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import crowd, postgres
from bench.figures import Aim, Figure, Part, ratios
from bench.jobs_sides import ALONE, AT_ONCE, OURS, EngineJobs, Jobs, OurJobs, working
from bench.meter import Watch, all_of, in_turns
from bench.parked import parked
from bench.shared import DATABASE
from bench.sizes import Sizes
from bench.stage import furnish, strangers
from tests.postgres import PostgresServer

SHARE = Aim(least=0.75)
"""Our share of the cost is a quarter at most."""

LIMIT = 900.0
LOOK_EVERY = 0.25


@dataclass
class _Seen:
    """Of one side with so many workers: each list has a value for each round."""

    per_second: list[float] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    idle: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


def jobs(sizes: Sizes, directory: Path) -> Part:
    """On SQLite with one worker, on PostgreSQL with some."""
    for name in ("sqlite", "postgres", "parked"):
        (directory / name).mkdir()
    stage = furnish(directory / "sqlite", readable=sizes.job_grants)
    ours = OurJobs(stage)
    alone = EngineJobs(
        f"sqlite:///{directory / 'sqlite' / 'engine.db'}", directory / "sqlite", stage.readable
    )
    figures = _compared("SQLite", sizes, 1, ours, alone, None)
    with postgres.server(sizes) as started:
        stage = crowd.furnish(started, directory / "postgres", strangers(sizes.job_grants))
        about = postgres.describe(stage.database)
        ours = OurJobs(stage)
        alone = EngineJobs(started.url(started.create()), directory / "postgres", stage.readable)
        for count in sizes.processes:
            figures += _compared(
                "PostgreSQL", sizes, count, ours, alone, started, last=count == sizes.processes[-1]
            )
        figures += parked(started, directory / "parked", sizes)
    return Part(
        name="jobs",
        title="Jobs of three steps, beside the engine alone",
        about=(
            f"{sizes.jobs:,} jobs of three steps that do nothing, of {sizes.job_grants:,} users, one at a "
            f"time for each; a worker runs {AT_ONCE}. From before they are asked for, in one transaction, "
            "until the last has ended. *Engine alone* is DBOS as its documentation shows it, with as many "
            "workers, the same limits and the same polling (0.2 s), on a database of its own; SQLite's is in "
            "WAL mode, as ours is. Workers are new in each round. Latency is from before a single job is "
            f"asked for until its function is entered, on an idle worker, {sizes.job_starts} in a round. "
            f"{about}."
        ),
        figures=figures,
    )


def _compared(
    where: str,
    sizes: Sizes,
    count: int,
    ours: Jobs,
    alone: Jobs,
    started: PostgresServer | None,
    *,
    last: bool = True,
) -> list[Figure]:
    seen = {OURS: _Seen(), ALONE: _Seen()}
    try:
        in_turns(
            sizes.rounds,
            *(partial(_round, side, seen[side.name], sizes, count, started) for side in (ours, alone)),
        )
    finally:
        if last:
            ours.close()
            alone.close()
    of = f"{where}, {'1 worker' if count == 1 else f'{count} workers'}"
    mine, other = seen[OURS], seen[ALONE]
    found = [
        Figure.of(f"{of}: jobs, ours / {ALONE}", "", ratios(mine.per_second, other.per_second), SHARE),
    ]
    for name, one in seen.items():
        found.append(Figure.of(f"{of}: {name}: jobs", "per second", one.per_second))
        found += [Figure.of(f"{of}: {name}: {who}", "µs of CPU each", cpu) for who, cpu in one.cpu.items()]
        if count == 1:
            found += [
                Figure.of(f"{of}: {name}: from asked for to begun, p50", "ms", one.p50),
                Figure.of(f"{of}: {name}: from asked for to begun, p99", "ms", one.p99),
                Figure.of(f"{of}: {name}: memory of a worker that waits", "MB", one.idle),
                Figure.of(f"{of}: {name}: memory after {sizes.jobs:,} jobs", "MB", one.after),
            ]
    return found


def _round(
    side: Jobs, seen: _Seen, sizes: Sizes, count: int, started: PostgresServer | None, number: int
) -> None:
    with working(side, count) as workers:
        watched: dict[str, Watch] = {"workers": all_of(workers)}
        if started is not None:
            watched[DATABASE] = lambda: postgres.cpu(started)
        idle = max(worker.resident() for worker in workers)
        # The first ones take code and connections into memory.
        _done(side, min(count * AT_ONCE, sizes.jobs))
        before = {who: watch() for who, watch in watched.items()}
        seconds = _done(side, sizes.jobs)
        for who, watch in watched.items():
            seen.cpu[who].append((watch() - before[who]) / sizes.jobs * 1e6)
        seen.per_second.append(sizes.jobs / seconds)
        seen.idle.append(idle)
        seen.after.append(max(worker.resident() for worker in workers))
        if count == 1:
            waits = sorted(_latencies(side, sizes.job_starts))
            seen.p50.append(waits[len(waits) // 2])
            seen.p99.append(waits[len(waits) * 99 // 100])


def _done(side: Jobs, count: int) -> float:
    """Seconds from asking for *count* jobs to the end of the last."""
    since = time.time()
    side.enqueue("three_steps", count)
    return _until(partial(side.ended, since), count) - since


def _until(ended: Callable[[], tuple[int, float]], count: int) -> float:
    until = time.monotonic() + LIMIT
    while True:
        done, last = ended()
        if done == count:
            return last
        if time.monotonic() > until:
            raise RuntimeError(f"{count - done} of {count} jobs do not end")
        time.sleep(LOOK_EVERY)


def _latencies(side: Jobs, count: int) -> list[float]:
    """Milliseconds from asking for one to its beginning, of so many, one after the other."""
    asked: dict[str, float] = {}
    for _ in range(count):
        since = time.time()
        (job_id,) = side.enqueue("began_at", 1)
        asked[job_id] = since
        _until(partial(side.ended, since), 1)
        # At no fixed distance from the polls.
        time.sleep(random.uniform(0.1, 0.4))
    return [(side.result(job_id) - since) * 1e3 for job_id, since in asked.items()]
