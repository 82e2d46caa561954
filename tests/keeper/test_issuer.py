"""What is read from an issuer: its addresses and keys, kept, shared and renewed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from grantkeeper.errors import (
    IdTokenRejected,
    IssuerMisbehaved,
    IssuerUnavailable,
)
from grantkeeper.issuer import KEYS_LIMIT, LONGEST_STALE, PAUSE, Issuer
from grantkeeper.model import Provider
from grantkeeper.protocol.discovery import GOOGLE, GOOGLE_ENDPOINTS
from grantkeeper.protocol.id_token import Expectation
from grantkeeper.protocol.key_set import COOLDOWN
from grantkeeper.secret import IdToken
from grantkeeper.testing.clock import ManualClock
from tests.keeper.fake_issuer import (
    CODE,
    DISCOVERY,
    DOCUMENT,
    FIRST,
    KEYS,
    LOST,
    OURS,
    REVOKE,
    SECOND,
    TOKEN,
    UNSENT,
    Answer,
    FakeHttp,
    answers,
    client,
    id_token,
    key_set,
    obliging,
    want,
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


# -- endpoints ---------------------------------------------------------------------------------


async def test_google_s_addresses_are_known(issuer: Issuer, http: FakeHttp) -> None:
    """
    No sign-in waits for Google's discovery.
    """
    assert GOOGLE_ENDPOINTS == await issuer.endpoints(client(issuer=GOOGLE, provider=Provider.GOOGLE))
    assert [] == http.sent


async def test_a_google_provider_elsewhere_is_discovered(issuer: Issuer, http: FakeHttp) -> None:
    """
    The emulator has Google's habits, not Google's addresses.
    """
    found = await issuer.endpoints(client(provider=Provider.GOOGLE))

    assert (TOKEN, KEYS, REVOKE) == (found.token, found.jwks, found.revocation)
    assert [("GET", DISCOVERY, KEYS_LIMIT)] == [
        (one.request.method, one.request.url, one.seconds) for one in http.sent
    ]


async def test_a_hundred_callers_cause_one_discovery(issuer: Issuer, http: FakeHttp) -> None:
    """
    They share the flight, and its result is kept.
    """
    found = await asyncio.gather(*(issuer.endpoints(client()) for _ in range(100)))
    await issuer.endpoints(client())

    assert {TOKEN} == {one.token for one in found}
    assert 1 == http.count(DISCOVERY)


async def test_a_caller_who_leaves_does_not_end_the_flight(issuer: Issuer, http: FakeHttp) -> None:
    """
    The others still get the document.
    """
    http.gate = asyncio.Event()
    leaving = asyncio.create_task(issuer.endpoints(client()))
    staying = asyncio.create_task(issuer.endpoints(client()))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    http.gate.set()

    assert TOKEN == (await staying).token
    assert leaving.cancelled()
    assert 1 == http.count(DISCOVERY)


async def test_a_flight_that_is_cancelled_is_flown_again(issuer: Issuer, http: FakeHttp) -> None:
    """
    As by a loop that ends; nothing is left in the way.
    """
    http.gate = asyncio.Event()
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(issuer.endpoints(client()))
    await asyncio.sleep(0)
    (flight,) = asyncio.all_tasks() - before - {waiting}
    flight.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    http.gate.set()

    assert TOKEN == (await issuer.endpoints(client())).token


async def settled(http: FakeHttp) -> None:
    """Let background flights land."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_discovery_is_renewed_daily_and_nobody_waits_for_it(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    After a day the old document is served at once while the new one is fetched.
    """
    await issuer.endpoints(client())
    http.says(DISCOVERY, answers(200, {**DOCUMENT, "token_endpoint": f"{OURS}/token2"}))
    clock.advance(timedelta(days=1) - timedelta(seconds=1))
    before = await issuer.endpoints(client())
    clock.advance(1)
    at_once = await issuer.endpoints(client())
    await settled(http)
    later = await issuer.endpoints(client())

    assert [TOKEN, TOKEN, f"{OURS}/token2"] == [before.token, at_once.token, later.token]
    assert 2 == http.count(DISCOVERY)


@pytest.mark.parametrize("trouble", [LOST, UNSENT, answers(503, {}), answers(404, {}), answers(200, {})])
async def test_an_old_document_serves_while_no_new_one_can_be_had(
    issuer: Issuer, http: FakeHttp, clock: ManualClock, trouble: Answer
) -> None:
    """
    However discovery fails, what was known goes on working; and it is asked for again later.
    """
    await issuer.endpoints(client())
    http.says(DISCOVERY, trouble)
    clock.advance(timedelta(days=3))
    for _ in range(5):
        assert TOKEN == (await issuer.endpoints(client())).token
        await settled(http)
    tried = http.count(DISCOVERY)
    clock.tick(PAUSE)
    await issuer.endpoints(client())
    await settled(http)

    assert (2, 3) == (tried, http.count(DISCOVERY))


async def test_a_first_discovery_that_fails_is_told_and_not_repeated_at_once(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    A hundred callers of a dead issuer cause one request in a while.
    """
    http.says(DISCOVERY, UNSENT)
    for _ in range(3):
        found = await asyncio.gather(
            *(issuer.endpoints(client()) for _ in range(100)), return_exceptions=True
        )
        assert {IssuerUnavailable} == {type(one) for one in found}
    tried = http.count(DISCOVERY)
    clock.tick(PAUSE)
    http.says(DISCOVERY, answers(200, DOCUMENT))

    assert 1 == tried
    assert TOKEN == (await issuer.endpoints(client())).token


