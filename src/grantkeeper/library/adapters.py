"""Which adapter serves which setting; each is loaded only when it is picked."""

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
        SealBroken: The KMS that seals it does not open it now.
    """
    from grantkeeper.adapters.sealing import load_keys

    return load_keys(settings.keys, settings.keys_wrapped_by)


async def store(settings: Settings) -> Store:
    """
    The database.

    Raises:
        SettingsInvalid: The file is not grantkeeper's, or of a newer release.
        StoreUnavailable: It cannot be opened now.
    """
    from grantkeeper.adapters.sqlite import open_sqlite

    return open_sqlite(settings.database_url)
