"""The credentials class alone, bullet by bullet of google-facts 11.1 and 11.2, over tokens set by hand."""

import copy
import pickle
import threading

import google.auth.credentials
import google.auth.exceptions
import pytest
from google.auth.credentials import TokenState

from grantkeeper.errors import (
    ClientMisconfigured,
    ConsentRequired,
    GrantBlocked,
    GrantkeeperError,
    GrantNotFound,
    HttpFailed,
    IssuerUnavailable,
    StoreUnavailable,
)
from grantkeeper.library.google_auth import GrantCredentials
from grantkeeper.protocol.rejected import fingerprint
from grantkeeper.secret import AccessToken
from tests.library.fakes import DRIVE, GRANT, Tokens


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def credentials(tokens: Tokens) -> GrantCredentials:
    return GrantCredentials(tokens, GRANT)


def ask(credentials: GrantCredentials, request: object = None) -> dict[str, str]:
    """The headers of one request."""
    headers: dict[str, str] = {}
    credentials.before_request(request, "GET", "https://www.googleapis.com/drive/v3/files", headers)
    return headers


def rejected(tokens: Tokens) -> list[str | None]:
    """What the keeper was told about refused tokens, call by call."""
    return [call[3] for call in tokens.asked]


def test_they_are_true_google_credentials(credentials):
    """Duck typing is not enough anywhere (google-facts 11.3)."""
    assert isinstance(credentials, google.auth.credentials.Credentials)
    assert isinstance(credentials, google.auth.credentials.CredentialsWithQuotaProject)
    assert isinstance(credentials, google.auth.credentials.ReadOnlyScoped)
    assert not isinstance(credentials, google.auth.credentials.Scoped)


def test_new_credentials_have_no_token_and_ask_nothing(credentials, tokens):
    """Making them costs no network."""
    assert credentials.token is None
    assert credentials.expiry is None
    assert not credentials.valid
    assert not credentials.expired
    assert TokenState.INVALID is credentials.token_state
    assert [] == tokens.asked


def test_the_first_request_asks_the_keeper_for_five_minutes(credentials, tokens):
    """min_ttl is 300, so that the token outlives google-auth's own threshold."""
    headers = ask(credentials)

    assert {"authorization": "Bearer ya29.token-1"} == headers
    assert [(GRANT, None, 300, None)] == tokens.asked


def test_a_fresh_token_is_sent_without_asking_again(credentials, tokens):
    """A thousand requests cost one question."""
    for _ in range(1000):
        ask(credentials)

    assert 1 == len(tokens.asked)
    assert credentials.valid
    assert TokenState.FRESH is credentials.token_state


def test_expiry_is_naive_utc(credentials, tokens):
    """An aware one makes google-auth raise TypeError."""
    ask(credentials)

    assert credentials.expiry.tzinfo is None
    assert tokens.memory.expires_at.replace(tzinfo=None) == credentials.expiry


def test_what_memory_has_is_taken_without_a_question(credentials, tokens):
    """Somebody else's refresh serves here too."""
    tokens.put()

    assert {"authorization": "Bearer ya29.token-1"} == ask(credentials)
    assert [] == tokens.asked


def test_a_newer_token_in_memory_replaces_the_one_in_hand(credentials, tokens):
    """A change of the grant is seen at the very next request."""
    ask(credentials)
    tokens.put()

    assert {"authorization": "Bearer ya29.token-2"} == ask(credentials)
    assert 1 == len(tokens.asked)


def test_a_revoked_grant_stops_at_the_next_request(credentials, tokens):
    """The token in hand would still work at Google; it is not sent."""
    ask(credentials)
    tokens.drop()
    tokens.fails = ConsentRequired("the grant is revoked", reason="revoked")

    assert not credentials.valid
    with pytest.raises(google.auth.exceptions.RefreshError):
        ask(credentials)
    assert credentials.token is None


def test_memory_that_cannot_tell_is_not_believed(credentials, tokens):
    """While the change feed is silent every request asks the keeper."""
    ask(credentials)
    tokens.drop()
    tokens.mark_of = lambda token: None
    tokens.fresh = lambda *_: None
    ask(credentials)
    ask(credentials)

    assert 3 == len(tokens.asked)


def test_near_its_end_the_keeper_is_asked_while_the_token_still_works(credentials, tokens):
    """Ten minutes before the end the keeper hears of the need and can refresh beside us."""
    ask(credentials)
    tokens.advance(3599 - 600 - 1)
    ask(credentials)
    assert 1 == len(tokens.asked)
    tokens.advance(2)
    ask(credentials)

    assert 2 == len(tokens.asked)


