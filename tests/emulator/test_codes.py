"""Authorization codes at the token endpoint: what redeems them, and how they die."""

import pytest

from grantkeeper.emulator.records import OAuthClient
from grantkeeper.emulator.world import MARKER
from tests.emulator.oauth_kit import (
    ADA,
    APPDATA,
    CHALLENGE,
    EMAIL,
    FILE,
    PHOTOS,
    PROFILE,
    VERIFIER,
    Backend,
    claims,
    refused,
    scopes,
)

MALFORMED = {"error": "invalid_grant", "error_description": "Malformed auth code."}
USED = {"error": "invalid_grant", "error_description": "Bad Request"}


def test_a_code_from_the_phone_earns_every_token(backend: Backend) -> None:
    """
    The answer has the members of Google's, and the granted scopes under Google's names.
    """
    answer = backend.sign_in(scopes=["email", "profile", APPDATA])

    assert {
        "access_token",
        "expires_in",
        "refresh_token",
        "scope",
        "token_type",
        "id_token",
    } == answer.keys()
    assert "Bearer" == answer["token_type"]
    assert {"openid", EMAIL, PROFILE, APPDATA} == scopes(answer)
    assert 3590 <= answer["expires_in"] < 3600


def test_a_code_contains_a_slash_and_stays_within_googles_sizes(backend: Backend) -> None:
    """
    Codes have at most 256 bytes, access tokens 2048, refresh tokens 512; each carries the marker.
    """
    code = backend.code()
    answer = backend.redeem(code).json()

    assert code.startswith("4/")
    assert len(code) <= 256
    assert len(answer["access_token"]) <= 2048
    assert len(answer["refresh_token"]) <= 512
    assert all(MARKER in each for each in (code, answer["access_token"], answer["refresh_token"]))


def test_token_answers_are_not_to_be_cached(backend: Backend) -> None:
    """
    RFC 6749 5.1 asks for it, on success and on error.
    """
    good = backend.redeem(backend.code())
    bad = backend.redeem("4/0nothing")

    assert "no-store" in good.headers["Cache-Control"]
    assert "no-store" in bad.headers["Cache-Control"]


@pytest.mark.parametrize("source", ["ios", "android"])
@pytest.mark.parametrize("redirect_uri", ["", None, "registered"])
def test_a_code_from_a_phone_goes_with_an_empty_or_a_registered_redirect_uri(
    backend: Backend, source: str, redirect_uri: str | None
) -> None:
    """
    Empty, omitted, or the web app's own URI.
    """
    sent = backend.client.redirect_uris[0] if redirect_uri == "registered" else redirect_uri

    response = backend.redeem(backend.code(source=source), sent)

    assert 200 == response.status_code


@pytest.mark.parametrize("source", ["ios", "android"])
def test_postmessage_does_not_go_with_a_code_from_a_phone(backend: Backend, source: str) -> None:
    """
    The classic mix-up is a mismatch, and it costs the code.
    """
    code = backend.code(source=source)

    assert (400, "redirect_uri_mismatch") == refused(backend.redeem(code, "postmessage"))
    assert USED == backend.redeem(code, "").json()


@pytest.mark.parametrize("redirect_uri", ["postmessage", "origin"])
def test_a_code_from_a_popup_goes_with_postmessage_or_the_origin(backend: Backend, redirect_uri: str) -> None:
    """
    The literal word of old, and the origin of the page as documented today.
    """
    origin = backend.client.javascript_origins[0]

    response = backend.redeem(
        backend.code(source="web-popup"), origin if redirect_uri == "origin" else redirect_uri
    )

    assert 200 == response.status_code


@pytest.mark.parametrize("redirect_uri", ["", None, "https://elsewhere.example"])
def test_a_code_from_a_popup_goes_with_nothing_else(backend: Backend, redirect_uri: str | None) -> None:
    """
    An empty URI is right for phones only.
    """
    response = backend.redeem(backend.code(source="web-popup"), redirect_uri)

    assert (400, "redirect_uri_mismatch") == refused(response)


