"""Whole backups and restores through settings, from SQLite to PostgreSQL and back."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from grantkeeper.adapters import archive
from grantkeeper.adapters.sealing import generate_keys, load_keys
from grantkeeper.errors import BackupRefused, SettingsInvalid, StoreUnavailable
from grantkeeper.keeper import doubts
from grantkeeper.keeper.seals import Seals
from grantkeeper.library.backup import back_up, restore
from grantkeeper.model import Grant
from grantkeeper.ports import Insert
from grantkeeper.secret import RefreshToken
from grantkeeper.settings import Settings
from grantkeeper.testing.records import a_caller, a_grant
from tests.backup.places import EMPTY, PostgresDatabase, SqlitePlace
from tests.postgres import PostgresServer

TOKEN = "1//a-refresh-token"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of an installation with keys and no database yet."""
    generate_keys(tmp_path / "keys.json")
    toml = {"keys": "keys.json", "database_url": "sqlite:///old.db"}
    return Settings.from_mapping({}, toml, directory=tmp_path, need_clients=False)


async def filled(settings: Settings, database: Path) -> Grant:
    """A database with one caller and one grant, truly sealed."""
    seals = Seals(load_keys(settings.keys))
    grant = a_grant()
    grant = replace(grant, data_key=seals.new_key(grant))
    grant = replace(grant, refresh_token=seals.seal_refresh_token(grant, RefreshToken(TOKEN), 1))
    store = await SqlitePlace(database).store()
    await store.commit(Insert(grant))
    await store.add_caller(a_caller())
    await store.close()
    return grant


def test_the_mark_is_the_one_that_keepers_read() -> None:
    """
    Adapters and keepers do not import one another; here the two words meet.
    """
    assert doubts.RESTORED == archive.RESTORED


def test_from_sqlite_to_postgres_and_back(
    settings: Settings, tmp_path: Path, postgres_server: PostgresServer, postgres_databases: dict[str, str]
) -> None:
    """
    Under the same keys: the refresh token opens wherever it went.
    """
    url = postgres_server.url(postgres_databases["new"])
    postgres_server.execute(EMPTY, postgres_databases["new"])
    there = replace(settings, database_url=url)
    back = replace(settings, database_url=f"sqlite:///{tmp_path / 'back.db'}")

    async def journey() -> tuple[Grant, Grant | None, Grant | None]:
        grant = await filled(settings, tmp_path / "old.db")
        await back_up(settings, tmp_path / "one")
        await restore(there, tmp_path / "one")
        await back_up(there, tmp_path / "two")
        await restore(back, tmp_path / "two")
        found = []
        for place in (PostgresDatabase(url), SqlitePlace(tmp_path / "back.db")):
            store = await place.store()
            found.append(await store.get(grant.id))
            await store.close()
        return grant, found[0], found[1]

    grant, in_postgres, in_sqlite = asyncio.run(journey())

    assert replace(grant, version=1) == in_postgres == in_sqlite
    assert in_sqlite is not None
    assert TOKEN == Seals(load_keys(settings.keys)).refresh_token(in_sqlite).reveal()


def test_a_database_that_was_not_migrated_is_refused(
    settings: Settings, tmp_path: Path, postgres_url: str
) -> None:
    """
    PostgreSQL is never migrated in passing: the command is named.
    """
    there = replace(settings, database_url=postgres_url)

    async def tried() -> None:
        await filled(settings, tmp_path / "old.db")
        await back_up(settings, tmp_path / "copy")
        await restore(there, tmp_path / "copy")

    with pytest.raises(SettingsInvalid) as caught:
        asyncio.run(tried())
    assert "grantkeeper migrate" in caught.value.hint
    with pytest.raises(SettingsInvalid):
        asyncio.run(back_up(there, tmp_path / "another"))
    assert not (tmp_path / "another").exists()


def test_a_database_that_is_away_is_unavailable(
    settings: Settings, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """
    Not refused: later may help. No file is left behind.
    """
    nowhere = replace(settings, database_url="postgresql://nobody:secret@127.0.0.1:9/none")

    with pytest.raises(StoreUnavailable) as caught:
        asyncio.run(back_up(nowhere, tmp_path / "copy"))
    assert "secret" not in caught.value.text
    assert ["keys.json"] == [one.name for one in tmp_path.iterdir()]


def test_a_text_that_postgres_cannot_hold_is_refused_whole(
    settings: Settings, tmp_path: Path, postgres_server: PostgresServer, postgres_databases: dict[str, str]
) -> None:
    """
    SQLite takes a zero byte in a text; nothing of that backup is restored.
    """
    postgres_server.execute(EMPTY, postgres_databases["new"])
    there = replace(settings, database_url=postgres_server.url(postgres_databases["new"]))

    async def tried() -> None:
        await filled(settings, tmp_path / "old.db")
        store = await SqlitePlace(tmp_path / "old.db").store()
        await store.commit(Insert(a_grant(2, user="a\0b", refresh_token=None)))
        await store.close()
        await back_up(settings, tmp_path / "copy")
        await restore(there, tmp_path / "copy")

    with pytest.raises(BackupRefused, match="a row of grants that PostgreSQL does not take"):
        asyncio.run(tried())
    assert "0" == postgres_server.execute("SELECT count(*) FROM grants", postgres_databases["new"])
