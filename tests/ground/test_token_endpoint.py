"""The token and revocation endpoints: what is sent, what is read, and how far each refusal reaches."""

from contextlib import suppress
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.errors import (
    ClientMisconfigured,
    CodeRefused,
    ConsentRequired,
    GrantBlocked,
    GrantkeeperError,
    IssuerMisbehaved,
    IssuerUnavailable,
    OutcomeUnknown,
    from_record,
)
from grantkeeper.lifecycle import REMEDIES, Event, next_state
from grantkeeper.model import GrantState, Provider, Reason
from grantkeeper.protocol import token_endpoint
from grantkeeper.protocol.scopes import EMAIL
from grantkeeper.protocol.token_endpoint import (
    CODE_HINTS,
    REFUSALS,
    BrokenAnswer,
    Radius,
    code_request,
    parse_code,
    parse_refresh,
    parse_revocation,
    refresh_request,
    revocation_request,
)
from grantkeeper.secret import AuthorizationCode, ClientSecret, CodeVerifier, RefreshToken
from tests.ground.support import ENDPOINTS, NOW, answer, client, vectors

SECRET = ClientSecret("GOCSPX-hush")

# -- requests -----------------------------------------------------------------------------------


def form(request):
    """The fields of a request's form, empty ones too."""
    assert "application/x-www-form-urlencoded" == request.headers["content-type"]
    assert "application/json" == request.headers["accept"]
    return {name: value for name, (value,) in parse_qs(request.body.decode(), keep_blank_values=True).items()}


@pytest.mark.parametrize("redirect_uri", ["", "postmessage", "https://app.test/cb?a=b&c"])
def test_a_code_is_sent_with_its_redirect_uri_even_when_that_is_empty(redirect_uri):
    """
    For a phone's code the parameter is there and has nothing in it.
    """
    request = code_request(client(), ENDPOINTS, SECRET, AuthorizationCode("4/0A+b&c"), redirect_uri)

    assert ("POST", ENDPOINTS.token) == (request.method, request.url)
    assert {
        "grant_type": "authorization_code",
        "code": "4/0A+b&c",
        "client_id": "ours",
        "client_secret": "GOCSPX-hush",
        "redirect_uri": redirect_uri,
    } == form(request)
    assert b"redirect_uri=" in request.body


def test_a_code_is_encoded_exactly_once():
    """
    The slash of Google's codes travels as ``%2F`` and arrives as a slash.
    """
    request = code_request(client(), ENDPOINTS, SECRET, AuthorizationCode("4/0A"), "")

    assert b"code=4%2F0A&" in request.body


def test_a_verifier_is_sent_when_there_is_one():
    """
    PKCE is proved with the code, or not mentioned.
    """
    request = code_request(client(), ENDPOINTS, SECRET, AuthorizationCode("c"), "", CodeVerifier("v" * 43))

    assert "v" * 43 == form(request)["code_verifier"]


def test_a_refresh_names_no_scopes_unless_fewer_are_wanted():
    """
    Named scopes are sorted; without them Google gives all that is granted.
    """
    request = refresh_request(client(), ENDPOINTS, SECRET, RefreshToken("1//rt"))
    assert {
        "grant_type": "refresh_token",
        "refresh_token": "1//rt",
        "client_id": "ours",
        "client_secret": "GOCSPX-hush",
    } == form(request)

    narrow = refresh_request(client(), ENDPOINTS, SECRET, RefreshToken("1//rt"), frozenset({"b", "a"}))
    assert "a b" == form(narrow)["scope"]


def test_another_issuer_hears_the_scopes_it_knows():
    """
    Google's long name of ``email`` is sent to Google alone.
    """
    other = client(provider=Provider.OIDC)
    request = refresh_request(other, ENDPOINTS, SECRET, RefreshToken("rt"), frozenset({EMAIL}))

    assert "email" == form(request)["scope"]