@pytest.mark.parametrize("source", ["web", "desktop"])
def test_a_code_from_a_redirect_goes_with_the_exact_uri(backend: Backend, source: str) -> None:
    """
    A trailing slash makes another URI.
    """
    uri = "http://127.0.0.1:5000/callback"

    right = backend.redeem(backend.code(source=source, redirect_uri=uri), uri)
    wrong = backend.redeem(backend.code(source=source, redirect_uri=uri), uri + "/")

    assert 200 == right.status_code
    assert (400, "redirect_uri_mismatch") == refused(wrong)


def test_how_the_redirect_uri_was_sent_is_counted(backend: Backend) -> None:
    """
    An omitted URI works like an empty one but is counted apart, as Google may tell them apart.
    """
    backend.redeem(backend.code(), "")
    backend.redeem(backend.code(), None)
    backend.redeem(backend.code(source="web-popup"), "postmessage")

    assert {"ios": {"empty": 1, "absent": 1}, "web-popup": {"postmessage": 1}} == backend.stats()[
        "redirect_uri"
    ]


def test_a_code_works_once(backend: Backend) -> None:
    """
    The second time it is an invalid grant with Google's bare description.
    """
    code = backend.code()
    backend.redeem(code)

    second = backend.redeem(code)

    assert 400 == second.status_code
    assert USED == second.json()


def test_a_code_sent_twice_costs_its_tokens_where_the_client_says_so(backend: Backend) -> None:
    """
    RFC 6749 4.1.2 lets an issuer revoke what the first redemption earned.
    """
    backend.client.reuse_revokes = True
    code = backend.code()
    earned = backend.redeem(code).json()

    backend.redeem(code)

    assert (400, "invalid_grant") == refused(backend.refresh(earned["refresh_token"]))
    assert 401 == backend.api(earned["access_token"])


def test_a_code_sent_twice_costs_nothing_by_default(backend: Backend) -> None:
    """
    Google is not known to revoke what the first redemption earned.
    """
    code = backend.code()
    earned = backend.redeem(code).json()

    backend.redeem(code)

    assert 200 == backend.refresh(earned["refresh_token"]).status_code


@pytest.mark.parametrize("seconds, status", [(590, 200), (600, 400)])
def test_a_code_lives_ten_minutes(backend: Backend, seconds: int, status: int) -> None:
    """
    At the very end of its life it is dead.
    """
    code = backend.code()
    backend.control("clock", advance=seconds)

    assert status == backend.redeem(code).status_code


@pytest.mark.parametrize("change", ["encode", "truncate", "other"])
def test_a_code_of_the_wrong_shape_is_malformed(backend: Backend, change: str) -> None:
    """
    Percent-encoded once too often, cut off, or not a code at all.
    """
    code = backend.code()
    sent = {"encode": code.replace("/", "%2F"), "truncate": code[:-4], "other": "serverAuthCode"}[change]

    response = backend.redeem(sent)

    assert 400 == response.status_code
    assert MALFORMED == response.json()
    assert 200 == backend.redeem(code).status_code


def test_a_code_that_never_was_is_an_invalid_grant(backend: Backend) -> None:
    """
    Of the right shape, but unknown.
    """
    code = backend.code()

    assert USED == backend.redeem(code[:-4] + "AAAA").json()


def test_a_code_of_another_client_is_refused_and_burnt(backend: Backend) -> None:
    """
    A code belongs to the client it was made for.
    """
    other = backend.emulator.world.desktop_client
    code = backend.code()
    stolen = Backend(backend.emulator, other)

    assert (400, "invalid_grant") == refused(stolen.redeem(code))
    assert (400, "invalid_grant") == refused(backend.redeem(code))
    stolen.close()


# PKCE


@pytest.mark.parametrize("method, challenge", [("S256", CHALLENGE), ("plain", VERIFIER)])
def test_a_challenge_is_met_by_its_verifier(backend: Backend, method: str, challenge: str) -> None:
    """
    RFC 7636 4.6, both methods.
    """
    code = backend.code(code_challenge=challenge, code_challenge_method=method)

    assert 200 == backend.redeem(code, code_verifier=VERIFIER).status_code


