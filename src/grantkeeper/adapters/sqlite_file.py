"""
The database file: its path, its permissions, whose it is, and its schema.

The file is grantkeeper's own. A second copy of SQLite that opened it in one
process (Python's ``sqlite3`` beside APSW) would void its locks without a word,
so a file that holds anything else is refused.
"""

import hashlib
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import apsw

from grantkeeper.adapters.schema import Applied, fresh_schema, migrations, pending
from grantkeeper.errors import SettingsInvalid, StoreUnavailable

APPLICATION_ID = 0x676B7072
"""``gkpr`` in the header of every database file of ours."""

BUSY_SECONDS = 5.0
"""How long a write waits for the other processes of this machine."""

_OURS = {"migrations", *re.findall(r"^CREATE TABLE (\w+)", fresh_schema("sqlite"), re.MULTILINE)}
_SETTING = "GRANTKEEPER_DATABASE_URL"


def database_path(url: str | os.PathLike[str]) -> Path:
    """
    The file that *url* names: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, or a path object.

    Raises:
        SettingsInvalid: It names none.
    """
    if not isinstance(url, str):
        return Path(url)
    parts = urlsplit(url)
    path = unquote(parts.path)[1:]
    if parts.scheme != "sqlite" or parts.netloc or parts.query or parts.fragment or not path.strip("/"):
        raise SettingsInvalid(
            [f"{_SETTING} is not of the form sqlite:///grants.db or sqlite:////absolute/path/grants.db"]
        )
    if path == ":memory:":
        raise SettingsInvalid(
            [f"{_SETTING} names a database in memory, which would forget every grant"],
            hint="Name a file; in tests use grantkeeper.adapters.memory.MemoryStore.",
        )
    return Path(path)


def _patience(seconds: float) -> Callable[[int], bool]:
    """
    What SQLite asks when another process holds the lock: whether to try again.

    SQLite's own answer sleeps up to 100 ms at a time; transactions here last
    about one, so short naps with some luck in them are fairer and faster.
    """
    until = 0.0

    def again(tries: int) -> bool:
        nonlocal until
        if tries == 0:
            until = time.monotonic() + seconds
        if time.monotonic() >= until:
            return False
        time.sleep(random.uniform(0.0002, 0.003))  # noqa: S311 - a nap is no secret
        return True

    return again


def connect(path: Path, *, busy_seconds: float, read_only: bool = False) -> apsw.Connection:
    """A connection as grantkeeper wants it; its file must exist."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    db = apsw.Connection(str(path), flags=flags, statementcachesize=200)
    db.set_busy_handler(_patience(busy_seconds))
    db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    db.pragma("foreign_keys", 1)
    db.pragma("temp_store", 2)
    # Kibibytes. Measured: with a million grants a larger one reads no faster, for the system caches too.
    db.pragma("cache_size", -4_000)
    if not read_only:
        # An erased data key must not lie on in a freed page.
        db.pragma("secure_delete", 1)
        db.pragma("synchronous", "FULL")
        db.pragma("journal_size_limit", 64 << 20)
    return db


def rows(db: apsw.Connection, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows at once: an unfinished reader would keep the journal from being folded in."""
    return db.execute(statement, values).fetchall()


def prepare(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
    """
    Make the file if it is not there, prove that it is ours, and bring its schema up to date.

    Safe to be run by several processes at once: one of them does the work.

    Raises:
        SettingsInvalid: The file cannot be ours, or its schema is of another release.
        StoreUnavailable: The database cannot be used now.
    """
    _create(path)
    try:
        db = connect(path, busy_seconds=busy_seconds)
        try:
            _refuse_foreign(db)
            _write_ahead(db, busy_seconds)
            migrate(db)
            _refuse_strangers(db)
        finally:
            db.close()
    except apsw.NotADBError as error:
        raise SettingsInvalid(
            [f"{_SETTING} names a file that is not a database"],
            hint="Name a file that does not exist yet; grantkeeper makes its own.",
        ) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError) as error:
        raise SettingsInvalid(
            [f"{_SETTING} names a file that this user may not read and write"],
            hint="Run grantkeeper as the owner of the file, and let that user write the directory too.",
        ) from error
    except apsw.Error as error:
        raise StoreUnavailable(f"the database cannot be opened ({type(error).__name__})") from error


def _create(path: Path) -> None:
    # Exclusively or not at all: closing a file that this process has open through SQLite would drop
    # all its locks (POSIX). SQLite gives -wal and -shm the mode of the file.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise SettingsInvalid([f"{_SETTING} names something that is not a file"]) from None
    except OSError as error:
        raise SettingsInvalid(
            [f"{_SETTING} names a file that cannot be made: {error.strerror}"],
            hint="Make its directory and let the user that runs grantkeeper write there.",
        ) from error


