"""How PostgreSQL does our statements: along which index, and how many rows it handles on the way."""

import json
from collections.abc import Iterator

import asyncpg
import pytest

from grantkeeper.adapters.postgres_steps import SQL
from grantkeeper.adapters.records import JOB
from tests.postgres import PostgresServer, database_of

pytestmark = pytest.mark.anyio

WHOLE = {
    "any_row",
    "index_versions",
    "callers",
    "signing_keys",
    "living_nodes",
    "sweep_nodes",
    "sweep_leases",
    "sweep_paces",
    "sweep_pauses",
    "count_jobs",
}
"""These read a whole table: a small one, or on purpose (`index_versions`, `count_jobs`)."""

SMALL = {"callers", "signing_keys", "nodes", "marks", "feed", "pulse", "leases", "paces", "pauses"}


@pytest.fixture(scope="module")
def filled_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """A database with some thousand rows in each table that grows."""
    with postgres_server.database(template=migrated_template) as url:
        postgres_server.execute(FILL, database_of(url))
        yield url


FILL = """
INSERT INTO grants (id, client_id, issuer, sub, created_at, state, identity_source, "user", requested,
    granted, data_key, generation, lookups, revocation_due, revocation_attempts, email_index, index_version,
    keep_alive_at, uncertain_since, version)
SELECT lpad(n::text, 36, '0'), 'client ' || n % 2, 'https://issuer.example', 'sub ' || n, n,
    (ARRAY['active', 'active', 'active', 'needs_consent', 'revoked'])[n % 5 + 1], 'answer',
    'user ' || n, '', '', 'key', 1, '', CASE WHEN n % 500 = 4 THEN n END, 0, decode(md5(n::text), 'hex'), 1,
    n, CASE WHEN n % 500 = 0 THEN n END, 1
FROM generate_series(1, 20000) AS n;
INSERT INTO tokens SELECT id, 'key', 'box', 1, '', 1, created_at FROM grants;
INSERT INTO jobs (id, name, grant_id, created_at, parameters, scopes, caller, batch, job_key, state, attempts,
    outages, due_at, steps, done, total, ordered, keep_until, seal_key, version)
SELECT lpad(n::text, 36, '0'), 'name ' || n % 3, lpad((n % 1000 + 1)::text, 36, '0'), n, '{}', '',
    'caller ' || n % 7, 'batch ' || n % 100, n,
    (ARRAY['done', 'done', 'done', 'done', 'queued', 'waiting', 'parked', 'failed'])[n % 8 + 1], 1, 0, n, 0,
    0, 0, CASE WHEN n % 500 = 4 THEN 'resume' END, n, CASE WHEN n % 500 = 5 THEN 'key'::bytea END, 1
FROM generate_series(1, 20000) AS n;
INSERT INTO erased_jobs SELECT n FROM generate_series(1, 20000) AS n;
INSERT INTO redemptions (code_hash, client_id, owner, state, created_at, keep_until, key_hash, fingerprint,
    claimed_until, data_key, index_version)
SELECT sha256(n::text::bytea), 'client', 'owner', 'done', n, n, sha256(('k' || n)::bytea), '', now(), 'key', 1
FROM generate_series(1, 20000) AS n;
INSERT INTO once SELECT 'kind', n::text::bytea, '', n FROM generate_series(1, 20000) AS n;
INSERT INTO audit (at, name, caller, detail)
SELECT n, 'name', CASE WHEN n % 2 = 0 THEN 'caller ' || n % 7 END, '{}' FROM generate_series(1, 20000) AS n;
INSERT INTO changes (kind, id) SELECT 'grant', n FROM generate_series(1, 20000) AS n;
ANALYZE;
"""


def scanned(plan: object) -> list[str]:
    """The tables that a plan reads from end to end, or sorts by reading more than a page."""
    found: list[str] = []
    stack: list[object] = [plan]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += node
        elif isinstance(node, dict):
            if node.get("Node Type") == "Seq Scan":
                found.append(str(node["Relation Name"]))
            stack += [value for value in node.values() if isinstance(value, dict | list)]
    return found


