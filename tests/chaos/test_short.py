"""The short form of `make chaos`: each promise in a few rounds, so that no change goes in without."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.chaos.__main__ import ON_SQLITE, Outcome, report
from tests.chaos.offline import OFFLINE, OFFLINE_ROUNDS
from tests.chaos.parts import PARTS, ROUNDS, kills
from tests.chaos.town import Town

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.xdist_group("chaos")]

SEED = 20_261_122
FEW = {"one-refresh": 2, "one-redemption": 2, "revocations": 2, "endings": 2}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One for all parts: starting processes is what takes time here."""
    with Town(tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest.mark.parametrize(("part", "rounds"), FEW.items(), ids=FEW.keys())
def test_the_promise_holds(town: Town, part: str, rounds: int) -> None:
    """
    What the part's own sentence says.
    """
    counts = asyncio.run(PARTS[part](town, SEED, rounds))

    assert counts


@pytest.mark.parametrize("part", OFFLINE)
def test_the_promise_of_offline_work_holds(town: Town, part: str) -> None:
    """
    What the part's own sentence says, for some dozen jobs.
    """
    counts = asyncio.run(OFFLINE[part](town, SEED, 1))

    assert counts["jobs"] >= 24
    assert counts["kills"] >= 1 or part == "quota-jobs"


def test_no_acknowledged_grant_is_lost_to_a_kill(town: Town) -> None:
    """
    Thirty sign-ins under kill -9: every one has an honest end, and every acknowledged one works.
    """
    counts = asyncio.run(kills(town, SEED, 5))

    assert (30, 30) == (counts["redemptions"], counts["acknowledged"] + counts["unanswered"])
    assert counts["kills"] >= 5
    ends = sum(count for name, count in counts.items() if name.startswith("asked_again_"))
    assert counts["unanswered"] == ends


def test_every_part_has_a_short_and_a_long_form() -> None:
    """
    A part that is added is run by both.
    """
    assert set(PARTS) == set(ROUNDS) == {*FEW, "kills"}
    assert set(OFFLINE) == set(OFFLINE_ROUNDS)
    assert set(ON_SQLITE) == {*PARTS, *OFFLINE}


def test_a_report_names_seeds_and_counts() -> None:
    """
    So that a broken promise can be looked at again.
    """
    outcome = Outcome("kills", 7, 3, Counter(kills=4), 1.0, failure="a grant was lost", day="2026-11-22")

    text = report([outcome])

    for expected in ("## kills: BROKEN", "seeds 7 to 9", "| kills | 4 |", "a grant was lost"):
        assert expected in text