def test_google_is_told_of_a_revocation_with_the_token_alone():
    """
    The token goes into the body, never into an address that is logged.
    """
    for request in (
        revocation_request("https://issuer.test/revoke", RefreshToken("1//rt")),
        revocation_request("https://issuer.test/revoke", RefreshToken("1//rt"), client(), SECRET),
    ):
        assert ("POST", "https://issuer.test/revoke") == (request.method, request.url)
        assert {"token": "1//rt"} == form(request)


def test_other_issuers_are_told_who_revokes():
    """
    RFC 7009 2.1: a confidential client authenticates.
    """
    other = client(provider=Provider.OIDC)
    request = revocation_request("https://issuer.test/revoke", RefreshToken("rt"), other, SECRET)

    assert {
        "token": "rt",
        "token_type_hint": "refresh_token",
        "client_id": "ours",
        "client_secret": "GOCSPX-hush",
    } == form(request)


def test_a_request_in_a_log_shows_nothing_that_it_carries():
    """
    Code, token and secret are in the body, which no repr shows.
    """
    for request in (
        code_request(client(), ENDPOINTS, SECRET, AuthorizationCode("GKMARK"), "", CodeVerifier("GKMARK")),
        refresh_request(client(), ENDPOINTS, SECRET, RefreshToken("GKMARK")),
        revocation_request("https://issuer.test/revoke", RefreshToken("GKMARK")),
    ):
        assert "GKMARK" not in repr(request)
        assert "hush" not in repr(request)


# -- refusals -----------------------------------------------------------------------------------

KINDS = {
    kind.__name__: kind
    for kind in vars(token_endpoint).values()
    if isinstance(kind, type) and issubclass(kind, GrantkeeperError)
}

EVENTS = {ConsentRequired: Event.REFUSED, GrantBlocked: Event.BLOCKED}
"""The only errors of a refresh that change the grant it was for."""


def response(case):
    """The answer that a vector describes."""
    body = case["raw"] if "raw" in case else case["body"]
    return answer(body, status=case.get("status", 200), headers=case.get("headers"))


@pytest.mark.parametrize("case", vectors("token_refusals.json"))
def test_a_refused_refresh_reaches_as_far_as_it_must(case):
    """
    The error, its reason and what becomes of an active grant are those of google-facts section 2.
    """
    with pytest.raises(GrantkeeperError) as caught:
        parse_refresh(response(case), sent_at=NOW)
    error = caught.value
    event = EVENTS.get(type(error))
    state = GrantState.ACTIVE if event is None else next_state(GrantState.ACTIVE, event)

    assert KINDS[case["refresh"]] is type(error)
    assert case["state"] == state
    assert case.get("retry_after") == error.retry_after
    if isinstance(error, ConsentRequired):
        assert case["reason"] == error.reason
        assert REMEDIES[Reason(case["reason"])] == error.hint
    if "radius" in case:
        body = case["body"]
        refusal = (
            REFUSALS.get(str(body.get("error_subtype"))) or REFUSALS[body.get("error") or body["error_code"]]
        )
        assert Radius(case["radius"]) is refusal.radius


@pytest.mark.parametrize("case", vectors("token_refusals.json"))
def test_a_refused_code_is_spent_and_says_why(case):
    """
    No answer to a code ever asks for a second sending.
    """
    with pytest.raises(GrantkeeperError) as caught:
        parse_code(response(case), sent_at=NOW)

    assert KINDS[case["code"]] is type(caught.value)
    assert caught.value.retry_after is None


@pytest.mark.parametrize("case", vectors("token_refusals.json"))
def test_a_refusal_repeats_nothing_of_the_answer(case):
    """
    The line for the log has our words and the names we know, and is one line.
    """
    for read in (parse_refresh, parse_code):
        with pytest.raises(GrantkeeperError) as caught:
            read(response(case), sent_at=NOW)

        assert "GKMARK" not in caught.value.text
        assert "of_tomorrow" not in caught.value.text
        assert "\n" not in caught.value.text


