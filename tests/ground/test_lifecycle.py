"""What may happen to a grant, when a token is worth handing out, which refresh token stays, how to ask."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.lifecycle import (
    MARGIN_LEAST,
    MARGIN_MOST,
    REMEDIES,
    SIGN_IN_AGAIN,
    TRANSITIONS,
    Event,
    Freshness,
    Keep,
    Offer,
    announced_end,
    doubtful,
    freshness,
    how_to_ask,
    keep,
    next_state,
    outlived,
    stale_margin,
)
from grantkeeper.model import Grant, GrantState, IdentitySource, Reason, Sealed, Source, Subject
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
