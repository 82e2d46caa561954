"""Which ``redirect_uri`` a code needs, what may be a code, and the request of our own redirect flow."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.errors import InvalidRequest
from grantkeeper.model import Endpoints, Provider, Source
from grantkeeper.protocol.authorization import (
    DEFAULT_REDIRECTS,
    LONGEST_CODE,
    authorization_url,
    code_challenge,
    needs_verifier,
    parse_code,
    parse_source,
    parse_verifier,
    redirect_uri_for,
)
from grantkeeper.protocol.scopes import EMAIL, OPENID
from grantkeeper.secret import CodeVerifier
from tests.ground.support import ENDPOINTS, client, vectors

JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@pytest.mark.parametrize("case", vectors("redirects.json"))
def test_the_redirect_uri_follows_the_source_and_the_settings(case):
    """
    The value that is sent is the one the vector names, or the request is refused in words.
    """
    source = Source(case["source"])
    ours = client(redirects={source: tuple(case["allowed"])}, origins=frozenset(case.get("origins", ())))

    def chosen():
        return redirect_uri_for(ours, source, selected=case.get("selected"), origin=case.get("origin"))

    if "refused" in case:
        with pytest.raises(InvalidRequest, match=case["refused"]):
            chosen()
    else:
        assert case["uri"] == chosen()


@given(st.sampled_from(list(Source)), st.none() | st.text(), st.none() | st.text())
def test_a_request_selects_and_never_defines(source, selected, origin):
    """
    Whatever a request says, what is sent stands in the settings or is a loopback address.
    """
    allowed = {
        Source.IOS: ("",),
        Source.ANDROID: ("",),
        Source.WEB_POPUP: ("origin",),
        Source.WEB: ("https://app.test/cb",),
        Source.DESKTOP: ("loopback",),
    }
    ours = client(redirects=allowed, origins=frozenset({"https://app.test"}))
    try:
        sent = redirect_uri_for(ours, source, selected=selected, origin=origin)
    except InvalidRequest:
        return
    assert sent in {"", "https://app.test", "https://app.test/cb"} or sent.lower().startswith("http://")


def test_phones_are_enabled_where_nothing_is_said():
    """
    The default is the two sources whose code needs no address.
    """
    assert {Source.IOS: ("",), Source.ANDROID: ("",)} == DEFAULT_REDIRECTS


@pytest.mark.parametrize(
    "value", ["4/0AX4XfWh-_abc", "4/P7q7W91a-oMsCeLvIaQm6bTrgtp7", "x", "a" * LONGEST_CODE]
)
def test_a_code_is_taken_as_it_is(value):
    """
    Google's codes have a slash in them, and others may be long.
    """
    assert value == parse_code(value).reveal()


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        (None, "must be the authorization code"),
        ("", "must be the authorization code"),
        (7, "must be the authorization code"),
        (True, "must be the authorization code"),
        (["4/0A"], "must be the authorization code"),
        ("a" * (LONGEST_CODE + 1), "too long"),
        ("4/0A b", "characters that no authorization code has"),
        ("4/0A\n", "characters that no authorization code has"),
        ("4/0A\x00", "characters that no authorization code has"),
        ("4/0\u00c4", "characters that no authorization code has"),
        ("4%2F0AX4XfWh", "still percent-encoded"),
        ("4%2f0AX4XfWh", "still percent-encoded"),
    ],
)
def test_what_cannot_be_a_code_is_refused_before_it_is_sent(value, refused):
    """
    A code that Google would call malformed, and might burn, never leaves; the refusal does not repeat it.
    """
    with pytest.raises(InvalidRequest, match=refused) as caught:
        parse_code(value)

    assert "0A" not in str(caught.value)


@pytest.mark.parametrize("value", ["a" * 43, "a" * 128, "-._~" + "Z9" * 20])
def test_a_verifier_has_the_characters_of_its_rfc(value):
    """
    43 to 128 unreserved characters.
    """
    verifier = parse_verifier(value)

    assert verifier is not None
    assert value == verifier.reveal()


def test_no_verifier_is_none():
    """
    Absent stays absent; whether one is needed is decided elsewhere.
    """
    assert parse_verifier(None) is None


@pytest.mark.parametrize(
    "value",
    ["a" * 42, "a" * 129, "", "a" * 42 + "+", "a" * 42 + "\u00e4", "a" * 42 + " ", 43, ["a" * 43], False],
)
def test_what_cannot_be_a_verifier_is_refused(value):
    """
    Length, alphabet and type are those of RFC 7636 section 4.1.
    """
    with pytest.raises(InvalidRequest, match="code_verifier"):
        parse_verifier(value)


@given(JSON)
def test_no_value_of_a_request_raises_anything_else(value):
    """
    Whatever stands for code, verifier or source is taken or is an `InvalidRequest`.
    """
    for read in (parse_code, parse_verifier, lambda one: parse_source(client(), one)):
        try:
            read(value)
        except InvalidRequest:
            continue


def test_the_source_is_ios_unless_it_is_said():
    """
    The guide's request says nothing and comes from a phone.
    """
    assert Source.IOS == parse_source(client(), None)
    assert Source.ANDROID == parse_source(client(), "android")


@pytest.mark.parametrize("value", ["", "IOS", "iphone", 7, True, ["ios"]])
def test_a_source_that_does_not_exist_is_refused_with_those_that_do(value):
    """
    The description lists every source there is.
    """
    with pytest.raises(InvalidRequest, match="ios, android, web-popup, web, desktop"):
        parse_source(client(), value)


@pytest.mark.parametrize("source", [Source.WEB_POPUP, Source.WEB, Source.DESKTOP])
def test_a_source_that_is_not_enabled_is_refused_with_its_setting(source):
    """
    The hint names the setting that would enable it.
    """
    with pytest.raises(InvalidRequest, match="does not accept") as caught:
        parse_source(client(), source.value)

    assert f"redirect.{source}=" in caught.value.hint


@pytest.mark.parametrize("source", Source)
def test_interceptable_sources_need_a_verifier_unless_a_backend_vouches(source):
    """
    Web and desktop codes travel through addresses that others can hear on.
    """
    assert (source in {Source.WEB, Source.DESKTOP}) == needs_verifier(source, has_caller_key=False)
    assert needs_verifier(source, has_caller_key=True) is False


VERIFIER = CodeVerifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")


def test_the_challenge_is_the_rfc_s_own_example():
    """
    RFC 7636 appendix B.
    """
    assert "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" == code_challenge(VERIFIER)


def query_of(ours=None, endpoints=ENDPOINTS, **other):
    """The query that a browser is sent away with."""
    url = authorization_url(
        ours or client(),
        endpoints,
        redirect_uri="https://keeper.test/connect/callback",
        scopes=frozenset({"photos", EMAIL}),
        state="st&te",
        nonce="n",
        verifier=VERIFIER,
        **other,
    )
    return url, parse_qs(urlsplit(url).query)


def test_the_authorization_request_asks_for_lasting_access_with_every_protection():
    """
    State, nonce, PKCE S256, offline access and the merge with what was granted, each exactly once.
    """
    url, query = query_of()

    assert url.startswith("https://issuer.test/auth?client_id=ours&")
    assert {
        "client_id": ["ours"],
        "redirect_uri": ["https://keeper.test/connect/callback"],
        "response_type": ["code"],
        "scope": [f"{EMAIL} {OPENID} photos"],
        "state": ["st&te"],
        "nonce": ["n"],
        "code_challenge": ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
        "code_challenge_method": ["S256"],
        "access_type": ["offline"],
        "include_granted_scopes": ["true"],
    } == query


def test_consent_is_forced_and_an_account_hinted_at_only_on_demand():
    """
    Forcing consent each time would burn refresh tokens (google-facts 4.2).
    """
    _, query = query_of(login_hint="ada@example.com", force_consent=True)

    assert ["ada@example.com"] == query["login_hint"]
    assert ["consent"] == query["prompt"]


def test_other_issuers_are_asked_in_their_own_names():
    """
    Google's long names mean nothing elsewhere.
    """
    _, query = query_of(client(provider=Provider.OIDC))

    assert ["email openid photos"] == query["scope"]


def test_an_endpoint_with_a_query_keeps_it():
    """
    RFC 6749 3.1: what the issuer put there is retained.
    """
    url, query = query_of(
        endpoints=Endpoints("https://issuer.test/auth?tenant=1", "https://t.test/", "https://k.test/")
    )

    assert ["1"] == query["tenant"]
    assert 1 == url.count("?")
