"""Our own session tokens: what they say, who may believe them, and what is refused."""

from contextlib import suppress
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws

from grantkeeper.model import Sealed, SigningKey, Subject
from grantkeeper.protocol.session import (
    LONGEST_LIFE,
    TYPE,
    SessionRejected,
    public_jwk,
    public_jwks,
    session_claims,
    sign_session,
    sign_statement,
    verify_session,
    verify_statement,
)
from grantkeeper.protocol.signature import read_header
from grantkeeper.secret import SessionToken
from tests.ground.support import NOW, ec_key, rsa_key, signed

US = "https://keeper.test"
APP = "1234-abc.apps.googleusercontent.com"
PRIVATE = ec_key("session").as_dict(private=True)


def claims(**other):
    """What a session token of ours says."""
    return session_claims(
        **{
            "issuer": US,
            "client_id": APP,
            "subject": Subject("https://accounts.google.com", "1234567890"),
            "grant": "018f-grant",
            "jti": "once",
            "now": NOW,
            **other,
        }
    )


def signing_key(kid, private):
    """The record of a signing key."""
    public_part = msgspec.json.encode(public_jwk(private, kid)).decode()
    return SigningKey(kid, public_part, b"wrapped", Sealed(b"box", 1), NOW, NOW, NOW + timedelta(days=1))


JWKS = public_jwks([signing_key("s1", PRIVATE), signing_key("s2", ec_key("next").as_dict(private=True))])


def verified(token, now=NOW, **other):
    """The claims as the app's backend reads them."""
    return verify_session(token, **{"jwks": JWKS, "issuer": US, "audience": APP, "now": now, **other})


def test_a_session_token_says_who_signed_in():
    """
    The claims are those of design section 3, and five minutes are the longest life.
    """
    seconds = int(NOW.timestamp())

    assert {
        "iss": US,
        "aud": APP,
        "sub": "1234567890",
        "sub_iss": "https://accounts.google.com",
        "grant": "018f-grant",
        "jti": "once",
        "iat": seconds,
        "exp": seconds + 300,
    } == claims()


def test_a_nonce_is_said_only_if_it_was_sent():
    """
    The app's own nonce comes back to its backend.
    """
    assert "nonce" not in claims()
    assert "n-1" == claims(nonce="n-1")["nonce"]


def test_a_part_of_a_second_does_not_lengthen_a_life():
    """
    The time of issue is rounded down, and the expiry with it.
    """
    late = claims(now=NOW + timedelta(microseconds=999_999))

    assert claims() == late


@pytest.mark.parametrize("seconds", [1, 300])
def test_a_life_is_at_most_five_minutes(seconds):
    """
    Both ends of what is allowed.
    """
    made = claims(lifetime=timedelta(seconds=seconds))

    assert seconds == made["exp"] - made["iat"]


@pytest.mark.parametrize(
    "lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(seconds=0.9), timedelta(seconds=301)]
)
def test_another_life_is_a_value_error(lifetime):
    """
    A longer session token is our bug and is told at once.
    """
    with pytest.raises(ValueError, match="between 1 and 300 seconds"):
        claims(lifetime=lifetime)


def test_a_token_is_of_its_own_type_and_names_its_key():
    """
    ES256, ``gk-session+jwt`` and the key's id stand in the header.
    """
    token = sign_session(claims(), PRIVATE, "s1")
    header = jws.extract_compact(token.reveal().encode()).headers()

    assert {"alg": "ES256", "typ": "gk-session+jwt", "kid": "s1"} == header
    assert TYPE == read_header(token.reveal(), {"ES256"}).type
    assert token.reveal() not in repr(token)


@pytest.mark.parametrize("form", [lambda token: token, lambda token: token.reveal()], ids=["secret", "text"])
def test_what_was_signed_is_believed(form):
    """
    A backend may hold the token as our secret or as the text it received.
    """
    assert claims(nonce="n-1") == verified(
        form(sign_session(claims(nonce="n-1"), PRIVATE, "s1")), nonce="n-1"
    )


def test_both_keys_of_an_overlap_are_believed():
    """
    While keys change, tokens of the old and of the new one are good.
    """
    new = sign_session(claims(), ec_key("next").as_dict(private=True), "s2")

    assert claims() == verified(new)


def test_the_public_keys_have_no_private_part():
    """
    Whatever the stored text holds, only public members come out.
    """
    careless = SigningKey("s1", msgspec.json.encode(PRIVATE).decode(), b"", Sealed(b"", 1), NOW, NOW, NOW)

    assert [{"kty", "crv", "x", "y", "kid", "use", "alg"}] == [
        set(key) for key in public_jwks([careless])["keys"]
    ]
    assert {"keys": []} == public_jwks([])


@pytest.mark.parametrize(
    ("after", "refused"),
    [
        (-31, "iat"),
        (-30, None),
        (0, None),
        (329, None),
        (330, "exp"),
    ],
)
def test_a_token_is_good_for_its_five_minutes(after, refused):
    """
    Half a minute of leeway on both sides, to the second.
    """
    token, now = sign_session(claims(), PRIVATE, "s1"), NOW + timedelta(seconds=after)

    if refused is None:
        assert claims() == verified(token, now)
    else:
        with pytest.raises(SessionRejected) as caught:
            verified(token, now)
        assert refused == caught.value.claim