def test_every_refusal_that_we_know_is_tried():
    """
    Each line of `REFUSALS` has a vector.
    """
    cases = [param.values[0]["body"] for param in vectors("token_refusals.json") if "body" in param.values[0]]
    named = {
        str(value)
        for body in cases
        if isinstance(body, dict)
        for name, value in body.items()
        if name in ("error", "error_code", "error_subtype")
    }

    assert set(REFUSALS) <= named


def test_only_refusals_of_a_grant_have_a_reason():
    """
    What is about a request, a client or the issuer condemns no grant.
    """
    assert {
        "invalid_grant": Reason.REVOKED,
        "invalid_rapt": Reason.REAUTH_REQUIRED,
        "rapt_required": Reason.REAUTH_REQUIRED,
        "admin_policy_enforced": Reason.ADMIN_POLICY_ENFORCED,
    } == {name: refusal.reason for name, refusal in REFUSALS.items() if refusal.reason is not None}
    assert all((one.radius is Radius.GRANT) == (one.reason is not None) for one in REFUSALS.values())


@pytest.mark.parametrize("description", CODE_HINTS)
def test_a_known_description_becomes_a_hint_and_decides_nothing(description):
    """
    The person reads what Google's words mean; the error is that of any refused code.
    """
    body = {"error": "invalid_grant", "error_description": description}
    with pytest.raises(CodeRefused) as caught:
        parse_code(answer(body, status=400), sent_at=NOW)

    assert CODE_HINTS[description] == caught.value.hint
    assert description not in caught.value.text


@pytest.mark.parametrize("description", [None, "Bad Request", ["Malformed auth code."], 7])
def test_an_unknown_description_says_nothing(description):
    """
    Whatever else stands there, the general advice is given.
    """
    body = {"error": "invalid_grant", "error_description": description}
    with pytest.raises(CodeRefused) as caught:
        parse_code(answer(body, status=400), sent_at=NOW)

    assert CodeRefused.advice == caught.value.hint


def test_a_code_of_a_blocked_user_names_the_administrator():
    """
    Signing in again is no help until the administrator acts.
    """
    with pytest.raises(CodeRefused) as caught:
        parse_code(answer({"error": "admin_policy_enforced"}, status=400), sent_at=NOW)

    assert "administrator" in caught.value.hint


def test_a_wrong_redirect_names_the_setting():
    """
    The person is sent to the source and its policy, not to a new secret.
    """
    with pytest.raises(ClientMisconfigured) as caught:
        parse_code(answer({"error": "redirect_uri_mismatch"}, status=400), sent_at=NOW)

    assert "redirect.<source>" in caught.value.hint


# -- answers ------------------------------------------------------------------------------------


@pytest.fixture(params=[parse_refresh, parse_code])
def read(request):
    """Both readers of a token answer; a good answer is the same to them."""
    return request.param


def reveal(secret):
    """The value of a secret that may be absent."""
    return None if secret is None else secret.reveal()


@pytest.mark.parametrize("case", vectors("token_answers.json"))
def test_an_answer_is_read_whole_or_not_at_all(case, read):
    """
    Every field has its type, or the answer is `IssuerMisbehaved`; a refresh token in it is saved.
    """
    if "broken" not in case:
        found = read(response(case), sent_at=NOW)
        assert case["body"]["access_token"] == found.access_token.reveal()
        assert NOW + timedelta(seconds=case["expires_in"]) == found.expires_at
    else:
        with pytest.raises(IssuerMisbehaved, match=case["broken"]) as caught:
            read(response(case), sent_at=NOW)
        assert ("salvage" in case) is isinstance(caught.value, BrokenAnswer)
        assert "GKMARK" not in caught.value.text
        if not isinstance(caught.value, BrokenAnswer):
            return
        found, case = caught.value.salvage, case["salvage"]

    assert case.get("refresh_token") == reveal(found.refresh_token)
    assert case.get("id_token") == reveal(found.id_token)
    assert case.get("refresh_expires_in") == found.refresh_expires_in
    assert (frozenset(case["scopes"].split()) if "scopes" in case else None) == found.scopes


