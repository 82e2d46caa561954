"""Which adapter serves which setting; each is loaded only when it is picked."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from grantkeeper.errors import SettingsInvalid
from grantkeeper.ports import Clock, Dice, Engine, Http, Journal, Sealer, Store
from grantkeeper.settings import Settings

if TYPE_CHECKING:
    from grantkeeper.adapters.archive import Source, Target
    from grantkeeper.adapters.postgres_connect import PostgresPlace


def clock(settings: Settings) -> Clock:
    """The machine's clock, or the one that a file moves for all processes at once."""
    from grantkeeper.adapters.clock import FileClock, SystemClock

    return SystemClock() if settings.clock_file is None else FileClock(settings.clock_file)


def dice() -> Dice:
    """The system's randomness."""
    from grantkeeper.adapters.dice import SystemDice

    return SystemDice()


def http() -> Http:
    """aiohttp, loaded now: at the first request it would hold up the loop."""
    from grantkeeper.adapters.http import AiohttpHttp

    made = AiohttpHttp()
    made.warm()
    return made


def sealer(settings: Settings) -> Sealer:
    """
    The keys of the keyset file.

    Raises:
        SettingsInvalid: There is no such file, or it cannot be used. No key, no start.
        SealBroken: The KMS that seals it does not open it now.
    """
    from grantkeeper.adapters.sealing import load_keys

    return load_keys(settings.keys, settings.keys_wrapped_by)


def journal(settings: Settings) -> Journal:
    """The journal in its directory; one that cannot be written is no reason not to start."""
    from grantkeeper.adapters.journal import FileJournal

    return FileJournal(settings.journal_dir)


def engine(settings: Settings) -> Engine:
    """The engine of jobs, beside the grants; nothing of it is opened before it is used."""
    from grantkeeper.adapters.dbos_engine import DbosEngine

    # What a pooler cannot carry goes past it where there is a way.
    direct = settings.listen_url
    pooled = direct is None and settings.statement_cache == 0
    return DbosEngine(direct or settings.database_url, pooled=pooled)


async def store(settings: Settings) -> Store:
    """
    The database. A SQLite file is made and migrated as needed; PostgreSQL must have been (`migrate`).

    Raises:
        SettingsInvalid: It is not grantkeeper's, of another release, half restored, or its extra is
            not installed.
        StoreUnavailable: It cannot be opened now.
    """
    opened = await _opened(settings)
    try:
        await _refuse_half_restored(opened)
    except BaseException:
        await opened.close()
        raise
    return opened


async def _opened(settings: Settings) -> Store:
    if settings.database_file is None:
        _need_postgres()
        from grantkeeper.adapters.postgres import open_postgres

        return await open_postgres(
            settings.database_url,
            statement_cache=settings.statement_cache,
            listen_url=settings.listen_url,
        )
    from grantkeeper.adapters.sqlite import open_sqlite

    return open_sqlite(settings.database_url)


async def _refuse_half_restored(opened: Store) -> None:
    from grantkeeper.adapters.archive import RESTORING

    if await opened.mark(RESTORING) is not None:
        raise SettingsInvalid(
            ["a restore into this database was begun and is not finished: nothing of it is there yet"],
            hint="Wait for it if it runs; else run grantkeeper restore FILE again.",
        )


async def backup_source(settings: Settings) -> "Source":
    """
    The database as it is now, to be backed up.

    Raises:
        BackupRefused: There is none, or this release cannot back it up whole.
        SettingsInvalid: The URL is wrong.
        StoreUnavailable: It cannot be read now.
    """
    if settings.database_file is None:
        _need_postgres()
        from grantkeeper.adapters.postgres_backup import PostgresSource

        return await PostgresSource.open(_postgres_place(settings))
    from grantkeeper.adapters.sqlite_backup import SqliteSource

    return SqliteSource(settings.database_file)


async def restore_target(settings: Settings) -> "Target":
    """
    The database that is to be filled.

    Raises:
        SettingsInvalid: It cannot be grantkeeper's, or is of another release.
        StoreUnavailable: It cannot be used now.
    """
    if settings.database_file is None:
        _need_postgres()
        from grantkeeper.adapters.postgres_backup import PostgresTarget

        return await PostgresTarget.open(_postgres_place(settings))
    from grantkeeper.adapters.sqlite_backup import SqliteTarget

    return SqliteTarget(settings.database_file)


async def migrate(settings: Settings) -> None:
    """
    Bring the database to this release's schema, made where there is none.

    Raises:
        SettingsInvalid: It is not grantkeeper's, of a newer release, or its extra is not installed.
        StoreUnavailable: It cannot be changed now.
    """
    if settings.database_file is None:
        _need_postgres()
        from grantkeeper.adapters.postgres_schema import migrate_postgres

        await migrate_postgres(settings.database_url, listen_url=settings.listen_url)
    opened = await store(settings)
    try:
        await opened.ready()
    finally:
        await opened.close()


def _postgres_place(settings: Settings) -> "PostgresPlace":
    from grantkeeper.adapters.postgres_connect import STATEMENTS, PostgresPlace

    cache = STATEMENTS if settings.statement_cache is None else settings.statement_cache
    return PostgresPlace(settings.database_url, cache, settings.listen_url)


def _need_postgres() -> None:
    if find_spec("asyncpg") is None:
        raise SettingsInvalid(
            ["GRANTKEEPER_DATABASE_URL names a PostgreSQL database, and its driver is not installed"],
            hint="pip install 'grantkeeper[postgres]'",
        )
