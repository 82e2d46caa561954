"""The short form of the parts on PostgreSQL."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.chaos.many import MANY, MANY_ROUNDS
from tests.chaos.postgres_town import PostgresTown
from tests.chaos.sizes import SHORT
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.xdist_group("chaos-many")]

SEED = 20_261_128
FEW = {"node-kills": 3, "database-crashes": 2}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One for all towns; what a crash of the whole machine would lose is not looked at."""
    with PostgresServer({"fsync": "off"}) as found:
        yield found


@pytest.fixture(scope="module")
def towns(
    tmp_path_factory: pytest.TempPathFactory, server: PostgresServer
) -> Iterator[dict[bool, PostgresTown]]:
    """One with Google, one whose issuer rotates; starting processes is what takes time here."""
    with (
        PostgresTown(tmp_path_factory.mktemp("google"), server) as google,
        PostgresTown(tmp_path_factory.mktemp("rotating"), server, rotating=True) as rotating,
    ):
        yield {False: google, True: rotating}


@pytest.mark.parametrize("part", MANY)
def test_the_promise_of_many_nodes_holds(towns: dict[bool, PostgresTown], part: str) -> None:
    """
    What the part's own sentence says.
    """
    counts = asyncio.run(MANY[part](towns[part.endswith("rotating")], SEED, FEW.get(part, 1), SHORT))

    assert counts


def test_every_part_has_its_number_of_rounds() -> None:
    """
    A part that is added is run by both forms.
    """
    assert set(MANY) == set(MANY_ROUNDS)
