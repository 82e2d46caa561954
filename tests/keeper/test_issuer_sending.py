"""What is sent to an issuer: codes once, refreshes with care, revocations until they are heard."""

from datetime import UTC, datetime, timedelta

import pytest

from grantkeeper.errors import (
    ClientMisconfigured,
    CodeRefused,
    ConsentRequired,
    IssuerMisbehaved,
    IssuerUnavailable,
    OutcomeUnknown,
)
from grantkeeper.issuer import CODE_LIMIT, HTTP_LIMIT, KEYS_LIMIT, AnswerLost, Issuer
from grantkeeper.model import Provider
from grantkeeper.protocol.message import HttpRequest
from grantkeeper.protocol.token_endpoint import BrokenAnswer, ScopeRefused, SecretRefused
from grantkeeper.secret import AuthorizationCode, CodeVerifier, RefreshToken
from grantkeeper.testing.clock import ManualClock
from tests.keeper.fake_issuer import (
    CODE,
    DISCOVERY,
    DOCUMENT,
    GRANTED,
    LOST,
    REFRESH,
    REVOKE,
    TOKEN,
    UNSENT,
    Answer,
    FakeHttp,
    answers,
    client,
    obliging,
    refuses,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 22, 12, tzinfo=UTC))


@pytest.fixture
def http() -> FakeHttp:
    return obliging()


@pytest.fixture
def issuer(http: FakeHttp, clock: ManualClock) -> Issuer:
    return Issuer(http, clock)


# -- a code ------------------------------------------------------------------------------------


async def test_a_code_is_sent_once_on_a_connection_of_its_own(issuer: Issuer, http: FakeHttp) -> None:
    """
    With everything it needs, the empty redirect included.
    """
    verifier = CodeVerifier("v" * 43)
    answer = await issuer.redeem(client(), CODE, "", verifier)
    (sent,) = [one for one in http.sent if one.request.url == TOKEN]

    assert "ya29.a" == answer.access_token.reveal()
    assert (True, CODE_LIMIT) == (sent.fresh, sent.seconds)
    assert {
        "grant_type": "authorization_code",
        "code": "4/abc",
        "client_id": "111-ours",
        "client_secret": "s1",
        "redirect_uri": "",
        "code_verifier": "v" * 43,
    } == sent.form


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (UNSENT, IssuerUnavailable),
        (LOST, OutcomeUnknown),
        (answers(503, {}), OutcomeUnknown),
        (refuses("invalid_grant"), CodeRefused),
        (refuses("invalid_client", 401), SecretRefused),
        (refuses("deleted_client", 401), ClientMisconfigured),
        (answers(200, {"token_type": "Bearer"}), IssuerMisbehaved),
        (answers(200, {"refresh_token": "1//x", "token_type": "Bearer"}), BrokenAnswer),
    ],
)
async def test_a_code_is_never_sent_again(
    issuer: Issuer, http: FakeHttp, trouble: Answer, expected: type[Exception]
) -> None:
    """
    Not after a time-out, not with the second secret, not after any answer.
    """
    http.says(TOKEN, trouble)
    with pytest.raises(expected) as caught:
        await issuer.redeem(client("s1", "s2"), CODE, "", None)

    assert expected is type(caught.value)
    assert 1 == http.count(TOKEN)


@pytest.mark.parametrize("trouble", [UNSENT, LOST, answers(500, {}), answers(200, {})])
async def test_without_addresses_a_code_stays_unsent(issuer: Issuer, http: FakeHttp, trouble: Answer) -> None:
    """
    The error promises that nothing was sent.
    """
    http.says(DISCOVERY, trouble)
    with pytest.raises(IssuerUnavailable):
        await issuer.redeem(client(), CODE, "", None)

    assert 0 == http.count(TOKEN)


async def test_after_a_refused_secret_the_next_code_goes_with_the_other(
    issuer: Issuer, http: FakeHttp
) -> None:
    """
    A service that only redeems must find the working secret too; a refused code says nothing about it.
    """
    http.says(TOKEN, refuses("invalid_client", 401), refuses("invalid_grant"), GRANTED)
    for _ in range(2):
        with pytest.raises((SecretRefused, CodeRefused)):
            await issuer.redeem(client("s1", "s2"), CODE, "", None)
    await issuer.redeem(client("s1", "s2"), CODE, "", None)

    assert ["s1", "s2", "s2"] == [one.form["client_secret"] for one in http.sent if one.request.url == TOKEN]


