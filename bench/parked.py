"""What jobs that wait for their users cost: bytes of rows, and what an idle worker does about them."""

import time
from collections.abc import Mapping
from pathlib import Path

from bench import crowd, postgres
from bench.figures import Figure
from bench.jobs_sides import OurJobs, working
from bench.postgres import Connection
from bench.shared import DATABASE
from bench.sizes import Sizes
from bench.stage import Stage, strangers
from grantkeeper.adapters.dbos_books import DbosBooks
from grantkeeper.adapters.dbos_place import SCHEMA
from grantkeeper.ports import Ticket
from tests.postgres import PostgresServer

STRIDE = 50_000
SETTLE_SECONDS = 3.0
"""Until a worker that has just started does nothing more."""

PARKED = {
    "state": "'parked'",
    "reason": "'revoked'",
    "note": "'the user took the access back'",
    "ordered": "NULL",
    "batch": "NULL",
    "id": "'018f0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0')",
}
"""What a parked job has otherwise than the model."""

COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = $1 AND table_name = $2 AND is_generated = 'NEVER' ORDER BY ordinal_position
"""

WEIGHT = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::float8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = coalesce($1, current_schema()) AND ($2::text IS NULL OR c.relname = $2)
"""


def parked(started: PostgresServer, directory: Path, sizes: Sizes) -> list[Figure]:
    """An idle worker without parked jobs, and with many, of which no step is recorded yet."""
    stage = crowd.furnish(started, directory, strangers(sizes.job_grants))
    side = OurJobs(stage)
    try:
        # With it the worker has a queue to look into, whether jobs are parked or not.
        model = _suspended(stage, side)
        without = _idle(side, started, sizes)
        before = _weight(stage)
        _park(stage, model, sizes.parked)
        postgres.settle(stage.database)
        after = _weight(stage)
        having = _idle(side, started, sizes)
    finally:
        side.close()
    figures = [
        Figure.of(f"a parked job in {where}", "bytes", [(after[where] - before[where]) / sizes.parked])
        for where in after
    ]
    for told, found in (("no", without), (f"{sizes.parked:,}", having)):
        figures += [
            Figure.of(f"{told} parked jobs: idle, {who}", "cores busy", shares)
            for who, shares in found.items()
        ]
    return figures


def _idle(side: OurJobs, started: PostgresServer, sizes: Sizes) -> Mapping[str, list[float]]:
    """How many processors a worker keeps busy that has nothing to do, and PostgreSQL for it."""
    found: dict[str, list[float]] = {"worker": [], DATABASE: []}
    with working(side, 1) as (worker,):
        time.sleep(SETTLE_SECONDS)
        for _ in range(sizes.rounds):
            before, began = (worker.cpu(), postgres.cpu(started)), time.perf_counter()
            time.sleep(sizes.idle)
            seconds = time.perf_counter() - began
            found["worker"].append((worker.cpu() - before[0]) / seconds)
            found[DATABASE].append((postgres.cpu(started) - before[1]) / seconds)
    return found


def _weight(stage: Stage) -> dict[str, float]:
    """Bytes on disk: of our table with its indexes, and of all of the engine's."""

    async def read(db: Connection) -> dict[str, float]:
        return {
            "our table": await db.fetchval(WEIGHT, None, "jobs"),
            "the engine's tables": await db.fetchval(WEIGHT, SCHEMA, None),
        }

    return postgres.ask(stage.database, read)


def _suspended(stage: Stage, side: OurJobs) -> str:
    """The id of a job that the engine knows as one which is not to run."""
    (model,) = side.enqueue("three_steps", 1)
    books = DbosBooks(stage.database)
    try:
        books.submit([Ticket(model, stage.readable[0])])
        books.suspend([model])
    finally:
        books.close()
    return model


def _park(stage: Stage, model: str, count: int) -> None:
    """Copies of one job in both records: ours says that it is parked, the engine's that it is suspended."""

    async def copy(db: Connection) -> None:
        ours = await db.fetch(COLUMNS, await db.fetchval("SELECT current_schema()"), "jobs")
        grants = "($3::text[])[1 + i % cardinality($3::text[])]"
        differing = PARKED | {"grant_id": grants}
        statements = [_copies("jobs", [row[0] for row in ours], "id", differing)]
        for table in ("workflow_status", "workflow_input", "workflow_output"):
            columns = [row[0] for row in await db.fetch(COLUMNS, SCHEMA, table)]
            engine = {"workflow_uuid": PARKED["id"], "queue_partition_key": grants}
            statements.append(_copies(f"{SCHEMA}.{table}", columns, "workflow_uuid", engine))
        for first in range(0, count, STRIDE):
            last = min(first + STRIDE, count) - 1
            for statement in statements:
                await db.execute(statement, first, last, stage.readable, model)
        await db.execute("DELETE FROM jobs WHERE id = $1", model)

    postgres.ask(stage.database, copy)


def _copies(table: str, columns: list[str], key: str, differing: Mapping[str, str]) -> str:
    """Rows $1 to $2 like the one whose *key* is $4, of the grants $3."""
    names = ", ".join(f'"{column}"' for column in columns)
    chosen = ", ".join(differing.get(column, f'm."{column}"') for column in columns)
    # Every statement has all four, so that all are asked in one way.
    return (
        f"INSERT INTO {table} ({names}) SELECT {chosen}"
        f" FROM {table} AS m, generate_series($1::bigint, $2::bigint) AS i"
        f" WHERE m.{key} = $4::text AND cardinality($3::text[]) > 0"
    )
