"""The way to an issuer, over a fake of our own `Http` port that counts and delays."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from grantkeeper.errors import (
    ClientMisconfigured,
    CodeRefused,
    ConsentRequired,
    HttpFailed,
    IdTokenRejected,
    IssuerMisbehaved,
    IssuerUnavailable,
    OutcomeUnknown,
)
from grantkeeper.issuer import CODE_LIMIT, HTTP_LIMIT, KEYS_LIMIT, LONGEST_STALE, PAUSE, AnswerLost, Issuer
from grantkeeper.model import Client, Provider
from grantkeeper.protocol.discovery import GOOGLE, GOOGLE_ENDPOINTS
from grantkeeper.protocol.id_token import Expectation
from grantkeeper.protocol.key_set import COOLDOWN
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from grantkeeper.protocol.token_endpoint import BrokenAnswer, ScopeRefused, SecretRefused
from grantkeeper.secret import AuthorizationCode, ClientSecret, CodeVerifier, IdToken, RefreshToken
from grantkeeper.testing.clock import ManualClock

pytestmark = pytest.mark.anyio

OURS = "https://id.example"
DISCOVERY = f"{OURS}/.well-known/openid-configuration"
TOKEN = f"{OURS}/token"
KEYS = f"{OURS}/keys"
REVOKE = f"{OURS}/revoke"

DOCUMENT = {
    "issuer": OURS,
    "authorization_endpoint": f"{OURS}/auth",
    "token_endpoint": TOKEN,
    "jwks_uri": KEYS,
    "revocation_endpoint": REVOKE,
}

FIRST, SECOND = RSAKey.generate_key(2048), RSAKey.generate_key(2048)

LOST = HttpFailed("cut", may_have_arrived=True)
UNSENT = HttpFailed("refused", may_have_arrived=False)

Answer = HttpResponse | HttpFailed


def answers(status: int, body: object, **headers: str) -> HttpResponse:
    return HttpResponse(
        status, json.dumps(body).encode(), {name.replace("_", "-"): value for name, value in headers.items()}
    )


def key_set(**keys: RSAKey) -> HttpResponse:
    """The public halves of *keys* by ``kid``, good for an hour."""
    entries = [{**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in keys.items()]
    return answers(200, {"keys": entries}, cache_control="public, max-age=3600")


def refuses(error: str, status: int = 400) -> HttpResponse:
    return answers(status, {"error": error})


GRANTED = answers(
    200, {"access_token": "ya29.a", "expires_in": 3600, "token_type": "Bearer", "scope": "openid"}
)


@dataclass
class Sent:
    """One call of the port."""

    request: HttpRequest
    seconds: float
    fresh: bool

    @property
    def form(self) -> dict[str, str]:
        return {
            name: value
            for name, (value,) in parse_qs(self.request.body.decode(), keep_blank_values=True).items()
        }


@dataclass
class FakeHttp:
    """The `Http` port: answers by address; of several answers the last one is repeated."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """While set and not open, every answer waits."""
    before: Callable[[HttpRequest], Awaitable[None]] | None = None

    def says(self, url: str, *given: Answer) -> None:
        self.answers[url] = list(given)

    def count(self, url: str) -> int:
        return len([one for one in self.sent if one.request.url == url])

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        self.sent.append(Sent(request, seconds, fresh))
        if self.before is not None:
            await self.before(request)
        if self.gate is not None:
            await self.gate.wait()
        left = self.answers[request.url]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, HttpFailed):
            raise answer
        return answer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 22, 12, tzinfo=UTC))


@pytest.fixture
def http() -> FakeHttp:
    http = FakeHttp()
    http.says(DISCOVERY, answers(200, DOCUMENT))
    http.says(KEYS, key_set(first=FIRST))
    http.says(TOKEN, GRANTED)
    http.says(REVOKE, answers(200, {}))
    return http


@pytest.fixture
def issuer(http: FakeHttp, clock: ManualClock) -> Issuer:
    return Issuer(http, clock)


def client(*secrets: str, issuer: str = OURS, provider: Provider = Provider.OIDC) -> Client:
    return Client(
        name="default",
        provider=provider,
        client_id="111-ours",
        secrets=tuple(ClientSecret(secret) for secret in secrets or ("s1",)),
        issuer=issuer,
    )


def id_token(
    clock: ManualClock,
    key: RSAKey = FIRST,
    kid: str | None = "first",
    claims: Mapping[str, Any] | None = None,
) -> IdToken:
    now = int(clock.now().timestamp())
    body = {"iss": OURS, "aud": "111-ours", "sub": "1", "iat": now, "exp": now + 3600, **(claims or {})}
    header = {"alg": "RS256"} if kid is None else {"alg": "RS256", "kid": kid}
    return IdToken(jwt.encode(header, body, key))


def want(clock: ManualClock) -> Expectation:
    return Expectation(issuer=OURS, audience="111-ours", now=clock.now())


CODE = AuthorizationCode("4/abc")
REFRESH = RefreshToken("1//abc")


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
