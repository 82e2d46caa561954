"""The race kit: on grantkeeper, on the hand-written service, which must show its defects, and by itself."""

import json

import pytest

from bench.race import Handwritten
from grantkeeper.testing.race import DEFECTS, PARTS, Outcome, Race, Result, Sizes, Verdict, side_by_side
from grantkeeper.testing.race.issuer import Seen, overlapping, repeated
from grantkeeper.testing.race.line import _parsed
from grantkeeper.testing.race.ours import Grantkeeper

SHORT = Sizes(grants=4, requests=16, rounds=1, slow=1.0)


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.xdist_group("race")
def test_grantkeeper_shows_no_defect() -> None:
    """
    Two processes, seen from outside: one refresh for each grant, whatever happens meanwhile.
    """
    outcome = Race(Grantkeeper(), sizes=SHORT).run(("storm", "rotation", "slow", "trouble", "departures"))

    assert [] == outcome.shown, outcome.table()
    for part in ("storm", "rotation"):
        assert (4, 0) == (outcome.count(part, "refreshes"), outcome.count(part, "errors"))
        assert (0, 0) == (outcome.count(part, "tokens of others"), outcome.count(part, "grants lost"))
    told = {defect for defect in DEFECTS if outcome.verdict(defect)[0] is Verdict.NOT_SHOWN}
    assert {"D1", "D2", "D4", "D6", "D7", "D8", "D9"} == told


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.xdist_group("race")
def test_a_node_that_is_killed_costs_nobody_anything() -> None:
    """
    Who was cut off asks once more and gets a token, and every grant is there.
    """
    outcome = Race(Grantkeeper(), sizes=SHORT).run(("kills",))

    assert 1 == outcome.count("kills", "kills")
    assert 0 == outcome.count("kills", "grants lost")
    assert 0 == outcome.count("kills", "others with an error after one retry")


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.xdist_group("race")
def test_the_hand_written_service_shows_its_defects() -> None:
    """
    No guard, a valid token refused, and nothing that tells a fault that passes from one that does not.
    """
    outcome = Race(Handwritten(), sizes=SHORT).run(("storm", "trouble"))

    assert {"D1", "D8", "D9"} <= set(outcome.shown), outcome.table()
    assert outcome.count("storm", "refreshes") > 4


# -- what it is made of -----------------------------------------------------------------------------


def test_overlaps_are_counted_for_each_token() -> None:
    """
    A refresh that began while another with the same token was under way, be it answered or not.
    """
    seen = [
        Seen("a", 1.0, 3.0),
        Seen("b", 1.0, 2.0),
        Seen("a", 2.0, 4.0),
        Seen("b", 2.0),
        Seen("b", 9.0, 9.5),
    ]

    assert 2 == overlapping(seen)
    assert 3 == repeated(seen)
    assert 0 == overlapping([])


def outcome(name: str, *results: Result) -> Outcome:
    return Outcome(name, 7, 2, results)


FIRST = Result("storm", {"refreshes": 3, "seconds": 0.5}, {"D1": (Verdict.SHOWN, "twice")})
SECOND = Result("rotation", {"refreshes": 2}, {"D1": (Verdict.NOT_SHOWN, "once")})


def test_a_defect_that_any_part_shows_is_shown() -> None:
    """
    Not being shown counts for less, and a defect that no part can show cannot be told.
    """
    both = outcome("one", SECOND, FIRST)

    assert (Verdict.SHOWN, "twice") == both.verdict("D1")
    assert ["D1"] == both.shown
    assert Verdict.CANNOT_TELL == both.verdict("D3")[0]
    assert 2 == both.count("rotation", "refreshes")
    with pytest.raises(LookupError):
        both.count("slow", "refreshes")


def test_an_outcome_is_told_to_people_and_to_programs() -> None:
    """
    A table with a column for each service, and JSON.
    """
    one, other = outcome("one", FIRST), outcome("other", FIRST)

    table = side_by_side([one, other])
    assert "D1 no guard across processes" in table
    assert ["", "one", "other"] == [cell.strip() for cell in table.splitlines()[0].split("|")[1:-1]]
    assert one.table().count("\n") == table.count("\n")
    told = json.loads(one.json())
    assert {"verdict": "shown", "because": "twice"} == told["defects"]["D1"]
    assert {"refreshes": 3, "seconds": 0.5} == told["parts"]["storm"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok")),
        (b"HTTP/1.1 503 Busy\r\n\r\n", (503, b"")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n",
            (200, b"ok!"),
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", (0, b"")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", (0, b"")),
        (b"HTTP/1.1 200", (0, b"")),
        (b"", (0, b"")),
    ],
)
def test_a_cut_answer_is_none(text: bytes, expected: tuple[int, bytes]) -> None:
    """
    Only a whole answer counts.
    """
    assert expected == _parsed(text)


def test_a_race_needs_two_nodes() -> None:
    """
    One process cannot show what only two do.
    """
    with pytest.raises(ValueError, match="two nodes"):
        Race(Grantkeeper(), nodes=1)


def test_an_unknown_part_is_refused_before_anything_starts() -> None:
    """
    A misspelt part is not a race that found nothing.
    """
    with pytest.raises(KeyError):
        Race(Grantkeeper()).run(("strom",))


def test_every_part_says_what_it_does() -> None:
    """
    The names are the documentation's.
    """
    assert all(part.__doc__ for part in PARTS.values())
