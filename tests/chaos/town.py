"""
A town of real processes: an emulator of Google, and nodes of the service on one SQLite file.

Every process is a session of its own, is ended by its process id alone, and listens on 127.0.0.1.
"""

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import apsw

import grantkeeper
from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.processes import STOP_LIMIT, Process, without_settings

SCOPES = ("openid", "email", "profile", "https://www.googleapis.com/auth/drive.appdata")

CONFIG = """\
database_url = "{database}"
keys = "keys.json"
clock_file = "clock"
redeem_limit = "1000000/minute"
log_format = "json"

[clients.default]
secrets = "client_secret.json"
issuer = "{google}"
scopes = {scopes}
{client}"""


def environment() -> dict[str, str]:
    """Ours without settings of grantkeeper; children see the package that we see, whatever their folder."""
    return without_settings() | {"PYTHONPATH": str(Path(grantkeeper.__file__).parent.parent)}


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "grantkeeper.cli", *arguments]


class Node(Process):
    """
    A process of the service, by itself or the parent of workers.

    Attributes:
        log: Its standard error.
        url: Where it answers, once `ready` has returned.
    """

    def __init__(self, folder: Path, log: Path, workers: int) -> None:
        self.workers = workers
        serve = command(["serve", "--port", "0", "--workers", str(workers)])
        super().__init__(serve, folder=folder, environment=environment(), log=log)


class Town:
    """
    Emulator and nodes, up from ``with`` to its end.

    Args:
        patient: Whether a part may wait for half a minute where time itself is what it needs.

    Attributes:
        google: The emulator's control side and its own counters.
        caller_key: The key of a backend that may do everything.
    """

    def __init__(self, folder: Path, *, patient: bool = False) -> None:
        self.folder = folder
        self.patient = patient
        self.nodes: list[Node] = []
        self.caller_key = ""
        self._started = 0
        self._emulator: subprocess.Popen[str] | None = None
        self.google: GoogleEmulator

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _set_up(self) -> None:
        with (self.folder / "emulator.log").open("wb") as log:
            self._emulator = subprocess.Popen(
                command(["emulator", "--port", "0", "--clock-file", "clock", "--json"]),
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._emulator.stdout is not None
        told = "".join(iter(self._emulator.stdout.readline, "}\n")) + "}"
        url = json.loads(told)["url"]
        self.google = GoogleEmulator(url, client_secret=self.folder / "client_secret.json")
        self.prepare_issuer()
        config = CONFIG.format(
            google=url,
            scopes=json.dumps(list(SCOPES)),
            database=self.database,
            client=self.client_settings,
        )
        (self.folder / "grantkeeper.toml").write_text(config, encoding="utf-8")
        self.run("init")
        self.caller_key = json.loads(self.run("callers", "create", "chaos", "--json"))["key"]

    # -- what another kind of town has otherwise ------------------------------------------------

    @property
    def database(self) -> str:
        """The setting ``database_url``."""
        return "sqlite:///grants.db"

    @property
    def client_settings(self) -> str:
        """Lines more of the client's table."""
        return ""

    def prepare_issuer(self) -> None:
        """Make the emulator what the town needs, before anybody reads its client file."""

    # -- commands and nodes ---------------------------------------------------------------------

    def run(self, *arguments: str) -> str:
        """What a grantkeeper command prints."""
        done = subprocess.run(
            command(arguments), cwd=self.folder, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def begin(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """A grantkeeper command under way; who began it ends it."""
        return subprocess.Popen(
            command(arguments),
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start(self, count: int, *, workers: int = 1) -> list[Node]:
        """*count* more nodes, all ready."""
        started = []
        for _ in range(count):
            self._started += 1
            started.append(Node(self.folder, self.folder / f"node-{self._started}.log", workers))
            self.nodes.append(started[-1])
        return [node.ready() for node in started]

    def at_least(self, count: int) -> list[Node]:
        """*count* running nodes without workers, started as needed."""
        self.nodes = [node for node in self.nodes if node.alive]
        single = [node for node in self.nodes if node.workers == 1]
        self.start(max(0, count - len(single)))
        return [node for node in self.nodes if node.workers == 1][:count]

    def stop_nodes(self) -> None:
        """End every node in peace."""
        nodes, self.nodes = [node for node in self.nodes if node.alive], []
        for node in nodes:
            node.signal()
        statuses = [node.stop() for node in nodes]
        assert not any(statuses), f"nodes ended with {statuses}"

    def close(self) -> None:
        """End everything."""
        for node in self.nodes:
            if node.alive:
                node.signal()
        for node in self.nodes:
            with suppress(AssertionError):
                node.stop()
        if self._emulator is not None:
            self._emulator.terminate()
            try:
                self._emulator.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._emulator.kill()
                self._emulator.wait()
            if self._emulator.stdout is not None:
                self._emulator.stdout.close()

    # -- the file -------------------------------------------------------------------------------

    def check_file(self) -> None:
        """The database is whole, also after a crash."""
        db = apsw.Connection(str(self.folder / "grants.db"))
        try:
            assert [("ok",)] == db.execute("PRAGMA integrity_check").fetchall()
            assert [] == db.execute("PRAGMA foreign_key_check").fetchall()
        finally:
            db.close()

    def job_rows(self) -> list[str]:
        """Everything that is written down of jobs, by us and by the engine: a line for each row."""
        ours = _rows(self.folder / "grants.db", "jobs", "erased_jobs")
        return ours + _rows(self.folder / "grants-jobs.db")

    def lapse(self) -> None:
        """As if the time were over that a claim is left to its owner: all owners are dead."""
        db = apsw.Connection(str(self.folder / "grants.db"))
        try:
            db.set_busy_timeout(10_000)
            db.execute("UPDATE redemptions SET claimed_until = 0 WHERE state = 'claimed'")
        finally:
            db.close()

    # -- Google's side --------------------------------------------------------------------------

    def count(self, kind: str) -> Mapping[str, int]:
        """How requests of that ``grant_type`` ended at the token endpoint, by outcome."""
        found: Mapping[str, int] = self.google.stats().get("token", {}).get(kind, {})
        return found

    def asked(self, kind: str) -> int:
        """How many requests of that ``grant_type`` there were."""
        return sum(self.count(kind).values())


def _rows(file: Path, *tables: str) -> list[str]:
    """The rows of these tables, or of all there are, as text."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=30)) as db:
        names = tables or [
            name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        return [f"{name} {row}" for name in names for row in db.execute(f"SELECT * FROM {name}")]


def some(dice: random.Random, nodes: Sequence[Node]) -> Node:
    """Any of *nodes*."""
    return nodes[dice.randrange(len(nodes))]
