"""The database file: how it is named, who may read it, and whose it must be."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from grantkeeper.adapters.sqlite import open_sqlite
from grantkeeper.adapters.sqlite_file import APPLICATION_ID, connect, database_path, prepare, rows
from grantkeeper.errors import SettingsInvalid
from grantkeeper.ports import Insert
from grantkeeper.testing.records import a_grant


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///grants.db", "grants.db"),
        ("sqlite:///data/grants.db", "data/grants.db"),
        ("sqlite:////var/lib/grants.db", "/var/lib/grants.db"),
        ("sqlite:///with%20space.db", "with space.db"),
        (Path("plain.db"), "plain.db"),
    ],
)
def test_a_url_names_a_file(url: str | Path, path: str) -> None:
    """
    Three slashes are relative, four absolute, as the world writes it.
    """
    assert Path(path) == database_path(url)


@pytest.mark.parametrize(
    "url",
    [
        "grants.db",
        "",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite://host/grants.db",
        "sqlite://grants.db",
        "sqlite:///grants.db?mode=memory",
        "sqlite:///grants.db#x",
        "postgresql://localhost/grants",
    ],
)
def test_another_url_is_refused_with_the_right_form(url: str) -> None:
    """
    The error shows how it is written, and not what was.
    """
    with pytest.raises(SettingsInvalid) as caught:
        database_path(url)

    assert (
        "GRANTKEEPER_DATABASE_URL is not of the form sqlite:///grants.db or sqlite:////absolute/path/grants.db",
    ) == caught.value.problems


def test_a_database_in_memory_is_refused_by_name() -> None:
    """
    Who wants to forget everything gets the store that is made for it.
    """
    with pytest.raises(SettingsInvalid) as caught:
        database_path("sqlite:///:memory:")

    assert "MemoryStore" in caught.value.hint


@pytest.mark.anyio
async def test_a_new_file_is_the_owners_alone(tmp_path: Path) -> None:
    """
    So are the two files beside it, whatever the umask allows.
    """
    path = tmp_path / "grants.db"
    before = os.umask(0)
    try:
        store = open_sqlite(path)
        await store.commit(Insert(a_grant()))
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
        await store.close()
    finally:
        os.umask(before)

    assert {"grants.db": "0o600", "grants.db-wal": "0o600", "grants.db-shm": "0o600"} == modes


@pytest.mark.anyio
async def test_what_was_saved_is_there_after_opening_again(tmp_path: Path) -> None:
    """
    And the file is marked as grantkeeper's.
    """
    path = tmp_path / "grants.db"
    for number in (1, 2):
        store = open_sqlite(f"sqlite:///{path}")
        await store.commit(Insert(a_grant(number)))
        await store.close()
    with closing(connect(path, busy_seconds=1, read_only=True)) as db:
        ids = rows(db, "SELECT id FROM grants ORDER BY id")
        owner, mode = db.pragma("application_id"), db.pragma("journal_mode")

    assert [(a_grant(1).id,), (a_grant(2).id,)] == ids
    assert (APPLICATION_ID, "wal") == (owner, mode)


def test_an_empty_file_is_taken(tmp_path: Path) -> None:
    """
    Somebody may have made it to set its owner.
    """
    path = tmp_path / "grants.db"
    path.touch(mode=0o640)
    prepare(path)

    assert 0o640 == path.stat().st_mode & 0o777
    assert path.stat().st_size > 0


def foreign(path: Path, *statements: str) -> bytes:
    """A database as another program makes it."""
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE users (id)"],
        ["CREATE TABLE grants (id)"],
        ["CREATE VIEW one AS SELECT 1"],
        ["PRAGMA application_id = 7", "CREATE TABLE t (a)"],
        ["PRAGMA application_id = 7"],
    ],
)
def test_another_programs_database_is_refused_untouched(tmp_path: Path, statements: list[str]) -> None:
    """
    The error says what to do; the file keeps every byte.
    """
    path = tmp_path / "app.db"
    before = foreign(path, *statements)
    with pytest.raises(SettingsInvalid) as caught:
        open_sqlite(path)

    assert ("GRANTKEEPER_DATABASE_URL names a database of another program",) == caught.value.problems
    assert "a file of its own" in caught.value.hint
    assert before == path.read_bytes()


def test_tables_of_others_in_our_file_are_refused_by_name(tmp_path: Path) -> None:
    """
    Whoever put them there opens the file too, perhaps with another copy of SQLite.
    """
    path = tmp_path / "grants.db"
    prepare(path)
    foreign(path, "CREATE TABLE users (id)", "CREATE TABLE posts (id)")
    with pytest.raises(SettingsInvalid, match=r"not grantkeeper's: posts, users$"):
        open_sqlite(path)


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    """
    A wrong path must not cost anybody a file.
    """
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n" * 100)
    with pytest.raises(SettingsInvalid, match="is not a database"):
        open_sqlite(path)

    assert "remember the milk\n" * 100 == path.read_text()


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """
    The error says what the path must be.
    """
    with pytest.raises(SettingsInvalid, match="is not a file"):
        open_sqlite(tmp_path)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    """
    It is not made: a wrong path would hide the grants in a new place.
    """
    with pytest.raises(SettingsInvalid, match="cannot be made: No such file or directory"):
        open_sqlite(tmp_path / "missing" / "grants.db")

    assert [] == list(tmp_path.iterdir())
