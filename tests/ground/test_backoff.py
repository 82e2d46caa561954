"""When to try again: pauses, the circuit, and whether a refusal is believed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from grantkeeper.backoff import (
    CONDEMN_WINDOW,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LONGEST_RETRY_AFTER,
    PROBE_LIMIT,
    PROBE_PAUSES,
    REST,
    REVOCATIONS_PER_SECOND,
    THRESHOLDS,
    Circuit,
    Condemnations,
    CondemnLimit,
    Gate,
    Pace,
    Trouble,
    heeded,
    pause,
    probe_pause,
    revocation_pause,
)
from grantkeeper.model import Provider

ROLLS = st.floats(min_value=0, max_value=1, exclude_max=True)
ATTEMPTS = st.integers(min_value=1, max_value=10**9)

# -- pauses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0), (7, 32.0), (8, 64.0), (9, 64.0), (1000, 64.0)]
)
def test_a_pause_doubles_up_to_a_minute(attempt, ceiling):
    """
    The dice choose within the upper half of a ceiling that doubles and then stays.
    """
    assert ceiling / 2 == pause(attempt, 0.0)
    assert ceiling * 0.75 == pause(attempt, 0.5)


@pytest.mark.parametrize(
    ("asked", "believed"),
    [(0, 0), (0.5, 0.5), (3600, 3600), (3601, 3600), (1e12, 3600), (math.inf, 3600), (-1, 0), (math.nan, 0)],
)
def test_what_is_asked_for_is_believed_up_to_an_hour(asked, believed):
    """
    One absurd answer must not stop anything for years, nor be more than a date can hold.
    """
    assert believed == heeded(asked)


@given(ATTEMPTS, ROLLS, st.none() | st.floats(min_value=0, allow_nan=False))
def test_a_pause_is_within_its_bounds(attempt, roll, retry_after):
    """
    Never under what the other side asked for, never absurd, never nothing.
    """
    wait = pause(attempt, roll, retry_after)

    assert FIRST_PAUSE / 2 <= wait <= LONGEST_RETRY_AFTER
    if retry_after is None:
        assert wait <= LONGEST_PAUSE
    else:
        assert min(retry_after, LONGEST_RETRY_AFTER) <= wait


@given(ATTEMPTS, ROLLS)
def test_the_issuer_is_told_of_a_revocation_after_seconds_and_within_six_hours(attempt, roll):
    """
    However often telling it failed, it is tried at least four times a day.
    """
    wait = revocation_pause(attempt, roll)

    assert 5.0 <= wait <= 6 * 3600.0
    assert wait <= revocation_pause(attempt + 1, 1.0)


@given(ATTEMPTS, ROLLS)
def test_what_the_issuer_asks_for_is_obeyed_within_an_hour(attempt, roll):
    """
    For revocations and probes as for refreshes: nobody waits until 2058 because a header says so.
    """
    for pause_of in (revocation_pause, probe_pause):
        own = pause_of(attempt, roll)

        assert own == pause_of(attempt, roll, 0.0)
        assert max(own, 900.0) == pause_of(attempt, roll, 900.0)
        assert max(own, LONGEST_RETRY_AFTER) == pause_of(attempt, roll, 1e9)


@given(ATTEMPTS, ROLLS)
def test_a_doubtful_grant_is_probed_less_and_less_often(attempt, roll):
    """
    By the table, spread over half as much again; the last line is for all that follow.
    """
    listed = PROBE_PAUSES[attempt - 1] if attempt <= len(PROBE_PAUSES) else PROBE_PAUSES[-1]

    assert listed <= probe_pause(attempt, roll) <= listed * 1.5
    assert sorted(PROBE_PAUSES) == list(PROBE_PAUSES)


# -- the circuit --------------------------------------------------------------------------------


def shut(trouble=Trouble.UNAVAILABLE, now=100.0, roll=0.0):
    """A circuit that has just shut."""
    circuit = Circuit()
    for _ in range(THRESHOLDS[trouble]):
        circuit = circuit.failed(trouble, now, roll)
    return circuit


@pytest.mark.parametrize("trouble", Trouble)
def test_a_circuit_shuts_at_its_threshold(trouble):
    """
    One failure less leaves calls going.
    """
    circuit = Circuit()
    for _ in range(THRESHOLDS[trouble] - 1):
        circuit = circuit.failed(trouble, 0.0, 0.0)
    assert Gate.OPEN == circuit.gate(0.0)

    assert Gate.SHUT == circuit.failed(trouble, 0.0, 0.0).gate(0.0)


def test_a_refused_client_needs_no_second_opinion():
    """
    One ``invalid_client`` shuts the circuit: nobody's next refresh can fare better.
    """
    assert 1 == THRESHOLDS[Trouble.MISCONFIGURED]


def test_a_success_starts_the_count_anew():
    """
    Failures count only in a row.
    """
    circuit = Circuit()
    for _ in range(20):
        circuit = circuit.failed(Trouble.UNAVAILABLE, 0.0, 0.0)
        circuit = circuit.failed(Trouble.UNAVAILABLE, 0.0, 0.0).succeeded()

    assert Gate.OPEN == circuit.gate(0.0)


def test_failures_of_different_kinds_do_not_add_up():
    """
    Four outages and a refused client are one refused client.
    """
    circuit = Circuit()
    for _ in range(4):
        circuit = circuit.failed(Trouble.UNAVAILABLE, 0.0, 0.0)
    circuit = circuit.failed(Trouble.MISCONFIGURED, 0.0, 0.0)

    assert (Trouble.MISCONFIGURED, 1) == (circuit.trouble, circuit.failures)


def test_after_its_rest_a_circuit_lets_one_probe_through():
    """
    Shut until the end of the rest, then one goes and all others wait for it.
    """
    circuit = shut(now=100.0)
    assert 100.5 == circuit.until
    assert Gate.SHUT == circuit.gate(math.nextafter(100.5, 0))
    assert Gate.PROBE == circuit.gate(100.5)

    probing = circuit.probing(100.5)
    assert Gate.SHUT == probing.gate(101.0)
    assert Gate.OPEN == probing.succeeded(sent_at=100.5).gate(101.0)


def test_a_probe_that_never_reports_is_replaced():
    """
    A lost probe, say of a caller who went away, does not keep the circuit shut for ever.
    """
    probing = shut(now=100.0).probing(101.0)

    assert Gate.SHUT == probing.gate(101.0 + PROBE_LIMIT - 0.001)
    assert Gate.PROBE == probing.gate(101.0 + PROBE_LIMIT)


def test_every_failed_probe_doubles_the_rest_up_to_its_longest():
    """
    The rest of an outage grows from a second to half a minute.
    """
    circuit, rests = shut(now=0.0), []
    for _ in range(8):
        now = circuit.until
        circuit = circuit.probing(now).failed(Trouble.UNAVAILABLE, now, 0.0, sent_at=now)
        rests.append(circuit.until - now)

    assert [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0] == rests


@pytest.mark.parametrize("asked", [20.0, LONGEST_RETRY_AFTER * 10])
def test_retry_after_shuts_at_once_and_is_not_undercut(asked):
    """
    A single answer with ``Retry-After`` is heard; an absurd one counts as an hour.
    """
    circuit = Circuit().failed(Trouble.UNAVAILABLE, 100.0, 0.9, retry_after=asked)

    assert 100.0 + min(asked, LONGEST_RETRY_AFTER) == circuit.until


def test_retry_after_zero_asks_for_nothing():
    """
    ``Retry-After: 0`` is one failure like another.
    """
    assert Gate.OPEN == Circuit().failed(Trouble.UNAVAILABLE, 0.0, 0.0, retry_after=0.0).gate(0.0)


def test_stragglers_of_one_outage_are_one_outage():
    """
    A hundred calls that time out together shut the circuit once, however late they report.
    """
    circuit = shut(now=100.0)
    for now in range(101, 200):
        circuit = circuit.failed(Trouble.UNAVAILABLE, float(now), 0.0, sent_at=99.0)

    assert 1 == circuit.trips
    assert Gate.PROBE == circuit.gate(circuit.until)


def test_stragglers_do_not_shut_what_a_probe_has_opened():
    """
    After a good probe the late failures of the outage say nothing about now.
    """
    circuit = shut(now=100.0).probing(101.0).succeeded(sent_at=101.0)
    for _ in range(10):
        circuit = circuit.failed(Trouble.UNAVAILABLE, 102.0, 0.0, sent_at=99.0)

    assert Gate.OPEN == circuit.gate(102.0)
    assert 0 == circuit.failures


def test_a_straggling_success_opens_nothing():
    """
    That a call of before the outage worked does not end the outage.
    """
    circuit = shut(now=100.0)

    assert Gate.SHUT == circuit.succeeded(sent_at=99.0).gate(100.1)
    assert Gate.OPEN == circuit.succeeded(sent_at=100.5).gate(100.6)
    assert Gate.OPEN == circuit.succeeded().gate(100.6)


def test_a_straggler_can_still_ask_for_more_rest():
    """
    A ``Retry-After`` that arrives while the circuit is shut lengthens the rest, and never shortens it.
    """
    circuit = shut(now=100.0)

    assert 150.0 == circuit.failed(Trouble.UNAVAILABLE, 100.1, 0.0, retry_after=49.9, sent_at=99.0).until
    assert 150.0 == circuit.failed(Trouble.UNAVAILABLE, 100.1, 0.0, retry_after=49.9).until
    assert circuit.until == circuit.failed(Trouble.UNAVAILABLE, 100.1, 0.0, retry_after=0.1).until


def test_without_its_time_of_sending_a_report_while_shut_is_no_news():
    """
    A caller that does not say when it sent is a straggler as long as the circuit is shut.
    """
    circuit = shut(now=100.0)

    assert circuit == circuit.failed(Trouble.UNAVAILABLE, 100.2, 0.0)


@pytest.mark.parametrize(("now", "expected"), [(100.0, 1.0), (400.0, 1.0), (99.0, 1.5)])
def test_waiting_is_never_shorter_than_a_second(now, expected):
    """
    A ``Retry-After`` of nothing would make callers spin.
    """
    assert expected == shut(now=100.0).wait(now)


class CircuitMachine(RuleBasedStateMachine):
    """A circuit lived through by many callers who send, and report in any order."""

    def __init__(self):
        super().__init__()
        self.circuit, self.now, self.flying = Circuit(), 0.0, []

    @rule(seconds=st.floats(min_value=0.0, max_value=40.0))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def somebody_calls(self):
        gate = self.circuit.gate(self.now)
        if gate is Gate.PROBE:
            self.circuit = self.circuit.probing(self.now)
            assert self.circuit.gate(self.now) is Gate.SHUT
        if gate is not Gate.SHUT:
            self.flying.append(self.now)

    @rule(pick=st.integers(min_value=0), good=st.sampled_from([False, False, True]), roll=ROLLS)
    def somebody_reports(self, pick, good, roll):
        if self.flying:
            sent_at = self.flying.pop(pick % len(self.flying))
            before = self.circuit
            self.circuit = (
                before.succeeded(sent_at)
                if good
                else before.failed(Trouble.UNAVAILABLE, self.now, roll, sent_at=sent_at)
            )
            if before.since is not None and sent_at < before.since:
                assert before == self.circuit

    @invariant()
    def it_never_stays_shut_for_ever(self):
        longest = REST[Trouble.UNAVAILABLE][1] + PROBE_LIMIT
        assert self.circuit.gate(self.now + longest) is not Gate.SHUT

    @invariant()
    def trips_and_gate_agree(self):
        assert (self.circuit.trips == 0) == (self.circuit.gate(self.now) is Gate.OPEN)
        assert self.circuit.failures < THRESHOLDS[Trouble.UNAVAILABLE] or self.circuit.trips


TestCircuitMachine = CircuitMachine.TestCase

# -- whether a refusal is believed --------------------------------------------------------------


def condemnations(refused, good, repeats=1, limit=None):
    """What a client's refreshes came to at second 0."""
    seen = Condemnations(limit or CondemnLimit())
    for number in range(refused):
        for _ in range(repeats):
            seen.refused(f"grant-{number}", 0.0)
    for _ in range(good):
        seen.refreshed(0.0)
    return seen