WRONG = {
    "another keeper's": ({"iss": "https://other.test"}, "iss"),
    "another app's": ({"aud": "other"}, "aud"),
    "several apps'": ({"aud": [APP, "other"]}, "aud"),
    "nobody's": ({"sub": None}, "sub"),
    "a number's": ({"sub": 7}, "sub"),
    "of an empty subject": ({"sub": ""}, "sub"),
    "of no issuer": ({"sub_iss": None}, "sub_iss"),
    "of no grant": ({"grant": None}, "grant"),
    "without an id": ({"jti": None}, "jti"),
    "without a time": ({"iat": None}, "iat"),
    "of a true time": ({"iat": True}, "iat"),
    "without an end": ({"exp": None}, "exp"),
    "of a fractional end": ({"exp": 1795352400.5}, "exp"),
    "of six minutes": ({"exp": int(NOW.timestamp()) + 360}, "exp"),
    "of for ever": ({"exp": 10**30}, "exp"),
}


@pytest.mark.parametrize(("other", "claim"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_claim_is_refused_by_its_name(other, claim):
    """
    Even our own signature does not make a wrong claim right.
    """
    made = {name: value for name, value in {**claims(), **other}.items() if value is not None}

    with pytest.raises(SessionRejected) as caught:
        verified(sign_session(made, PRIVATE, "s1"))
    assert claim == caught.value.claim
    assert f"the session token's {claim} {caught.value.reason}" == str(caught.value)


def test_a_nonce_that_nobody_expects_does_no_harm():
    """
    A backend that does not know the app's nonce can still read the token.
    """
    assert "n-1" == verified(sign_session(claims(nonce="n-1"), PRIVATE, "s1"))["nonce"]


@pytest.mark.parametrize("said", [None, "n-2"])
def test_a_nonce_that_is_expected_must_be_there(said):
    """
    Absent is as wrong as different.
    """
    with pytest.raises(SessionRejected, match="nonce"):
        verified(sign_session(claims(nonce=said), PRIVATE, "s1"), nonce="n-1")


FORGERIES = {
    "of another type": (lambda: signed(claims(), ec_key("session"), alg="ES256", kid="s1", typ="JWT"), "typ"),
    "of no type": (lambda: signed(claims(), ec_key("session"), alg="ES256", kid="s1"), "typ"),
    "signed by RSA": (lambda: signed(claims(), rsa_key(), kid="s1", typ=TYPE), "alg"),
    "by an unknown key": (lambda: sign_session(claims(), PRIVATE, "s9"), "kid"),
    "by no key": (lambda: signed(claims(), ec_key("session"), alg="ES256", kid=None, typ=TYPE), "kid"),
    "by a stranger": (
        lambda: sign_session(claims(), ec_key("stranger").as_dict(private=True), "s1"),
        "signature",
    ),
    "by the other key": (lambda: sign_session(claims(), PRIVATE, "s2"), "signature"),
    "no token": (lambda: SessionToken("not.a.token"), "token"),
    "nothing": (lambda: SessionToken(""), "token"),
}


@pytest.mark.parametrize(("forge", "part"), FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_is_refused_by_the_part_that_is_wrong(forge, part):
    """
    Type, algorithm, key and signature are checked before any claim.
    """
    with pytest.raises(SessionRejected) as caught:
        verified(forge().reveal())
    assert part == caught.value.claim


def test_one_public_key_does_not_excuse_a_missing_kid():
    """
    Our tokens always name their key, so one that does not is not ours.
    """
    token = signed(claims(), ec_key("session"), alg="ES256", kid=None, typ=TYPE)

    with pytest.raises(SessionRejected, match="kid"):
        verified(token.reveal(), jwks=public_jwks([signing_key("s1", PRIVATE)]))


@pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": []}, {"keys": [7]}, {"keys": "s1"}])
def test_without_keys_nothing_is_believed(jwks):
    """
    A key set that has none, or is none, proves nothing.
    """
    with pytest.raises(SessionRejected, match="kid"):
        verified(sign_session(claims(), PRIVATE, "s1"), jwks=jwks)


def test_the_longest_life_is_that_of_the_design():
    """
    The limit is part of the promise.
    """
    assert timedelta(minutes=5) == LONGEST_LIFE


JSON = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.text())
)


@given(st.dictionaries(st.sampled_from(sorted(claims(nonce="n-1"))), JSON))
def test_no_claims_raise_anything_else(other):
    """
    Whatever a signed token says, it is believed or `SessionRejected`.
    """
    with suppress(SessionRejected):
        verified(sign_session({**claims(), **other}, PRIVATE, "s1"), nonce="n-1")


def test_a_statement_is_believed_as_its_own_kind_alone():
    """
    It is no session token, and a session token is no statement.
    """
    private = PRIVATE
    statement = sign_statement({"sha256": "00"}, private, "k1", "gk-panic-report+jws")
    jwks = public_jwks([signing_key("k1", private)])

    assert {"sha256": "00"} == verify_statement(statement, jwks, "gk-panic-report+jws")
    for kind, text in (("other", statement), ("gk-panic-report+jws", "no.jws.atall")):
        with pytest.raises(SessionRejected):
            verify_statement(text, jwks, kind)
