"""
A stage for the contract: grantkeeper as its users run it, and HTTP without any library between.

Nothing here imports the product: it is a command that is run and a port that is asked. Every process
is ended by its own id and listens on 127.0.0.1 alone.
"""

import base64
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

START_LIMIT = 90.0
STOP_LIMIT = 60.0
FROM_APP = {"X-Requested-With": "contract"}

DRIVE = "https://www.googleapis.com/auth/drive.appdata"
DRIVE_FILE = "https://www.googleapis.com/auth/drive.file"
EMAIL = "https://www.googleapis.com/auth/userinfo.email"
PROFILE = "https://www.googleapis.com/auth/userinfo.profile"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code, as the tables of the contract have them; ``ok`` where there is no error."""
        said = self.json if self.body else {}
        return self.status, said.get("error", "ok")

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


def ask(
    port: int,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    limit: float = 90.0,
) -> Answer:
    """
    One request on a connection of its own.

    Args:
        body: Bytes and text go as they are, anything else as JSON.
    """
    sent = dict(headers or {})
    if body is not None and not isinstance(body, bytes | str):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limit)
    try:
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def raw(port: int, message: bytes, *, end: bool = False, limit: float = 30.0) -> bytes:
    """What comes back for *message* until the other side closes; *end* says that no more will be sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=limit) as line:
        received = b""
        try:
            line.sendall(message)
            if end:
                line.shutdown(socket.SHUT_WR)
            while piece := line.recv(65536):
                received += piece
        except (ConnectionError, TimeoutError):
            pass
        return received


def environment() -> dict[str, str]:
    """Ours, without settings of grantkeeper; children see the package that we see."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRANTKEEPER_")}
    found = find_spec("grantkeeper")
    assert found is not None and found.origin is not None
    return kept | {"PYTHONPATH": str(Path(found.origin).parent.parent)}


class Process:
    """A command that runs until it is stopped."""

    def __init__(self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], name: str) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as out:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "grantkeeper.cli", *arguments],
                cwd=folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def port(self, path: str) -> int:
        """Wait until it says where it listens and *path* is answered with 200; then, the port."""
        until = time.monotonic() + START_LIMIT
        while time.monotonic() < until and self.popen.poll() is None:
            # The host part is escaped for JSON nowhere; the first address in the log is the process's own.
            found = re.search(r"http://127\.0\.0\.1:(\d+)", self.log.read_text(errors="replace"))
            try:
                if found and 200 == ask(int(found[1]), "GET", path, limit=10).status:
                    return int(found[1])
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"does not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def stop(self) -> int:
        """SIGTERM, then the exit status."""
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            return self.popen.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError("a process does not end when it is told to") from None


class Google:
    """A running `grantkeeper emulator` and its control side, by the paths of design section 10."""

    def __init__(self, folder: Path) -> None:
        self.clock_file = folder / "clock"
        self.process = Process(
            ["emulator", "--port", "0", "--clock-file", str(self.clock_file)],
            folder,
            environment(),
            "emulator",
        )
        self.port = self.process.port("/.well-known/openid-configuration")
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.client_file = folder / "client_secret.json"
        answer = ask(self.port, "GET", "/emulator/client_secret.json")
        self.client_file.write_bytes(answer.body)
        self.client = answer.json["web"]

    def post(self, path: str, body: object) -> Any:
        answer = ask(self.port, "POST", f"/emulator/{path}", body)
        assert 200 == answer.status, answer
        return answer.json

    def sign_in(self, email: str, **options: Any) -> tuple[str, str]:
        """A code as a phone gets it, and the account's ``sub``."""
        made = self.post("code", {"email": email, **options})
        return made["code"], made["sub"]

    def code(self, email: str, **options: Any) -> str:
        return self.sign_in(email, **options)[0]

    def id_token(self, email: str, **options: Any) -> str:
        """The ID token that the user's phone has."""
        return str(self.post("id_token", {"email": email, **options})["id_token"])

    def register(self, kind: str, **options: Any) -> tuple[str, Path]:
        """Another OAuth client in the same project: its id and its client file."""
        made = self.post("clients", {"kind": kind, **options})["client_id"]
        answer = ask(self.port, "GET", f"/emulator/client_secret.json?client_id={made}")
        assert 200 == answer.status, answer
        file = self.client_file.with_name(f"client_secret_{made}.json")
        file.write_bytes(answer.body)
        return made, file

    def advance(self, seconds: float) -> None:
        self.post("clock", {"advance": seconds})

    def fault(self, endpoint: str, name: str, **options: Any) -> None:
        self.post("fault", {"endpoint": endpoint, "name": name, **options})

    def heal(self) -> None:
        assert 200 == ask(self.port, "DELETE", "/emulator/fault").status

    def stats(self) -> Any:
        return ask(self.port, "GET", "/emulator/stats").json

    def sent(self, kind: str) -> int:
        """How many requests of *kind* (``grant_type``) the token endpoint has seen, however they ended."""
        return sum(self.stats()["token"].get(kind, {}).values())

    def refreshed(self) -> int:
        return int(self.stats()["token"]["refresh_token"]["ok"])


