"""
The issuer of a race: the emulator, with a log of every refresh and a barrier in front of its answers.

It runs in a process of its own (``python -m grantkeeper.testing.race.issuer FOLDER``), so that the load
beside it does not slow it, and so that what it counts is beyond the service's reach. `Issuer` is its handle.
"""

import asyncio
import hashlib
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.request import ProxyHandler, Request, build_opener

from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.wire import replayed, whole_body
from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.processes import Process, without_settings

TOKEN_PATHS = ("/token", "/oauth2/v4/token", "/o/oauth2/token")
LONGEST_HOLD = 120.0
"""Seconds after which a held answer leaves by itself: nothing waits for a race that was given up."""


@dataclass(slots=True)
class Seen:
    """
    A refresh at the issuer; times are of its own monotonic clock.

    Attributes:
        token: SHA-256 of the refresh token, in hexadecimal.
        ended: When the answer left; ``None`` while it is held.
        status: Of the answer; 0 for none.
    """

    token: str
    began: float
    ended: float | None = None
    status: int = 0


class Watch:
    """An ASGI layer around the emulator: logs refreshes and, while told to, holds them."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._seen: list[Seen] = []
        self._held: tuple[str, int | None] | None = None
        self._verdict: Mapping[str, Any] = {}
        self._gate: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].startswith("/race/"):
            await self._control(scope, await whole_body(receive), send)
        elif scope["method"] == "POST" and scope["path"] in TOKEN_PATHS:
            body = await whole_body(receive)
            form = parse_qs(body.decode("latin-1"))
            if form.get("grant_type") == ["refresh_token"]:
                await self._refresh(form, scope, replayed(body, receive), send)
            else:
                await self._app(scope, replayed(body, receive), send)
        else:
            await self._app(scope, receive, send)

    async def _refresh(self, form: dict[str, list[str]], scope: Any, receive: Any, send: Any) -> None:
        token = hashlib.sha256(form.get("refresh_token", [""])[0].encode()).hexdigest()
        seen = Seen(token, time.monotonic())
        self._seen.append(seen)
        said: list[Any] = []

        async def keep(message: Any) -> None:
            said.append(message)

        try:
            when, gate = self._turn()
            if when == "before":
                await self._wait(gate)
                if self._verdict:
                    said = _refusal(self._verdict)
                else:
                    await self._app(scope, receive, keep)
            else:
                await self._app(scope, receive, keep)
                if when == "after":
                    await self._wait(gate)
            for message in said:
                if message["type"] == "http.response.start":
                    seen.status = message["status"]
                await send(message)
        finally:
            seen.ended = time.monotonic()

    def _turn(self) -> tuple[str | None, asyncio.Event | None]:
        """Whether this refresh is held, and behind which gate."""
        if self._held is None:
            return None, None
        when, left = self._held
        if left is not None:
            self._held = (when, left - 1) if left > 1 else None
        return when, self._gate

    @staticmethod
    async def _wait(gate: asyncio.Event | None) -> None:
        if gate is not None:
            try:
                async with asyncio.timeout(LONGEST_HOLD):
                    await gate.wait()
            except TimeoutError:
                pass

    async def _control(self, scope: Any, body: bytes, send: Any) -> None:
        asked = json.loads(body or b"{}")
        if scope["path"] == "/race/hold":
            self._held, self._verdict = (asked["when"], asked.get("count")), {}
            # Who waits behind an older gate goes on waiting there.
            self._gate = self._gate if self._gate is not None and not self._gate.is_set() else asyncio.Event()
        elif scope["path"] == "/race/release":
            self._held, self._verdict = None, asked
            if self._gate is not None:
                self._gate.set()
        answer = json.dumps([asdict(seen) for seen in self._seen]).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def _refusal(verdict: Mapping[str, Any]) -> list[Any]:
    body = json.dumps({"error": verdict["error"]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return [
        {"type": "http.response.start", "status": verdict["status"], "headers": headers},
        {"type": "http.response.body", "body": body},
    ]


class _WatchedEmulator(EmulatorServer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._server.config.app = Watch(self._server.config.app)


def main(folder: Path) -> None:
    """Serve until SIGTERM; the address is the first line."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with _WatchedEmulator(clock_file=folder / "clock") as server:
        print(server.url, flush=True)
        ended.wait()


# -- the handle -------------------------------------------------------------------------------------


class Issuer:
    """
    The process, as a race uses it. Every call blocks for a moment.

    Attributes:
        google: The emulator's control side.
        clock_file: The emulator's clock, for services that can share it.
    """

    def __init__(self, folder: Path) -> None:
        self.clock_file = folder / "clock"
        # Nothing of the coverage of a test run, or of the service's own settings, is meant for it.
        command = [sys.executable, "-m", "grantkeeper.testing.race.issuer", str(folder)]
        self._process = Process(
            command, folder=folder, environment=without_settings(), log=folder / "issuer.log"
        )
        try:
            self._process.ready()
            self.google = GoogleEmulator(
                self._process.url, client_secret=folder / "client_secret.json", clock_file=self.clock_file
            )
        except BaseException:
            self.close()
            raise
        self._opener = build_opener(ProxyHandler({}))

    def close(self) -> None:
        """End it."""
        self._process.stop()

    def seen(self) -> list[Seen]:
        """Every refresh so far, in order of arrival."""
        return self._call("seen", {})

    def hold(self, when: str = "after", count: int | None = None) -> None:
        """
        Hold refreshes from now on, all or the next *count*.

        Args:
            when: ``after``, the request takes effect and its answer waits; or
                ``before``, all of it waits, and `release` decides what comes of it.
        """
        self._call("hold", {"when": when, "count": count})

    def release(self, error: str | None = None, status: int = 400) -> None:
        """Let go of all that is held; what waits ``before`` is refused with *error*, if there is one."""
        self._call("release", {} if error is None else {"error": error, "status": status})

    def rotate(self, rotating: bool) -> None:
        """Whether a refresh spends its refresh token, and a spent one that comes again ends the grant."""
        client_id = json.loads(self.google.client_secret.read_text())["web"]["client_id"]  # type: ignore[union-attr]
        self.google.call("PATCH", "clients", {"client_id": client_id, "rotation": rotating})

    def _call(self, name: str, body: Mapping[str, Any]) -> list[Seen]:
        request = Request(  # noqa: S310 - the address is the race's own
            f"{self._process.url}/race/{name}", data=json.dumps(body).encode(), method="POST"
        )
        with self._opener.open(request, timeout=30) as answer:
            return [Seen(**one) for one in json.loads(answer.read())]


def overlapping(seen: Iterable[Seen]) -> int:
    """How many refreshes began while another with the same token was under way."""
    under_way: dict[str, float] = {}
    found = 0
    for one in sorted(seen, key=lambda one: one.began):
        found += one.began < under_way.get(one.token, 0.0)
        ended = float("inf") if one.ended is None else one.ended
        under_way[one.token] = max(ended, under_way.get(one.token, 0.0))
    return found


def repeated(seen: Iterable[Seen]) -> int:
    """How many refreshes came after the first with the same token, at whatever time."""
    return sum(count - 1 for count in Counter(one.token for one in seen).values())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
