"""Refresh tokens at the token endpoint: what they give, and the many ways they die."""

import pytest

from grantkeeper.emulator.records import OAuthClient
from tests.emulator.oauth_kit import ADA, APPDATA, EMAIL, FILE, PROFILE, Backend, claims, refused, scopes

DAY = 86_400
DEAD = (400, "invalid_grant")


def test_a_refresh_gives_an_access_token_and_no_refresh_token(backend: Backend) -> None:
    """
    The old refresh token stays good; scope and ID token come along.
    """
    first = backend.sign_in()

    answer = backend.refresh(first["refresh_token"]).json()

    assert {"access_token", "expires_in", "scope", "token_type", "id_token"} == answer.keys()
    assert scopes(first) == scopes(answer)
    assert first["access_token"] != answer["access_token"]
    assert 200 == backend.refresh(first["refresh_token"]).status_code


def test_the_life_of_an_access_token_varies_and_is_never_announced_too_long(backend: Backend) -> None:
    """
    No client may rely on 3600.
    """
    token = backend.sign_in()["refresh_token"]
    lives = [backend.refresh(token).json()["expires_in"] for _ in range(6)]

    assert len(set(lives)) > 1
    assert max(lives) < 3600


@pytest.mark.parametrize("seconds, status", [(3590, 200), (3600, 401)])
def test_an_access_token_lives_an_hour(backend: Backend, seconds: int, status: int) -> None:
    """
    By the emulator's clock.
    """
    token = backend.sign_in()["access_token"]
    backend.control("clock", advance=seconds)

    assert status == backend.api(token)


def test_a_refreshed_id_token_has_no_nonce(backend: Backend) -> None:
    """
    The nonce belongs to the sign-in.
    """
    first = backend.sign_in(nonce="n")
    refreshed = claims(backend.refresh(first["refresh_token"]).json()["id_token"])

    assert "nonce" not in refreshed
    assert claims(first["id_token"])["sub"] == refreshed["sub"]


def test_a_subset_of_the_scopes_gives_a_narrower_access_token(backend: Backend) -> None:
    """
    Named again by their short names; without openid there is no ID token.
    """
    token = backend.sign_in(scopes=[APPDATA, FILE])["refresh_token"]

    narrow = backend.refresh(token, scope=FILE).json()
    identity = backend.refresh(token, scope="email profile openid").json()

    assert {FILE} == scopes(narrow)
    assert "id_token" not in narrow
    assert {"openid", EMAIL, PROFILE} == scopes(identity)
    assert 403 == backend.api(narrow["access_token"])


@pytest.mark.parametrize("scope", [FILE, f"openid {FILE}", "https://www.googleapis.com/auth/nothing"])
def test_a_scope_outside_the_grant_is_refused(backend: Backend, scope: str) -> None:
    """
    The refresh token is none the worse for it.
    """
    token = backend.sign_in(scopes=[APPDATA])["refresh_token"]

    assert (400, "invalid_scope") == refused(backend.refresh(token, scope=scope))
    assert 200 == backend.refresh(token).status_code


def test_an_unknown_refresh_token_is_an_invalid_grant(backend: Backend) -> None:
    """
    Whatever it looks like.
    """
    assert DEAD == refused(backend.refresh("1//0nothing"))


def test_a_refresh_token_of_another_client_is_unauthorized(backend: Backend) -> None:
    """
    Even of the same project.
    """
    token = backend.sign_in()["refresh_token"]
    sibling = Backend(backend.emulator, backend.emulator.world.desktop_client)

    assert (401, "unauthorized_client") == refused(sibling.refresh(token))
    sibling.close()


def test_the_user_takes_access_back(backend: Backend) -> None:
    """
    Refresh and access token die at once.
    """
    answer = backend.sign_in()

    assert {"revoked": 1} == backend.control("revoke", email=ADA)
    assert {
        "error": "invalid_grant",
        "error_description": "Token has been expired or revoked.",
    } == backend.refresh(answer["refresh_token"]).json()
    assert 401 == backend.api(answer["access_token"])


def test_over_the_cap_the_oldest_token_dies_silently(backend: Backend) -> None:
    """
    100 by default; here three, so that the fourth kills the first.
    """
    backend.http.patch(backend.url + "/emulator/clients", json={"live_cap": 3})
    tokens = [backend.sign_in(force=True)["refresh_token"] for _ in range(4)]

    assert [400, 200, 200, 200] == [backend.refresh(token).status_code for token in tokens]
    assert 3 == backend.get("/emulator/refresh_tokens", params={"email": ADA}).json()["live"]


def test_the_cap_is_a_hundred_for_each_user(backend: Backend) -> None:
    """
    Other users' tokens do not count.
    """
    first = backend.sign_in()["refresh_token"]
    backend.sign_in("bob@example.com")
    for _ in range(99):
        backend.sign_in(force=True)
    before = backend.refresh(first).status_code
    backend.sign_in(force=True)

    assert (200, 400) == (before, backend.refresh(first).status_code)


@pytest.mark.parametrize("days, status", [(6.99, 200), (7, 400)])
def test_in_testing_mode_a_grant_lives_seven_days(backend: Backend, days: float, status: int) -> None:
    """
    An external app in testing must ask again every week.
    """
    backend.client.testing = True
    token = backend.sign_in(scopes=[APPDATA])["refresh_token"]
    backend.control("clock", advance=days * DAY)

    assert status == backend.refresh(token).status_code


