"""Settings made from files and variables, for the tests of settings."""

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.errors import SettingsInvalid
from grantkeeper.model import Client
from grantkeeper.settings import Settings, load_settings

WEB: dict[str, Any] = {
    "client_id": "111-abc.apps.googleusercontent.com",
    "project_id": "shop",
    "auth_uri": "https://evil.example/auth",
    "token_uri": "https://evil.example/token",
    "client_secret": "GOCSPX-marker",
    "redirect_uris": ["https://shop.example/callback", "http://localhost:8080/callback"],
    "javascript_origins": ["https://shop.example", "http://localhost:8080"],
}


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def web(**changes: object) -> dict[str, Any]:
    """A web client's file with *changes*; ``None`` leaves a field out."""
    fields = {name: value for name, value in {**WEB, **changes}.items() if value is not None}
    return {"web": fields}


def settings(here: Path, toml: str = "", **environ: str) -> Settings:
    """The settings in *here* with a client file and the variables *environ*."""
    (here / "grantkeeper.toml").write_text(toml)
    named = {f"GRANTKEEPER_{name}": value for name, value in environ.items()}
    if "client" not in toml:
        named.setdefault("GRANTKEEPER_CLIENT_SECRETS", "client_secret.json")
    return load_settings(named, here)


def problems(here: Path, toml: str = "", **environ: str) -> tuple[str, ...]:
    """Every problem of such settings; none of them quotes a value with "marker" in it."""
    with pytest.raises(SettingsInvalid) as caught:
        settings(here, toml, **environ)
    assert "marker" not in "".join(traceback.format_exception(caught.value))
    return caught.value.problems


def only(found: Settings) -> Client:
    """The one client of *found*."""
    (client,) = found.clients.values()
    return client
