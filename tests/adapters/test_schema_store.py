"""Statements and migrations: what is shipped, what a database remembers, and that both ways meet."""

from contextlib import closing
from pathlib import Path

import apsw
import apsw.ext
import pytest

from grantkeeper.adapters.records import LISTS
from grantkeeper.adapters.schema import (
    Applied,
    Migration,
    column_parts,
    migrations,
    named_statements,
    pending,
)
from grantkeeper.adapters.sqlite_file import (
    connect,
    describe_schema,
    fingerprint,
    migrate,
    prepare,
    rows,
)
from grantkeeper.adapters.sqlite_steps import SQL
from grantkeeper.errors import SettingsInvalid

FIRST_MIGRATIONS = """
CREATE TABLE migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, at REAL NOT NULL
) STRICT
"""
"""As the first releases made it."""

ONE = Migration(1, "one", "CREATE TABLE one (a);")
TWO = Migration(2, "two", "CREATE TABLE two (a);")


def empty(path: Path) -> apsw.Connection:
    """A connection to a new, empty file."""
    path.touch()
    return connect(path, busy_seconds=1)


def migrated(path: Path, upto: int) -> apsw.Connection:
    """A database as the release that shipped the first *upto* migrations would have left it."""
    fresh = path.with_name("fresh.db")
    prepare(fresh)
    with closing(connect(fresh, busy_seconds=1, read_only=True)) as other:
        owner = other.pragma("application_id")
    db = empty(path)
    db.pragma("application_id", owner)
    db.execute(FIRST_MIGRATIONS)
    for migration in migrations("sqlite")[:upto]:
        db.execute(migration.text)
        db.execute(
            "INSERT INTO migrations (number, name, checksum, at) VALUES (?, ?, ?, 0)",
            (migration.number, migration.name, migration.checksum),
        )
    return db


@pytest.mark.parametrize("upto", range(1, len(migrations("sqlite")) + 1))
def test_a_migrated_schema_equals_a_fresh_one(tmp_path: Path, upto: int) -> None:
    """
    From whatever release a database comes, it ends as a new one begins.
    """
    prepare(tmp_path / "new.db")
    fresh = connect(tmp_path / "new.db", busy_seconds=1)
    old = migrated(tmp_path / "old.db", upto)
    run = migrate(old)

    assert tuple(range(upto + 1, len(migrations("sqlite")) + 1)) == run
    assert describe_schema(fresh) == describe_schema(old)
    assert fingerprint(fresh) == fingerprint(old)


def test_the_first_migration_alone_is_not_the_whole_schema(tmp_path: Path) -> None:
    """
    The comparison above sees a missing index.
    """
    prepare(tmp_path / "new.db")
    fresh = connect(tmp_path / "new.db", busy_seconds=1)
    old = migrated(tmp_path / "old.db", 1)

    assert "index tokens tokens_end unique=0 origin=c [('expires_at', 0, 'BINARY')]" in (
        set(describe_schema(fresh)) - set(describe_schema(old))
    )


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE grants ADD COLUMN extra TEXT",
        "CREATE TABLE extra (a)",
        "DROP INDEX grants_user",
        "DROP INDEX grants_user; CREATE INDEX grants_user ON grants (user, id)",
        "DROP INDEX once_end; CREATE UNIQUE INDEX once_end ON once (ends_at)",
        "DROP INDEX once_end; CREATE INDEX once_end ON once (ends_at DESC)",
    ],
)
def test_a_fingerprint_sees_every_difference(tmp_path: Path, statement: str) -> None:
    """
    A column, a table, an index, its condition, its uniqueness or its order.
    """
    prepare(tmp_path / "new.db")
    db = connect(tmp_path / "new.db", busy_seconds=1)
    before = fingerprint(db)
    db.execute(statement)

    assert before != fingerprint(db)


