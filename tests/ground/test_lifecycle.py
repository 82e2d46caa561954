"""What may happen to a grant, when a token is worth handing out, which refresh token stays, how to ask."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.lifecycle import (
    CROWDED_FROM,
    ENDS,
    KEEP_ALIVE_RATES,
    MARGIN_LEAST,
    MARGIN_MOST,
    REMEDIES,
    SIGN_IN_AGAIN,
    TRANSITIONS,
    UNUSED_LIFE,
    WEEK,
    Event,
    Freshness,
    Keep,
    Offer,
    WeekSign,
    announced_end,
    crowded,
    doubtful,
    ended_with_the_week,
    ends,
    freshness,
    how_to_ask,
    keep,
    keep_alive_at,
    keep_alive_rate,
    likely_testing,
    next_state,
    outlived,
    stale_margin,
    week_sign,
)
from grantkeeper.model import Grant, GrantState, IdentitySource, Provider, Reason, Sealed, Source, Subject
from grantkeeper.protocol.scopes import IDENTITY
from tests.ground.support import NOW, vectors

S, E = GrantState, Event

STEPS = {
    (S.ACTIVE, E.REFRESHED): S.ACTIVE,
    (S.ACTIVE, E.RECONSENTED): S.ACTIVE,
    (S.ACTIVE, E.REFUSED): S.NEEDS_CONSENT,
    (S.ACTIVE, E.BLOCKED): S.BLOCKED,
    (S.ACTIVE, E.REVOKED): S.REVOKED,
    (S.NEEDS_CONSENT, E.REFRESHED): S.ACTIVE,
    (S.NEEDS_CONSENT, E.RECONSENTED): S.ACTIVE,
    (S.NEEDS_CONSENT, E.REFUSED): S.NEEDS_CONSENT,
    (S.NEEDS_CONSENT, E.BLOCKED): S.BLOCKED,
    (S.NEEDS_CONSENT, E.REVOKED): S.REVOKED,
    (S.BLOCKED, E.REFRESHED): S.ACTIVE,
    (S.BLOCKED, E.RECONSENTED): S.ACTIVE,
    (S.BLOCKED, E.REFUSED): S.NEEDS_CONSENT,
    (S.BLOCKED, E.BLOCKED): S.BLOCKED,
    (S.BLOCKED, E.REVOKED): S.REVOKED,
    (S.REVOKED, E.REFRESHED): None,
    (S.REVOKED, E.RECONSENTED): S.ACTIVE,
    (S.REVOKED, E.REFUSED): None,
    (S.REVOKED, E.BLOCKED): None,
    (S.REVOKED, E.REVOKED): S.REVOKED,
}
"""Every pair, written by hand from design section 2; ``None`` where there is no step."""


@pytest.mark.parametrize("state", GrantState)
@pytest.mark.parametrize("event", Event)
def test_every_pair_of_state_and_event_leads_where_the_design_says(state, event):
    """
    A pair is a step of the table, or a RuntimeError that names both.
    """
    expected = STEPS[state, event]

    if expected is None:
        with pytest.raises(RuntimeError, match=f"{state}.*{event}"):
            next_state(state, event)
    else:
        assert expected == next_state(state, event)


def test_the_table_has_no_other_steps():
    """
    `TRANSITIONS` is exactly the steps of this test, one row for each state.
    """
    steps = {(state, event): to for state, row in TRANSITIONS.items() for event, to in row.items()}

    assert {pair: to for pair, to in STEPS.items() if to is not None} == steps
    assert set(GrantState) == set(TRANSITIONS)


def test_nothing_but_a_new_consent_leaves_revoked():
    """
    From the moment of a revocation no refresh, however late, hands anything out again.
    """
    leaving = [event for event in Event if TRANSITIONS[S.REVOKED].get(event, S.REVOKED) is not S.REVOKED]

    assert [Event.RECONSENTED] == leaving


MARGIN = timedelta(seconds=300)
END = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (END - MARGIN - TICK, Freshness.FRESH),
        (END - MARGIN, Freshness.STALE),
        (END - TICK, Freshness.STALE),
        (END, Freshness.EXPIRED),
        (END + TICK, Freshness.EXPIRED),
    ],
)
def test_freshness_changes_at_the_very_second(now, expected):
    """
    A token is stale from the margin on, and expired at its expiry, not after it.
    """
    assert expected == freshness(END, now, MARGIN)


def test_without_a_margin_a_token_is_never_stale():
    """
    A margin of nothing leaves only fresh and expired.
    """
    assert Freshness.FRESH == freshness(END, END - TICK, timedelta(0))
    assert Freshness.EXPIRED == freshness(END, END, timedelta(0))


LIVES = st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=400))
ROLLS = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(LIVES, ROLLS)
def test_the_margin_is_within_its_bounds(lifetime, roll):
    """
    300 to 600 seconds, at most a quarter of the life, and never negative.
    """
    margin = stale_margin(lifetime, roll)

    assert timedelta(0) <= margin <= min(MARGIN_MOST, max(lifetime / 4, timedelta(0)))
    if lifetime >= 4 * MARGIN_MOST:
        assert MARGIN_LEAST <= margin


@given(LIVES, ROLLS)
def test_a_new_token_is_not_stale(lifetime, roll):
    """
    Whatever its life, a token is fresh at first if it lives at all.
    """
    if lifetime > timedelta(0):
        assert Freshness.FRESH == freshness(END + lifetime, END, stale_margin(lifetime, roll))


def test_the_dice_spread_the_margin():
    """
    A thousand tokens of one minute do not become stale in one minute.
    """
    hour = timedelta(hours=1)

    assert timedelta(seconds=300) == stale_margin(hour, 0.0)
    assert timedelta(seconds=450) == stale_margin(hour, 0.5)
    assert timedelta(seconds=15) == stale_margin(timedelta(seconds=60), 0.5)


def grant(state="active", granted="a", token=True, reason=None, due=False):
    """A grant as the choice of token sees it."""
    return Grant(
        id="g",
        client_id="ours",
        subject=Subject("https://issuer.test", "1"),
        state=GrantState(state),
        identity_source=IdentitySource.ANSWER,
        created_at=NOW,
        granted=frozenset(granted.split()),
        reason=None if reason is None else Reason(reason),
        refresh_token=Sealed(b"box", 1) if token else None,
        revocation_due=NOW if due else None,
    )


@pytest.mark.parametrize("case", vectors("keep.json"))
def test_the_refresh_token_that_stays_is_the_better_one(case):
    """
    The choice between the stored and the new token is the one that the vector names.
    """
    stored = None if case["stored"] is None else grant(**case["stored"])
    offer = Offer(case["token"], frozenset(case["granted"].split()))

    assert Keep(case["keep"]) == keep(stored, offer)


@given(
    st.sampled_from(list(GrantState)),
    st.booleans(),
    st.booleans(),
    st.frozensets(st.sampled_from("abc")),
    st.frozensets(st.sampled_from("abc")),
)
def test_a_good_token_is_never_lost_to_a_worse_one(state, has_token, offers_token, stored_scopes, offered):
    """
    An active grant gives its token up only for one that opens all it did, or something that it did not.
    """
    stored = grant(state, " ".join(stored_scopes), has_token)
    choice = keep(stored, Offer(offers_token, offered))

    if state is GrantState.ACTIVE and has_token and choice is Keep.NEW:
        assert offers_token
        assert not offered < stored_scopes
    if choice in (Keep.NEW, Keep.BOTH):
        assert offers_token
    if choice in (Keep.STORED, Keep.STORED_ON_PROOF, Keep.BOTH):
        assert has_token


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("case", vectors("preflight.json"))
def test_each_platform_is_told_its_own_way_to_ask(case, source):
    """
    What an app must do at its next sign-in is what the vector names for its platform.
    """
    stored = None if case["grant"] is None else grant(**case["grant"])

    assert case["how"][source] == how_to_ask(source, stored, frozenset(case["missing"].split()))


def test_an_active_grant_without_a_token_is_asked_for_again():
    """
    A record that should not exist does not count as all is well.
    """
    assert "force_code" == how_to_ask(Source.ANDROID, grant(token=False), frozenset())


def test_every_source_has_a_way_and_every_reason_a_remedy():
    """
    The tables have a line for each member of their enumeration.
    """
    assert set(Source) == set(SIGN_IN_AGAIN)
    assert set(Reason) == set(REMEDIES)
    assert all(remedy.endswith(".") for remedy in REMEDIES.values())


def test_an_announced_end_is_counted_from_now():
    """
    Seconds that the issuer announced become a moment; none announced means none known.
    """
    assert NOW + timedelta(seconds=604800) == announced_end(604800, NOW)
    assert announced_end(None, NOW) is None


# -- keeping alive, and ends that can be seen coming --------------------------------------------

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def consented(age: timedelta, worked: timedelta | None = None, **other) -> Grant:
    """A grant consented to *age* ago, whose last refresh was *worked* after that."""
    at = NOW - age
    values: dict[str, Any] = {
        "id": "0195",
        "client_id": "c",
        "subject": Subject("https://issuer.test", "1"),
        "state": S.ACTIVE,
        "identity_source": IdentitySource.ANSWER,
        "created_at": at,
        "consented_at": at,
        "refreshed_at": None if worked is None else at + worked,
        "granted": frozenset({"openid", "files"}),
        "refresh_token": Sealed(b"", 1),
        "generation": 1,
    }
    return Grant(**(values | other))


def test_a_grant_is_due_five_months_after_its_last_refresh():
    """
    From the start of that week, spread over two weeks by the id; only where a refresh would help.
    """
    one = consented(10 * DAY, 9 * DAY)
    due = keep_alive_at(one)

    assert due is not None
    assert 143 * DAY <= due - (NOW - DAY) < 164 * DAY
    assert due == keep_alive_at(consented(10 * DAY, 9 * DAY + HOUR))
    assert keep_alive_at(consented(DAY, consented_at=None)) is not None
    assert keep_alive_at(consented(DAY, state=S.NEEDS_CONSENT)) is None
    assert NOW == keep_alive_at(consented(DAY, state=S.BLOCKED, probe_at=NOW))
    assert keep_alive_at(consented(DAY, state=S.BLOCKED, probe_at=NOW, refresh_token=None)) is None
    assert keep_alive_at(consented(DAY, refresh_token=None)) is None


def test_the_later_the_first_in_line_the_faster_it_goes():
    """
    Two in a second on a normal day, never more than a hundred; each limit belongs to the next rate.
    """
    rates = [keep_alive_rate(late) for late in (timedelta(0), DAY - HOUR, DAY, 3 * DAY, 7 * DAY, 999 * DAY)]

    assert [2.0, 2.0, 8.0, 30.0, 100.0, 100.0] == rates
    assert sorted(KEEP_ALIVE_RATES) == list(KEEP_ALIVE_RATES)


@pytest.mark.parametrize(
    ("age", "worked", "ended"),
    [
        (WEEK, 6 * DAY, True),
        (WEEK - HOUR, None, True),
        (WEEK - 2 * HOUR, 6 * DAY, False),
        (30 * DAY, 6 * DAY, True),
        (30 * DAY, WEEK + HOUR, True),
        (30 * DAY, WEEK + 2 * HOUR, False),
    ],
)
def test_a_refusal_after_the_week_is_told_from_others(age, worked, ended):
    """
    It is over seven days after consent and worked no longer than that; an hour is forgiven.
    """
    assert ended == ended_with_the_week(consented(age, worked), NOW)


def test_what_testing_mode_does_not_end_is_no_sign():
    """
    Only name, e-mail and profile granted, or a consent of unknown day.
    """
    for one in (
        consented(WEEK, 6 * DAY, granted=IDENTITY),
        consented(WEEK, 6 * DAY, consented_at=None),
    ):
        assert not ended_with_the_week(one, NOW)
        assert week_sign(one, NOW, refused=True) is None
        assert week_sign(one, NOW + 30 * DAY, refused=False) is None


@pytest.mark.parametrize(
    ("age", "worked", "refused", "sign"),
    [
        (WEEK + HOUR, 6 * DAY, True, WeekSign.DEATH),
        (8 * DAY, 5 * DAY, True, WeekSign.DEATH),
        (8 * DAY + HOUR, 6 * DAY, True, None),
        (WEEK + HOUR, 4 * DAY, True, None),
        (WEEK + HOUR, None, True, None),
        (6 * DAY, 5 * DAY, True, None),
        (8 * DAY + HOUR, 8 * DAY, False, WeekSign.SURVIVAL),
        (90 * DAY, None, False, WeekSign.SURVIVAL),
        (8 * DAY, 7 * DAY, False, None),
        (9 * DAY, 8 * DAY + HOUR, False, None),
    ],
)
def test_deaths_and_survivals_of_the_week(age, worked, refused, sign):
    """
    A death counts where it was seen at work late and refused soon; a survivor once.
    """
    assert sign == week_sign(consented(age, worked), NOW, refused=refused)


@pytest.mark.parametrize(
    ("deaths", "survivors", "likely"),
    [(0, 0, False), (2, 0, False), (3, 0, True), (3, 1, False), (10, 1, True), (10, 2, False)],
)
def test_testing_mode_is_spoken_of_on_good_evidence_alone(deaths, survivors, likely):
    """
    Three deaths at least, and ten for each survivor.
    """
    assert likely == likely_testing(deaths, survivors)


def kinds(one: Grant, provider: Provider = Provider.GOOGLE, *, testing: bool = False) -> list[str]:
    return [end.kind for end in ends(one, provider, NOW, testing=testing)]


def test_six_months_unused_are_told_two_months_before():
    """
    Counted from the last refresh; another issuer has no such rule.
    """
    old = consented(UNUSED_LIFE - 60 * DAY)
    (end,) = ends(old, Provider.GOOGLE, NOW, testing=False)

    assert ("unused", NOW + 60 * DAY) == (end.kind, end.at)
    assert [] == kinds(consented(UNUSED_LIFE - 61 * DAY))
    assert [] == kinds(consented(UNUSED_LIFE, UNUSED_LIFE - DAY))
    assert [] == kinds(old, Provider.OIDC)
    assert [] == kinds(consented(UNUSED_LIFE, refresh_token=None))
    assert ["unused"] == kinds(consented(UNUSED_LIFE, consented_at=None))


def test_the_week_of_testing_mode_is_told_where_it_is_likely():
    """
    With its day; not of a grant that has outlived it, nor of one that only says who the user is.
    """
    young = consented(DAY)
    (end,) = ends(young, Provider.GOOGLE, NOW, testing=True)

    assert ("testing_mode", NOW + 6 * DAY) == (end.kind, end.at)
    assert "ost likely" in end.remedy
    assert [] == kinds(young)
    assert [] == kinds(consented(WEEK + HOUR), testing=True)
    assert [] == kinds(consented(DAY, granted=IDENTITY), testing=True)
    assert [] == kinds(consented(DAY, consented_at=None), testing=True)


def test_the_cap_of_live_tokens_has_no_day():
    """
    It is told from the eightieth token on, and counted once.
    """
    near = consented(DAY, generation=CROWDED_FROM)
    (end,) = ends(near, Provider.GOOGLE, NOW, testing=False)

    assert ("live_tokens", None) == (end.kind, end.at)
    assert [] == kinds(consented(DAY, generation=CROWDED_FROM - 1))
    assert [True, False] == [crowded(consented(DAY, generation=number), exactly=True) for number in (80, 81)]


def test_ends_come_in_their_order():
    """
    The soonest first; a broken grant has only what was announced, a revoked one nothing.
    """
    many = consented(
        DAY,
        generation=99,
        ends_at=NOW + 30 * DAY,
        refreshed_at=NOW - UNUSED_LIFE + 50 * DAY,
        consented_at=None,
    )

    assert ["refresh_token", "unused", "live_tokens"] == kinds(many, testing=True)
    for state, told in ((S.BLOCKED, 1), (S.NEEDS_CONSENT, 1), (S.REVOKED, 0)):
        one = consented(DAY, state=state, ends_at=NOW + DAY)
        assert ["refresh_token"] * told == kinds(one)
    assert [] == kinds(consented(DAY, state=S.NEEDS_CONSENT))
    assert all(remedy.endswith(".") for remedy in ENDS.values())


def grant_of(**fields):
    """An active grant that was made at noon."""
    known: dict[str, Any] = {"id": "1", "client_id": "ours", "subject": Subject("https://issuer.test", "1")}
    known |= {"state": S.ACTIVE, "identity_source": IdentitySource.ANSWER, "created_at": NOW}
    return Grant(**(known | fields))


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    "fields, restored_at, wanted",
    [
        ({}, None, False),
        ({"uncertain_since": NOW}, None, True),
        ({"uncertain_since": NOW}, NOW - SECOND, True),
        ({}, NOW, False),
        ({}, NOW + SECOND, True),
        ({"refreshed_at": NOW + SECOND}, NOW + SECOND, False),
        ({"consented_at": NOW + SECOND}, NOW + SECOND, False),
        ({"refreshed_at": NOW + SECOND, "consented_at": NOW}, NOW + 2 * SECOND, True),
        ({"state": S.REVOKED}, NOW + SECOND, False),
        ({"state": S.NEEDS_CONSENT}, NOW + SECOND, True),
    ],
)
def test_a_grant_is_in_doubt_by_its_mark_or_by_an_older_backup(fields, restored_at, wanted):
    """
    What was written before the database was brought back may be out of date; what is younger is not.
    """
    assert wanted == doubtful(grant_of(**fields), restored_at)


@pytest.mark.parametrize(
    "fields, wanted",
    [
        ({}, False),
        ({"state": S.REVOKED}, False),
        ({"state": S.REVOKED, "revoked_at": NOW}, False),
        ({"state": S.REVOKED, "revoked_at": NOW + SECOND}, True),
        ({"state": S.ACTIVE, "revoked_at": NOW + SECOND}, False),
    ],
)
def test_only_a_later_revocation_outlives_a_consent(fields, wanted):
    """
    An answer of noon does not revive a grant that was revoked a second later.
    """
    assert wanted == outlived(grant_of(**fields), NOW)
