"""Signed tokens: real keys, and every known way to forge or confuse a signature."""

import hmac
import json
from base64 import urlsafe_b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.protocol.signature import LARGEST_TOKEN, Header, Unproved, proved, read_header
from tests.ground.support import ec_key, good_claims, key_set, public, rsa_key, signed

ACCEPTED = frozenset({"RS256", "ES256"})


def b64(raw):
    """base64url, as the compact form has it."""
    return (
        urlsafe_b64encode(raw if isinstance(raw, bytes) else json.dumps(raw).encode()).rstrip(b"=").decode()
    )


def put(header, payload="e30", signature="AAAA"):
    """Three parts, the first being *header*."""
    return f"{b64(header)}.{payload}.{signature}"


def check(token, keys, algorithms=ACCEPTED):
    """The claims of *token*, as a verifier reads them."""
    compact = token if isinstance(token, str) else token.reveal()
    header = read_header(compact, algorithms)
    return proved(compact, header, [key.verifier for key in keys.for_signature(header.kid, header.algorithm)])


KEYS = key_set(public(rsa_key()), public(ec_key(), "e1"), public(rsa_key("two"), "k2"))


def test_an_rsa_signature_proves_its_claims():
    """
    RS256 with the named key.
    """
    assert good_claims() == check(signed(good_claims(), rsa_key()), KEYS)


def test_an_ec_signature_proves_its_claims():
    """
    ES256 with the named key.
    """
    assert good_claims() == check(signed(good_claims(), ec_key(), alg="ES256", kid="e1"), KEYS)


def test_a_large_key_s_signature_is_taken():
    """
    4096 bits make a longer signature than most libraries expect by default.
    """
    strong = rsa_key("strong", 4096)

    assert {"a": 1} == check(signed({"a": 1}, strong), key_set(public(strong)))


def test_a_token_has_a_longest_length():
    """
    Both sides of the limit, with a signature that is good on either.
    """
    room = (LARGEST_TOKEN - len(signed({"a": ""}, rsa_key()).reveal())) * 3 // 4 - 3
    long = signed({"a": "a" * room}, rsa_key())

    assert LARGEST_TOKEN - 8 < len(long.reveal()) <= LARGEST_TOKEN
    assert {"a": "a" * room} == check(long, KEYS)
    with pytest.raises(Unproved, match="is too long"):
        check(signed({"a": "a" * (room + 8)}, rsa_key()), KEYS)


def test_two_keys_of_one_kid_are_both_tried():
    """
    An issuer that names two keys alike locks nobody out.
    """
    keys = key_set(public(rsa_key("two"), "k1"), public(rsa_key(), "k1"))

    assert {"a": 1} == check(signed({"a": 1}, rsa_key()), keys)


def test_unknown_header_parameters_are_ignored():
    """
    RFC 7515 section 4: what is not understood and not critical says nothing.
    """
    token = signed({"a": 1}, rsa_key(), ver="2", nonce={"deep": [1]})

    assert {"a": 1} == check(token, KEYS)


def forged_hs256():
    """HMAC with the public key's own text as the secret: the classic confusion."""
    head = f"{b64({'alg': 'HS256', 'kid': 'k1'})}.{b64(good_claims())}"
    return f"{head}.{b64(hmac.digest(rsa_key().as_pem(private=False), head.encode(), 'sha256'))}"


def without_signature(header):
    """A token that says it needs none."""
    return put({"alg": "none", "kid": "k1", **header}, b64(good_claims()), "")


def with_another_payload():
    """A good signature under other claims."""
    head, _, tail = signed(good_claims(), rsa_key()).reveal().split(".")
    return f"{head}.{b64(good_claims(sub='evil'))}.{tail}"


def with_own_key_in_the_header():
    """Signed with a stranger's key, which the header brings along."""
    stranger = rsa_key("stranger")
    return signed(good_claims(), stranger, jwk=stranger.as_dict(private=False))