def test_in_testing_mode_the_identity_lasts(backend: Backend) -> None:
    """
    Name, e-mail and profile alone are exempt from the seven days.
    """
    backend.client.testing = True
    token = backend.sign_in(scopes=["email", "profile"])["refresh_token"]
    backend.control("clock", advance=30 * DAY)

    assert 200 == backend.refresh(token).status_code


def test_after_seven_days_the_user_is_asked_again(backend: Backend) -> None:
    """
    And that earns a new refresh token.
    """
    backend.client.testing = True
    backend.sign_in(scopes=[APPDATA])
    backend.control("clock", advance=8 * DAY)

    assert "refresh_token" in backend.sign_in(scopes=[APPDATA])


@pytest.mark.parametrize("days, status", [(179, 200), (180, 400)])
def test_unused_for_six_months_a_token_dies(backend: Backend, days: int, status: int) -> None:
    """
    Every refresh starts the time anew.
    """
    token = backend.sign_in()["refresh_token"]
    backend.control("clock", advance=100 * DAY)
    backend.refresh(token)
    backend.control("clock", advance=days * DAY)

    assert status == backend.refresh(token).status_code


def test_invalid_rapt_lasts_until_the_next_sign_in(backend: Backend) -> None:
    """
    The session policy of a Workspace has a subtype of its own.
    """
    token = backend.sign_in()["refresh_token"]
    backend.control("users", email=ADA, reauth_required=True)
    refusal = backend.refresh(token)
    backend.sign_in()

    assert 400 == refusal.status_code
    assert ("invalid_grant", "invalid_rapt") == (refusal.json()["error"], refusal.json()["error_subtype"])
    assert 200 == backend.refresh(token).status_code


def test_an_administrators_block_ends_when_it_is_lifted(backend: Backend) -> None:
    """
    The token survives it.
    """
    token = backend.sign_in()["refresh_token"]
    backend.control("users", email=ADA, admin_blocked=True)
    blocked = refused(backend.refresh(token))
    backend.control("users", email=ADA, admin_blocked=False)

    assert (400, "admin_policy_enforced") == blocked
    assert 200 == backend.refresh(token).status_code


def test_a_disabled_account_refuses_until_it_is_enabled(backend: Backend) -> None:
    """
    Its access tokens do not work either.
    """
    answer = backend.sign_in()
    backend.control("event", type="account-disabled", email=ADA)
    while_disabled = refused(backend.refresh(answer["refresh_token"])), backend.api(answer["access_token"])
    backend.control("event", type="account-enabled", email=ADA)

    assert (DEAD, 401) == while_disabled
    assert 200 == backend.refresh(answer["refresh_token"]).status_code


def test_a_deleted_account_never_comes_back(backend: Backend) -> None:
    """
    The next owner of the address is somebody else.
    """
    code = backend.control("code", email=ADA)
    token = backend.redeem(code["code"]).json()["refresh_token"]
    backend.control("users", email=ADA, deleted=True)

    assert DEAD == refused(backend.refresh(token))
    assert code["sub"] != backend.control("code", email=ADA)["sub"]


@pytest.mark.parametrize("state", ["deleted", "disabled"])
def test_a_deleted_or_disabled_client_is_told_so(backend: Backend, state: str) -> None:
    """
    401, and the grants come back with the client.
    """
    token = backend.sign_in()["refresh_token"]
    backend.http.patch(backend.url + "/emulator/clients", json={"state": state})
    gone = refused(backend.refresh(token))
    backend.http.patch(backend.url + "/emulator/clients", json={"state": "active"})

    assert (401, f"{state}_client") == gone
    assert 200 == backend.refresh(token).status_code


def test_a_new_address_keeps_the_subject(backend: Backend) -> None:
    """
    The e-mail address is a property, not the identity.
    """
    first = backend.sign_in()
    backend.control("users", email=ADA, new_email="countess@example.com")
    later = claims(backend.refresh(first["refresh_token"]).json()["id_token"])

    assert claims(first["id_token"])["sub"] == later["sub"]
    assert "countess@example.com" == later["email"]
    assert later["sub"] != backend.control("code", email=ADA)["sub"]


class TestRotation:
    """An issuer that spends a refresh token with every use."""

    @pytest.fixture
    def backend(self, backend: Backend) -> Backend:
        backend.client.rotation = True
        return backend

    def test_every_refresh_brings_a_new_refresh_token(self, backend: Backend) -> None:
        """
        The new one works in its turn.
        """
        first = backend.sign_in()["refresh_token"]
        second = backend.refresh(first).json()["refresh_token"]

        assert first != second
        assert 200 == backend.refresh(second).status_code

    def test_a_spent_token_kills_the_grant(self, backend: Backend) -> None:
        """
        Used twice means that somebody else has it (RFC 9700 4.14.2).
        """
        first = backend.sign_in()["refresh_token"]
        answer = backend.refresh(first).json()

        assert DEAD == refused(backend.refresh(first))
        assert DEAD == refused(backend.refresh(answer["refresh_token"]))
        assert 401 == backend.api(answer["access_token"])

    def test_a_refused_refresh_spends_nothing(self, backend: Backend) -> None:
        """
        A wrong scope is no use of the token.
        """
        token = backend.sign_in(scopes=[APPDATA])["refresh_token"]
        backend.refresh(token, scope=FILE)

        assert 200 == backend.refresh(token).status_code


def test_a_short_lived_access_token_announces_its_life(backend: Backend) -> None:
    """
    For tests of what happens near the end.
    """
    client = OAuthClient("short", "web", "8", secrets=["s"], access_token_seconds=30)
    short = Backend(backend.emulator, backend.emulator.world.add_client(client))

    assert 30 == short.redeem(short.code()).json()["expires_in"]
    short.close()
