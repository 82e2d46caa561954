"""Discovery, keys, userinfo and tokeninfo."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import KeySet

from grantkeeper.emulator.identity import at_hash
from grantkeeper.emulator.jose import read
from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.world import MARKERS
from tests.emulator.oauth_kit import ADA, APPDATA, EMAIL, PROFILE, Backend, claims, refused

CONFIGURATION = "/.well-known/openid-configuration"


def test_discovery_names_this_server(backend: Backend) -> None:
    """
    Issuer and endpoints are the emulator's own, and every endpoint exists.
    """
    document = backend.get(CONFIGURATION).json()
    endpoints = [
        value for name, value in document.items() if name.endswith("_endpoint") or name == "jwks_uri"
    ]

    assert backend.url == document["issuer"]
    assert ["RS256"] == document["id_token_signing_alg_values_supported"]
    assert 5 == len(endpoints)
    assert all(404 != backend.http.get(endpoint, timeout=10).status_code for endpoint in endpoints)


def test_the_issuer_can_be_another() -> None:
    """
    For verifiers that know only Google's; the endpoints stay the emulator's.
    """
    with EmulatorServer(issuer="https://accounts.google.com") as emulator:
        backend = Backend(emulator)
        document = backend.get(CONFIGURATION).json()
        token = claims(backend.sign_in()["id_token"])
        backend.close()

    assert "https://accounts.google.com" == document["issuer"] == token["iss"]
    assert f"{emulator.url}/token" == document["token_endpoint"]


def test_an_id_token_verifies_with_the_jwk_set(backend: Backend) -> None:
    """
    By another library than the emulator's own lines.
    """
    token = backend.sign_in()["id_token"]
    keys = KeySet.import_key_set(backend.get("/oauth2/v3/certs").json())

    decoded = jwt.decode(token, keys, algorithms=["RS256"])

    assert backend.url == decoded.claims["iss"]
    assert 2 == len(keys.keys)


def test_an_id_token_verifies_with_the_certificate(backend: Backend) -> None:
    """
    The same keys under the same names, as X.509.
    """
    token = backend.sign_in()["id_token"]
    header, _, signature = read(token)
    certificates = backend.get("/oauth2/v1/certs").json()
    public = x509.load_pem_x509_certificate(certificates[header["kid"]].encode()).public_key()
    assert isinstance(public, rsa.RSAPublicKey)

    public.verify(signature, token.rpartition(".")[0].encode(), padding.PKCS1v15(), SHA256())

    assert set(certificates) == {key["kid"] for key in backend.get("/oauth2/v3/certs").json()["keys"]}


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_keys_may_be_kept_for_a_while(backend: Backend, version: str) -> None:
    """
    ``max-age`` says how long.
    """
    assert "max-age=3600" in backend.get(f"/oauth2/{version}/certs").headers["Cache-Control"]


def test_rotation_publishes_the_new_key_and_the_one_before(backend: Backend) -> None:
    """
    Tokens signed just before stay verifiable; two rotations later they are not.
    """
    first = read(backend.sign_in()["id_token"])[0]["kid"]
    once = backend.control("keys/rotate")["kids"]
    second = read(backend.sign_in()["id_token"])[0]["kid"]
    twice = backend.control("keys/rotate")["kids"]

    assert [second, first] == once
    assert first not in twice
    assert 2 == len(twice)


def test_at_hash_binds_the_access_token(backend: Backend) -> None:
    """
    OpenID Connect Core 3.1.3.6, with the example of its appendix A.3 as the yardstick.
    """
    answer = backend.sign_in()

    assert "77QmUPtjPfzWtF2AnpK9RQ" == at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y")
    assert at_hash(answer["access_token"]) == claims(answer["id_token"])["at_hash"]


def test_the_marker_shows_through_base64(backend: Backend) -> None:
    """
    A leaked ID token is found by one of the forms, wherever the claim stands in it.
    """
    tokens = [backend.sign_in(f"{'a' * n}@example.com")["id_token"] for n in range(1, 7)]

    assert all(any(marker in token for marker in MARKERS) for token in tokens)


def test_userinfo_speaks_openid_connect(backend: Backend) -> None:
    """
    At the path of discovery and at v3's.
    """
    headers = {"Authorization": "Bearer " + backend.sign_in()["access_token"]}

    answers = [backend.get(path, headers=headers).json() for path in ("/v1/userinfo", "/oauth2/v3/userinfo")]

    assert answers[0] == answers[1]
    assert (ADA, True) == (answers[0]["email"], answers[0]["email_verified"])
    assert {"sub", "name", "given_name", "family_name", "picture", "hd"} <= answers[0].keys()


def test_userinfo_v2_has_names_of_its_own(backend: Backend) -> None:
    """
    ``id`` and ``verified_email``; mixing the two is a classic mistake.
    """
    headers = {"Authorization": "Bearer " + backend.sign_in()["access_token"]}

    answer = backend.get("/oauth2/v2/userinfo", headers=headers).json()

    assert {"id", "verified_email"} <= answer.keys()
    assert {"sub", "email_verified"}.isdisjoint(answer)


def test_userinfo_needs_an_identity_scope(backend: Backend) -> None:
    """
    403 with a challenge that names what is missing.
    """
    token = backend.sign_in(source="android", scopes=[APPDATA])["access_token"]

    response = backend.get("/v1/userinfo", headers={"Authorization": f"Bearer {token}"})

    assert 403 == response.status_code
    assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]
    assert "PERMISSION_DENIED" == response.json()["error"]["status"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nothing"}])
def test_userinfo_needs_a_token_that_works(backend: Backend, headers: dict[str, str]) -> None:
    """
    401 in Google's envelope with Google's challenge.
    """
    response = backend.get("/v1/userinfo", headers=headers)

    assert 401 == response.status_code
    assert "UNAUTHENTICATED" == response.json()["error"]["status"]
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="https://accounts.google.com/"')


def tokeninfo(backend: Backend, **parameters: str) -> Any:
    return backend.get("/tokeninfo", params=parameters).json()


def test_tokeninfo_describes_an_access_token(backend: Backend) -> None:
    """
    Numbers come as text; a Bearer header works as well as the query.
    """
    token = backend.sign_in()["access_token"]
    answer = tokeninfo(backend, access_token=token)
    posted = backend.post("/tokeninfo", headers={"Authorization": f"Bearer {token}"}).json()

    assert backend.client.id == answer["aud"] == answer["azp"]
    assert ("offline", ADA, "true") == (answer["access_type"], answer["email"], answer["email_verified"])
    assert {"openid", EMAIL, PROFILE, APPDATA} == set(answer["scope"].split())
    assert 3590 <= int(answer["expires_in"]) <= 3600
    assert answer["sub"] == posted["sub"]


def test_tokeninfo_v2_has_names_of_its_own(backend: Backend) -> None:
    """
    ``issued_to``, ``audience``, ``user_id``.
    """
    token = backend.sign_in()["access_token"]

    answer = backend.get("/oauth2/v2/tokeninfo", params={"access_token": token}).json()

    assert {
        "issued_to",
        "audience",
        "user_id",
        "scope",
        "expires_in",
        "email",
        "verified_email",
    } <= answer.keys()


@pytest.mark.parametrize("path", ["/tokeninfo", "/oauth2/v2/tokeninfo"])
def test_tokeninfo_tells_no_more_than_the_scopes(backend: Backend, path: str) -> None:
    """
    Without an identity scope nobody is named.
    """
    token = backend.sign_in(source="android", scopes=[APPDATA])["access_token"]

    answer = backend.post(path, data={"access_token": token}).json()

    assert APPDATA == answer["scope"]
    assert {"sub", "user_id", "email"}.isdisjoint(answer)


def test_tokeninfo_describes_an_id_token(backend: Backend) -> None:
    """
    After checking its signature and its end.
    """
    token = backend.sign_in()["id_token"]
    good = tokeninfo(backend, id_token=token)
    forged = backend.get("/tokeninfo", params={"id_token": token[:-5] + "AAAAA"})
    backend.control("clock", advance=3601)
    late = backend.get("/tokeninfo", params={"id_token": token})

    assert (ADA, "RS256") == (good["email"], good["alg"])
    assert (400, "invalid_token") == refused(forged)
    assert (400, "invalid_token") == refused(late)


def test_tokeninfo_knows_no_dead_token(backend: Backend) -> None:
    """
    Nor what was never one, nor nothing.
    """
    token = backend.sign_in()["access_token"]
    backend.control("revoke", email=ADA)

    dead = backend.get("/tokeninfo", params={"access_token": token})
    garbage = backend.get("/tokeninfo", params={"id_token": "a.b.c"})
    nothing = backend.get("/tokeninfo")

    assert (400, "invalid_token") == refused(dead)
    assert (400, "invalid_token") == refused(garbage)
    assert (400, "invalid_request") == refused(nothing)