def test_what_was_salvaged_is_not_written_down():
    """
    The record of a broken answer is that of any other, without the token it brought.
    """
    with pytest.raises(BrokenAnswer) as caught:
        parse_code(answer({"refresh_token": "1//GKMARK"}), sent_at=NOW)

    assert "GKMARK" not in repr(caught.value.as_record())
    assert "GKMARK" not in repr(caught.value.salvage)
    assert IssuerMisbehaved is type(from_record(caught.value.as_record()))


FIELDS = [
    *("access_token", "token_type", "expires_in", "refresh_token", "refresh_token_expires_in"),
    *("scope", "id_token", "error", "error_subtype", "error_code"),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
GOOD = {"access_token": "a", "token_type": "Bearer", "expires_in": 3599, "refresh_token": "1//rt"}
STATUSES = st.sampled_from([200, 200, 200, 400, 401, 403]) | st.integers(min_value=100, max_value=599)
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "content-type", "x"]), st.text())


@given(STATUSES, st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON, HEADERS, st.booleans())
def test_no_json_raises_anything_else(status, body, headers, complete):
    """
    Any status with any JSON is an answer or an error of ours; a good refresh token is never lost.
    """
    if complete and isinstance(body, dict):
        body = {**GOOD, **body, "refresh_token": "1//rt"}
    for read in (parse_refresh, parse_code):
        refresh_token = None
        try:
            refresh_token = read(answer(body, status, headers), sent_at=NOW).refresh_token
        except BrokenAnswer as error:
            refresh_token = error.salvage.refresh_token
        except GrantkeeperError:
            assert not (complete and isinstance(body, dict) and status == 200)
            continue
        if complete and isinstance(body, dict):
            assert RefreshToken("1//rt") == refresh_token


@given(STATUSES, st.binary(max_size=200), HEADERS)
def test_no_bytes_raise_anything_else(status, body, headers):
    """
    Any status with any bytes is an answer or an error of ours.
    """
    for read in (parse_refresh, parse_code, parse_revocation):
        with suppress(GrantkeeperError):
            read(answer(body, status, headers), sent_at=NOW)


@given(STATUSES, st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_nothing_but_a_true_refusal_costs_a_grant(status, body):
    """
    A grant is condemned by an ``invalid_grant`` of the issuer and by nothing else it may say.
    """
    try:
        parse_refresh(answer(body, status), sent_at=NOW)
    except ConsentRequired:
        assert "invalid_grant" == body["error"]
        assert 200 != status < 500
    except GrantkeeperError:
        pass


# -- revocation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"error": "invalid_token"}', b"<html>"])
def test_a_token_that_is_gone_is_revoked(status, body):
    """
    200 and 400 both mean done, whatever the body says.
    """
    parse_revocation(answer(body, status), sent_at=NOW)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, IssuerUnavailable),
        (429, IssuerUnavailable),
        (500, IssuerUnavailable),
        (503, IssuerUnavailable),
        (201, IssuerMisbehaved),
        (204, IssuerMisbehaved),
        (302, IssuerMisbehaved),
        (401, IssuerMisbehaved),
        (403, IssuerMisbehaved),
        (404, IssuerMisbehaved),
    ],
)
def test_anything_else_has_to_be_told_again(status, kind):
    """
    A revocation is done only when the issuer said so.
    """
    with pytest.raises(kind, match=str(status)) as caught:
        parse_revocation(answer(b"", status, {"retry-after": "9"}), sent_at=NOW)

    assert (9.0 if kind is IssuerUnavailable else None) == caught.value.retry_after


def test_a_lost_code_is_never_worth_a_retry():
    """
    `OutcomeUnknown` tells callers not to send again.
    """
    assert OutcomeUnknown.retry is False
