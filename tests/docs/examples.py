"""
Runs the examples of a Markdown page, in their order and in one place, as a reader would.

A fenced block of ``python`` or ``sh`` runs. A comment on the line before it changes that:

``<!-- example: not run: why -->``
    The block is left out. The reason is for the reader of the source.
``<!-- example: stays: URL -->``
    A shell block that does not end (a server) is left running until the page ends;
    the next block waits until *URL* answers.
``<!-- example: answers -->``
    A ``json`` block: what the shell block before it printed has these names, and these
    values except where the page shortens a text with ``…`` or the value is a number.
``<!-- example: prints -->``
    A ``text`` block: the block before it printed each of these lines; ``…`` stands for anything.

A block inside a comment runs and is not shown, for what the page needs and its reader has
got already. Its mark, if it has one, stands there bare: ``example: stays: URL``.

A page finds a directory that holds Google's client file (the emulator's) alone, and the
settings that make the emulator Google; a page that starts an emulator of its own finds
nothing. Python blocks share their names, and `code` is a new one-time code, with forced
consent, in each; a function called ``test_…`` is called with the fixtures it names, of
those in `grantkeeper.testing.plugin`. Shell blocks share their variables. Ports that a page
names are replaced by free ones, the same throughout the page.
"""

import ast
import asyncio
import contextlib
import gc
import inspect
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from grantkeeper.testing.google import GoogleEmulator
from grantkeeper.testing.jobs import job_kit

BLOCK = re.compile(
    r"^(?:(?:<!-- )?example: (?P<how>[^\n]*?)(?: -->)?\n+)?```(?P<language>[a-z]+)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=localhost:)\d+|(?<=--port )\d+")
OWN_EMULATOR = "grantkeeper emulator"
READY_WITHIN = 30.0
EXAMPLE_WITHIN = 60.0
LENT = frozenset({"google_emulator", "code"})
"""Names that a Python block has here and nobody has who does it by hand."""


@dataclass(frozen=True)
class Example:
    """One block of a page."""

    page: Path
    line: int
    language: str
    text: str
    how: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language in ("python", "sh") and not self.how.startswith("not run:")


def examples(page: Path) -> list[Example]:
    """The blocks of *page* that are run or looked at."""
    text = page.read_text("utf-8")
    found = []
    for block in BLOCK.finditer(text):
        how = block["how"] or ""
        if how.split(":")[0] not in ("", "not run", "stays", "answers", "prints"):
            raise ValueError(f"{page}: no such example: {how}")
        line = text.count("\n", 0, block.start("text")) + 1
        found.append(Example(page, line, block["language"], block["text"], how))
    return found


