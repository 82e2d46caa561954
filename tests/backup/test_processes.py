"""Backups and restores by real processes: under load, and killed in the middle."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backup import crowd
from tests.backup.load import Load
from tests.contract.stage import Google, Stage
from tests.postgres import PostgresServer, database_of

pytestmark = pytest.mark.processes

PATIENCE = 60.0


@pytest.fixture
def stage(google: Google, tmp_path: Path) -> Iterator[Stage]:
    """An installation."""
    stage = Stage(tmp_path, google)
    yield stage
    stage.stop()


def elsewhere(stage: Stage, name: str = "new.db") -> None:
    """From here on its commands use another database."""
    stage.env = stage.env | {"GRANTKEEPER_DATABASE_URL": f"sqlite:///{name}"}


def killed(
    stage: Stage,
    arguments: list[str],
    moment: Callable[[], bool],
    *,
    done: Callable[[], bool],
    anew: Callable[[], object],
) -> None:
    """Start a command and kill -9 it once *moment* has come; if all was *done* by then, *anew*."""
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-m", "grantkeeper.cli", *arguments],
            cwd=stage.folder,
            env=stage.env,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + PATIENCE
        while not moment() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        process.kill()
        if -signal.SIGKILL == process.wait() and not done():
            return
        anew()
    raise AssertionError("it was done before it could be killed, each time")


def larger(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size > size
    except FileNotFoundError:
        return False


def test_a_backup_that_is_killed_leaves_no_file_under_the_name(stage: Stage) -> None:
    """
    Only the unfinished one beside it, for its owner alone, which the next backup takes over.
    """
    crowd.fill(stage.folder / "grantkeeper.db")
    copy, part = stage.folder / "copy", stage.folder / "copy.part"

    killed(
        stage,
        ["backup", "copy"],
        lambda: larger(part, 2 << 20),
        done=lambda: not part.exists(),
        anew=copy.unlink,
    )

    assert not copy.exists()
    assert 0o600 == part.stat().st_mode & 0o777
    stage.command("backup", "copy", expect=0)
    assert not part.exists()
    assert crowd.COUNT == json.loads(copy.read_bytes().splitlines()[-2])["rows"]["grants"]


def test_a_restore_that_is_killed_is_not_served_and_can_be_done_again(stage: Stage, google: Google) -> None:
    """
    In the middle of the rows: nothing of it is there, and no service starts on it.
    """
    code = google.code("ada@example.com", force=True)
    grant = json.loads(stage.command("redeem", "--json", stdin=code, expect=0).stdout)["grant"]["id"]
    crowd.fill(stage.folder / "grantkeeper.db")
    stage.command("backup", "copy", expect=0)
    elsewhere(stage)
    database = stage.folder / "new.db"

    def anew() -> None:
        for file in stage.folder.glob("new.db*"):
            file.unlink()

    killed(
        stage,
        ["restore", "copy"],
        lambda: larger(stage.folder / "new.db-wal", 6 << 20),
        done=lambda: crowd.count(database) > 0,
        anew=anew,
    )
    served = stage.command("serve", "--port", "0")
    held = crowd.count(database)
    again = stage.command("restore", "copy", "--json", expect=0)

    assert (1, 0) == (served.returncode, held)
    assert "a restore into this database was begun and is not finished" in served.stderr
    assert crowd.COUNT + 1 == json.loads(again.stdout)["rows"]["grants"] == crowd.count(database)
    assert stage.command("token", grant, expect=0).stdout.startswith("ya29.")


def test_a_backup_under_load_fails_nothing_and_is_of_one_moment(stage: Stage, google: Google) -> None:
    """
    Every request is answered while it runs; every grant of the backup has its event of the audit in
    it and the other way round, and each that was acknowledged before it began is there.
    """
    crowd.fill(stage.folder / "grantkeeper.db", 8_000)
    stage.serve("--workers", "2")
    grants = [stage.grant(f"user-{number}@example.com", force=True) for number in range(10)]
    load = Load(google, stage.key, [stage.port], grants)

    with load.running():
        load.some()
        before = list(load.grants)
        stage.command("backup", "copy", expect=0)
        load.some()

    assert [] == load.wrong
    assert load.answers["redeem"] > 3
    copied, noted, columns, table = set(), set(), [], ""
    for line in (stage.folder / "copy").read_bytes().splitlines():
        value = json.loads(line)
        if isinstance(value, list):
            row = dict(zip(columns, value, strict=True))
            if table == "grants" and row["client_id"] != "crowd":
                copied.add(row["id"])
            elif table == "audit" and row["name"] == "grant.created":
                noted.add(row["grant_id"])
        elif "table" in value:
            columns, table = value["columns"], value["table"]
    assert set(before) <= copied <= set(load.grants)
    assert copied == noted


def test_the_memory_of_both_does_not_grow_with_the_database(stage: Stage) -> None:
    """
    A hundred and seventy megabytes of rows pass through far less.
    """
    crowd.fill(stage.folder / "grantkeeper.db", 4_000, size=32_000)
    script = (
        "import resource, sys\n"
        "from grantkeeper.cli.main import run\n"
        "begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "status = run(sys.argv[1:])\n"
        "print(status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin)\n"
    )

    def grown(*arguments: str) -> tuple[int, int]:
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=stage.folder,
            env={name: value for name, value in stage.env.items() if name != "COVERAGE_PROCESS_CONFIG"},
            capture_output=True,
            text=True,
            check=True,
        )
        status, kibibytes = done.stdout.split()
        return int(status), int(kibibytes)

    backed_up = grown("backup", "copy")
    elsewhere(stage)
    restored = grown("restore", "copy")
    size = (stage.folder / "copy").stat().st_size // 1024

    assert (0, 0) == (backed_up[0], restored[0])
    assert max(backed_up[1], restored[1]) < size / 2


def test_on_postgres_a_killed_restore_is_not_served_and_can_be_done_again(
    google: Google, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """
    A backup while a service runs on one database, then a restore into another that is killed among
    the rows: nothing of it is there, no service starts on it, and the next restore does it all.
    """
    with postgres_server.database() as old, postgres_server.database() as new:
        stage = Stage(tmp_path, google, env={"DATABASE_URL": old}).serve()
        try:
            grant = stage.grant("postgres@example.com", force=True)
            crowd.fill_postgres(postgres_server, database_of(old))
            stage.command("backup", "copy", expect=0)
        finally:
            assert 0 == stage.stop()
        stage.env = stage.env | {"GRANTKEEPER_DATABASE_URL": new}
        unmade = stage.command("restore", "copy")
        stage.command("migrate", expect=0)

        def asked(statement: str) -> int:
            return int(postgres_server.execute(statement, database_of(new)))

        def anew() -> None:
            postgres_server.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public", database_of(new))
            stage.command("migrate", expect=0)

        killed(
            stage,
            ["restore", "copy"],
            lambda: asked("SELECT pg_relation_size('grants')") > 2 << 20,
            done=lambda: asked("SELECT count(*) FROM grants") > 0,
            anew=anew,
        )
        served = stage.command("serve", "--port", "0")
        held = asked("SELECT count(*) FROM grants")
        again = stage.command("restore", "copy", "--json", expect=0)
        token = stage.command("token", grant, expect=0)

    assert 1 == unmade.returncode
    assert "grantkeeper migrate" in unmade.stderr
    assert (1, 0) == (served.returncode, held)
    assert "a restore into this database was begun and is not finished" in served.stderr
    assert crowd.COUNT + 1 == json.loads(again.stdout)["rows"]["grants"]
    assert token.stdout.startswith("ya29.")
