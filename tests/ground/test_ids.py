"""UUIDv7: the layout of RFC 9562 and an order that is the order of time."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.ids import EPOCH, uuid7

TIMES = st.datetimes(min_value=EPOCH.replace(tzinfo=None), timezones=st.just(UTC))
DICE = st.binary(min_size=10, max_size=10)


def test_the_rfc_s_own_example_comes_out():
    """
    The time and the dice of RFC 9562 appendix A.6 give the text of that appendix.
    """
    now = datetime.fromtimestamp(1645557742, UTC)
    dice = bytes.fromhex("0cc318c4dc0c0c07398f")

    assert "017f22e2-79b0-7cc3-98c4-dc0c0c07398f" == uuid7(now, dice)


@given(TIMES, DICE)
def test_version_variant_and_time_are_in_their_places(now, dice):
    """
    Any reader of RFC 9562 finds version 7, its variant and the milliseconds.
    """
    made = UUID(uuid7(now, dice))

    assert 7 == made.version
    assert "specified in RFC 4122" == made.variant
    assert (now - EPOCH) // timedelta(milliseconds=1) == made.int >> 80


@given(TIMES, DICE, st.integers(min_value=0, max_value=73))
def test_each_of_the_74_random_bits_counts(now, dice, bit):
    """
    Two ids of one moment differ wherever their dice differ in a bit that is used.
    """
    place = bit if bit < 62 else bit + 2
    other = (int.from_bytes(dice) ^ 1 << place).to_bytes(10)

    assert uuid7(now, dice) != uuid7(now, other)


@given(TIMES, TIMES, DICE, DICE)
def test_texts_sort_as_their_milliseconds(one, two, dice, other):
    """
    An id made in a later millisecond is the greater text, whatever the dice.
    """
    millisecond = timedelta(milliseconds=1)
    if (one - EPOCH) // millisecond < (two - EPOCH) // millisecond:
        assert uuid7(one, dice) < uuid7(two, other)


def test_the_zone_of_the_time_does_not_matter():
    """
    One moment named in two zones gives one id.
    """
    utc = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    elsewhere = utc.astimezone(timezone(timedelta(hours=9)))

    assert uuid7(utc, bytes(10)) == uuid7(elsewhere, bytes(10))


@pytest.mark.parametrize(
    ("now", "random"),
    [
        (EPOCH.replace(tzinfo=None), bytes(10)),
        (EPOCH - timedelta(microseconds=1), bytes(10)),
        (EPOCH, bytes(9)),
        (EPOCH, bytes(16)),
    ],
    ids=["naive", "before 1970", "nine bytes", "sixteen bytes"],
)
def test_what_cannot_make_an_id_is_a_value_error(now, random):
    """
    A naive or ancient time and the wrong number of bytes are our bugs and are told at once.
    """
    with pytest.raises(ValueError):
        uuid7(now, random)
