"""
A stage on PostgreSQL, with as many grants as wanted.

A crowd is written by SQL, table to table, with random bytes where a sealed value
would be. The grants that will be read or refreshed stand among it at even
distances, each on a page of its own as soon as there are enough others, and are
sealed and mapped to rows as the store does it. While it is written nothing
goes to the log and the indexes are away; the server that is measured afterwards
has the settings of the measurement again.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import postgres
from bench.google import Issuer
from bench.postgres import Connection
from bench.stage import SPAN, Person, Stage, empty, populate, sealed_grant, stranger
from grantkeeper.adapters.records import GRANT, TOKEN, grant_row, token_row
from grantkeeper.library import adapters
from grantkeeper.model import Grant, StoredToken
from grantkeeper.settings import load_settings
from tests.postgres import PostgresServer

POOL = 2**20
"""Bytes of randomness that a crowd's sealed values are cut from, anew for each value."""

LONGEST = 1024
STRIDE = 50_000
"""Grants written by one statement at most."""

MILLISECOND = timedelta(milliseconds=1)
MONTHS = timedelta(days=150) // timedelta(microseconds=1)


def furnish(
    started: PostgresServer,
    directory: Path,
    people: Sequence[Person],
    *,
    others: int = 0,
    issuer: Issuer | None = None,
) -> Stage:
    """
    A new stage in *directory*, which exists and is empty, on a new database of the server.

    With *others*, the server is restarted twice.
    """
    settings = {} if issuer is None else issuer.settings
    registration = None if issuer is None else issuer.registration
    stage = empty(directory, started.url(started.create()), registration, **settings)
    migrate(stage)
    asyncio.run(_populate(stage, [] if others else people))
    if others:
        _crowd(started, stage, people, others)
    postgres.settle(stage.database)
    return stage


def migrate(stage: Stage) -> None:
    """``grantkeeper migrate``."""
    command = [sys.executable, "-m", "grantkeeper.cli", "migrate"]
    done = subprocess.run(
        command, env=stage.environment, cwd=stage.directory, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the database could not be made: {done.stderr}")


async def _populate(stage: Stage, people: Sequence[Person]) -> None:
    store = await adapters.store(load_settings(stage.environment, directory=stage.directory))
    await populate(stage, store, people)


# -- the crowd ----------------------------------------------------------------------------------


def _crowd(started: PostgresServer, stage: Stage, people: Sequence[Person], others: int) -> None:
    measured = started.options
    _restart(started, {**measured, **postgres.FILLING})
    try:
        postgres.ask(stage.database, lambda db: _fill(db, stage, people, others))
    finally:
        _restart(started, measured)


def _restart(started: PostgresServer, options: Mapping[str, str]) -> None:
    started.stop()
    started.start(options)


INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid IN ('grants'::regclass, 'tokens'::regclass)
AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


async def _fill(db: Connection, stage: Stage, people: Sequence[Person], others: int) -> None:
    seals, now = stage.seals(), datetime.now(UTC)
    whole = others + len(people)
    begin, pace = now - SPAN, SPAN / whole
    indexes = await db.fetch(INDEXES)
    # In the transaction that emptied the tables, wal_level=minimal writes them to disk and not to the log.
    async with db.transaction():
        await db.execute("SET LOCAL session_replication_role = replica")
        for name, _ in indexes:
            await db.execute(f"DROP INDEX {name}")
        await db.execute("TRUNCATE grants, tokens CASCADE")
        for kind in ("model", "real"):
            await db.execute(f"CREATE TEMP TABLE {kind}_grant (LIKE grants, place bigint) ON COMMIT DROP")
            await db.execute(f"CREATE TEMP TABLE {kind}_token (LIKE tokens) ON COMMIT DROP")
        model = sealed_grant(stage.registration, seals, stranger(0), now, begin)
        await _insert(db, "model", {0: model})
        made = {}
        for number, person in enumerate(people):
            place = whole * (2 * number + 1) // (2 * len(people))
            made[place] = sealed_grant(stage.registration, seals, person, now, begin + place * pace)
        await _insert(db, "real", made)
        await db.execute("ANALYZE real_grant, real_token")
        copy = await db.prepare(COPIES)
        pool = os.urandom(POOL)
        for first in range(0, whole, STRIDE):
            last = min(first + STRIDE, whole) - 1
            await copy.fetch(first, last, int(begin.timestamp() * 1000), pace / MILLISECOND, pool)
        for _, definition in indexes:
            await db.execute(definition)
    await db.execute("ANALYZE")
    stage.readable.extend(grant.id for grant, _ in made.values())


async def _insert(db: Connection, kind: str, made: Mapping[int, tuple[Grant, StoredToken]]) -> None:
    """Put what was *made* into the temporary tables of that *kind*, each with its place in the crowd."""
    await db.executemany(
        _values(f"{kind}_grant", ("place", *GRANT)),
        [(place, *grant_row(grant, 1)) for place, (grant, _) in made.items()],
    )
    await db.executemany(_values(f"{kind}_token", TOKEN), [token_row(token) for _, token in made.values()])


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _values(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({_names(columns)}) VALUES ({marks})"


def _noise(length: str) -> str:
    return f"substr($5::bytea, 1 + (random() * {POOL - LONGEST})::int, {length})"


def _chosen(columns: Sequence[str], present: str, differing: Mapping[str, str]) -> str:
    """Each column of the real row where one is *present*, else as the model has it, but for what differs."""
    chosen = []
    for column in columns:
        made = differing.get(column, f'm."{column}"')
        chosen.append(f'CASE WHEN {present} IS NOT NULL THEN r."{column}" ELSE {made} END')
    return ", ".join(chosen)


_BOXES = ("data_key", "refresh_box", "profile_box", "email_index")
_GRANT = {name: _noise(f"length(m.{name})") for name in _BOXES} | {
    "id": (
        "lpad(to_hex(ms >> 16), 8, '0') || '-' || lpad(to_hex(ms & 65535), 4, '0')"
        " || '-7' || substr(gen_random_uuid()::text, 16)"
    ),
    "sub": "'1' || lpad(i::text, 20, '0')",
    "lookups": "concat_ws(' ', substr(noise, 1, 64), substr(noise, 65, 64), substr(noise, 129, 64))",
    "created_at": "ms * 1000",
    "consented_at": "ms * 1000",
    "keep_alive_at": f"m.keep_alive_at + (random() * {MONTHS})::bigint",
}
_TOKEN = {
    "grant_id": "made.id",
    "token_box": _noise("length(m.token_box)"),
    # Nobody sweeps them away: no measurement lasts so long.
    "expires_at": f"m.expires_at + (random() * {MONTHS})::bigint + {MONTHS}",
}

COPIES = f"""
WITH made AS (
    INSERT INTO grants ({_names(GRANT)})
    SELECT {_chosen(GRANT, "r.id", _GRANT)}
    FROM (
        SELECT i, $3::bigint + (i * $4::float8)::bigint AS ms, encode({_noise("96")}, 'hex') AS noise
        FROM generate_series($1::bigint, $2::bigint) AS i
    ) AS n LEFT JOIN real_grant AS r ON r.place = i CROSS JOIN model_grant AS m
    RETURNING id
)
INSERT INTO tokens ({_names(TOKEN)})
SELECT {_chosen(TOKEN, "r.grant_id", _TOKEN)}
FROM made LEFT JOIN real_token AS r ON r.grant_id = made.id CROSS JOIN model_token AS m
"""
"""Grants $1 to $2 and their tokens; $3 milliseconds since 1970 for the first, $4 more for each; $5 noise."""