def test_a_migrated_database_remembers_names_and_checksums(tmp_path: Path) -> None:
    """
    One row for each migration, whether it was run or made at once.
    """
    prepare(tmp_path / "new.db")
    db = connect(tmp_path / "new.db", busy_seconds=1)

    assert [
        (migration.number, migration.name, migration.checksum) for migration in migrations("sqlite")
    ] == rows(db, "SELECT number, name, checksum FROM migrations ORDER BY number")


def test_nothing_is_run_twice(tmp_path: Path) -> None:
    """
    A database that is up to date is left alone.
    """
    prepare(tmp_path / "new.db")
    db = connect(tmp_path / "new.db", busy_seconds=1)

    assert () == migrate(db)


@pytest.mark.parametrize(
    ("applied", "numbers"),
    [
        ({}, [1, 2]),
        ({1: Applied(ONE.checksum)}, [2]),
        ({1: Applied(ONE.checksum), 2: Applied(TWO.checksum)}, []),
    ],
)
def test_what_is_not_applied_is_pending(applied: dict[int, Applied], numbers: list[int]) -> None:
    """
    In order of number.
    """
    assert numbers == [migration.number for migration in pending([ONE, TWO], applied)]


def test_a_newer_database_is_refused() -> None:
    """
    An older release does not touch what it does not know.
    """
    with pytest.raises(SettingsInvalid, match="has migration 3, and this release knows only 2"):
        pending([ONE, TWO], {1: Applied(ONE.checksum), 2: Applied(TWO.checksum), 3: Applied("?", 3)})


@pytest.mark.parametrize(("oldest", "runs"), [(1, True), (2, True), (3, False), (0, False)])
def test_a_release_runs_on_a_newer_schema_that_says_so(oldest: int, runs: bool) -> None:
    """
    So that a migration can come before the new release, and the old one can come back.
    """
    applied = {1: Applied(ONE.checksum), 2: Applied(TWO.checksum), 3: Applied("?", oldest)}
    try:
        assert () == pending([ONE, TWO], applied)
    except SettingsInvalid:
        assert not runs
    else:
        assert runs


def test_a_migration_says_which_releases_run_on_it() -> None:
    """
    In its first line; without a word, only those that know it.
    """
    assert 7 == Migration(9, "x", "-- oldest: 7\nSELECT 1;").oldest
    assert 9 == Migration(9, "x", "SELECT 1; -- oldest: 7\n").oldest


def test_an_altered_migration_is_refused() -> None:
    """
    A database that was made by another file of the same number is not what this release thinks.
    """
    with pytest.raises(SettingsInvalid, match="migration 1 of the database is not the one"):
        pending([ONE, TWO], {1: Applied(TWO.checksum)})


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO migrations VALUES (9999, 'future', 'checksum', 0, 9999)",
        "UPDATE migrations SET checksum = 'other' WHERE number = 1",
    ],
    ids=["newer", "altered"],
)
def test_opening_a_database_of_another_release_changes_nothing(tmp_path: Path, statement: str) -> None:
    """
    It says so before the first write.
    """
    path = tmp_path / "new.db"
    prepare(path)
    db = connect(path, busy_seconds=1)
    db.execute(statement)
    before = (fingerprint(db), rows(db, "SELECT * FROM migrations"))
    with pytest.raises(SettingsInvalid):
        prepare(path)

    assert before == (fingerprint(db), rows(db, "SELECT * FROM migrations"))


def test_a_failing_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    """
    All pending ones are one transaction; here the index that the second makes is there already.
    """
    db = migrated(tmp_path / "old.db", 1)
    db.execute("CREATE INDEX tokens_end ON tokens (expires_at)")
    with pytest.raises(apsw.SQLError):
        migrate(db)

    assert db.get_autocommit()
    assert [(1,)] == rows(db, "SELECT number FROM migrations")


def test_shipped_migrations_are_numbered_without_gap() -> None:
    """
    So that the newest number says how many there are.
    """
    shipped = migrations("sqlite")

    assert list(range(1, len(shipped) + 1)) == [migration.number for migration in shipped]
    assert len(shipped) >= 2


