"""PgBouncer in transaction mode before a test's PostgreSQL; `tools/bootstrap tests` brings Debian's."""

import os
import shutil
import signal
import subprocess
import time
from typing import Self

from tests.postgres import PASSWORD, USER, PostgresServer, _own, free_port, run_as, temporary_folder

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """Hands every transaction to whichever of a few server connections is free."""

    def __init__(self, server: PostgresServer, *, connections: int = 6) -> None:
        assert PROGRAM is not None, "there is no pgbouncer: tools/bootstrap tests installs it"
        self.port = 0
        self.folder = temporary_folder()
        _own(self.folder)
        (self.folder / "users.txt").write_text(f'"{USER}" "{PASSWORD}"\n')
        self._server = server
        self._connections = connections
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # Once more where somebody else has taken the port meanwhile.
        if not any(self._try(free_port()) for _ in range(5)):
            raise AssertionError(f"PgBouncer does not start:\n{self._log[-2000:]}")
        return self

    def _try(self, port: int) -> bool:
        self.port = port
        (self.folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={self._server.port}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {self.folder}/users.txt\n"
            f"pool_mode = transaction\ndefault_pool_size = {self._connections}\nmax_client_conn = 200\n"
            # Another server connection for every transaction, so that nothing of a session can last.
            "server_round_robin = 1\nserver_lifetime = 60\n"
        )
        with (self.folder / "log").open("ab") as out:
            self._process = subprocess.Popen(
                [str(PROGRAM), str(self.folder / "pgbouncer.ini")],
                **run_as(),
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", "")},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        until = time.monotonic() + 30
        while time.monotonic() < until and self._process.poll() is None:
            # Not a connection tried: whoever had taken the port would answer it.
            if f"listening on 127.0.0.1:{port}\n" in self._log:
                return True
            time.sleep(0.02)
        self._end()
        return False

    @property
    def _log(self) -> str:
        return (self.folder / "log").read_text()

    def __exit__(self, *_: object) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"