@pytest.mark.parametrize(
    ("refused", "good", "paused"),
    [(49, 0, False), (50, 0, True), (50, 199, True), (50, 200, False), (51, 200, True), (1000, 4001, False)],
)
def test_condemning_pauses_at_fifty_grants_and_over_a_fifth(refused, good, paused):
    """
    Fifty different grants and more than a fifth of the refreshes: both, at their very boundary.
    """
    assert paused == condemnations(refused, good).paused(0.0)


def test_one_grant_refused_a_thousand_times_is_one_grant():
    """
    A caller that hammers one dead grant stops no condemning.
    """
    assert not condemnations(1, 0, repeats=1000).paused(0.0)


def test_the_limit_is_the_setting():
    """
    ``CONDEMN_LIMIT=2,0.5`` means two grants and over a half.
    """
    assert condemnations(2, 1, limit=CondemnLimit(2, 0.5)).paused(0.0)
    assert not condemnations(2, 2, limit=CondemnLimit(2, 0.5)).paused(0.0)


def test_five_minutes_later_all_is_forgotten():
    """
    The window is five minutes, up to its very end.
    """
    seen = condemnations(50, 0)

    assert seen.paused(math.nextafter(CONDEMN_WINDOW, 0))
    assert not seen.paused(CONDEMN_WINDOW)


