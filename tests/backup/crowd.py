"""Many rows at once, so that a backup or a restore takes long enough to be killed in the middle."""

from pathlib import Path

from grantkeeper.adapters.sqlite_file import connect, rows
from tests.postgres import PostgresServer

COUNT = 20_000

_FILL = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
INSERT INTO grants (
    id, client_id, issuer, sub, created_at, state, identity_source, requested, granted, generation, lookups,
    revocation_attempts, profile_box, profile_generation, version
)
SELECT printf('0195aaaa-0000-7000-8000-%012x', n), 'crowd', 'https://issuer.example', 'sub-' || n, n,
    'revoked', 'answer', 'openid', 'openid', 0, '', 0, randomblob(?2), 0, 1
FROM numbers
"""


def fill(path: Path, count: int = COUNT, size: int = 600) -> None:
    """Put *count* tombstones of *size* bytes, which nothing is asked to open, into the database at *path*."""
    db = connect(path, busy_seconds=5.0)
    db.execute(_FILL, (count, size))
    db.close()


_FILL_POSTGRES = """
INSERT INTO grants (
    id, client_id, issuer, sub, created_at, state, identity_source, requested, granted, generation, lookups,
    revocation_attempts, profile_box, profile_generation, index_version, version
)
SELECT '0195aaaa-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), 'crowd', 'https://issuer.example',
    'sub-' || n, n, 'revoked', 'answer', 'openid', 'openid', 0, '', 0,
    decode(repeat(md5(n::text), 40), 'hex'), 0, 1, 1
FROM generate_series(1, {count}) AS n
"""


def fill_postgres(server: PostgresServer, database: str, count: int = COUNT) -> None:
    """The same in PostgreSQL."""
    server.execute(_FILL_POSTGRES.format(count=count), database)


def count(path: Path) -> int:
    """How many grants there are."""
    db = connect(path, busy_seconds=5.0, read_only=True)
    ((number,),) = rows(db, "SELECT count(*) FROM grants")
    db.close()
    assert isinstance(number, int)
    return number
