"""
A SQLite database read at one moment, and an empty one filled.

Reading is one transaction, which holds up nobody: writers go on in the
write-ahead log, which is folded in when the backup is done. Filling is one
transaction as well, so that a process which is killed leaves the database
empty, with a mark that keeps anything from serving it.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import apsw

from grantkeeper.adapters.archive import BATCH_ROWS, GAP, RESTORED, RESTORING, Facts, Header
from grantkeeper.adapters.archive_tables import Table
from grantkeeper.adapters.records import Row, column_text
from grantkeeper.adapters.schema import migrations, pending
from grantkeeper.adapters.sqlite_file import APPLICATION_ID, BUSY_SECONDS, applied, connect, prepare, rows
from grantkeeper.adapters.sqlite_steps import SQL
from grantkeeper.errors import BackupRefused, StoreUnavailable

RESTORES: Mapping[str, str] = {
    "grants": "insert_grant",
    "jobs": "restore_job",
    "redemptions": "restore_redemption",
    "callers": "add_caller",
    "once": "restore_once",
    "signing_keys": "add_signing_key",
    "audit": "restore_event",
    "marks": "set_mark",
}
"""The statement that writes a row of each table."""


class SqliteSource:
    """A `grantkeeper.adapters.archive.Source`: the database as it is when this is made."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            BackupRefused: There is no database of ours, it is not of this release, or half restored.
            StoreUnavailable: It cannot be read now.
        """
        if not path.is_file():
            raise BackupRefused("there is no database here to back up")
        try:
            self._db = connect(path, busy_seconds=BUSY_SECONDS, read_only=True)
        except apsw.Error as error:
            raise _unavailable(error) from error
        try:
            self._db.execute("BEGIN")
            self.facts = _facts(self._db)
        except apsw.Error as error:
            self._db.close()
            raise _unavailable(error) from error
        except BaseException:
            self._db.close()
            raise

    async def rows(self, table: Table) -> AsyncIterator[Sequence[Row]]:
        statement = f"SELECT {column_text(table.columns)} FROM {table.name} ORDER BY rowid"  # noqa: S608 - of a table
        try:
            cursor = self._db.execute(statement)
            while batch := list(islice(cursor, BATCH_ROWS)):
                yield batch
        except apsw.Error as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        self._db.close(True)


def _facts(db: apsw.Connection) -> Facts:
    if db.pragma("application_id") != APPLICATION_ID:
        raise BackupRefused("this is not a database of grantkeeper")
    known = migrations("sqlite")
    found = applied(db)
    if pending(known, found):
        raise BackupRefused(
            "the database is of an earlier release",
            hint="Back it up with that release, or run grantkeeper migrate first.",
        )
    if max(found) > len(known):
        raise BackupRefused(
            "the database is of a newer release, of which this one would leave something out",
            hint="Back it up with the release that migrated it.",
        )
    if rows(db, SQL["mark"], (RESTORING,)):
        raise BackupRefused("a restore into this database was begun and not finished")
    ((change, lease, _),) = rows(db, SQL["last_numbers"])
    return Facts("sqlite", max(found), change, lease)


class SqliteTarget:
    """A `grantkeeper.adapters.archive.Target`; the file is made and migrated as needed."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            SettingsInvalid: The file cannot be grantkeeper's.
            StoreUnavailable: It cannot be used now.
        """
        prepare(path)
        self._schema = len(migrations("sqlite"))
        self._db = connect(path, busy_seconds=BUSY_SECONDS)

    async def begin(self) -> None:
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            self._refuse_used()
            db.execute(SQL["set_mark"], (RESTORING, b""))
            db.execute("COMMIT")
            # From here on nobody else writes, for as long as it takes.
            db.execute("BEGIN IMMEDIATE")
            self._refuse_used()
            self._numbers = rows(db, SQL["last_numbers"])[0]
            db.execute(SQL["drop_marks"])
        except apsw.Error as error:
            raise _unavailable(error) from error

    def _refuse_used(self) -> None:
        if set(applied(self._db)) - set(range(1, self._schema + 1)):
            raise BackupRefused("the database is of a newer release", hint="Restore with that release.")
        if found := rows(self._db, SQL["any_row"]):
            raise BackupRefused(
                f"the database is not empty: it has {found[0][0]}",
                hint="Name a new database in GRANTKEEPER_DATABASE_URL, and run grantkeeper migrate; "
                "a restore never writes over anything.",
            )

    async def put(self, table: Table, rows: Sequence[Row]) -> None:
        before = self._db.total_changes()
        try:
            self._db.executemany(SQL[RESTORES[table.name]], rows)
        except (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError) as error:
            raise _refused(table) from error
        except apsw.Error as error:
            raise _unavailable(error) from error
        if self._db.total_changes() - before != len(rows):
            raise _refused(table)

    async def finish(self, header: Header, at: int) -> None:
        db = self._db
        change, lease, _ = self._numbers
        detail = {"backup": header.at.isoformat(), "release": header.release, "database": header.database}
        try:
            ((_, _, event),) = rows(db, SQL["last_numbers"])
            db.execute(SQL["drop_mark"], (RESTORING,))
            db.execute(SQL["set_mark"], (RESTORED, str(at).encode()))
            db.execute(SQL["drop_lease_number"])
            db.execute(SQL["set_lease_number"], (max(lease, header.last_lease + GAP) + 1,))
            db.execute(SQL["change_everything"], (max(change, header.last_change + GAP) + 1,))
            db.execute(
                SQL["restore_event"],
                (event + GAP, at, "database.restored", None, None, None, json.dumps(detail, sort_keys=True)),
            )
            db.execute("COMMIT")
        except apsw.Error as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        with suppress(apsw.Error):
            if not self._db.get_autocommit():
                self._db.execute("ROLLBACK")
        self._db.close(True)


def _refused(table: Table) -> BackupRefused:
    return BackupRefused(f"the backup holds two rows of {table.name} of which there can be one alone")


def _unavailable(error: apsw.Error) -> StoreUnavailable:
    return StoreUnavailable(f"the database cannot be used ({type(error).__name__})")