async def planned(url: str, name: str) -> object:
    """How a statement is done, planned for any value, as a prepared one is in the end."""
    connection = await asyncpg.connect(
        url, statement_cache_size=0, server_settings={"plan_cache_mode": "force_generic_plan"}
    )
    try:
        await connection.execute(f"PREPARE it AS {SQL[name]}")
        count = await connection.fetchval(
            "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'it'"
        )
        values = ", ".join(["NULL"] * count)
        explained = await connection.fetchval(
            f"EXPLAIN (FORMAT JSON) EXECUTE it{f'({values})' if count else ''}"
        )
    finally:
        await connection.close()
    return json.loads(explained)


@pytest.mark.parametrize("name", sorted(set(SQL) - WHOLE - {"notify"}))
async def test_a_statement_reads_no_table_from_end_to_end(filled_url: str, name: str) -> None:
    """
    None of a table that grows.
    """
    assert set() == set(scanned(await planned(filled_url, name))) - SMALL


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("jobs_of_grant_id", "jobs_grant"),
        ("jobs_of_batch", "jobs_batch"),
        ("jobs_of_caller", "jobs_caller"),
        ("jobs_of_name", "jobs_name"),
        ("jobs_of_state", "jobs_state"),
        ("queued_of", "jobs_grant"),
        ("parked_of", "jobs_grant"),
        ("all_of", "jobs_grant"),
        ("wake_jobs", "jobs_pkey"),
        ("erase_jobs", "jobs_pkey"),
        ("jobs_told", "jobs_pkey"),
        ("ordered_jobs", "jobs_ordered"),
        ("due_jobs", "jobs_due"),
        ("sweep_jobs", "jobs_end"),
        ("events_of_caller", "audit_caller"),
        ("data_keys_of_jobs", "jobs_sealed"),
    ],
)
async def test_few_are_found_along_their_index(filled_url: str, name: str, index: str) -> None:
    """
    And not among all in order of their keys.
    """
    assert index in json.dumps(await planned(filled_url, name))


# -- what the database took for few are many ---------------------------------------------------------

MANY = 3000
PART = 200

STALE = {
    "counted when there were none": "DELETE FROM jobs; ANALYZE;",
    "counted when all had ended": "UPDATE jobs SET state = 'done', ordered = NULL; VACUUM ANALYZE;",
}
"""What went before, so that the database thinks that jobs which wait for something are none."""

OLD = f"""
ALTER TABLE grants SET (autovacuum_enabled = off);
ALTER TABLE jobs SET (autovacuum_enabled = off);
ALTER TABLE erased_jobs SET (autovacuum_enabled = off);
INSERT INTO grants (id, client_id, issuer, sub, created_at, state, identity_source, requested, granted,
    generation, lookups, revocation_attempts, index_version, version)
SELECT n, 'client', 'https://issuer.example', n, n, 'active', 'answer', '', '', 1, '', 0, 1, 1
FROM generate_series(1, 3) AS n;
INSERT INTO jobs (id, name, grant_id, created_at, parameters, scopes, state, attempts, outages, steps, done,
    total, version)
SELECT n, 'name', '2', n, '{{}}', '', 'done', 1, 0, 0, 0, 0, 1 FROM generate_series(-{MANY}, -1) AS n;
"""

NEW = f"""
INSERT INTO jobs (id, name, grant_id, created_at, parameters, scopes, state, attempts, outages, due_at, steps,
    done, total, ordered, keep_until, seal_key, version)
SELECT g || '-' || state || '-' || n, 'name', g, n, '{{}}', '', state, 1, 0, n, 0, 0, 0, 'resume', n, 'old', 1
FROM generate_series(1, {MANY}) AS n, unnest(ARRAY['1', '3']) AS g,
    unnest(ARRAY['queued', 'parked', 'waiting', 'failed']) AS state;
INSERT INTO erased_jobs SELECT '1-failed-' || n FROM generate_series(1, {MANY}) AS n;
"""


@pytest.fixture(scope="module", params=STALE)
def stale_url(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, migrated_template: str
) -> Iterator[str]:
    """A database with many jobs of every state, and old numbers of them."""
    with postgres_server.database(template=migrated_template) as url:
        for text in (OLD, *STALE[request.param].split(";"), NEW):
            if text.strip():
                postgres_server.execute(text, database_of(url))
        yield url


