"""The service as processes: starting, several workers, replacing the dead, ending in peace."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest

from grantkeeper.adapters.sealing import generate_keys
from grantkeeper.adapters.sqlite import open_sqlite
from grantkeeper.ids import uuid7
from grantkeeper.library.adapters import clock
from grantkeeper.model import Caller
from grantkeeper.settings import load_settings
from grantkeeper.testing.google import GoogleEmulator
from tests.server.asking import FROM_APP, KEY, KEYED, Remote
from tests.waiting import struck, wait_for

pytestmark = pytest.mark.processes

T = TypeVar("T")

ADA = "ada@example.com"
RUN = (
    "import sys; from grantkeeper.server.serve import serve; from grantkeeper.settings import load_settings; "
    "sys.exit(serve(load_settings(), port=int(sys.argv[1]), workers=int(sys.argv[2])))"
)


@dataclass
class Served:
    """A running service."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self.read, daemon=True)

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    @property
    def remote(self) -> Remote:
        """Where it answers, once it says so."""

        def said() -> str | None:
            if self.process.poll() is not None:
                raise AssertionError("\n".join(self.lines))
            found = [line for line in self.lines if line.startswith("grantkeeper: listening on http://")]
            return found[0].rpartition(":")[2] if found else None

        return Remote(("127.0.0.1", int(wait_for(said, 60.0) or 0)))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log lines of that name."""
        found = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [line for line in found if line["event"] == name]

    def workers(self) -> list[int]:
        """Process ids of its children."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def place(google_emulator: GoogleEmulator, tmp_path: Path) -> dict[str, str]:
    """An environment with keys, a client and one caller."""
    generate_keys(tmp_path / "keys.json")
    environment = {
        "GRANTKEEPER_KEYS": str(tmp_path / "keys.json"),
        "GRANTKEEPER_DATABASE_URL": f"sqlite:///{tmp_path / 'grants.db'}",
        "GRANTKEEPER_CLIENT_SECRETS": str(google_emulator.client_secret),
        "GRANTKEEPER_ISSUER": google_emulator.issuer,
        "GRANTKEEPER_CLOCK_FILE": str(google_emulator.clock_file),
    }
    settings = load_settings(environment)
    now = clock(settings).now()
    caller = Caller(
        id=uuid7(now, bytes(10)), name="photos", key_hash=sha256(KEY.encode()).digest(), created_at=now
    )

    async def add() -> None:
        store = open_sqlite(settings.database_url)
        await store.add_caller(caller)
        await store.close()

    asyncio.run(add())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRANTKEEPER_")}
    return {**kept, **environment}


Serve = Callable[..., Served]


@pytest.fixture
def serve(place: dict[str, str], tmp_path: Path) -> Iterator[Serve]:
    """Starts services and ends them."""
    running: list[Served] = []

    def start(workers: int = 1, port: int = 0, **changes: str) -> Served:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(port), str(workers)],
            env={**place, **changes},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        served = Served(process)
        served.reader.start()
        running.append(served)
        return served

    yield start
    for served in running:
        if served.process.poll() is None:
            served.process.kill()
        served.process.wait()
        served.reader.join(20)
        assert served.process.stderr is not None
        served.process.stderr.close()


def redeem(remote: Remote, google: GoogleEmulator) -> str:
    said = remote.ask("POST", "/v1/redeem", {"code": google.code(ADA)}, FROM_APP)
    assert 200 == said.status, said.body
    return str(said.json["grant"]["id"])


def test_one_process_serves_and_ends_with_status_0(serve: Serve, google_emulator: GoogleEmulator) -> None:
    """
    One line says where; SIGINT ends it as SIGTERM does.
    """
    served = serve()
    grant = redeem(served.remote, google_emulator)

    assert 200 == served.remote.ask("POST", "/v1/token", {"grant": grant}, KEYED).status
    assert 1 == sum("listening on" in line for line in served.lines)
    assert [] == served.workers()
    assert 0 == served.end(signal.SIGINT)
    assert served.events("request")


