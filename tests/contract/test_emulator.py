"""The emulator's control side (section 10): every call, as tests of others use it."""

from urllib.parse import urlencode

import pytest

from tests.contract.stage import DRIVE, EMAIL, Answer, Google, ask, jwt

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def exchange(google: Google, **form: str) -> Answer:
    """A request to the token endpoint with the client's id and secret."""
    own = {"client_id": google.client["client_id"], "client_secret": google.client["client_secret"]}
    return ask(google.port, "POST", "/token", urlencode(own | form), FORM)


def redeem(google: Google, code: str) -> Answer:
    return exchange(google, grant_type="authorization_code", code=code, redirect_uri="")


def test_discovery_and_both_kinds_of_keys(google: Google) -> None:
    """
    JWK set and X.509, from the same keys.
    """
    found = ask(google.port, "GET", "/.well-known/openid-configuration").json
    kids = {key["kid"] for key in ask(google.port, "GET", "/oauth2/v3/certs").json["keys"]}

    assert google.issuer == found["issuer"]
    assert kids == ask(google.port, "GET", "/oauth2/v1/certs").json.keys()


def test_a_code_is_made_and_redeemed(google: Google) -> None:
    """
    `{code, sub}`; the code works once and brings the tokens of that account.
    """
    made = google.post(
        "code", {"email": "ed@example.com", "nonce": "n", "scopes": ["openid", "email", DRIVE]}
    )

    first, second = redeem(google, made["code"]), redeem(google, made["code"])

    assert {"code", "sub"} == made.keys()
    assert {
        "access_token",
        "expires_in",
        "refresh_token",
        "scope",
        "token_type",
        "id_token",
    } <= first.json.keys()
    assert {DRIVE, EMAIL, "openid"} <= set(first.json["scope"].split())
    claims = jwt(first.json["id_token"])[1]
    assert (made["sub"], "n", google.issuer) == (claims["sub"], claims["nonce"], claims["iss"])
    assert (400, "invalid_grant") == second.error


def test_everything_secret_is_marked(google: Google) -> None:
    """
    So that a test can search for a leak.
    """
    code = google.code("mark@example.com")
    said = redeem(google, code).json

    assert ["GKMARK" in value for value in (code, said["access_token"], said["refresh_token"])] == [True] * 3


def test_a_refresh_token_comes_on_first_or_forced_consent_only(google: Google) -> None:
    """
    As Google's.
    """
    came = [
        "refresh_token" in redeem(google, google.code("first@example.com", force=force)).json
        for force in (False, False, True)
    ]

    assert [True, False, True] == came


def test_the_clock_moves_in_its_file_too(google: Google) -> None:
    """
    8 bytes, an offset in microseconds.
    """

    def offset() -> int:
        return int.from_bytes(google.clock_file.read_bytes(), "little", signed=True)

    before = offset()
    google.advance(90)

    assert 8 == google.clock_file.stat().st_size
    assert before + 90_000_000 == offset()


def test_stats_count_by_endpoint_kind_and_outcome(google: Google) -> None:
    """
    `{"token": {"refresh_token": {"ok": 3, "invalid_grant": 1}, …}, …}`.
    """
    before = google.stats()["token"]
    token = redeem(google, google.code("count@example.com")).json["refresh_token"]
    exchange(google, grant_type="refresh_token", refresh_token=token)
    exchange(google, grant_type="refresh_token", refresh_token="1//never")
    after = google.stats()["token"]

    assert before["authorization_code"]["ok"] + 1 == after["authorization_code"]["ok"]
    assert before["refresh_token"]["ok"] + 1 == after["refresh_token"]["ok"]
    assert before["refresh_token"].get("invalid_grant", 0) + 1 == after["refresh_token"]["invalid_grant"]


def test_the_user_takes_access_back(google: Google) -> None:
    """
    `POST /emulator/revoke`: the refresh token is dead.
    """
    token = redeem(google, google.code("back@example.com")).json["refresh_token"]

    google.post("revoke", {"email": "back@example.com"})

    answer = exchange(google, grant_type="refresh_token", refresh_token=token)
    assert (400, "invalid_grant") == answer.error


def test_keys_rotate(google: Google) -> None:
    """
    The next ID token names a new key, and it is published.
    """
    before = jwt(redeem(google, google.code("keys@example.com")).json["id_token"])[0]["kid"]
    google.post("keys/rotate", {})
    after = jwt(redeem(google, google.code("keys@example.com")).json["id_token"])[0]["kid"]

    assert before != after
    assert after in {key["kid"] for key in ask(google.port, "GET", "/oauth2/v3/certs").json["keys"]}


def test_an_event_happens_to_an_account(google: Google) -> None:
    """
    `POST /emulator/event` `{type, email}`.
    """
    google.code("event@example.com")

    google.post("event", {"type": "account-disabled", "email": "event@example.com"})
    refused = ask(google.port, "POST", "/emulator/code", {"email": "event@example.com"})
    google.post("event", {"type": "account-enabled", "email": "event@example.com"})

    assert 400 <= refused.status < 500
    assert google.code("event@example.com")


def test_a_fault_strikes_as_often_as_asked(google: Google) -> None:
    """
    `count`; and `DELETE` ends those without one.
    """
    google.fault("token", "status_503", count=1)
    once = [redeem(google, google.code("fault@example.com")).status for _ in range(2)]
    google.fault("token", "status_503")
    still = [redeem(google, google.code("fault@example.com")).status for _ in range(2)]
    google.heal()

    assert ([503, 200], [503, 503]) == (once, still)
    assert 200 == redeem(google, google.code("fault@example.com")).status


def test_the_menu_lists_every_fault_with_its_endpoints(google: Google) -> None:
    """
    And each can be set at each.
    """
    menu = ask(google.port, "GET", "/emulator/faults").json

    assert {"name", "endpoints"} <= menu[0].keys()
    assert {"lost", "slow", "cut", "status_429", "status_503", "kid_unknown"} <= {
        each["name"] for each in menu
    }
    for each in menu:
        for endpoint in each["endpoints"]:
            google.fault(endpoint, each["name"], count=1)


@pytest.mark.parametrize(
    "path, body",
    [
        ("code", {}),
        ("code", {"email": 1}),
        ("code", {"email": "a@example.com", "colour": "red"}),
        ("clock", {"advance": "soon"}),
        ("fault", {"endpoint": "token", "name": "nonsense"}),
        ("fault", {"endpoint": "nonsense", "name": "lost"}),
        ("event", {"type": "nonsense", "email": "a@example.com"}),
    ],
)
def test_a_control_call_that_is_wrong_says_so(google: Google, path: str, body: object) -> None:
    """
    A misspelt test must not pass.
    """
    answer = ask(google.port, "POST", f"/emulator/{path}", body)

    assert 400 <= answer.status < 500
    assert answer.json["error_description"]


def test_the_client_file_is_googles_format(google: Google) -> None:
    """
    A `web` client whose URIs are the emulator's own.
    """
    assert {"client_id", "client_secret", "auth_uri", "token_uri", "redirect_uris"} <= google.client.keys()
    assert google.client["token_uri"].startswith(google.issuer)