FORGERIES = {
    "alg none": (lambda: without_signature({}), "alg"),
    "alg None": (lambda: without_signature({"alg": "None"}), "alg"),
    "HS256 with the public key": (forged_hs256, "alg"),
    "RS384": (lambda: signed(good_claims(), rsa_key(), alg="RS384"), "alg"),
    "PS256": (lambda: signed(good_claims(), rsa_key(), alg="PS256"), "alg"),
    "alg in another case": (lambda: put({"alg": "rs256", "kid": "k1"}), "alg"),
    "alg is a list": (lambda: put({"alg": ["RS256"], "kid": "k1"}), "alg"),
    "alg is null": (lambda: put({"alg": None, "kid": "k1"}), "alg"),
    "no alg": (lambda: put({"kid": "k1"}), "token"),
    "a stranger's key": (lambda: signed(good_claims(), rsa_key("stranger")), "signature"),
    "another key of the issuer": (lambda: signed(good_claims(), rsa_key("two")), "signature"),
    "an EC key under an RSA kid": (lambda: signed(good_claims(), ec_key(), alg="ES256"), "signature"),
    "RS256 under an EC kid": (lambda: signed(good_claims(), rsa_key(), kid="e1"), "signature"),
    "an unknown kid": (lambda: signed(good_claims(), rsa_key(), kid="k9"), "signature"),
    "a kid that is a path": (lambda: signed(good_claims(), rsa_key(), kid="../../k1"), "signature"),
    "a kid that is a number": (lambda: put({"alg": "RS256", "kid": 1}), "kid"),
    "a kid that is a list": (lambda: put({"alg": "RS256", "kid": ["k1"]}), "kid"),
    "no kid where two keys fit": (lambda: signed(good_claims(), rsa_key(), kid=None), "signature"),
    "its own key in the header": (with_own_key_in_the_header, "signature"),
    "its own address in the header": (
        lambda: signed(good_claims(), rsa_key("stranger"), jku="https://evil.test/keys"),
        "signature",
    ),
    "a registered parameter of the wrong type": (
        lambda: put({"alg": "RS256", "kid": "k1", "x5c": "text"}),
        "signature",
    ),
    "a critical extension": (
        lambda: put({"alg": "RS256", "kid": "k1", "crit": ["exp"], "exp": 1}),
        "crit",
    ),
    "an empty list of critical extensions": (lambda: put({"alg": "RS256", "crit": []}), "crit"),
    "an unencoded payload": (
        lambda: put({"alg": "RS256", "kid": "k1", "b64": False, "crit": ["b64"]}, '{"a":1}'),
        "crit",
    ),
    "an unencoded payload that is not critical": (
        lambda: put({"alg": "RS256", "kid": "k1", "b64": False}),
        "token",
    ),
    "b64 that changes nothing": (lambda: signed(good_claims(), rsa_key(), b64=True), "crit"),
    "a typ that is a list": (lambda: put({"alg": "RS256", "kid": "k1", "typ": ["JWT"]}), "typ"),
    "another payload": (with_another_payload, "signature"),
    "a signature cut short": (lambda: signed(good_claims(), rsa_key()).reveal()[:-4], "signature"),
    "an empty signature": (
        lambda: signed(good_claims(), rsa_key()).reveal().rpartition(".")[0] + ".",
        "signature",
    ),
    "a signature that is not base64url": (
        lambda: signed(good_claims(), rsa_key()).reveal().rpartition(".")[0] + ".a+/=",
        "signature",
    ),
    "an EC signature of zeros": (
        lambda: put({"alg": "ES256", "kid": "e1"}, "e30", b64(bytes(64))),
        "signature",
    ),
    "an EC signature in DER": (
        lambda: put({"alg": "ES256", "kid": "e1"}, "e30", b64(bytes(70))),
        "signature",
    ),
    "two parts": (lambda: "e30.e30", "token"),
    "five parts, as encrypted tokens have": (lambda: "e30.e30.e30.e30.e30", "token"),
    "a payload that is not base64url": (lambda: put({"alg": "RS256", "kid": "k1"}, "a+/="), "token"),
    "a header that is not base64url": (lambda: "?.e30.AAAA", "token"),
    "a header that is not JSON": (lambda: put(b"{alg"), "token"),
    "a header that is a list": (lambda: put(["alg"]), "token"),
    "a header that is text": (lambda: put("alg"), "token"),
    "a header that is a number": (lambda: put(7), "token"),
    "a header that is deep": (lambda: put(b"[" * 6000), "token"),
    "a header that is long": (lambda: put({"alg": "RS256", "kid": "k" * 9000}), "token"),
    "nothing": (lambda: "", "token"),
    "dots": (lambda: "..", "token"),
    "not ASCII": (lambda: "\u00e9.e30.AAAA", "token"),
    "half a surrogate pair": (lambda: "\ud800.e30.AAAA", "token"),
    "too long": (lambda: "a" * (LARGEST_TOKEN + 1), "token"),
    "a payload that is no JSON": (lambda: signed(b"hello", rsa_key()), "token"),
    "a payload that is a list": (lambda: signed(b"[]", rsa_key()), "token"),
    "a payload that is deep": (lambda: signed(b"[" * 10_000, rsa_key()), "token"),
    "a payload that is not UTF-8": (lambda: signed(b'{"sub": "\xff"}', rsa_key()), "token"),
}


@pytest.mark.parametrize(("forge", "part"), FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_proves_nothing(forge, part):
    """
    Each is refused by the part that is wrong, and the refusal repeats nothing of the token.
    """
    with pytest.raises(Unproved) as caught:
        check(forge(), KEYS)

    assert part == caught.value.part
    assert f"the token's {part} {caught.value.reason}" == str(caught.value)


def test_only_the_algorithms_asked_for_count():
    """
    A good ES256 signature is nothing where RS256 alone is accepted.
    """
    with pytest.raises(Unproved, match="alg"):
        check(signed(good_claims(), ec_key(), alg="ES256", kid="e1"), KEYS, algorithms={"RS256"})


@pytest.mark.parametrize(
    ("said", "read"), [(None, None), ("JWT", "jwt"), ("application/JWT", "jwt"), ("at+jwt", "at+jwt")]
)
def test_the_type_is_read_as_a_media_type(said, read):
    """
    Case and the prefix ``application/`` do not matter (RFC 7515 4.1.9).
    """
    token = signed({}, rsa_key(), typ=said)

    assert Header("RS256", "k1", read) == read_header(token.reveal(), ACCEPTED)


SEGMENT = st.binary(max_size=60).map(lambda raw: b64(raw)) | st.text(max_size=20)
HEADER = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "cty"]),
    st.none() | st.booleans() | st.sampled_from(["RS256", "ES256", "none", "k1"]) | st.lists(st.text()),
).map(b64)


@given(
    st.lists(SEGMENT | HEADER, max_size=5).map(".".join)
    | st.text()
    | st.tuples(HEADER, SEGMENT, SEGMENT).map(".".join)
)
def test_no_text_raises_anything_else(token):
    """
    Whatever stands where a token should, it is proved or `Unproved`.
    """
    with suppress(Unproved):
        check(token, KEYS)