def test_statements_are_read_by_name_without_their_comments() -> None:
    """
    Parts in braces are filled in.
    """
    text = "-- head\n\n-- name: one\n-- why\nSELECT {columns}\n  FROM t;\n\n-- name: two\nDELETE FROM t;\n"

    assert {"one": "SELECT a, b FROM t", "two": "DELETE FROM t"} == named_statements(
        text, {"columns": "a, b"}
    )


def test_a_name_is_given_once() -> None:
    """
    A second statement of one name would hide the first.
    """
    with pytest.raises(ValueError, match="the statement one is there twice"):
        named_statements("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n", {})


def test_column_parts_match_their_lists() -> None:
    """
    As many placeholders as columns, and a token padded to the width of a grant.
    """
    parts = column_parts()

    assert all(
        parts[f"{name}_marks"].count("?") == len(columns) == len(parts[name].split(", "))
        for name, columns in LISTS.items()
    )
    assert len(LISTS["grant"]) == len(parts["token"].split(", ") + parts["token_padding"].split(", "))


SMALL = {
    "callers", "signing_keys", "leases", "nodes", "marks", "pulse", "paces", "pauses", "sqlite_sequence",
    "json_each", "CONSTANT",
}  # fmt: skip
"""Tables of few rows by nature, and what is no table."""


# The sweep of the feed walks from its oldest end no further than its limit; the count of index
# versions is a proof, and that of jobs an overview, and both look at everything on purpose; a restore
# stops at the first row it finds.
@pytest.mark.parametrize(
    "name", sorted(set(SQL) - {"sweep_changes", "index_versions", "any_row", "count_jobs"})
)
def test_every_statement_uses_an_index(tmp_path: Path, name: str) -> None:
    """
    No statement walks a table that grows.
    """
    prepare(tmp_path / "new.db")
    db = connect(tmp_path / "new.db", busy_seconds=1)
    values = [None] * apsw.ext.query_info(db, SQL[name]).bindings_count
    plan = [detail for *_, detail in rows(db, f"EXPLAIN QUERY PLAN {SQL[name]}", values)]

    assert [] == [line for line in plan if line.startswith("SCAN") and line.split()[1] not in SMALL]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("search_user", "grants_user"),
        ("search_email", "grants_email"),
        ("search_sub", "grants_subject"),
        ("search_client_state", "grants_client_state"),
        ("search_state", "grants_state"),
        ("search_all", "sqlite_autoindex_grants_1"),
        ("due_revocations", "grants_revocation_due"),
        ("idle_grants", "grants_keep_alive"),
        ("uncertain_grants", "grants_uncertain"),
        ("jobs", "sqlite_autoindex_jobs_1"),
        ("jobs_of_grant_id", "jobs_grant"),
        ("jobs_of_batch", "jobs_batch"),
        ("jobs_of_caller", "jobs_caller"),
        ("jobs_of_name", "jobs_name"),
        ("jobs_of_state", "jobs_state"),
        ("queued_of", "jobs_grant"),
        ("ordered_jobs", "jobs_ordered"),
        ("due_jobs", "jobs_due"),
        ("events_of_caller", "audit_caller"),
        ("data_keys_of_jobs", "jobs_sealed"),
    ],
)
def test_a_listing_is_driven_by_its_own_index_and_never_sorts(tmp_path: Path, name: str, index: str) -> None:
    """
    A page costs what is on it, however many grants another index would have to pass.
    """
    prepare(tmp_path / "new.db")
    db = connect(tmp_path / "new.db", busy_seconds=1)
    values = [None] * apsw.ext.query_info(db, SQL[name]).bindings_count
    plan = [detail for *_, detail in rows(db, f"EXPLAIN QUERY PLAN {SQL[name]}", values)]

    assert index in plan[0]
    assert ("search_sub" == name) == any("TEMP B-TREE" in line for line in plan)