@pytest.mark.parametrize(
    "form, description",
    [
        ({}, "Missing code verifier."),
        ({"code_verifier": ""}, "Missing code verifier."),
        ({"code_verifier": "w" * 43}, "Invalid code verifier."),
        ({"code_verifier": CHALLENGE}, "Invalid code verifier."),
    ],
)
def test_a_challenge_is_not_met_otherwise(backend: Backend, form: dict[str, str], description: str) -> None:
    """
    The failed try burns the code.
    """
    code = backend.code(code_challenge=CHALLENGE)

    response = backend.redeem(code, **form)

    assert {"error": "invalid_grant", "error_description": description} == response.json()
    assert USED == backend.redeem(code, code_verifier=VERIFIER).json()


def test_a_verifier_without_a_challenge_is_refused(backend: Backend) -> None:
    """
    Otherwise an attacker could strip the challenge (RFC 9700 2.1.1).
    """
    response = backend.redeem(backend.code(), code_verifier=VERIFIER)

    assert (400, "invalid_grant") == refused(response)


# When there is a refresh token


def test_only_the_first_consent_earns_a_refresh_token(backend: Backend) -> None:
    """
    Later sign-ins of the same user give access and ID token only.
    """
    first, second = backend.sign_in(), backend.sign_in()

    assert "refresh_token" in first
    assert "refresh_token" not in second
    assert "id_token" in second


def test_forced_consent_earns_another_refresh_token_and_the_first_stays_good(backend: Backend) -> None:
    """
    As with ``prompt=consent`` and ``forceCodeForRefreshToken``.
    """
    first, second = backend.sign_in(), backend.sign_in(force=True)

    assert first["refresh_token"] != second["refresh_token"]
    assert 200 == backend.refresh(first["refresh_token"]).status_code


def test_a_new_scope_earns_a_new_refresh_token(backend: Backend) -> None:
    """
    On iOS the ways to a new one are a new scope and a new beginning.
    """
    backend.sign_in(scopes=[APPDATA])

    assert "refresh_token" in backend.sign_in(scopes=[APPDATA, FILE])


def test_a_revoked_user_earns_a_new_refresh_token(backend: Backend) -> None:
    """
    Consent is the first one again after the user took access back.
    """
    backend.sign_in()
    backend.control("revoke", email=ADA)

    assert "refresh_token" in backend.sign_in()


def test_online_access_earns_no_refresh_token(backend: Backend) -> None:
    """
    Only ``access_type=offline`` can.
    """
    assert "refresh_token" not in backend.sign_in(access_type="online")


def test_consent_is_shared_by_the_clients_of_a_project(backend: Backend) -> None:
    """
    Who consented to one client is not asked again by its sibling, which so gets no refresh token.
    """
    backend.sign_in()
    sibling = Backend(backend.emulator, backend.emulator.world.desktop_client)

    assert "refresh_token" not in sibling.redeem(sibling.code()).json()
    sibling.close()


def test_another_project_has_its_own_consent(backend: Backend) -> None:
    """
    Nothing is shared across projects.
    """
    backend.sign_in()
    made = backend.control("clients", kind="web", project="999")
    stranger = Backend(backend.emulator, backend.emulator.world.clients[made["client_id"]])

    assert "refresh_token" in stranger.redeem(stranger.code()).json()
    stranger.close()


# Scopes and identity


def test_a_later_code_covers_what_was_granted_before(backend: Backend) -> None:
    """
    The phone and the popup always include the granted scopes.
    """
    backend.sign_in(scopes=[FILE])

    assert {FILE, PHOTOS} <= scopes(backend.sign_in(scopes=[PHOTOS]))


def test_a_code_may_be_for_its_own_scopes_only(backend: Backend) -> None:
    """
    ``include_granted_scopes=false`` leaves the earlier ones out.
    """
    backend.sign_in(scopes=[FILE])

    answer = backend.sign_in(scopes=[PHOTOS], include_granted_scopes=False)

    assert {"openid", EMAIL, PROFILE, PHOTOS} == scopes(answer)


def test_the_ios_sdk_always_asks_for_the_basic_profile(backend: Backend) -> None:
    """
    The SDK adds e-mail and profile, and Google then adds openid.
    """
    assert {"openid", EMAIL, PROFILE, FILE} == scopes(backend.sign_in(scopes=[FILE]))