def test_memory_is_bounded():
    """
    Beyond its capacity the oldest events are forgotten, counters and all.
    """
    seen = Condemnations(CondemnLimit(1, 0.5), capacity=10)
    for number in range(1000):
        seen.refused(f"grant-{number}", 0.0)
    for _ in range(10):
        seen.refreshed(0.0)

    assert not seen.paused(0.0)
    assert (10, 0, 0) == (len(seen._events), len(seen._refused), seen._refusals)


EVENTS = st.tuples(
    st.floats(min_value=0, max_value=200), st.none() | st.sampled_from(["a", "b", "c", "d", "e"])
)


@given(st.lists(EVENTS, max_size=60), st.integers(1, 4), st.floats(min_value=0.05, max_value=0.95))
def test_counting_as_we_go_equals_counting_anew(events, grants, share):
    """
    After every event the verdict is that of a model that keeps everything and counts it each time.
    """
    limit, now, history = CondemnLimit(grants, share), 0.0, []
    seen = Condemnations(limit)
    for step, grant_id in events:
        now += step
        history.append((now, grant_id))
        if grant_id is None:
            seen.refreshed(now)
        else:
            seen.refused(grant_id, now)
        window = [grant for at, grant in history if at > now - CONDEMN_WINDOW]
        bad = [grant for grant in window if grant is not None]

        assert (len(set(bad)) >= grants and len(bad) > share * len(window)) == seen.paused(now)


