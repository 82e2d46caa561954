"""An issuer's keys: which of them count, for which signature, and for how long."""

from base64 import urlsafe_b64encode
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.errors import IssuerMisbehaved
from grantkeeper.protocol.key_set import (
    COOLDOWN,
    LONGEST_KEEP,
    MOST_KEYS,
    SHORTEST_KEEP,
    keep_for,
    parse_key_set,
)
from tests.ground.support import NOW, answer, ec_key, key_set, public, rsa_key, vectors


def number(bits, zeros=0):
    """An odd number of so many bits, as a JWK has it."""
    value = (1 << bits - 1) + 1
    return urlsafe_b64encode(bytes(zeros) + value.to_bytes((bits + 7) // 8)).rstrip(b"=").decode()


def entry(case):
    """An entry of a key set, made where the vector says how."""
    if not isinstance(case, dict) or "make" not in case:
        return case
    other = {name: value for name, value in case.items() if name not in ("make", "curve")}
    kinds = {
        "rsa": lambda: public(rsa_key(), None),
        "ec": lambda: public(ec_key(curve=case.get("curve", "P-256")), None),
        "weak rsa": lambda: {"kty": "RSA", "n": number(2047), "e": "AQAB"},
        "weak rsa behind zeros": lambda: {"kty": "RSA", "n": number(1024, 300), "e": "AQAB"},
        "huge rsa": lambda: {"kty": "RSA", "n": number(16384), "e": "AQAB"},
    }
    return {**kinds[case["make"]](), **other}


@pytest.mark.parametrize("case", vectors("key_sets.json"))
def test_a_key_set_has_the_keys_that_can_be_used(case):
    """
    What we cannot use is skipped (RFC 7517 5); a set without any is the issuer's fault.
    """
    keys = [entry(one) for one in case["keys"]] if isinstance(case["keys"], list) else case["keys"]

    if "refused" in case:
        with pytest.raises(IssuerMisbehaved, match=case["refused"]):
            parse_key_set(answer({"keys": keys}), now=NOW)
    else:
        found = parse_key_set(answer({"keys": keys}), now=NOW)
        assert case["kids"] == [key.kid for key in found.keys]
        assert all(not key.verifier.is_private and "d" not in key.jwk for key in found.keys)


def test_a_set_has_a_bounded_number_of_keys():
    """
    The most there may be are read, one more is no key set.
    """
    keys = [public(ec_key(), f"k{count}") for count in range(MOST_KEYS + 1)]

    assert MOST_KEYS == len(key_set(*keys[:-1]).keys)
    with pytest.raises(IssuerMisbehaved, match="are not a JWK set"):
        key_set(*keys)


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_only_200_is_a_key_set(status):
    """
    An error page with keys in it is an error page.
    """
    with pytest.raises(IssuerMisbehaved, match=str(status)):
        parse_key_set(answer({"keys": [public(ec_key())]}, status=status), now=NOW)


KEYS = key_set(
    public(rsa_key(), "rsa", alg="RS256"),
    public(rsa_key("two"), "any"),
    public(ec_key(), "ec"),
    public(rsa_key("two"), "pss", alg="PS256"),
    public(rsa_key(), "twice"),
    public(rsa_key("two"), "twice"),
)


@pytest.mark.parametrize(
    ("kid", "algorithm", "count"),
    [
        ("rsa", "RS256", 1),
        ("any", "RS256", 1),
        ("ec", "ES256", 1),
        ("twice", "RS256", 2),
        ("ec", "RS256", 0),
        ("rsa", "ES256", 0),
        ("pss", "RS256", 0),
        ("pss", "PS256", 0),
        ("rsa", "HS256", 0),
        ("rsa", "none", 0),
        ("RSA", "RS256", 0),
        ("", "RS256", 0),
        (None, "RS256", 0),
        (None, "ES256", 1),
    ],
)
def test_a_signature_is_checked_with_the_keys_that_could_have_made_it(kid, algorithm, count):
    """
    Kind, algorithm and ``kid`` must fit; without ``kid`` only one key may be in question.
    """
    assert count == len(KEYS.for_signature(kid, algorithm))


@pytest.mark.parametrize("case", vectors("cache_control.json"))
def test_keys_are_kept_as_long_as_the_answer_says(case):
    """
    ``max-age`` less ``Age``, between a minute and a day.
    """
    assert timedelta(seconds=case["seconds"]) == keep_for(case["headers"])


@given(
    st.text() | st.from_regex(r"(max-age|no-cache|private|s-maxage)(=\"?\d{0,20}\"?)?[, ]*", fullmatch=True)
)
def test_no_header_raises_or_leaves_the_bounds(value):
    """
    Whatever the headers say, keys are kept between a minute and a day.
    """
    assert SHORTEST_KEEP <= keep_for({"cache-control": value, "age": value}) <= LONGEST_KEEP


def test_a_key_set_knows_when_it_was_fetched_and_till_when_it_is_fresh():
    """
    Both are counted from the moment of the answer.
    """
    headers = {"cache-control": "max-age=600"}
    found = parse_key_set(answer({"keys": [public(ec_key())]}, headers=headers), now=NOW)

    assert (NOW, NOW + timedelta(seconds=600)) == (found.fetched_at, found.fresh_until)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (timedelta(0), False),
        (COOLDOWN - timedelta(microseconds=1), False),
        (COOLDOWN, True),
        (timedelta(seconds=-1), True),
    ],
)
def test_an_unknown_kid_may_cause_a_fetch_after_a_rest(after, expected):
    """
    Strangers choose ``kid``, so they cannot make us fetch at will; a clock set back does not lock us out.
    """
    assert expected is key_set(public(ec_key())).may_refetch(NOW + after)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["kty", "kid", "alg", "use", "key_ops", "crv", "n", "e", "x", "y", "d"])
VALUES = JSON | st.sampled_from(["RSA", "EC", "P-256", "AQAB", "RS256", "sig", number(2048), number(256)])


@given(st.lists(st.dictionaries(MEMBERS, VALUES) | JSON, max_size=4) | JSON)
def test_no_key_set_raises_anything_else(keys):
    """
    Whatever stands under ``keys``, it is a key set or `IssuerMisbehaved`.
    """
    with suppress(IssuerMisbehaved):
        assert parse_key_set(answer({"keys": keys}), now=NOW).keys
