"""Asking an ASGI app in this process, and running one behind a real server on a loopback port."""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from types import TracebackType
from typing import Any, Self

from grantkeeper.server.node import Server, listen, run_loop, server_config
from grantkeeper.server.protocol import GuardedProtocol

KEY = "gk_" + "A" * 43
OTHER_KEY = "gk_" + "B" * 43
KEYED = {"Authorization": f"Bearer {KEY}"}
FROM_APP = {"X-Requested-With": "app"}

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of a refusal."""
        return self.status, self.json["error"]


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


async def ask(
    app: Any,
    method: str,
    path: str,
    body: Any = None,
    headers: Headers = (),
    *,
    peer: tuple[str, int] | None = ("127.0.0.1", 40000),
    scheme: str = "http",
) -> Said:
    """One request to *app*; a *body* that is not bytes is sent as JSON."""
    pairs = _pairs(headers)
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if body is not None and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "application/json"))
    pairs.append(("Content-Length", str(len(raw))))
    plain, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": scheme,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
        "client": peer,
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    waiting = [{"type": "http.request", "body": raw, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    told = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    cookies = tuple(value.decode() for name, value in start["headers"] if name == b"set-cookie")
    return Said(start["status"], told, b"".join(part.get("body", b"") for part in rest), cookies)


@dataclass(frozen=True)
class Remote:
    """Something that answers HTTP on this machine."""

    address: tuple[str, int]

    def ask(self, method: str, path: str, body: Any = None, headers: Headers = ()) -> Said:
        """One request on a connection of its own."""
        connection = HTTPConnection(*self.address, timeout=15)
        try:
            connection.putrequest(method, path)
            raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            pairs = _pairs(headers)
            if body is not None and not any(name.lower() == "content-type" for name, _ in pairs):
                pairs.append(("Content-Type", "application/json"))
            for name, value in [*pairs, ("Content-Length", str(len(raw)))]:
                connection.putheader(name, value)
            connection.endheaders(raw)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Said(answer.status, told, answer.read())
        finally:
            connection.close()


class Running:
    """*app* behind uvicorn with our protocol, in a thread, on a free port of 127.0.0.1."""

    def __init__(self, app: Any) -> None:
        self._listener, self.url = listen("127.0.0.1", 0)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._answers = threading.Event()
        self._config = server_config(app)
        self._server = Server(self._config, self._answers.set, handled=())
        self._thread = threading.Thread(target=self._run, daemon=True)

    def protocol(self, kind: type[GuardedProtocol]) -> None:
        """Speak *kind* instead; before it is started."""
        self._config.http = kind

    def _run(self) -> None:
        run_loop(self._server.serve([self._listener]))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._answers.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    def ask(self, method: str, path: str, body: Any = None, headers: Headers = ()) -> Said:
        """See `Remote.ask`."""
        return Remote(self.address).ask(method, path, body, headers)
