"""Which adapter serves which setting; each is loaded only when it is picked."""

from importlib.util import find_spec

from grantkeeper.errors import SettingsInvalid
from grantkeeper.ports import Clock, Dice, Http, Sealer, Store
from grantkeeper.settings import Settings


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
    """
    from grantkeeper.adapters.sealing import load_keys

    return load_keys(settings.keys)


async def store(settings: Settings) -> Store:
    """
    The database. A SQLite file is made and migrated as needed; PostgreSQL must have been (`migrate`).

    Raises:
        SettingsInvalid: It is not grantkeeper's, of another release, or its extra is not installed.
        StoreUnavailable: It cannot be opened now.
    """
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


def _need_postgres() -> None:
    if find_spec("asyncpg") is None:
        raise SettingsInvalid(
            ["GRANTKEEPER_DATABASE_URL names a PostgreSQL database, and its driver is not installed"],
            hint="pip install 'grantkeeper[postgres]'",
        )
