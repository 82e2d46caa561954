"""Where DBOS keeps what it knows, and what it leaves of itself in the process."""

import asyncio
import logging
import pickle
import sqlite3
import stat
import sys
import time
from base64 import b64encode
from contextlib import closing, nullcontext
from typing import Any

import pytest
import sqlalchemy

from grantkeeper.adapters import dbos_runtime
from grantkeeper.adapters.dbos_books import DbosBooks, suspend_run
from grantkeeper.adapters.dbos_engine import DbosEngine
from grantkeeper.adapters.dbos_place import SCHEMA, options, place_of, tried_when_idle
from grantkeeper.errors import SettingsInvalid, StoreUnavailable
from grantkeeper.ports import Suspended, Ticket
from grantkeeper.testing.engine_play import Play
from tests.postgres import PostgresServer, database_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def engine(tmp_path):
    engine = DbosEngine(f"sqlite:///{tmp_path / 'grants.db'}")
    yield engine
    await engine.stop(seconds=0)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////srv/grants.db", "sqlite:////srv/grants-jobs.db"),
        ("postgresql://u:p%40@h:5432/d?sslmode=require", "postgresql://u:p%40@h:5432/d?sslmode=require"),
        ("postgres://h/d", "postgresql://h/d"),
    ],
)
def test_the_place_follows_from_the_database_of_grants(url, place):
    """
    A neighbour of the file, or the same database.
    """
    assert place == place_of(url)


def test_another_kind_of_database_is_refused():
    """
    Before anything is made.
    """
    with pytest.raises(SettingsInvalid):
        place_of("mysql://h/d")


async def test_a_missing_extra_names_the_command(engine, monkeypatch):
    """
    Who installs grantkeeper without it learns what to run.
    """
    monkeypatch.setitem(sys.modules, "dbos", None)
    with pytest.raises(SettingsInvalid) as caught:
        await engine.submit([Ticket("a-1", "a")])

    assert "pip install 'grantkeeper[jobs]'" == caught.value.hint


async def test_the_file_is_its_owners_and_in_wal_mode(engine, tmp_path):
    """
    As the file of grants is.
    """
    await engine.ready()
    path = tmp_path / "grants-jobs.db"
    with closing(sqlite3.connect(path)) as db:
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert "wal" == mode


async def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    """
    As a mistake in the settings.
    """
    with pytest.raises(SettingsInvalid):
        await DbosEngine(f"sqlite:///{tmp_path / 'none' / 'grants.db'}").ready()