async def test_a_document_of_another_issuer_is_not_believed(issuer: Issuer, http: FakeHttp) -> None:
    """
    RFC 8414 section 3.3; asked as such it is the issuer's misbehaviour.
    """
    http.says(DISCOVERY, answers(200, {**DOCUMENT, "issuer": "https://evil.example"}))

    with pytest.raises(IssuerMisbehaved):
        await issuer.endpoints(client())


# -- keys --------------------------------------------------------------------------------------


async def test_keys_are_kept_as_long_as_the_answer_says(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    An hour here, by ``Cache-Control``.
    """
    await issuer.keys(OURS, "first")
    clock.advance(3599)
    await issuer.keys(OURS, "first")
    kept = http.count(KEYS)
    clock.advance(1)
    await issuer.keys(OURS, "first")

    assert (1, 2) == (kept, http.count(KEYS))


async def test_a_hundred_verifications_cause_one_fetch(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    One at a time, shared by all.
    """
    token = id_token(clock)
    found = await asyncio.gather(*(issuer.verify(token, want(clock)) for _ in range(100)))

    assert {"1"} == {identity.subject.sub for identity in found}
    assert 1 == http.count(KEYS)


async def test_a_new_kid_is_fetched_once_outside_the_cooldown(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    A rotated key is found at its first use, however many use it at once.
    """
    await issuer.keys(OURS)
    http.says(KEYS, key_set(first=FIRST, second=SECOND))
    clock.advance(COOLDOWN)
    token = id_token(clock, SECOND, "second")
    found = await asyncio.gather(*(issuer.verify(token, want(clock)) for _ in range(50)))

    assert {"1"} == {identity.subject.sub for identity in found}
    assert 2 == http.count(KEYS)


async def test_made_up_kids_cause_no_flood(issuer: Issuer, http: FakeHttp, clock: ManualClock) -> None:
    """
    Strangers choose the ``kid``: within the cooldown it is rejected without a fetch.
    """
    await issuer.keys(OURS)
    clock.advance(COOLDOWN - timedelta(seconds=1))
    for number in range(20):
        with pytest.raises(IdTokenRejected) as caught:
            await issuer.verify(id_token(clock, SECOND, f"kid-{number}"), want(clock))
        assert "kid" == caught.value.claim
    within = http.count(KEYS)
    clock.advance(1)
    for number in range(20):
        with pytest.raises(IdTokenRejected):
            await issuer.verify(id_token(clock, SECOND, f"kid-{number}"), want(clock))

    assert (1, 2) == (within, http.count(KEYS))


@pytest.mark.parametrize(
    "trouble", [LOST, UNSENT, answers(500, {}), answers(404, {}), answers(200, {"keys": []})]
)
async def test_keys_that_are_known_serve_on_when_new_ones_cannot_be_had(
    issuer: Issuer, http: FakeHttp, clock: ManualClock, trouble: Answer
) -> None:
    """
    For a day after their time; then they are not believed any more.
    """
    await issuer.keys(OURS)
    http.says(KEYS, trouble)
    clock.advance(timedelta(hours=1) + LONGEST_STALE - timedelta(seconds=1))
    identity = await issuer.verify(id_token(clock), want(clock))
    clock.advance(1)
    with pytest.raises((IssuerUnavailable, IssuerMisbehaved)):
        await issuer.verify(id_token(clock), want(clock))

    assert "1" == identity.subject.sub


async def test_an_unknown_kid_is_not_rejected_while_keys_cannot_be_had(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    It may be of a new key: nobody is told that their token is bad before we know.
    """
    await issuer.keys(OURS)
    http.says(KEYS, UNSENT)
    clock.advance(COOLDOWN)
    with pytest.raises(IssuerUnavailable):
        await issuer.verify(id_token(clock, SECOND, "second"), want(clock))


async def test_after_a_failed_fetch_nobody_fetches_for_a_moment(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    A dead key endpoint is not hammered, and recovery is noticed.
    """
    http.says(KEYS, UNSENT)
    for _ in range(20):
        with pytest.raises(IssuerUnavailable):
            await issuer.keys(OURS)
    tried = http.count(KEYS)
    clock.tick(PAUSE)
    http.says(KEYS, key_set(first=FIRST))

    assert 1 == tried
    assert 1 == len((await issuer.keys(OURS)).keys)


async def test_a_token_without_kid_uses_the_keys_at_hand(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    Its absence is no reason to fetch.
    """
    await issuer.verify(id_token(clock, kid=None), want(clock))
    clock.advance(COOLDOWN)
    await issuer.verify(id_token(clock, kid=None), want(clock))

    assert 1 == http.count(KEYS)


async def test_a_token_that_is_no_token_causes_no_fetch(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    The header is read first.
    """
    with pytest.raises(IdTokenRejected):
        await issuer.verify(IdToken("marker"), want(clock))

    assert [] == http.sent


async def test_a_clock_set_back_ends_what_is_kept(issuer: Issuer, http: FakeHttp, clock: ManualClock) -> None:
    """
    Keys fetched in the future would else be kept for as long as the clock was wrong.
    """
    clock.advance(timedelta(days=365))
    await issuer.keys(OURS)
    clock.advance(timedelta(days=-365))
    await issuer.keys(OURS)

    assert 2 == http.count(KEYS)


async def test_issuers_are_kept_apart(issuer: Issuer, http: FakeHttp, clock: ManualClock) -> None:
    """
    One object may serve clients of several issuers; no key of one proves anything for another.
    """
    other = "https://other.example"
    http.says(
        f"{other}/.well-known/openid-configuration",
        answers(200, {**DOCUMENT, "issuer": other, "jwks_uri": f"{other}/keys"}),
    )
    http.says(f"{other}/keys", key_set(first=SECOND))
    await issuer.keys(OURS)
    forged = id_token(clock, FIRST, "first", {"iss": other})

    with pytest.raises(IdTokenRejected) as caught:
        await issuer.verify(forged, Expectation(issuer=other, audience="111-ours", now=clock.now()))

    assert "signature" == caught.value.claim


@pytest.mark.parametrize(
    ("url", "trouble"),
    [(DISCOVERY, UNSENT), (DISCOVERY, answers(200, {})), (KEYS, LOST), (KEYS, answers(200, {"keys": []}))],
)
async def test_prepare_tells_before_a_code_is_spent(
    issuer: Issuer, http: FakeHttp, url: str, trouble: Answer
) -> None:
    """
    Whatever is wrong with discovery or keys, nothing was sent, so it is ``issuer_unavailable``.
    """
    http.says(url, trouble)
    with pytest.raises(IssuerUnavailable):
        await issuer.prepare(client())

    assert 0 == http.count(TOKEN)


async def test_prepare_fetches_what_redeeming_needs(
    issuer: Issuer, http: FakeHttp, clock: ManualClock
) -> None:
    """
    Afterwards only the code goes out.
    """
    await issuer.prepare(client())
    http.sent.clear()
    await issuer.redeem(client(), CODE, "", None)
    await issuer.verify(id_token(clock), want(clock))

    assert [TOKEN] == [one.request.url for one in http.sent]


async def test_a_busy_issuer_s_wish_is_passed_on(issuer: Issuer, http: FakeHttp) -> None:
    """
    ``Retry-After`` of the key endpoint reaches the caller.
    """
    http.says(KEYS, answers(429, {}, retry_after="17"))
    with pytest.raises(IssuerUnavailable) as caught:
        await issuer.prepare(client())

    assert 17.0 == caught.value.retry_after