def test_workers_share_one_port_and_one_database(serve: Serve, google_emulator: GoogleEmulator) -> None:
    """
    What one of them redeemed, each of them hands out, and the numbers are the sum of all.
    """
    served = serve(workers=2)
    remote = served.remote
    grant = redeem(remote, google_emulator)
    told = [remote.ask("POST", "/v1/token", {"grant": grant}, KEYED) for _ in range(30)]

    assert 2 == len(served.workers())
    assert {200} == {said.status for said in told}
    assert 1 == len({said.json["access_token"] for said in told})
    # Each worker posts what it counted every now and then.
    counted = 'requests_total{route="/v1/token",method="POST",status="200"} 30\n'
    wait_for(lambda: counted in remote.ask("GET", "/metrics").body.decode())
    wait_for(lambda: "grantkeeper_workers 2\n" in remote.ask("GET", "/metrics").body.decode())
    assert 0 == served.end()


def test_a_worker_that_dies_is_replaced(serve: Serve) -> None:
    """
    The others go on meanwhile; what it had counted still counts.
    """
    served = serve(workers=2)
    remote = served.remote
    asked = 'requests_total{route="/healthz",method="GET",status="200"} 10'
    for _ in range(10):
        remote.ask("GET", "/healthz")
    wait_for(lambda: asked in remote.ask("GET", "/metrics").body.decode())
    victim = served.workers()[0]
    os.kill(victim, signal.SIGKILL)

    wait_for(lambda: victim not in served.workers() and len(served.workers()) == 2)
    wait_for(lambda: "grantkeeper_workers 2" in remote.ask("GET", "/metrics").body.decode())
    numbers = remote.ask("GET", "/metrics").body.decode()
    assert asked in numbers
    assert [victim] == [line["pid"] for line in served.events("worker.died")]
    assert 0 == served.end()


def test_workers_do_not_outlive_their_parent(serve: Serve) -> None:
    """
    Killed without a chance to tell them: they notice, and the port is free.
    """
    served = serve(workers=2)
    host, port = served.remote.address
    workers = served.workers()
    served.process.kill()
    served.process.wait()

    wait_for(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_refresh_in_flight_is_finished(serve: Serve, google_emulator: GoogleEmulator, workers: int) -> None:
    """
    SIGTERM comes while the issuer thinks: the token is stored and handed out, then the process ends.
    """
    served = serve(workers=workers)
    remote = served.remote
    grant = redeem(remote, google_emulator)
    google_emulator.advance(3601)
    google_emulator.fault("token", "slow", 1, seconds=1.5)
    said: list[Any] = []
    asking = threading.Thread(
        target=lambda: said.append(remote.ask("POST", "/v1/token", {"grant": grant}, KEYED))
    )
    asking.start()
    wait_for(struck(google_emulator))
    status = served.end()
    asking.join(10)

    assert (0, 200) == (status, said[0].status)
    assert 1 == google_emulator.count("token", "refresh_token")


def test_workers_that_cannot_start_end_it_with_status_1(serve: Serve, tmp_path: Path) -> None:
    """
    Whatever the parent could not see coming, here a module that the workers cannot import.
    """
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(
        "import os, sys\nif 'grantkeeper.server.worker' in sys.orig_argv: os._exit(3)\n"
    )
    path = os.pathsep.join([str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")])
    served = serve(workers=2, PYTHONPATH=path)

    assert 1 == served.process.wait(60)
    assert {3} == {line["status"] for line in wait_for(lambda: served.events("worker.not_started"))}


def test_what_the_settings_get_wrong_ends_it_before_anybody_is_spawned(serve: Serve, tmp_path: Path) -> None:
    """
    No key, no start.
    """
    (tmp_path / "keys.json").unlink()
    served = serve(workers=2)

    assert 0 != served.process.wait(60)
    assert wait_for(lambda: [line for line in served.lines if "SettingsInvalid" in line])


def test_a_port_that_is_taken_is_an_error_with_its_name(serve: Serve) -> None:
    """
    And a hint, and no traceback of the operating system.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served = serve(port=port)

        assert 0 != served.process.wait(60)
    assert wait_for(
        lambda: [line for line in served.lines if f"cannot listen on 127.0.0.1 port {port}" in line]
    )