# -- the pace of many calls ---------------------------------------------------------------------


def test_turns_come_at_the_rate():
    """
    The first at once, the others in even steps; time that nobody used is not made up for.
    """
    pace = Pace(10.0)

    assert [0.0, 0.1, 0.2] == pytest.approx([pace.turn(100.0) for _ in range(3)])
    assert [0.0, 0.1] == pytest.approx([pace.turn(200.0) for _ in range(2)])


def test_a_complaint_pauses_and_halves():
    """
    Those that failed together are one complaint; what the other side asks for is never undercut.
    """
    pace = Pace(10.0)
    pace.failed(99.0, 100.0, 0.0)
    pace.failed(99.5, 100.1, 0.0)
    waits = [pace.turn(100.1), pace.turn(100.1)]
    pace.failed(103.0, 104.0, 0.0, retry_after=30.0)

    assert [FIRST_PAUSE / 2, FIRST_PAUSE / 2 + 0.2] == pytest.approx(waits)
    assert 30.0 == pytest.approx(pace.turn(104.0))


def test_the_pace_never_stops_and_comes_back():
    """
    A sixteenth is the least; successes give it all back and no more.
    """
    pace = Pace(16.0)
    for number in range(20):
        pace.failed(number, number, 0.0)
    slow = pace.turn(1000.0), pace.turn(1000.0)
    for _ in range(200):
        pace.succeeded()
    pace.turn(2000.0)

    assert (0.0, 1.0) == pytest.approx(slow)
    assert 1 / 16 == pytest.approx(pace.turn(2000.0))


def test_every_provider_has_a_rate():
    """
    So that a panic has one without being told.
    """
    assert set(Provider) == set(REVOCATIONS_PER_SECOND)
