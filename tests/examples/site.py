"""The photo app in this process, at an emulator, with a desk in the place of workers."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import app as photo_app
import pytest
import uvicorn
from places import Folder

from grantkeeper import Keeper
from grantkeeper.adapters.sealing import generate_keys
from grantkeeper.library.job_calls import JobCalls
from grantkeeper.settings import load_settings
from grantkeeper.testing.google import GoogleEmulator
from tests.examples.desk import Desk

TOML = """
database_url = "sqlite:///grantkeeper.db"
keys = "keys.json"
public_url = "{url}/auth"
clock_file = {clock}

[clients.default]
secrets = "client_secret.json"
issuer = "{google}"
scopes = {scopes}
return_to = ["{url}/back"]
redirect.web = ["{url}/auth/connect/callback"]
"""


class Site:
    """A running app."""

    def __init__(self, url: str, desk: Desk, folder: Folder, google: GoogleEmulator) -> None:
        self.url, self.desk, self.folder, self.google = url, desk, folder, google


@contextmanager
def serving(google: GoogleEmulator, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The app, up from ``with`` to its end."""
    # From the first moment on, so that nobody else is given the port meanwhile.
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    secret = google.get("client_secret.json")
    uris = [*secret["web"]["redirect_uris"], f"{url}/auth/connect/callback"]
    google.call("PATCH", "clients", {"client_id": secret["web"]["client_id"], "redirect_uris": uris})
    (place / "client_secret.json").write_text(json.dumps(google.get("client_secret.json")))
    generate_keys(place / "keys.json")
    toml: dict[str, Any] = {"url": url, "google": google.url, "clock": json.dumps(str(google.clock_file))}
    (place / "grantkeeper.toml").write_text(TOML.format(**toml, scopes=json.dumps(list(photo_app.SCOPES))))
    monkeypatch.setattr(photo_app, "PICKER_API", f"{google.url}/photospicker/v1")
    keeper = Keeper.open(settings=load_settings({}, place))
    desk, folder = Desk(), Folder(place / "photos")
    app = photo_app.create_app(keeper, folder, cast("JobCalls", desk))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the app does not start"
        thread.join(0.01)
    yield Site(url, desk, folder, google)
    server.should_exit = True
    thread.join(20)
