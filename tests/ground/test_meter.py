"""A meter lets through what its setting says, in any period, and never more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.backoff import SLOTS, Meter

STEPS = st.lists(st.floats(min_value=0, max_value=20), min_size=1, max_size=120)


@pytest.mark.parametrize("count", [1, 2, 5, 120])
def test_a_burst_of_the_whole_count_passes_and_one_more_does_not(count):
    """
    ``120/minute`` is 120 at once, and the next has to wait.
    """
    meter = Meter(count, 60.0)

    assert [0.0] * count == [meter.take("address", 7.0) for _ in range(count)]
    assert meter.take("address", 7.0) > 0


def test_a_slow_burst_is_counted_to_its_end():
    """
    121 requests that take half a minute are one too many: nothing is refilled on the way.
    """
    meter = Meter(120, 60.0)
    waits = [meter.take("address", number / 4) for number in range(121)]

    assert [0.0] * 120 == waits[:120]
    assert waits[120] > 0


@given(st.integers(1, 8), st.floats(min_value=0.5, max_value=60), STEPS)
def test_never_more_than_the_count_in_any_period(count, period, steps):
    """
    Whatever the rhythm, every period-long stretch of time has at most *count* admitted events.
    """
    meter, now, admitted = Meter(count, period), 0.0, []
    for step in steps:
        now += step
        if meter.take("address", now) == 0.0:
            admitted.append(now)

    for start in admitted:
        assert len([at for at in admitted if start <= at < start + period]) <= count


@given(st.integers(1, 8), st.floats(min_value=0.5, max_value=60), STEPS)
def test_after_the_wait_that_was_told_one_may_go(count, period, steps):
    """
    The wait is true, and at most a sixteenth of the period longer than it had to be.
    """
    meter, now = Meter(count, period), 0.0
    for step in steps:
        now += step
        wait = meter.take("address", now)
        if wait:
            assert wait <= period * (1 + 1 / SLOTS) + 0.01
            now += wait + 1e-6
            assert 0.0 == meter.take("address", now)


def test_a_refused_event_does_not_count():
    """
    Knocking again and again does not lengthen the wait.
    """
    meter = Meter(2, 60.0)
    for _ in range(2):
        meter.take("address", 0.0)
    first = meter.take("address", 1.0)
    for _ in range(1000):
        meter.take("address", 1.0)

    assert first == meter.take("address", 1.0)


def test_keys_do_not_share():
    """
    One address at its limit leaves the next one free.
    """
    meter = Meter(1, 60.0)

    assert 0.0 == meter.take("one", 0.0)
    assert 0.0 == meter.take("other", 0.0)
    assert meter.take("one", 0.0) > 0


def test_strangers_without_end_take_no_more_room_and_lock_nobody_out():
    """
    Beyond the capacity the key that was silent longest is forgotten, and a newcomer still passes.
    """
    meter = Meter(1, 60.0, capacity=10)
    waits = [meter.take(f"stranger-{number}", 0.0) for number in range(1000)]

    assert [0.0] * 1000 == waits
    assert 10 == len(meter._used)
    assert meter.take("stranger-999", 0.0) > 0


def test_a_key_that_keeps_knocking_is_not_forgotten_first():
    """
    Being refused counts as being heard: an address at its limit cannot be pushed out while it goes on.
    """
    meter = Meter(1, 60.0, capacity=10)
    meter.take("address", 0.0)
    for number in range(100):
        meter.take(f"stranger-{number}", 0.0)
        assert meter.take("address", 0.0) > 0


def test_a_key_holds_a_few_numbers_however_much_it_asks():
    """
    A key's memory is bounded by the parts of a period, not by its events.
    """
    meter = Meter(1_000_000, 60.0)
    for number in range(50_000):
        meter.take("address", number / 100)

    assert len(meter._used["address"]) <= 2 * (SLOTS + 1)