class Stage:
    """
    A folder in which `grantkeeper init` has run, and a service in it.

    Args:
        config: Added to ``grantkeeper.toml``.
        env: Settings by their names without ``GRANTKEEPER_``.
    """

    def __init__(
        self, folder: Path, google: Google, *, config: str = "", env: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.google = google
        self.env = environment() | {
            "GRANTKEEPER_CLIENT_SECRETS": str(google.client_file),
            "GRANTKEEPER_ISSUER": google.issuer,
            "GRANTKEEPER_CLOCK_FILE": str(google.clock_file),
            "GRANTKEEPER_REDEEM_LIMIT": "100000/minute",
            **{f"GRANTKEEPER_{name}": value for name, value in (env or {}).items()},
        }
        self.command("init", expect=0)
        if config:
            with (folder / "grantkeeper.toml").open("a", encoding="utf-8") as file:
                file.write(config)
        self.key = self.caller("everything")
        self.service: Process | None = None
        self.port = 0

    # -- the command line -----------------------------------------------------------------------

    def command(
        self,
        *arguments: str,
        stdin: str = "",
        expect: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """One `grantkeeper` command in the folder, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "grantkeeper.cli", *arguments],
            cwd=self.folder,
            env=self.env | dict(env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=START_LIMIT,
            check=False,
        )
        assert expect is None or expect == done.returncode, (arguments, done)
        return done

    def caller(self, name: str, *flags: str) -> str:
        """A new caller's key."""
        return str(
            json.loads(self.command("callers", "create", name, *flags, "--json", expect=0).stdout)["key"]
        )

    # -- the service ----------------------------------------------------------------------------

    def serve(self, *arguments: str) -> "Stage":
        self.service = Process(["serve", "--port", "0", *arguments], self.folder, self.env, "serve")
        self.port = self.service.port("/readyz")
        return self

    def stop(self) -> int:
        return 0 if self.service is None else self.service.stop()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
        limit: float = 90.0,
    ) -> Answer:
        """One request, with a caller key if *key* is given."""
        sent = dict(headers or {}) | ({} if key is None else {"Authorization": f"Bearer {key}"})
        return ask(self.port, method, path, body, sent, limit=limit)

    def redeem(
        self, body: object, headers: Mapping[str, str] | None = None, *, key: str | None = None
    ) -> Answer:
        """``POST /v1/redeem`` with its header."""
        return self.ask("POST", "/v1/redeem", body, FROM_APP | dict(headers or {}), key=key)

    def grant(self, email: str, *, user: str | None = None, **options: Any) -> str:
        """The id of a new grant of *email*, signed in as an iPhone does."""
        body = {"code": self.google.code(email, **options)} | ({} if user is None else {"user": user})
        answer = self.redeem(body, key=None if user is None else self.key)
        assert 200 == answer.status, answer
        return str(answer.json["grant"]["id"])

    def token(self, body: object, *, key: str | None = None) -> Answer:
        """``POST /v1/token`` of the caller who may do everything, or of *key*."""
        return self.ask("POST", "/v1/token", body, key=key or self.key)

    def describe(self, grant: str) -> Any:
        answer = self.ask("GET", f"/v1/grants/{grant}", key=self.key)
        assert 200 == answer.status, answer
        return answer.json


def jwt(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unverified."""
    parts = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]
    return parts[0], parts[1]


def s256(text: str) -> str:
    """base64url of SHA-256 without padding: a PKCE challenge, or the name of a rejected token."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