def test_a_token_shorter_than_asked_is_used_for_a_while(credentials, tokens):
    """Where the issuer gives no longer ones, each request would otherwise be a question."""
    tokens.life = 200
    ask(credentials)
    tokens.advance(59)
    ask(credentials)
    assert 1 == len(tokens.asked)
    tokens.advance(2)
    ask(credentials)

    assert 2 == len(tokens.asked)


@pytest.mark.parametrize(
    "left, expired, state",
    [
        (226, False, TokenState.FRESH),
        (225, True, TokenState.STALE),
        (1, True, TokenState.STALE),
        (0, True, TokenState.INVALID),
    ],
)
def test_the_states_are_googles_by_the_keepers_clock(credentials, tokens, left, expired, state):
    """The 225 seconds of google-auth, both sides of each boundary."""
    ask(credentials)
    tokens.advance(3599 - left)

    assert expired is credentials.expired
    assert state is credentials.token_state


# -- refresh ------------------------------------------------------------------------------------


def test_refresh_of_new_credentials_calls_nothing_refused(credentials, tokens):
    """``creds.refresh(Request())`` is how many programs begin."""
    credentials.refresh(object())

    assert [None] == rejected(tokens)
    assert "ya29.token-1" == credentials.token


def test_refresh_after_a_401_names_the_refused_token(credentials, tokens):
    """Google's transports call refresh directly; the keeper must know which token was refused."""
    ask(credentials)
    credentials.refresh(object())

    assert [None, fingerprint(AccessToken("ya29.token-1"))] == rejected(tokens)
    assert "ya29.token-2" == credentials.token


def test_refresh_of_an_ended_token_calls_nothing_refused(credentials, tokens):
    """It was not refused, it is old."""
    ask(credentials)
    tokens.advance(3599)
    credentials.refresh(object())

    assert [None, None] == rejected(tokens)


@pytest.mark.parametrize(
    "error, retryable",
    [
        (ConsentRequired("gone", reason="revoked"), False),
        (GrantBlocked("blocked"), False),
        (GrantNotFound("no such grant"), False),
        (IssuerUnavailable("the token endpoint answered 503"), True),
        (StoreUnavailable("no database"), True),
        (ClientMisconfigured("invalid_client"), True),
    ],
)
def test_our_errors_become_googles_and_stay_the_cause(credentials, tokens, error, retryable):
    """Who catches RefreshError learns what to do, and finds the whole story in __cause__."""
    tokens.fails = error
    with pytest.raises(google.auth.exceptions.RefreshError) as caught:
        ask(credentials)

    message, record = caught.value.args
    assert retryable is caught.value.retryable
    assert error is caught.value.__cause__
    assert error.code == record["error"]
    assert error.hint in message


def test_network_trouble_is_a_transport_error(credentials, tokens):
    """What google-auth calls a failed connection."""
    failed = IssuerUnavailable("the token endpoint does not answer")
    failed.__cause__ = HttpFailed("refused", may_have_arrived=False)
    tokens.fails = failed
    with pytest.raises(google.auth.exceptions.TransportError) as caught:
        ask(credentials)

    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, GrantkeeperError)


def test_transient_trouble_does_not_drop_the_token(credentials, tokens):
    """Only a terminal answer ends what still works."""
    ask(credentials)
    tokens.fails = StoreUnavailable("no database")
    with pytest.raises(google.auth.exceptions.RefreshError):
        credentials.refresh(object())
    tokens.fails = None

    assert {"authorization": "Bearer ya29.token-1"} == ask(credentials)


def test_assigning_a_token_drops_the_one_in_hand(credentials, tokens):
    """The keeper alone says what the token is; an assignment is a wish for another look."""
    ask(credentials)
    credentials.token = "forged"

    assert credentials.token is None
    assert {"authorization": "Bearer ya29.token-1"} == ask(credentials)


# -- non-blocking refresh -----------------------------------------------------------------------


def test_non_blocking_refresh_sends_the_stale_token_and_asks_in_a_thread(credentials, tokens):
    """Also with a request that does not survive a deep copy (google-facts 11.1)."""
    credentials.with_non_blocking_refresh()
    ask(credentials, threading.Lock())
    tokens.advance(3599 - 200)
    headers = ask(credentials, threading.Lock())
    credentials._refresh_worker._worker.join(timeout=30)

    assert {"authorization": "Bearer ya29.token-1"} == headers
    assert [None, None] == rejected(tokens)
    assert threading.current_thread().name != tokens.threads[1]
    assert {"authorization": "Bearer ya29.token-2"} == ask(credentials)


def test_non_blocking_refresh_waits_for_the_keeper_once_the_token_has_ended(credentials, tokens):
    """An ended token is never sent."""
    credentials.with_non_blocking_refresh()
    ask(credentials)
    tokens.advance(3599)

    assert {"authorization": "Bearer ya29.token-2"} == ask(credentials)


