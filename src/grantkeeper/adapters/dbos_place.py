"""
Where DBOS keeps what it knows: a file of its own beside the grants, or a schema of its own in their database.

Nobody else writes there, and a backup of grantkeeper leaves it out: our rows say what is to be run, and a
job whose steps are lost is run from its first step.
"""

import logging
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from grantkeeper.adapters.dbos_values import serializer
from grantkeeper.adapters.sqlite_file import database_path
from grantkeeper.errors import SettingsInvalid

APPLICATION = "grantkeeper"
SCHEMA = "grantkeeper_jobs"
"""On PostgreSQL."""

VERSION = "grantkeeper-1"
"""
What DBOS takes for the version of the code, and runs apart from other ones'. Ours is always the same: every
release takes the others' work. What must not change under a job is noticed step by step (`StepsDiffer`).
"""

OPTIONS: dict[str, Any] = {
    # `tried_when_idle` does it instead.
    "pool_pre_ping": False,
    "pool_timeout": 30,
    "max_overflow": 0,
    # An error that quotes its statement would quote what a step returned.
    "hide_parameters": True,
}
"""Of every engine of SQLAlchemy's."""


def need_dbos() -> None:
    """
    Load DBOS, which takes most of a second, and silence what it would print.

    Raises:
        SettingsInvalid: Its extra is not installed.
    """
    log = logging.getLogger("dbos")
    if not log.handlers:
        # With no handler at all it would make one for the console, and keep its warnings from ours.
        log.addHandler(logging.NullHandler())
    log.setLevel(logging.WARNING)
    try:
        import dbos  # noqa: F401
    except ImportError:
        raise SettingsInvalid(
            ["jobs need the extra `jobs`, which is not installed"], hint="pip install 'grantkeeper[jobs]'"
        ) from None


def place_of(url: str) -> str:
    """
    The URL, as DBOS reads it, of what belongs to the database of grants at *url*.

    Args:
        url: ``sqlite:///grants.db``, whose neighbour ``grants-jobs.db`` it is, or a URL of PostgreSQL.

    Raises:
        SettingsInvalid: It is neither.
    """
    if url.startswith(("postgresql://", "postgres://")):
        return "postgresql://" + url.partition("://")[2]
    path = database_path(url).absolute()
    return f"sqlite:///{path.with_name(path.stem + '-jobs.db')}"


class _Connection(sqlite3.Connection):
    """
    To a SQLite that can tell the time as DBOS wants it.

    From Python 3.12 on DBOS asks for ``unixepoch('subsec')``, which came with SQLite 3.42. Which of them
    Python has is the system's affair: Debian 12's is 3.40, and makes NULL of it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if sqlite3.sqlite_version_info < (3, 42):
            self.create_function("unixepoch", 1, _unixepoch)


def _unixepoch(asked: str) -> float:
    if asked != "subsec":
        raise ValueError(f"unixepoch({asked!r}) is not made up for")
    return time.time()


def options(url: str, *, pooled: bool, size: int) -> dict[str, Any]:
    """
    Arguments for SQLAlchemy.

    Args:
        url: Of what they are for, as `place_of` has it.
        pooled: A pooler hands every transaction to another server, so that nothing may be prepared.
        size: How many connections there are at most.
    """
    connect: dict[str, Any] = {}
    if url.startswith("sqlite:"):
        connect["factory"] = _Connection
    elif pooled:
        connect["prepare_threshold"] = None
    return {**OPTIONS, "pool_size": size, "connect_args": connect}


IDLE_SECONDS = 1.0
"""A connection that was used within this time is believed to live."""


def tried_when_idle(engine: Any) -> None:
    """
    Have *engine* try a connection before it is used, where nobody has used it for a while.

    SQLAlchemy's own pool tries it before each use, a round trip that costs as much as most of our
    statements. One that breaks in use is tried again by DBOS, or by whoever asked.
    """
    from sqlalchemy import event
    from sqlalchemy.exc import DisconnectionError

    def returned(connection: Any, record: Any) -> None:
        record.info["returned"] = time.monotonic()

    def taken(connection: Any, record: Any, _: Any) -> None:
        if time.monotonic() - record.info.get("returned", float("inf")) <= IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            # The pool makes another in its place.
            raise DisconnectionError(type(error).__name__) from error

    if engine.dialect.name != "sqlite":
        event.listen(engine, "checkin", returned)
        event.listen(engine, "checkout", taken)


def system_database(url: str, *, pooled: bool) -> Any:
    """
    DBOS's tables at *url*, made or migrated as needed; safe to be called by many at once. This blocks.

    Where they cannot be reached, its methods raise instead of waiting.
    """
    from dbos import _sys_db

    engine = None
    if url.startswith("sqlite:"):
        _make(Path(url.removeprefix("sqlite:///")))
    else:
        # An engine that DBOS does not make itself keeps it from looking whether the database itself is
        # there, in another one that our user may not enter.
        import sqlalchemy

        made = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")
        engine = sqlalchemy.create_engine(made, **options(url, pooled=pooled, size=5))
    database = _sys_db.SystemDatabase.create(
        url,
        engine_kwargs=options(url, pooled=False, size=5),
        engine=engine,
        schema=SCHEMA,
        serializer=serializer(),
        executor_id=None,
        use_listen_notify=False,
        app_name=APPLICATION,
        retry_connection_errors=False,
    )
    tried_when_idle(database.engine)
    try:
        database.run_migrations()
    except BaseException:
        database.engine.dispose()
        raise
    return database


def _make(path: Path) -> None:
    """The file for its owner alone, and in WAL mode: readers and a writer do not wait for each other."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsInvalid(
            [f"{path.name}, where jobs are kept, cannot be made: {error.strerror}"],
            hint="Let the user that runs grantkeeper write in the directory of the database.",
        ) from error
    with closing(sqlite3.connect(path, timeout=30)) as db:
        db.execute("PRAGMA journal_mode=WAL")
