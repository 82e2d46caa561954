"""A folder with an installation in it, an emulator of Google, and commands that run there."""

import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.cli.main import run
from grantkeeper.testing.google import GoogleEmulator


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and no settings in the environment."""
    for name in list(os.environ):
        if name.startswith("GRANTKEEPER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line in this process, as the console script does."""

    def call(*arguments: str, stdin: str = "") -> Said:
        capfd.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = run(arguments)
        out, err = capfd.readouterr()
        return Said(status, out, err)

    return call


@pytest.fixture
def installed(
    place: Path, command: Command, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """The same after `grantkeeper init`, with a client and its emulator in the environment."""
    assert google_emulator.client_secret is not None
    monkeypatch.setenv("GRANTKEEPER_CLIENT_SECRETS", str(google_emulator.client_secret))
    monkeypatch.setenv("GRANTKEEPER_ISSUER", google_emulator.issuer)
    monkeypatch.setenv("GRANTKEEPER_CLOCK_FILE", str(google_emulator.clock_file))
    assert 0 == command("init").status
    return command
