"""Where an issuer answers, and to which addresses secrets may go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.errors import IssuerMisbehaved
from grantkeeper.model import Endpoints
from grantkeeper.protocol.discovery import (
    GOOGLE_ENDPOINTS,
    discovery_url,
    is_loopback,
    is_safe_url,
    parse_discovery,
    split_url,
)
from tests.ground.support import answer, vectors

ISSUER = "https://issuer.test"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://issuer.test/auth",
    "token_endpoint": "https://issuer.test/token",
    "jwks_uri": "https://issuer.test/keys",
}
GOOGLE = {
    "issuer": "https://accounts.google.com",
    "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
    "device_authorization_endpoint": "https://oauth2.googleapis.com/device/code",
    "token_endpoint": "https://oauth2.googleapis.com/token",
    "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
    "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
    "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
    "response_types_supported": ["code", "token", "id_token"],
}


def test_google_s_document_gives_the_endpoints_we_know_by_heart():
    """
    The document of google-facts 1.1 says what is built in.
    """
    assert GOOGLE_ENDPOINTS == parse_discovery(answer(GOOGLE), issuer="https://accounts.google.com")


def test_the_least_document_is_enough():
    """
    Revocation and userinfo are optional, unknown fields are ignored.
    """
    found = parse_discovery(
        answer({**DOCUMENT, "dpop_signing_alg_values_supported": ["ES256"]}), issuer=ISSUER
    )

    assert (
        Endpoints("https://issuer.test/auth", "https://issuer.test/token", "https://issuer.test/keys")
        == found
    )


@pytest.mark.parametrize(("said", "expected"), [(True, True), (False, False), ("true", False), (1, False)])
def test_iss_in_the_answer_is_promised_only_by_true(said, expected):
    """
    The promise of RFC 9207 makes a check required, so nothing but ``true`` makes it.
    """
    document = {**DOCUMENT, "authorization_response_iss_parameter_supported": said}

    assert expected is parse_discovery(answer(document), issuer=ISSUER).iss_in_answer


@pytest.mark.parametrize(
    "issuer", ["https://other.test", "https://issuer.test/", "HTTPS://issuer.test", "", None, []]
)
def test_a_document_of_another_issuer_is_refused(issuer):
    """
    The identifier is compared exactly (RFC 8414 3.3): slash and case count.
    """
    with pytest.raises(IssuerMisbehaved):
        parse_discovery(answer({**DOCUMENT, "issuer": issuer}), issuer=ISSUER)


ENDPOINT_NAMES = [
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "revocation_endpoint",
    "userinfo_endpoint",
]


@pytest.mark.parametrize("name", ENDPOINT_NAMES)
@pytest.mark.parametrize(
    "value", ["http://issuer.test/x", "https://a@issuer.test/", "", 7, ["https://issuer.test/"]]
)
def test_an_unsafe_endpoint_is_refused_by_its_name(name, value):
    """
    No secret goes over plain HTTP, to user info, or to what is no address.
    """
    with pytest.raises(IssuerMisbehaved, match=name):
        parse_discovery(answer({**DOCUMENT, name: value}), issuer=ISSUER)


@pytest.mark.parametrize("name", ENDPOINT_NAMES[:3])
def test_a_required_endpoint_must_be_there(name):
    """
    A document without it is no document.
    """
    document = {key: value for key, value in DOCUMENT.items() if key != name}

    with pytest.raises(IssuerMisbehaved, match=name):
        parse_discovery(answer(document), issuer=ISSUER)


def test_an_issuer_elsewhere_cannot_point_to_this_machine():
    """
    Loopback endpoints belong to a loopback issuer alone.
    """
    local = {**DOCUMENT, "token_endpoint": "http://127.0.0.1:8080/token"}

    with pytest.raises(IssuerMisbehaved, match="points to this machine"):
        parse_discovery(answer(local), issuer=ISSUER)

    emulator = {**local, "issuer": "http://127.0.0.1:8080"}
    found = parse_discovery(answer(emulator), issuer="http://127.0.0.1:8080")
    assert "http://127.0.0.1:8080/token" == found.token


@pytest.mark.parametrize("status", [204, 301, 404, 500])
def test_only_200_is_a_document(status):
    """
    A redirect or an error page is no document, whatever its body.
    """
    with pytest.raises(IssuerMisbehaved, match=str(status)):
        parse_discovery(answer(DOCUMENT, status=status), issuer=ISSUER)


@pytest.mark.parametrize("issuer", ["https://issuer.test", "https://issuer.test/"])
def test_the_document_lies_below_the_issuer(issuer):
    """
    A slash at the issuer's end is not doubled (Discovery 4.1).
    """
    assert "https://issuer.test/.well-known/openid-configuration" == discovery_url(issuer)


@pytest.mark.parametrize("case", vectors("addresses.json"))
def test_secrets_go_to_safe_addresses_only(case):
    """
    HTTPS, or HTTP on a name that is this machine for sure; nothing that two parsers could read differently.
    """
    assert case["safe"] is is_safe_url(case["url"])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0:0:0:0:0:0:0:1", True),
        (None, False),
        ("", False),
        ("128.0.0.1", False),
        ("127.1", False),
        ("127.0.0.1.", False),
        ("127.a", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.test", False),
        ("unknown", False),
    ],
)
def test_loopback_is_told_without_a_look_up(host, expected):
    """
    Names that need a resolver are never this machine.
    """
    assert expected is is_loopback(host)


@given(st.text() | st.text(alphabet="htps:/@[]#?.1270localx\\ \n", max_size=30))
def test_no_text_breaks_the_reading_of_an_address(value):
    """
    Whatever the text, it has a host or it is no address.
    """
    parts = split_url(value)

    assert parts is None or parts.hostname