def test_android_without_identity_scopes_gets_no_id_token(backend: Backend) -> None:
    """
    An authorization that asks for no identity tells none.
    """
    answer = backend.sign_in(scopes=[FILE], source="android")

    assert {FILE} == scopes(answer)
    assert "id_token" not in answer


def test_the_id_token_names_client_user_and_nonce(backend: Backend) -> None:
    """
    ``aud`` and ``azp`` are the redeeming client, ``hd`` is there for a Workspace account.
    """
    code = backend.control("code", email=ADA, nonce="n-1")
    got = claims(backend.redeem(code["code"]).json()["id_token"])

    assert backend.client.id == got["aud"] == got["azp"]
    assert code["sub"] == got["sub"]
    assert len(got["sub"]) == 21
    assert (ADA, True, "example.com") == (got["email"], got["email_verified"], got["hd"])
    assert ("Ada Lovelace", "Ada", "Lovelace") == (got["name"], got["given_name"], got["family_name"])
    assert "n-1" == got["nonce"]
    assert 3600 == got["exp"] - got["iat"]


def test_a_consumer_account_has_no_hd(backend: Backend) -> None:
    """
    ``hd`` is a matter of Workspace.
    """
    assert "hd" not in claims(backend.sign_in("ada@gmail.com")["id_token"])


def test_an_id_token_without_the_profile_scope_has_no_name(backend: Backend) -> None:
    """
    Claims follow scopes.
    """
    answer = backend.sign_in(scopes=["openid"], source="android")

    assert {"name", "picture", "email"}.isdisjoint(claims(answer["id_token"]))


def test_a_code_of_a_grant_that_was_revoked_meanwhile_is_refused(backend: Backend) -> None:
    """
    The user took access back between the page and the backend.
    """
    code = backend.code()
    backend.control("revoke", email=ADA)

    assert (400, "invalid_grant") == refused(backend.redeem(code))


def test_time_based_access_announces_its_end(backend: Backend) -> None:
    """
    ``refresh_token_expires_in`` counts down, and at its end the grant is gone.
    """
    answer = backend.sign_in(access_seconds=7200)
    backend.control("clock", advance=3600)
    later = backend.refresh(answer["refresh_token"]).json()
    backend.control("clock", advance=3600)

    assert 7195 <= answer["refresh_token_expires_in"] <= 7200
    assert 3595 <= later["refresh_token_expires_in"] <= 3600
    assert (400, "invalid_grant") == refused(backend.refresh(answer["refresh_token"]))


def test_a_public_client_needs_no_secret(backend: Backend) -> None:
    """
    A client without a secret (the phone's own) redeems by PKCE alone.
    """
    phone = Backend(backend.emulator, backend.emulator.world.ios_client)
    code = phone.code(source="desktop", redirect_uri="app:/oauth2callback", code_challenge=CHALLENGE)

    assert 200 == phone.redeem(code, "app:/oauth2callback", code_verifier=VERIFIER).status_code
    phone.close()


def test_two_clients_of_one_secret_each(backend: Backend) -> None:
    """
    While secrets are changed both are accepted, afterwards only the one that stayed.
    """
    old = backend.client.secrets[0]
    backend.post("/emulator/clients", json={"client_id": "x", "secrets": ["s"]})
    new = backend.http.patch(backend.url + "/emulator/clients", json={"add_secret": True}).json()["secrets"][
        1
    ]
    form = {"grant_type": "authorization_code", "redirect_uri": "", "client_id": backend.client.id}

    both = [
        backend.post("/token", data=form | {"code": backend.code(), "client_secret": each}).status_code
        for each in (old, new)
    ]
    backend.http.patch(backend.url + "/emulator/clients", json={"secrets": [new]})
    after = backend.post("/token", data=form | {"code": backend.code(), "client_secret": old})

    assert [200, 200] == both
    assert (401, "invalid_client") == refused(after)


def test_a_client_may_be_added_to_the_world_directly(backend: Backend) -> None:
    """
    Fixtures in the same process need no HTTP for it.
    """
    client = backend.emulator.world.add_client(OAuthClient("mine", "web", "7", secrets=["s"]))
    mine = Backend(backend.emulator, client)

    assert 200 == mine.redeem(mine.code()).status_code
    mine.close()