async def test_tables_on_postgresql_are_in_a_schema_of_their_own(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """
    Nothing of DBOS's stands among our own.
    """
    engine = DbosEngine(postgres_url)
    await engine.ready()
    await engine.stop(seconds=0)
    schemas = postgres_server.execute(
        "SELECT DISTINCT table_schema FROM information_schema.tables "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
        database_of(postgres_url),
    )

    assert SCHEMA == schemas


async def test_a_database_that_is_away_is_told_without_its_password() -> None:
    """
    Nobody waits for it here; a run does.
    """
    engine = DbosEngine("postgresql://grantkeeper:a-password@127.0.0.1:1/grants")
    with pytest.raises(StoreUnavailable) as caught:
        await engine.steps("a-1")
    await engine.stop(seconds=0)

    assert "a-password" not in str(caught.value.as_record())


async def test_nothing_is_printed_and_the_loop_keeps_its_threads(engine, capfd):
    """
    DBOS has a banner, a console log and threads of its own, which are gone afterwards.
    """
    play = Play()
    await engine.start(play, executor="first", at_once=1)
    await engine.submit([Ticket("a-1", "a")])
    await play.until_ended("a-1")
    await engine.stop(seconds=10)

    assert 7 == await asyncio.to_thread(lambda: 7)
    assert ("", "") == capfd.readouterr()
    assert [logging.NullHandler] == [type(handler) for handler in logging.getLogger("dbos").handlers]


async def test_two_engines_do_not_start_in_one_process(engine, tmp_path):
    """
    DBOS is one for a process; the second would get the first one's.
    """
    await engine.start(Play(), executor="first", at_once=1)
    second = DbosEngine(f"sqlite:///{tmp_path / 'others.db'}")
    with pytest.raises(RuntimeError):
        await second.start(Play(), executor="second", at_once=1)
    await second.stop(seconds=0)


async def test_a_stopped_engine_can_be_started_again(engine):
    """
    Under another name.
    """
    play = Play()
    await engine.start(play, executor="first", at_once=1)
    await engine.stop(seconds=10)
    await engine.submit([Ticket("a-1", "a")])
    await engine.start(play, executor="second", at_once=1)
    await play.until_ended("a-1")

    assert ["a-1"] == play.order


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


async def test_a_pickle_in_the_tables_is_not_opened(engine, tmp_path):
    """
    Whoever can write there could run code otherwise; the job just does not run.
    """
    play = Play()
    await engine.submit([Ticket("a-1", "a"), Ticket("b-1", "b")])
    with closing(sqlite3.connect(tmp_path / "grants-jobs.db")) as db:
        db.execute("UPDATE workflow_status SET serialization = 'py_pickle' WHERE workflow_uuid = 'a-1'")
        bomb = b64encode(pickle.dumps(Bomb())).decode()
        db.execute("UPDATE workflow_input SET inputs = ? WHERE workflow_uuid = 'a-1'", (bomb,))
        db.commit()
    await engine.start(play, executor="first", at_once=1)
    await play.until_ended("b-1")
    await engine.stop(seconds=10)

    assert ["b-1"] == play.order


def test_every_sqlite_tells_the_time_as_dbos_wants_it(tmp_path):
    """
    In parts of seconds, in a statement and as a column's default; one before 3.42 by itself says NULL.
    """
    url = f"sqlite:///{tmp_path / 'any-jobs.db'}"
    connect = options(url, pooled=False, size=1)["connect_args"]
    before = time.time() - 0.01
    with closing(sqlite3.connect(tmp_path / "any-jobs.db", **connect)) as db:
        (said,) = db.execute("SELECT unixepoch('subsec')").fetchone()
        db.execute(
            "CREATE TABLE stamped (id INTEGER, at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000))"
        )
        db.execute("INSERT INTO stamped (id) VALUES (1)")
        (at,) = db.execute("SELECT at FROM stamped").fetchone()

    assert before <= said <= at / 1000 <= time.time() + 0.01


@pytest.mark.parametrize("tried", [True, False])
def test_a_connection_that_lay_idle_is_tried_before_it_is_used(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, tried: bool
) -> None:
    """
    The server has ended it meanwhile: another takes its place. One that was just used is believed to live.
    """
    monkeypatch.setattr("grantkeeper.adapters.dbos_place.IDLE_SECONDS", -1.0 if tried else 600.0)
    url = sqlalchemy.make_url(place_of(postgres_url)).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url, **options(place_of(postgres_url), pooled=False, size=1))
    killer = sqlalchemy.create_engine(url)
    tried_when_idle(engine)
    try:
        with engine.connect() as used:
            pid = used.execute(sqlalchemy.text("SELECT pg_backend_pid()")).scalar()
        with killer.connect() as other:
            other.execute(sqlalchemy.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with (
            nullcontext() if tried else pytest.raises(sqlalchemy.exc.OperationalError),
            engine.connect() as again,
        ):
            assert pid != again.execute(sqlalchemy.text("SELECT pg_backend_pid()")).scalar()
    finally:
        engine.dispose()
        killer.dispose()


async def test_the_loop_keeps_its_threads_though_the_tables_are_away(
    engine: DbosEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What is taken cannot be given back; whoever ends the rest needs them.
    """

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    play = Play()
    await engine.start(play, executor="first", at_once=1)
    await engine.submit([Ticket("a-1", "a")])
    await play.until_ended("a-1")
    monkeypatch.setattr(DbosBooks, "give_back", away)
    with pytest.raises(StoreUnavailable):
        await engine.stop(seconds=10)

    assert 7 == await asyncio.to_thread(lambda: 7)


async def test_an_end_that_cannot_be_written_is_written_later(
    engine: DbosEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A disk was full: a run that DBOS took for failed would never be resumed.
    """
    failures = [OSError("full"), OSError("full")]

    def late(database: Any, job_id: str, owner: str) -> None:
        if failures:
            raise failures.pop()
        suspend_run(database, job_id, owner)

    monkeypatch.setattr(dbos_runtime, "suspend_run", late)
    monkeypatch.setattr(dbos_runtime, "END_AGAIN_AFTER", 0.01)
    play = Play()
    play.failing[("a-1", "two")] = Suspended()
    await engine.start(play, executor="first", at_once=1)
    await engine.submit([Ticket("a-1", "a")])
    await play.until_ended("a-1", "suspended")
    play.failing.clear()
    await engine.resume([Ticket("a-1", "a")])
    await play.until_ended("a-1")

    assert [] == failures
    assert 2 == caplog.text.count("job.escaped")