GRANTS = f"""
ALTER TABLE grants SET (autovacuum_enabled = off);
ALTER TABLE redemptions SET (autovacuum_enabled = off);
INSERT INTO grants (id, client_id, issuer, sub, created_at, state, identity_source, requested, granted,
    data_key, generation, lookups, revocation_attempts, index_version, version)
SELECT n, 'client', 'https://issuer.example', n, n, 'active', 'answer', '', '', 'old', 1, '', 0, 1, 1
FROM generate_series(1, {MANY}) AS n;
INSERT INTO redemptions (code_hash, client_id, owner, state, created_at, keep_until, fingerprint,
    claimed_until, data_key, index_version)
SELECT decode(lpad(n::text, 4, '0'), 'hex'), 'client', 'owner', 'done', n, n, '', now(), 'old', 1
FROM generate_series(1, {MANY}) AS n;
"""


@pytest.fixture(scope="module")
def regrown_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """A database with many grants and redemptions, counted when it had none."""
    with postgres_server.database(template=migrated_template) as url:
        for text in (GRANTS, "DELETE FROM grants", "DELETE FROM redemptions", "ANALYZE", GRANTS):
            postgres_server.execute(text, database_of(url))
        yield url


REMOVED = ("Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")


def ids(state: str, count: int) -> list[str]:
    """Of jobs in a state of grant 1."""
    return [f"1-{state}-{n}" for n in range(1, count + 1)]


def literal(value: object) -> str:
    """As SQL has it."""
    if isinstance(value, list):
        return f"'{{{', '.join('NULL' if one is None else str(one) for one in value)}}}'"
    return repr(value)


def handled(plan: object) -> int:
    """The rows that all parts of a plan looked at."""
    if isinstance(plan, list):
        return sum(map(handled, plan))
    if not isinstance(plan, dict):
        return 0
    rows = sum(plan.get(key, 0) for key in ("Actual Rows", *REMOVED))
    return round(rows * plan.get("Actual Loops", 0)) + sum(map(handled, plan.values()))


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("parked_of", ["1"]),
        ("all_of", ["1"]),
        ("wake_jobs", [ids("parked", MANY)]),
        ("erase_jobs", [ids("parked", MANY)]),
        ("jobs_told", [ids("queued", PART), [1] * PART]),
        ("queued_of", ["1", PART]),
        ("ordered_jobs", [PART]),
        ("due_jobs", [MANY, PART]),
        ("sweep_jobs", [MANY, PART]),
        ("rewrap_jobs", [ids("parked", PART), ["old"] * PART, ["new"] * PART]),
        ("drop_erased", [ids("failed", PART)]),
    ],
)
async def test_many_are_handled_once_though_they_were_thought_to_be_none(
    stale_url: str, name: str, values: list[object], mode: str
) -> None:
    """
    Each part of a statement handles a row once or so, and none compares each with each.

    A plan is made from what the database counted some time ago; jobs of a state come and go by the thousand.
    """
    # Each with each is nine millions; a part with each, more than half a million.
    assert PART <= handled(await done(stale_url, name, values, mode)) < 20 * MANY


async def done(url: str, name: str, values: list[object], mode: str) -> object:
    """How a statement is done with these values, and then undone."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        await connection.execute(f"SET plan_cache_mode = {mode}; PREPARE it AS {SQL[name]}; BEGIN")
        given = ", ".join(literal(value) for value in values)
        explained = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE it({given})")
    finally:
        await connection.close()
    return json.loads(explained)


NUMBERS = list(range(1, PART + 1))
CODES = [f"{n:04}" for n in NUMBERS]
COLUMNS: dict[str, object] = {
    "name": "name",
    "created_at": 1,
    "parameters": "p",
    "scopes": "s",
    "state": "queued",
    "attempts": 0,
    "outages": 0,
    "steps": 0,
    "done": 0,
    "total": 0,
    "version": 1,
}
"""Of a new job that the database wants to have."""

JOBS = [NUMBERS if column in ("id", "grant_id") else [COLUMNS.get(column)] * PART for column in JOB]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("touch_grants", [NUMBERS, NUMBERS]),
        ("rewrap_grants", [NUMBERS, ["old"] * PART, ["new"] * PART]),
        ("rewrap_redemptions", [CODES, ["old"] * PART, ["new"] * PART]),
        ("add_jobs", JOBS),
    ],
)
async def test_a_part_of_many_is_found_though_the_table_was_thought_to_be_empty(
    regrown_url: str, name: str, values: list[object], mode: str
) -> None:
    """
    After a table was emptied and filled again, nobody compares a part of it with all of it.
    """
    plan = await done(regrown_url, name, values, mode)

    assert PART <= handled(plan) < 20 * MANY
