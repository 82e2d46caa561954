"""Scopes: sets of names, compared under one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.errors import InvalidRequest
from grantkeeper.model import Provider
from grantkeeper.protocol.scopes import (
    EMAIL,
    IDENTITY,
    LONGEST_SCOPE,
    MOST_SCOPES,
    OPENID,
    PROFILE,
    asked,
    is_scope,
    missing,
    normalised,
    parse,
    scope_key,
    wire,
)
from tests.ground.support import vectors

NAMES = st.text(
    alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"\\'), min_size=1
)
SCOPES = st.frozensets(NAMES, max_size=5).map(normalised)


def test_email_and_profile_have_two_names_and_are_one_scope_each():
    """
    What was asked under the short name is found in an answer under the long one.
    """
    assert {EMAIL, PROFILE, OPENID} == normalised(["email", "profile", "openid"]) == IDENTITY
    assert not missing(normalised(["email"]), parse(f"{EMAIL} openid"))


def test_more_than_was_asked_is_normal():
    """
    Granted is tested as a superset: Google answers with all that the project ever got.
    """
    assert frozenset() == missing(parse("a"), parse("c b a"))
    assert frozenset({"d"}) == missing(parse("a d"), parse("c b a"))


@given(SCOPES)
def test_what_is_sent_is_read_back(scopes):
    """
    `parse` undoes `wire`, for Google's spelling and for that of others.
    """
    assert scopes == parse(wire(scopes))
    assert scopes == parse(wire(scopes, Provider.OIDC))


@given(st.lists(NAMES, max_size=5))
def test_order_and_repeats_mean_nothing(names):
    """
    Equal sets are equal texts.
    """
    assert wire(normalised(names)) == wire(normalised(reversed(names + names)))


def test_other_issuers_hear_the_names_they_know():
    """
    Google's long names are sent to Google alone.
    """
    assert "email openid photos" == wire(frozenset({EMAIL, OPENID, "photos"}), Provider.OIDC)
    assert f"{EMAIL} openid photos" == wire(frozenset({EMAIL, OPENID, "photos"}))


@pytest.mark.parametrize("case", vectors("scopes_asked.json"))
def test_scopes_of_a_request_are_a_list_or_one_text(case):
    """
    A request's scopes become a set, none, or `InvalidRequest` in words.
    """
    if "refused" in case:
        with pytest.raises(InvalidRequest, match=case["refused"]):
            asked(case["value"])
    else:
        expected = None if case["scopes"] is None else frozenset(case["scopes"].split())
        assert expected == asked(case["value"])


def test_a_request_names_a_bounded_number_of_scopes():
    """
    The most there may be are taken, one more is refused.
    """
    names = [f"scope-{number}" for number in range(MOST_SCOPES + 1)]

    assert MOST_SCOPES == len(asked(names[:-1]) or ())
    with pytest.raises(InvalidRequest, match="at most"):
        asked(names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("!", True), ("~", True), (" ", False), ("\x7f", False), ('"', False), ("\\", False)],
)
def test_a_scope_is_made_of_the_characters_of_its_rfc(name, expected):
    """
    RFC 6749 3.3, at the ends of its ranges.
    """
    assert expected is is_scope(name)


def test_a_scope_has_a_longest_length():
    """
    Both sides of the limit.
    """
    assert is_scope("s" * LONGEST_SCOPE)
    assert not is_scope("s" * (LONGEST_SCOPE + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_no_value_of_a_request_raises_anything_else(value):
    """
    Whatever JSON stands for scopes, it is a set of scopes, none, or `InvalidRequest`.
    """
    try:
        scopes = asked(value)
    except InvalidRequest:
        return
    assert scopes is None or all(is_scope(name) for name in scopes)


@given(SCOPES, SCOPES, SCOPES)
def test_a_cache_key_belongs_to_one_set(granted, one, other):
    """
    For one grant, two sets of scopes have the same key exactly when they are the same set.
    """
    assert (one == other) == (scope_key(one, granted) == scope_key(other, granted))


@given(SCOPES, SCOPES)
def test_all_that_is_granted_has_the_empty_key(granted, scopes):
    """
    Only the full set is cached under nothing, so a token for nothing is never taken for one for all.
    """
    assert "" == scope_key(granted, granted)
    assert (scopes == granted) == (scope_key(scopes, granted) == "")
