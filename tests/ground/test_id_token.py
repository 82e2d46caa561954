"""ID tokens: every claim of the table with wrong types and wrong values, and the whole way with real keys."""

from contextlib import suppress
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.errors import IdTokenRejected
from grantkeeper.model import Subject
from grantkeeper.protocol.discovery import GOOGLE
from grantkeeper.protocol.id_token import (
    CLAIMS,
    IGNORED,
    LONGEST_PROPERTY,
    LONGEST_SUB,
    Expectation,
    check_claims,
    claimed_subject,
    read_header,
    verify,
)
from grantkeeper.secret import AccessToken, IdToken
from tests.ground.support import NOW, ec_key, good_claims, key_set, public, rsa_key, signed, vectors


def want(**other):
    """What is expected here and now."""
    if "youngest" in other:
        other["youngest"] = timedelta(seconds=other["youngest"])
    if "access_token" in other:
        other["access_token"] = AccessToken(other["access_token"])
    if "parties" in other:
        other["parties"] = frozenset(other["parties"])
    return Expectation(**{"issuer": GOOGLE, "audience": "ours", "now": NOW, **other})


TEXTS = {"LONGEST": "a" * LONGEST_SUB, "LONGER": "a" * (LONGEST_SUB + 1)}


@pytest.mark.parametrize("case", vectors("claims.json"))
def test_claims_are_judged_as_the_vector_says(case):
    """
    Accepted with the profile that is named, or rejected by the claim and the reason that are.
    """
    said = {name: TEXTS.get(str(value), value) for name, value in case.get("claims", {}).items()}
    times = {name: int(NOW.timestamp()) + offset for name, offset in case.get("times", {}).items()}
    claims = good_claims(**said, **times, **dict.fromkeys(case.get("absent", ())))
    expected = want(**case.get("want", {}))

    if "rejected" in case:
        with pytest.raises(IdTokenRejected) as caught:
            check_claims(claims, expected)
        assert (case["rejected"], case["reason"]) == (caught.value.claim, caught.value.reason)
    else:
        found = check_claims(claims, expected)
        assert Subject(expected.issuer, claims["sub"]) == found.subject
        for name, value in case.get("profile", {}).items():
            assert value == getattr(found.profile, name)


WRONG_TYPES = [None, True, False, 0, 1.5, "", "text", [], ["text"], {}, {"text": "text"}]
REQUIRED = {"iss", "aud", "exp", "iat", "sub"}
FREE_TEXT = {"email", "name", "given_name", "family_name", "picture", "locale"}
TEXT_CLAIMS = {"iss", "azp", "nonce", "sub", "at_hash", "hd"}


def right(claim, value):
    """Whether *value* may stand in *claim* where nothing special is expected."""
    if value is None:
        return claim not in REQUIRED
    if claim in FREE_TEXT:
        return isinstance(value, str)
    if claim in ("sub", "hd", "nonce", "at_hash"):
        return value == "text"
    if claim in ("iat", "nbf"):
        # Long ago is no trouble for either.
        return type(value) in (int, float)
    return claim == "email_verified" and isinstance(value, bool)


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("value", WRONG_TYPES, ids=repr)
def test_every_claim_is_checked_for_its_type(claim, value):
    """
    A claim of the wrong type is refused like one of the wrong value, and by its name.
    """
    claims = {**good_claims(), claim: value}

    if right(claim, value):
        assert GOOGLE == check_claims(claims, want()).subject.issuer
    else:
        with pytest.raises(IdTokenRejected) as caught:
            check_claims(claims, want())
        assert claim == caught.value.claim


@pytest.mark.parametrize("claim", sorted(TEXT_CLAIMS | FREE_TEXT))
def test_no_claim_is_endless(claim):
    """
    A text beyond any use is refused by its name.
    """
    with pytest.raises(IdTokenRejected) as caught:
        check_claims({**good_claims(), claim: "a" * (LONGEST_PROPERTY + 1)}, want())

    assert claim == caught.value.claim


@pytest.mark.parametrize("claim", sorted(FREE_TEXT))
def test_a_property_may_be_long(claim):
    """
    The longest text of a property is taken.
    """
    check_claims({**good_claims(), claim: "a" * LONGEST_PROPERTY}, want())


def test_the_table_covers_the_claims_that_google_sends():
    """
    Every claim of google-facts 5 is checked or ignored on purpose, and none is both.
    """
    google = {"iss", "aud", "azp", "sub", "iat", "exp", "at_hash", "nonce", "email", "email_verified"}
    google |= {"hd", "name", "given_name", "family_name", "picture", "profile", "locale", "auth_time"}

    assert google <= set(CLAIMS) | IGNORED
    assert not set(CLAIMS) & IGNORED


