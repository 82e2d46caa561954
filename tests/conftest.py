"""What every test shares."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, configuration, settings

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

configuration.set_hypothesis_home_dir(Path(__file__).parent.parent / ".build" / "hypothesis")
# No deadline: a busy machine is slow, not wrong. CI tries the same examples each time, people new ones.
settings.register_profile(
    "grantkeeper",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("grantkeeper")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio, the only loop the product runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[PostgresServer]":
    """One PostgreSQL for all tests of this worker; a test that stops or slows it starts its own."""
    from tests.postgres import PostgresServer

    # What a crash would lose is not what these tests look at.
    with PostgresServer({"fsync": "off"}) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: "PostgresServer") -> Iterator[str]:
    """The URL of an empty database."""
    with postgres_server.database() as url:
        yield url
