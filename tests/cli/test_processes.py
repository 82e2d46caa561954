"""The commands as a person starts them: real processes, with a service between, and the demo."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from grantkeeper.demo.stage import Stage
from tests.cli.conftest import Command

pytestmark = pytest.mark.processes

GRANTKEEPER = [sys.executable, "-m", "grantkeeper.cli"]


def test_the_demo_is_as_told(place: Path) -> None:
    """
    It ends by itself, with 0, tells its steps, and leaves a page with the photos before and after.
    """
    done = subprocess.run(
        [*GRANTKEEPER, "demo", "--report", "photos.html"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "20 steps were as told" in done.stdout
    assert 8 == (place / "photos.html").read_text().count('<img src="data:image/jpeg;base64,')


def test_the_demo_in_json(place: Path) -> None:
    """
    For programs the story goes to standard error.
    """
    done = subprocess.run(
        [*GRANTKEEPER, "demo", "--json"], cwd=place, capture_output=True, text=True, timeout=240
    )

    assert {"steps": 20, "as_told": True} == json.loads(done.stdout)


def test_commands_use_the_service_where_one_is_named(
    place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    With GRANTKEEPER_URL and GRANTKEEPER_CALLER_KEY_FILE no database is opened here.
    """
    home = place / "service"
    home.mkdir()
    with Stage(home) as stage:
        (place / "key").write_text(stage.caller_key + "\n")
        monkeypatch.setenv("GRANTKEEPER_URL", stage.service)
        monkeypatch.setenv("GRANTKEEPER_CALLER_KEY_FILE", str(place / "key"))
        redeemed = command("redeem", "--json", stdin=stage.google.code("ada@example.com"))
        grant = redeemed.json["grant"]["id"]
        token = command("token", grant)
        listed = command("grants", "list", "--json")
        stage.google.revoke("ada@example.com")
        stage.google.advance(3700)
        refused = command("token", grant, "--json")

    assert token.out.startswith("ya29.")
    assert [grant] == [one["id"] for one in listed.json["grants"]]
    assert (3, "revoked") == (refused.status, refused.json["reason"])
    assert not (place / "grantkeeper.db").exists()


def test_the_emulator_runs_until_it_is_told_to_stop(place: Path) -> None:
    """
    It says where it is, answers, and ends in peace.
    """
    emulator = subprocess.Popen(
        [*GRANTKEEPER, "emulator", "--port", "0", "--json"],
        cwd=place,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        text=True,
    )
    try:
        assert emulator.stdout is not None
        lines = [emulator.stdout.readline() for _ in range(3)]
        url = json.loads("".join(lines))["url"]
        answered = requests.get(url + "/.well-known/openid-configuration", timeout=10).json()
        emulator.send_signal(signal.SIGTERM)
        status = emulator.wait(20)
    finally:
        emulator.kill()
        emulator.wait()
        if emulator.stdout is not None:
            emulator.stdout.close()

    assert url == answered["issuer"]
    assert 0 == status