def test_the_order_of_checks_is_that_of_the_specification():
    """
    Core 3.1.3.7: issuer, audience, authorized party, expiry, issue, nonce; our own needs come after.
    """
    assert ["iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "sub"] == list(CLAIMS)[:8]


def test_an_identity_says_all_that_was_proved():
    """
    Subject, audiences, party, both times and the nonce are there for the keeper.
    """
    claims = good_claims(aud=["ours", "ios-app"], azp="ios-app", nonce="n-1")
    found = check_claims(claims, want(parties=["ios-app"]))

    assert Subject(GOOGLE, "1234567890") == found.subject
    assert {"ours", "ios-app"} == found.audience
    assert "ios-app" == found.authorized_party
    assert (NOW, NOW + timedelta(hours=1)) == (found.issued_at, found.expires_at)
    assert "n-1" == found.nonce


def test_both_names_of_google_are_one_issuer():
    """
    A user does not become another when the token spells the issuer without https.
    """
    one, other = (check_claims(good_claims(iss=iss), want()) for iss in (GOOGLE, "accounts.google.com"))

    assert one.subject == other.subject


def test_a_nonce_is_never_in_a_repr():
    """
    An expectation and an identity in a log show no nonce, no token and no person.
    """
    found = check_claims(good_claims(nonce="n-1"), want(nonce="n-1", access_token="ya29.secret"))

    for shown in (repr(found), repr(want(nonce="n-1", access_token="ya29.secret"))):
        assert "n-1" not in shown
        assert "ya29" not in shown
        assert "ada@" not in shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*CLAIMS, "profile"]), JSON))
def test_no_claims_raise_anything_else(claims):
    """
    Whatever the claims say, they are an identity or `IdTokenRejected`.
    """
    with suppress(IdTokenRejected):
        check_claims(good_claims() | claims, want())


@given(st.integers() | st.floats(), st.timedeltas(timedelta(days=-9000), timedelta(days=2_900_000)))
def test_no_moment_overflows(value, later):
    """
    Any number in any time claim at any moment of the clock is judged, up to the end of the calendar.
    """
    expected = want(now=NOW + later, youngest=600)
    for claim in ("exp", "iat", "nbf"):
        with suppress(IdTokenRejected):
            check_claims(good_claims() | {claim: value}, expected)


# -- the whole way ------------------------------------------------------------------------------

KEYS = key_set(public(rsa_key()), public(ec_key(), "e1"))


def test_a_token_of_google_s_proves_who_signed_in():
    """
    Signature and claims together make an identity.
    """
    assert "1234567890" == verify(signed(good_claims(), rsa_key()), KEYS, want()).subject.sub


def test_a_token_without_a_kid_is_matched_when_one_key_could_have_signed():
    """
    Small issuers publish one key and name none.
    """
    token = signed(good_claims(), rsa_key(), kid=None)

    assert "1234567890" == verify(token, KEYS, want()).subject.sub


def test_another_issuer_may_sign_with_es256():
    """
    Which algorithms count is expected, not claimed.
    """
    token = signed(good_claims(), ec_key(), alg="ES256", kid="e1")

    assert "1234567890" == verify(token, KEYS, want(algorithms={"RS256", "ES256"})).subject.sub
    with pytest.raises(IdTokenRejected) as caught:
        verify(token, KEYS, want())
    assert "alg" == caught.value.claim


@pytest.mark.parametrize(
    ("token", "claim"),
    [
        (lambda: signed(good_claims(), rsa_key(), kid="k9"), "kid"),
        (lambda: signed(good_claims(), rsa_key("two")), "signature"),
        (lambda: signed(good_claims(aud="theirs"), rsa_key()), "aud"),
        (lambda: signed(b"[]", rsa_key()), "token"),
        (lambda: IdToken("not.a.token"), "token"),
        (lambda: signed(good_claims(), rsa_key(), typ="at+jwt"), "typ"),
        (lambda: signed(good_claims(), rsa_key(), typ="logout+jwt"), "typ"),
        (lambda: signed(good_claims(), rsa_key(), typ="secevent+jwt"), "typ"),
    ],
    ids=["unknown key", "another key", "a claim", "no object", "no token", "access", "logout", "event"],
)
def test_what_is_wrong_is_named(token, claim):
    """
    Key, signature, type and claims each have their own name in the error.
    """
    with pytest.raises(IdTokenRejected) as caught:
        verify(token(), KEYS, want())

    assert claim == caught.value.claim


@pytest.mark.parametrize("kind", [None, "JWT", "jwt", "application/jwt"])
def test_a_token_that_says_it_is_a_jwt_may_be_an_id_token(kind):
    """
    The type may be absent, and its case does not matter.
    """
    assert "k1" == read_header(signed({}, rsa_key(), typ=kind), want()).kid


def test_claims_twice_are_read_once():
    """
    Of two claims of one name the last counts, for every check alike (RFC 7519 section 4).
    """
    twice = b'{"aud": "ours",' + msgspec.json.encode(good_claims(aud="theirs"))[1:]

    with pytest.raises(IdTokenRejected) as caught:
        verify(signed(twice, rsa_key()), KEYS, want())
    assert "aud" == caught.value.claim


@pytest.mark.parametrize(
    ("token", "subject"),
    [
        (lambda: signed(good_claims(sub="1"), rsa_key("nobody's")), "1"),
        (lambda: signed(good_claims(sub=1), rsa_key()), None),
        (lambda: signed(b"[]", rsa_key()), None),
        (lambda: signed(b"\xff", rsa_key()), None),
        (lambda: IdToken("not.a.token"), None),
        (lambda: IdToken("two.parts"), None),
    ],
    ids=["any key", "a number", "no object", "no JSON", "no token", "two parts"],
)
def test_the_subject_of_a_refresh_is_read_without_proof(token, subject):
    """
    It is compared with what is known, so no key is needed; what cannot be read names nobody.
    """
    assert subject == claimed_subject(token())
