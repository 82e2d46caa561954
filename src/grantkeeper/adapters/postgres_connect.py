"""
One connection to PostgreSQL as grantkeeper wants it, and what keeps it from being had.

The URL has a password. It goes to the driver and nowhere else: not into a
record's text, not into an error.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from grantkeeper.adapters.postgres_errors import translated, unavailable
from grantkeeper.adapters.postgres_pool import goodbye
from grantkeeper.errors import SettingsInvalid

CONNECT_SECONDS = 3.0
COMMAND_SECONDS = 5.0

STATEMENTS = 200
"""Prepared statements of a connection: more than there are, so that each is planned once."""

SESSION = {
    # A little less than what the client waits, so that the server says it first and the connection lives.
    "statement_timeout": "4500",
    "lock_timeout": "3000",
    "idle_in_transaction_session_timeout": "10000",
}
"""What the server watches over for us, in milliseconds."""

SETTING = "GRANTKEEPER_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """
    Where a database is and how it is reached.

    Attributes:
        statement_cache: 0 where a pooler hands every transaction to another server (PgBouncer): nothing
            is prepared then, and nothing set for a session.
        listen_url: A way past the pooler.
    """

    url: str = field(repr=False)
    statement_cache: int = STATEMENTS
    listen_url: str | None = field(default=None, repr=False)

    @property
    def pooled(self) -> bool:
        """Whether two transactions of one connection may meet two servers."""
        return self.statement_cache == 0

    @property
    def direct(self) -> "PostgresPlace":
        """The same database past the pooler, where there is a way."""
        return self if self.listen_url is None else PostgresPlace(self.listen_url)


async def connect(place: PostgresPlace) -> Any:
    """
    A connection; what the driver raises is not translated.

    What the URL says of the session's settings goes before ours. Whoever leaves in the middle leaves when
    the connection is there and closed: half a one cannot be let go of cleanly.
    """
    making = asyncio.ensure_future(_connected(place))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait([making])
        if not making.cancelled() and making.exception() is None:
            await goodbye(making.result())
        raise


async def _connected(place: PostgresPlace) -> Any:
    said = parse_qs(urlsplit(place.url).query)
    settings = {"application_name": "grantkeeper"} | ({} if place.pooled else SESSION)
    return await asyncpg.connect(
        place.url,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        statement_cache_size=place.statement_cache,
        max_cached_statement_lifetime=0,
        server_settings={name: value for name, value in settings.items() if name not in said},
        # A standby would answer reads, later than we may believe them. Behind a pooler it cannot be asked.
        target_session_attrs=None if place.pooled or "target_session_attrs" in said else "primary",
    )


async def first_connect(place: PostgresPlace) -> Any:
    """
    A connection, for who has never had one: a mistake in the settings is told as such.

    Raises:
        SettingsInvalid: The URL, the user, the password or the database is wrong.
        StoreUnavailable: The server cannot be reached now.
    """
    try:
        return await connect(place)
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise SettingsInvalid(
            [f"{SETTING} has a user or a password that the database refuses"],
            hint="Make the role and let it in: CREATE ROLE grantkeeper LOGIN PASSWORD '…'.",
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise SettingsInvalid(
            [f"{SETTING} names a database that the server does not have"],
            hint="Make it: CREATE DATABASE grantkeeper OWNER grantkeeper.",
        ) from error
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        if unavailable(error) is not None and not isinstance(error, asyncpg.ClientConfigurationError):
            raise translated(error, "connect") from error
        # Not chained: the driver quotes what it could not read.
        raise SettingsInvalid(
            [f"{SETTING} cannot be understood as a PostgreSQL URL"],
            hint="postgresql://user:password@host:5432/database, with % escapes in user and password.",
        ) from None
    except Exception as error:
        raise translated(error, "connect") from error