async def test_the_answer_s_life_counts_from_the_sending(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    A slow answer must not lengthen it.
    """
    started = clock.now()

    async def slow(request: HttpRequest) -> None:
        clock.advance(9)

    await issuer.prepare(client())
    http.before = slow
    by_code = await issuer.redeem(client(), CODE, "", None)
    again = clock.now()
    by_refresh = await issuer.refresh(client(), REFRESH)

    assert started + timedelta(seconds=3600) == by_code.expires_at
    assert again + timedelta(seconds=3600) == by_refresh.expires_at


# -- a refresh ---------------------------------------------------------------------------------


async def test_a_refresh_is_sent_once(issuer: Issuer, http: FakeHttp) -> None:
    """
    Within its limit, naming scopes only where some are asked for.
    """
    await issuer.refresh(client(), REFRESH)
    await issuer.refresh(client(), REFRESH, frozenset({"openid"}))
    whole, part = [one for one in http.sent if one.request.url == TOKEN]

    assert {
        "grant_type": "refresh_token",
        "refresh_token": "1//abc",
        "client_id": "111-ours",
        "client_secret": "s1",
    } == whole.form
    assert {**whole.form, "scope": "openid"} == part.form
    assert whole.seconds <= HTTP_LIMIT


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (UNSENT, IssuerUnavailable),
        (LOST, AnswerLost),
        (answers(502, {}), IssuerUnavailable),
        (refuses("invalid_grant"), ConsentRequired),
        (refuses("invalid_scope"), ScopeRefused),
        (refuses("unauthorized_client", 401), ClientMisconfigured),
        (answers(200, []), IssuerMisbehaved),
    ],
)
async def test_a_failed_refresh_is_not_repeated_here(
    issuer: Issuer, http: FakeHttp, trouble: Answer, expected: type[Exception]
) -> None:
    """
    When to try again is the keeper's decision; other secrets are tried for `invalid_client` alone.
    """
    http.says(TOKEN, trouble)
    with pytest.raises(expected) as caught:
        await issuer.refresh(client("s1", "s2"), REFRESH)

    assert expected is type(caught.value)
    assert 1 == http.count(TOKEN)


def test_a_lost_answer_is_an_issuer_that_is_unavailable() -> None:
    """
    To callers it is the same; only keepers look closer.
    """
    assert "issuer_unavailable" == AnswerLost("x").code


async def test_a_refused_secret_is_followed_by_the_other_and_the_good_one_remembered(
    issuer: Issuer, http: FakeHttp
) -> None:
    """
    During a change of secret a refresh goes on; from then on codes use the good one as well.
    """
    http.says(TOKEN, refuses("invalid_client", 401), GRANTED)
    ours = client("old", "new")
    await issuer.refresh(ours, REFRESH)
    await issuer.refresh(ours, REFRESH)
    await issuer.redeem(ours, CODE, "", None)

    assert ["old", "new", "new", "new"] == [
        one.form["client_secret"] for one in http.sent if one.request.url == TOKEN
    ]


async def test_a_secret_with_which_a_grant_was_refused_has_worked(issuer: Issuer, http: FakeHttp) -> None:
    """
    `invalid_grant` is said only to a client that is known.
    """
    http.says(TOKEN, refuses("invalid_client", 401), refuses("invalid_grant"), GRANTED)
    ours = client("old", "new")
    with pytest.raises(ConsentRequired):
        await issuer.refresh(ours, REFRESH)
    await issuer.refresh(ours, REFRESH)

    assert ["old", "new", "new"] == [
        one.form["client_secret"] for one in http.sent if one.request.url == TOKEN
    ]


async def test_two_refused_secrets_are_the_operator_s_business(issuer: Issuer, http: FakeHttp) -> None:
    """
    Each is tried once, no grant is condemned.
    """
    http.says(TOKEN, refuses("invalid_client", 401))
    with pytest.raises(SecretRefused):
        await issuer.refresh(client("s1", "s2"), REFRESH)

    assert 2 == http.count(TOKEN)


async def test_a_secret_that_left_the_settings_is_not_used(issuer: Issuer, http: FakeHttp) -> None:
    """
    What was remembered counts only among the client's secrets.
    """
    await issuer.refresh(client("old"), REFRESH)
    await issuer.refresh(client("new"), REFRESH)

    assert ["old", "new"] == [one.form["client_secret"] for one in http.sent if one.request.url == TOKEN]


async def test_all_sends_of_a_refresh_share_one_limit(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    The lease must cover them: what the first send used up, the second has not.
    """

    async def slow(request: HttpRequest) -> None:
        clock.tick(4)

    http.before = slow
    http.says(TOKEN, refuses("invalid_client", 401), GRANTED)
    await issuer.refresh(client("s1", "s2"), REFRESH)

    assert [KEYS_LIMIT, HTTP_LIMIT - 4, HTTP_LIMIT - 8] == [one.seconds for one in http.sent]


async def test_a_refresh_without_time_left_is_not_sent(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    Better none than one that outlives its lease.
    """

    async def slow(request: HttpRequest) -> None:
        clock.tick(HTTP_LIMIT)

    http.before = slow
    with pytest.raises(IssuerUnavailable):
        await issuer.refresh(client(), REFRESH)

    assert 0 == http.count(TOKEN)


# -- a revocation ------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [answers(200, {}), refuses("invalid_token")])
async def test_a_revocation_is_done_with_200_and_with_400(
    issuer: Issuer, http: FakeHttp, answer: Answer
) -> None:
    """
    A token that is gone needs no revoking.
    """
    http.says(REVOKE, answer)
    await issuer.revoke(client(), REFRESH)

    assert "1//abc" == http.sent[-1].form["token"]


async def test_google_gets_the_token_alone(issuer: Issuer, http: FakeHttp) -> None:
    """
    Other issuers want to know the client (RFC 7009 2.1).
    """
    await issuer.revoke(client(provider=Provider.GOOGLE), REFRESH)
    alone = http.sent[-1].form
    await issuer.revoke(client(), REFRESH)

    assert {"token": "1//abc"} == alone
    assert ("111-ours", "s1") == (http.sent[-1].form["client_id"], http.sent[-1].form["client_secret"])


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (UNSENT, IssuerUnavailable),
        (LOST, IssuerUnavailable),
        (answers(503, {}), IssuerUnavailable),
        (answers(404, {}), IssuerMisbehaved),
    ],
)
async def test_a_failed_revocation_is_told(
    issuer: Issuer, http: FakeHttp, trouble: Answer, expected: type[Exception]
) -> None:
    """
    So that it is sent again later.
    """
    http.says(REVOKE, trouble)
    with pytest.raises(expected):
        await issuer.revoke(client(), REFRESH)


async def test_an_issuer_without_a_revocation_endpoint_cannot_be_told(issuer: Issuer, http: FakeHttp) -> None:
    """
    Then there is nothing left to do.
    """
    http.says(
        DISCOVERY,
        answers(200, {name: value for name, value in DOCUMENT.items() if name != "revocation_endpoint"}),
    )
    await issuer.revoke(client(), REFRESH)

    assert [DISCOVERY] == [one.request.url for one in http.sent]


# -- what is never seen ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble", [UNSENT, LOST, answers(500, {}), refuses("invalid_grant"), refuses("nonsense")]
)
async def test_no_secret_is_in_an_error(issuer: Issuer, http: FakeHttp, trouble: Answer) -> None:
    """
    Neither code nor token nor client secret, in text or record.
    """
    http.says(TOKEN, trouble)
    http.says(REVOKE, trouble)
    said = []
    for call in (
        issuer.redeem(client("marker"), AuthorizationCode("marker"), "", None),
        issuer.refresh(client("marker"), RefreshToken("marker")),
        issuer.revoke(client("marker"), RefreshToken("marker")),
    ):
        try:
            await call
        except Exception as error:
            said.append(f"{error!r} {error} {error.__cause__!r}")

    assert said != []
    assert "marker" not in " ".join(said)
