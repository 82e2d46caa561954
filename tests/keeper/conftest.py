"""A keeper on SQLite with an emulator of Google in front, and both under one clock."""

import asyncio
import base64
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.adapters.sealing import generate_keys
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import Source, Token
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator

PUBLIC_URL = "http://127.0.0.1:8000"
DRIVE = "https://www.googleapis.com/auth/drive.appdata"
FILES = "https://www.googleapis.com/auth/drive.file"
SCOPES = ("openid", "email", "profile", DRIVE)

Opener = Callable[..., Awaitable[KeeperCore]]


def azp_of(token: str) -> str:
    """Whose app an ID token was made for."""
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["azp"])


async def remembered(core: KeeperCore, grant: str, **fields: Any) -> Token:
    """The token in memory; the feed may tell only now that the grant was made, or be late for a moment."""
    async with asyncio.timeout(30):
        while (token := core.fresh_token(grant, **fields)) is None:
            await core.access_token(grant, **fields)
            await asyncio.sleep(0.01)
    return token


@pytest.fixture
def settings(google_emulator: GoogleEmulator, tmp_path: Path) -> Settings:
    """One client, with every source, on a new database."""
    generate_keys(tmp_path / "keys.json")
    assert google_emulator.client_secret is not None
    found = Settings.of(
        google_emulator.client_secret,
        directory=tmp_path,
        issuer=google_emulator.issuer,
        keys=tmp_path / "keys.json",
        database_url=f"sqlite:///{tmp_path / 'grants.db'}",
        clock_file=google_emulator.clock_file,
        public_url=PUBLIC_URL,
    )
    app = azp_of(google_emulator.id_token("somebody@example.com"))
    client = dataclasses.replace(
        found.clients["default"],
        app_client_ids=frozenset({app}),
        return_to=("https://app.example.com/back",),
    )
    google_emulator.call(
        "PATCH",
        "clients",
        {
            "client_id": client.client_id,
            "redirect_uris": [*client.redirects[Source.WEB], PUBLIC_URL + "/connect/callback"],
        },
    )
    return dataclasses.replace(found, clients={"default": client})


@pytest.fixture
async def open_core(settings: Settings, anyio_backend: str) -> AsyncIterator[Opener]:
    """Opens keepers, as many as a test wants, on the one database; all are closed at the end."""
    opened: list[KeeperCore] = []

    async def open_one(**changes: object) -> KeeperCore:
        core = await KeeperCore.open(dataclasses.replace(settings, **changes))  # type: ignore[arg-type]
        opened.append(core)
        return core

    yield open_one
    for core in opened:
        await core.close()


@pytest.fixture
async def core(open_core: Opener) -> KeeperCore:
    """One keeper."""
    return await open_core()