class Reader:
    """Someone who does what a page says."""

    def __init__(self, place: Path, emulator: GoogleEmulator, environment: Mapping[str, str]) -> None:
        self._place = place
        self._given = self._emulator = emulator
        self._environment = dict(environment)
        self._names: dict[str, Any] = {"__name__": "__main__", "google_emulator": emulator}
        self._ports: dict[str, str] = {}
        self._running: list[subprocess.Popen[bytes]] = []
        self._printed = ""

    def read(self, page: Path) -> int:
        """
        Do everything that *page* says.

        Returns:
            How many blocks ran.

        Raises:
            AssertionError: A block did not do what the page says.
        """
        ran = 0
        try:
            for example in examples(page):
                if example.how == "answers":
                    self._compare(example)
                elif example.how == "prints":
                    self._look_for(example)
                elif example.runs:
                    self._run(example)
                    ran += 1
        finally:
            self._leave()
            # What a page leaves open is this page's fault, not that of the test that runs next.
            self._names.clear()
            gc.collect()
        return ran

    def _run(self, example: Example) -> None:
        text = PORT.sub(lambda found: self._free(found[0]), example.text)
        if example.language == "python":
            self._printed = self._python(example, text)
        elif example.how.startswith("stays:"):
            url = PORT.sub(lambda found: self._free(found[0]), example.how.removeprefix("stays:").strip())
            self._stay(example, text, url)
        else:
            self._printed = self._shell(example, text)

    def _free(self, port: str) -> str:
        if port not in self._ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._ports[port] = str(probe.getsockname()[1])
        return self._ports[port]

    # -- Python ---------------------------------------------------------------------------------

    def _python(self, example: Example, text: str) -> str:
        self._names["code"] = str(self._emulator.code("ada@example.com", force=True))
        before = {*self._names}
        # Blank lines in front, so that a traceback names the page's own line.
        compiled = compile(
            "\n" * (example.line - 1) + text, str(example.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            waiting = eval(compiled, self._names)
            if inspect.iscoroutine(waiting):
                asyncio.run(waiting)
            for name in self._names.keys() - before:
                if name.startswith("test_"):
                    self._test(name)
        return printed.getvalue()

    def _test(self, name: str) -> None:
        fixtures = {
            "google_emulator": self._given,
            "job_kit": partial(job_kit, self._given, self._place / name),
        }
        test = self._names[name]
        waiting = test(**{each: fixtures[each] for each in inspect.signature(test).parameters})
        if inspect.iscoroutine(waiting):
            asyncio.run(waiting)

    # -- the shell ------------------------------------------------------------------------------

    def _script(self, text: str) -> list[str]:
        keep = self._place / ".shell"
        keep.touch()
        # Every variable is exported, so that `export -p` at the end hands all of them on.
        return ["bash", "-c", f". '{keep}'; set -aeuo pipefail\n{text}\nexport -p >'{keep}'"]

    def _shell(self, example: Example, text: str) -> str:
        done = subprocess.run(
            self._script(text), cwd=self._place, env=self._environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=EXAMPLE_WITHIN, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{example} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def _stay(self, example: Example, text: str, url: str) -> None:
        log = self._place / f".log-{example.line}"
        with log.open("wb") as output:
            server = subprocess.Popen(
                self._script(text), cwd=self._place, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._running.append(server)
        if OWN_EMULATOR in text:
            parts = urlsplit(url)
            self._emulator = GoogleEmulator(f"{parts.scheme}://{parts.netloc}")
        deadline = time.monotonic() + READY_WITHIN
        while not _answers(url):
            late = time.monotonic() > deadline
            assert server.poll() is None and not late, f"{example}: {url} does not answer:\n{log.read_text()}"
            time.sleep(0.05)

    def _leave(self) -> None:
        for server in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
        for server in self._running:
            try:
                server.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    # -- what was printed -----------------------------------------------------------------------

    def _compare(self, example: Example) -> None:
        differences = list(_differences(json.loads(example.text), json.loads(self._printed), "answer"))
        assert not differences, f"{example}: {'; '.join(differences)}\nprinted: {self._printed}"

    def _look_for(self, example: Example) -> None:
        for line in filter(str.strip, example.text.splitlines()):
            wanted = ".*".join(re.escape(part.strip()) for part in line.split("…"))
            assert re.search(wanted, self._printed), f"{example}: no line like {line!r} in:\n{self._printed}"


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=30):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def _differences(shown: Any, got: Any, where: str) -> Iterator[str]:
    if isinstance(shown, dict) and isinstance(got, dict):
        for name in sorted(shown.keys() ^ got.keys()):
            yield f"{where}.{name} is only {'on the page' if name in shown else 'printed'}"
        for name in shown.keys() & got.keys():
            yield from _differences(shown[name], got[name], f"{where}.{name}")
    elif shown == ["…"] and isinstance(got, list):
        yield from (f"{where} holds {one!r}, no text" for one in got if not isinstance(one, str))
    elif isinstance(shown, list) and isinstance(got, list) and len(shown) == len(got):
        for index, (left, right) in enumerate(zip(shown, got, strict=True)):
            yield from _differences(left, right, f"{where}[{index}]")
    elif isinstance(shown, str) and isinstance(got, str) and "…" in shown:
        if not re.fullmatch(".*".join(map(re.escape, shown.split("…"))), got, re.DOTALL):
            yield f"{where} is {got!r} and not like {shown!r}"
    elif type(shown) is type(got) and isinstance(shown, (int, float)) and not isinstance(shown, bool):
        return
    elif shown != got:
        yield f"{where} is {got!r} and not {shown!r}"


def reader_environment(home: Path) -> dict[str, str]:
    """What a reader's shell holds: the commands of this installation, and nothing of ours is set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRANTKEEPER_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "HOME": str(home), "PATH": path}


def google_played_by(emulator: GoogleEmulator) -> dict[str, str]:
    """The settings that put *emulator* in Google's place."""
    return {"GRANTKEEPER_ISSUER": emulator.issuer, "GRANTKEEPER_CLOCK_FILE": str(emulator.clock_file)}