def _tables(db: apsw.Connection) -> set[str]:
    names = rows(db, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
    return {name for (name,) in names if not name.startswith("sqlite_")}


def _refuse_foreign(db: apsw.Connection) -> None:
    owner, tables = db.pragma("application_id"), _tables(db)
    if owner == APPLICATION_ID or (owner == 0 and not tables):
        return
    raise SettingsInvalid(
        [f"{_SETTING} names a database of another program"],
        hint="Give grantkeeper a file of its own: name one that does not exist yet.",
    )


def _refuse_strangers(db: apsw.Connection) -> None:
    if set(applied(db)) - {migration.number for migration in migrations("sqlite")}:
        return  # a newer release, on whose schema this one runs, may have added tables of its own
    strangers = sorted(_tables(db) - _OURS)
    if strangers:
        raise SettingsInvalid(
            [f"{_SETTING} names a database with tables that are not grantkeeper's: {', '.join(strangers)}"],
            hint="Move these tables to a file of their own; a second user of this one voids its locks.",
        )


def _write_ahead(db: apsw.Connection, busy_seconds: float) -> None:
    # SQLite does not ask the busy handler while a file changes to WAL.
    until = time.monotonic() + busy_seconds
    while True:
        try:
            mode = db.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise SettingsInvalid(
                [f"{_SETTING} names a file on a system without shared memory"],
                hint="Put the database on a local disk, not on a network share.",
            )
        return


def migrate(db: apsw.Connection) -> tuple[int, ...]:
    """
    Bring the schema up to date in one exclusive transaction; the numbers that were run.

    Raises:
        SettingsInvalid: The database is of a newer or an altered release, or
            holds tables of another program. Nothing was changed.
    """
    shipped = migrations("sqlite")
    if db.pragma("application_id") == APPLICATION_ID and not _outstanding(db):
        return ()
    db.execute("BEGIN EXCLUSIVE")
    try:
        # Looked at again: another process may have done it while this one waited for the lock.
        _refuse_foreign(db)
        if not _tables(db):
            db.execute(fresh_schema("sqlite"))
            db.pragma("application_id", APPLICATION_ID)
            db.execute(
                "CREATE TABLE migrations ("
                " number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, at REAL NOT NULL,"
                " oldest INTEGER NOT NULL DEFAULT 0"
                ") STRICT"
            )
            run = shipped
        else:
            run = pending(shipped, applied(db))
            for migration in run:
                db.execute(migration.text)
        db.executemany(
            "INSERT INTO migrations (number, name, checksum, oldest, at)"
            " VALUES (?, ?, ?, ?, unixepoch('subsec'))",
            [(migration.number, migration.name, migration.checksum, migration.oldest) for migration in run],
        )
        db.execute("COMMIT")
    except BaseException:
        if not db.get_autocommit():
            db.execute("ROLLBACK")
        raise
    return tuple(migration.number for migration in run)


def applied(db: apsw.Connection) -> dict[int, Applied]:
    """What the database remembers of its migrations, by number."""
    columns = {name for (name,) in rows(db, "SELECT name FROM pragma_table_info('migrations')")}
    oldest = "oldest" if "oldest" in columns else "0"
    found = rows(db, f"SELECT number, checksum, {oldest} FROM migrations")  # noqa: S608 - one of two words
    return {number: Applied(checksum, least) for number, checksum, least in found}


def _outstanding(db: apsw.Connection) -> bool:
    return bool(pending(migrations("sqlite"), applied(db)))


_FACTS = {
    "table": "SELECT strict, wr FROM pragma_table_list(?)",
    "column": 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?)',
    "reference": 'SELECT "from", "table", "to", on_update, on_delete FROM pragma_foreign_key_list(?)',
}


def describe_schema(db: apsw.Connection) -> list[str]:
    """
    A line for every column, key and index, in an order that does not depend on how they came.

    Two databases with equal lines behave alike, whether their schema was made
    at once or by migrations.
    """
    lines = []
    for table in sorted(_tables(db)):
        for what, statement in _FACTS.items():
            lines += [f"{what} {table} {fact}" for fact in rows(db, statement, (table,))]
        for name, unique, origin, partial in rows(
            db, 'SELECT name, "unique", origin, partial FROM pragma_index_list(?)', (table,)
        ):
            columns = rows(db, 'SELECT name, "desc", coll FROM pragma_index_xinfo(?) WHERE key', (name,))
            ((where,),) = rows(db, "SELECT sql FROM sqlite_schema WHERE name = ?", (name,))
            text = " ".join(where.split()) if where and partial else ""
            lines.append(f"index {table} {name} unique={unique} origin={origin} {columns} {text}".rstrip())
    return sorted(lines)


def fingerprint(db: apsw.Connection) -> str:
    """A hash of `describe_schema`, to compare schemas at a glance."""
    return hashlib.sha256("\n".join(describe_schema(db)).encode()).hexdigest()