def test_non_blocking_refresh_obeys_a_revocation(credentials, tokens):
    """A changed grant is no matter for the background."""
    credentials.with_non_blocking_refresh()
    ask(credentials)
    tokens.drop()
    tokens.fails = ConsentRequired("the grant is revoked", reason="revoked")
    with pytest.raises(google.auth.exceptions.RefreshError):
        ask(credentials)


def test_non_blocking_refresh_falls_back_to_waiting_after_a_failure(credentials, tokens):
    """As google-auth does: a background that failed is not trusted again until a refresh has worked."""
    credentials.with_non_blocking_refresh()
    ask(credentials)
    tokens.advance(3599 - 200)
    tokens.fails = StoreUnavailable("no database")
    ask(credentials)
    credentials._refresh_worker._worker.join(timeout=30)
    tokens.fails = None

    assert {"authorization": "Bearer ya29.token-2"} == ask(credentials)


# -- scopes, quota project, information ----------------------------------------------------------


def test_named_scopes_are_asked_for_under_one_spelling(tokens):
    """``email`` is Google's short name of a long scope."""
    credentials = GrantCredentials(tokens, GRANT, scopes=["email", DRIVE])
    ask(credentials)

    email = "https://www.googleapis.com/auth/userinfo.email"
    assert frozenset({email, DRIVE}) == tokens.asked[0][1]
    assert sorted({email, DRIVE}) == credentials.scopes
    assert credentials.has_scopes(["email"])
    assert not credentials.has_scopes(["https://www.googleapis.com/auth/calendar"])


def test_scopes_that_were_not_named_are_those_of_the_token(credentials):
    """Unknown before the first token."""
    assert credentials.scopes is None
    assert credentials.granted_scopes is None
    ask(credentials)

    assert [DRIVE] == credentials.scopes
    assert [DRIVE] == credentials.granted_scopes


def test_no_library_may_ask_them_for_other_scopes(credentials):
    """with_scopes_if_required leaves them as they are."""
    same = google.auth.credentials.with_scopes_if_required(credentials, ["https://example.com/scope"])

    assert not credentials.requires_scopes
    assert same is credentials


def test_a_quota_project_is_sent_with_every_request(tokens):
    """x-goog-user-project, from the constructor or with_quota_project."""
    first = GrantCredentials(tokens, GRANT, quota_project_id="bill-here")
    second = first.with_quota_project("bill-there")

    assert "bill-here" == ask(first)["x-goog-user-project"]
    assert "bill-there" == ask(second)["x-goog-user-project"]
    assert "bill-here" == first.quota_project_id


def test_a_quota_project_of_the_environment_is_taken(credentials, monkeypatch):
    """The base class's own way, over with_quota_project."""
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "from-outside")

    assert "from-outside" == credentials.with_quota_project_from_environment().quota_project_id


def test_apply_puts_token_and_quota_project(tokens):
    """What google-auth's own transports call when they have a token already."""
    credentials = GrantCredentials(tokens, GRANT, quota_project_id="bill-here")
    ask(credentials)
    own: dict[str, str] = {}
    other: dict[str, str] = {}
    credentials.apply(own)
    credentials.apply(other, token="another")

    assert {"authorization": "Bearer ya29.token-1", "x-goog-user-project": "bill-here"} == own
    assert "Bearer another" == other["authorization"]


def test_the_universe_is_googles_own(credentials):
    """Anything else would be a UniverseMismatchError in api-core."""
    assert "googleapis.com" == credentials.universe_domain


def test_nothing_they_say_of_themselves_is_secret(credentials, tokens):
    """Information, representation and errors carry the grant's id and no token."""
    ask(credentials)
    said = f"{credentials!r} {credentials.get_cred_info()} {vars(credentials)}"

    assert GRANT == credentials.get_cred_info()["principal"]
    assert "ya29" not in said


# -- copies and threads -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda credentials: credentials.with_quota_project("other")]
)
def test_a_copy_shares_grant_and_token(credentials, tokens, copied):
    """What one of them refreshes the other has."""
    other = copied(credentials)
    ask(other)

    assert type(credentials) is type(other)
    assert other is not credentials
    assert credentials.token == other.token == "ya29.token-1"
    ask(credentials)
    assert 1 == len(tokens.asked)


def test_pickling_is_refused_with_a_sentence(credentials):
    """A keeper does not travel; a grant's id does."""
    with pytest.raises(TypeError, match="grant's id"):
        pickle.dumps(credentials)


def test_threads_share_one_instance(credentials, tokens):
    """Eight threads at once, none of them sees half a token."""
    seen: list[str] = []

    def work() -> None:
        for _ in range(200):
            seen.append(ask(credentials)["authorization"])
            tokens.put()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1600 == len(seen)
    assert all(header.startswith("Bearer ya29.token-") for header in seen)
