"""The stage of the demo: an emulator of Google and a service, each a process of its own, in a new folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from grantkeeper.errors import StoreUnavailable
from grantkeeper.testing.google import GoogleEmulator

START_LIMIT = 30.0
STOP_LIMIT = 20.0

SCOPES = ("openid", "email", "profile", "https://www.googleapis.com/auth/drive.appdata")

CONFIG = """\
database_url = "sqlite:///grantkeeper.db"
keys = "keys.json"
public_url = "{service}"
clock_file = "clock"

[clients.default]
secrets = "client_secret.json"
issuer = "{google}"
scopes = {scopes}
origins = ["{app}"]
return_to = ["{app}/back", "{photos}/back"]
redirect.ios = ""
redirect.web-popup = "postmessage"
redirect.web = ["{service}/connect/callback", "{photos}/auth/connect/callback"]
"""


class Stage:
    """
    Emulator and service, up from ``with`` to its end.

    Attributes:
        google: The emulator's control side.
        service: The service's address.
        app: Where the demo's own web page is served, if it is.
        photos: Where the photo app is served, if it is.
        caller_key: The key of the app's backend.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        ports = free_ports(4)
        self._google_url, self.service, self.app, self.photos = (f"http://127.0.0.1:{port}" for port in ports)
        self._ports = ports
        self.google: GoogleEmulator
        self.caller_key = ""

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
        google, service, *_ = self._ports
        self._start(["emulator", "--port", str(google), "--clock-file", "clock"])
        wait_for(self._google_url + "/", self._processes[-1])
        self.google = GoogleEmulator(self._google_url)
        secret = self.google.get("client_secret.json")
        self.google.call(
            "PATCH",
            "clients",
            {
                "client_id": secret["web"]["client_id"],
                "redirect_uris": [
                    *secret["web"]["redirect_uris"],
                    self.service + "/connect/callback",
                    self.photos + "/auth/connect/callback",
                ],
                "javascript_origins": [*secret["web"].get("javascript_origins", []), self.app],
            },
        )
        path = self.folder / "client_secret.json"
        path.write_text(json.dumps(self.google.get("client_secret.json")), encoding="utf-8")
        config = CONFIG.format(
            service=self.service,
            google=self._google_url,
            app=self.app,
            photos=self.photos,
            scopes=json.dumps(list(SCOPES)),
        )
        (self.folder / "grantkeeper.toml").write_text(config, encoding="utf-8")
        self.run("init")
        self.caller_key = json.loads(self.run("callers", "create", "photo-backend", "--json"))["key"]
        self._start(["serve", "--port", str(service)])
        wait_for(self.service + "/readyz", self._processes[-1])

    def serve_photos(self) -> None:
        """Start the photo app of `examples/photos`."""
        port = self.photos.rsplit(":", 1)[1]
        serving = ["uvicorn", "--factory", "app:create_app", "--port", port, "--log-level", "warning"]
        more = {"GRANTKEEPER_PUBLIC_URL": self.photos + "/auth"}
        self._start([*serving, "--timeout-graceful-shutdown", "2"], module="uvicorn", more=more)
        wait_for(self.photos + "/", self._processes[-1])

    def start_worker(self) -> "subprocess.Popen[bytes]":
        """Start a worker for the photo app's jobs, and wait until it says that it works."""
        self._start(["jobs", "run", "--app", "jobs"])
        worker = self._processes[-1]
        log = self.folder / "jobs.log"
        give_up = time.monotonic() + START_LIMIT
        while b"working on" not in log.read_bytes():
            if worker.poll() is not None or time.monotonic() > give_up:
                raise StoreUnavailable("the worker does not begin", hint=f"Look at {log}.")
            time.sleep(0.05)
        return worker

    def run(self, *arguments: str) -> str:
        """What a grantkeeper command prints, in the stage's folder."""
        done = subprocess.run(  # noqa: S603 - our own interpreter and words
            _command(arguments), cwd=self.folder, env=_environment(), capture_output=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"grantkeeper {arguments[0]} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    def close(self) -> None:
        """End what was started, the service first, so that it may finish what it does."""
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def _start(
        self,
        arguments: Sequence[str],
        *,
        module: str = "grantkeeper.cli",
        more: Mapping[str, str] | None = None,
    ) -> None:
        example = os.fspath(photos_example())
        photos = {"PYTHONPATH": example, "PHOTOS_GOOGLE": self._google_url, "PHOTOS_FOLDER": "photos"}
        log = (self.folder / f"{arguments[0]}.log").open("wb")
        with log:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and words
                [
                    sys.executable,
                    "-m",
                    module,
                    *(arguments if module == "grantkeeper.cli" else arguments[1:]),
                ],
                cwd=self.folder,
                env=_environment() | photos | dict(more or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)


def photos_example() -> Path:
    """The folder of the photo app: in the wheel, or in the repository that this is run from."""
    packed = Path(__file__).parent / "photos"
    return packed if packed.is_dir() else Path(__file__).parents[3] / "examples" / "photos"


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "grantkeeper.cli", *arguments]


def _environment() -> dict[str, str]:
    """Ours without any settings of grantkeeper: the stage brings its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GRANTKEEPER_")}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]
    finally:
        for holder in holders:
            holder.close()


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    """
    Wait until *url* answers 200.

    Raises:
        StoreUnavailable: *process* ended, or nothing answered in time.
    """
    opener: Any = build_opener(ProxyHandler({}))
    give_up = time.monotonic() + START_LIMIT
    while time.monotonic() < give_up:
        if process.poll() is not None:
            break
        with suppress(URLError, ConnectionError, TimeoutError), opener.open(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise StoreUnavailable(f"nothing answers at {url}", hint="Look at the logs in the demo's folder.")
