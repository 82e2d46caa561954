"""Each fault of the token answer, the ID token and the documents does what the menu says."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from grantkeeper.emulator.jose import read
from grantkeeper.emulator.menu import MENU
from grantkeeper.emulator.spoil_documents import DOCUMENT_FAULTS
from grantkeeper.emulator.spoil_identity import IDENTITY_FAULTS
from grantkeeper.emulator.spoil_token import TOKEN_FAULTS
from tests.emulator.oauth_kit import ADA, APPDATA, FILE, PREFIX, Backend

Answer = dict[str, Any]
Check = Callable[[Answer], bool]

MEMBERS: dict[str, Check] = {
    "access_token_absent": lambda a: "access_token" not in a,
    "access_token_empty": lambda a: a["access_token"] == "",
    "access_token_not_text": lambda a: a["access_token"] == 42,
    "access_token_with_newline": lambda a: "\r\nX-Injected" in a["access_token"],
    "access_token_huge": lambda a: len(a["access_token"]) > 100_000,
    "expires_in_absent": lambda a: "expires_in" not in a,
    "expires_in_negative": lambda a: a["expires_in"] == -1,
    "expires_in_zero": lambda a: a["expires_in"] == 0,
    "expires_in_string": lambda a: a["expires_in"] == "3599",
    "expires_in_text": lambda a: a["expires_in"] == "soon",
    "expires_in_huge": lambda a: a["expires_in"] == 10**30,
    "expires_in_true": lambda a: a["expires_in"] is True,
    "expires_in_null": lambda a: a["expires_in"] is None,
    "expires_in_nan": lambda a: a["expires_in"] != a["expires_in"],
    "expires_in_float": lambda a: a["expires_in"] == 3599.5,
    "expires_in_short": lambda a: a["expires_in"] == 30,
    "token_type_absent": lambda a: "token_type" not in a,
    "token_type_mac": lambda a: a["token_type"] == "mac",
    "token_type_not_text": lambda a: a["token_type"] == ["Bearer"],
    "token_type_lower": lambda a: a["token_type"] == "bearer",
    "scope_absent": lambda a: "scope" not in a,
    "scope_not_text": lambda a: a["scope"] == ["openid"],
    "scope_empty": lambda a: a["scope"] == "",
    "scope_narrower": lambda a: len(set(a["scope"].split()) & {APPDATA, FILE}) == 1,
    "scope_wider": lambda a: PREFIX + "drive" in a["scope"].split(),
    "refresh_token_absent": lambda a: "refresh_token" not in a,
    "refresh_token_empty": lambda a: a["refresh_token"] == "",
    "refresh_token_not_text": lambda a: a["refresh_token"] == 42,
    "refresh_token_null": lambda a: a["refresh_token"] is None,
    "id_token_absent": lambda a: "id_token" not in a,
    "id_token_not_text": lambda a: isinstance(a["id_token"], dict),
    "id_token_empty": lambda a: a["id_token"] == "",
    "id_token_garbage": lambda a: a["id_token"] == "not.a.token",
    "id_token_two_parts": lambda a: a["id_token"].count(".") == 1,
    "unknown_member": lambda a: "galaxy" in a,
}

ERRORS: dict[str, tuple[int, Answer]] = {
    "invalid_grant": (400, {"error": "invalid_grant"}),
    "invalid_rapt": (400, {"error": "invalid_grant", "error_subtype": "invalid_rapt"}),
    "rapt_required": (400, {"error": "invalid_grant", "error_subtype": "rapt_required"}),
    "invalid_client": (401, {"error": "invalid_client"}),
    "unauthorized_client": (401, {"error": "unauthorized_client"}),
    "deleted_client": (401, {"error": "deleted_client"}),
    "disabled_client": (401, {"error": "disabled_client"}),
    "admin_policy_enforced": (400, {"error": "admin_policy_enforced"}),
    "invalid_scope": (400, {"error": "invalid_scope"}),
    "org_internal": (403, {"error": "org_internal"}),
    "redirect_uri_mismatch": (400, {"error": "redirect_uri_mismatch"}),
    "invalid_request": (400, {"error": "invalid_request"}),
    "unsupported_grant_type": (400, {"error": "unsupported_grant_type"}),
    "access_denied": (403, {"error": "access_denied"}),
    "invalid_dpop_proof": (400, {"error": "invalid_dpop_proof"}),
    "use_dpop_nonce": (400, {"error": "use_dpop_nonce"}),
    "internal_failure": (500, {"error": "internal_failure"}),
    "server_error": (500, {"error": "server_error"}),
    "temporarily_unavailable": (503, {"error": "temporarily_unavailable"}),
    "error_unknown": (400, {"error": "galaxy_exploded"}),
    "error_with_secrets": (400, {"error_description": "Value GKMARK-echo was not understood."}),
    "rate_limit_exceeded": (403, {"error_code": "rate_limit_exceeded"}),
    "error_not_text": (400, {"error": 7}),
    "error_list": (400, {"error": ["invalid_grant"]}),
    "error_absent": (400, {}),
    "error_object": (400, {"error": {"code": 400, "message": "Bad Request", "status": "INVALID_ARGUMENT"}}),
    "error_with_200": (200, {"error": "invalid_grant"}),
}

CLAIMS: dict[str, Check] = {
    "invalid_iss": lambda c: c["iss"] == "https://issuer.example",
    "missing_iss": lambda c: "iss" not in c,
    "iss_not_text": lambda c: isinstance(c["iss"], list),
    "iss_without_scheme": lambda c: c["iss"].startswith("127.0.0.1"),
    "iss_with_slash": lambda c: c["iss"].endswith("/"),
    "invalid_aud": lambda c: c["aud"].startswith("999999999999-"),
    "missing_aud": lambda c: "aud" not in c,
    "aud_not_text": lambda c: c["aud"] == 7,
    "aud_list": lambda c: c["aud"] == [c["azp"]],
    "aud_list_foreign": lambda c: c["aud"][0] == c["azp"] and len(c["aud"]) == 2,
    "invalid_azp": lambda c: c["azp"] != c["aud"],
    "missing_azp": lambda c: "azp" not in c,
    "azp_not_text": lambda c: c["azp"] == 7,
    "expired_id_token": lambda c: c["exp"] == c["iat"] - 86_400,
    "missing_exp": lambda c: "exp" not in c,
    "exp_true": lambda c: c["exp"] is True,
    "exp_text": lambda c: isinstance(c["exp"], str),
    "exp_far": lambda c: c["exp"] > c["iat"] + 3600 * 86_400,
    "exp_huge": lambda c: c["exp"] == 10**18,
    "iat_future": lambda c: c["iat"] > c["exp"],
    "iat_old": lambda c: c["exp"] - c["iat"] > 30 * 86_400,
    "missing_iat": lambda c: "iat" not in c,
    "iat_true": lambda c: c["iat"] is True,
    "iat_text": lambda c: isinstance(c["iat"], str),
    "missing_sub": lambda c: "sub" not in c,
    "sub_not_text": lambda c: isinstance(c["sub"], int),
    "sub_empty": lambda c: c["sub"] == "",
    "sub_long": lambda c: len(c["sub"]) == 256,
    "sub_not_ascii": lambda c: not c["sub"].isascii(),
    "another_subject": lambda c: c["sub"] == "100000000000000000001",
    "nonce_absent": lambda c: "nonce" not in c,
    "nonce_different": lambda c: c["nonce"] == "another-nonce",
    "nonce_not_text": lambda c: c["nonce"] == 7,
    "at_hash_different": lambda c: c["at_hash"] == "A" * 22,
    "at_hash_absent": lambda c: "at_hash" not in c,
    "email_not_text": lambda c: isinstance(c["email"], list),
    "email_absent": lambda c: "email" not in c,
    "email_unverified": lambda c: c["email_verified"] is False,
    "email_verified_text": lambda c: c["email_verified"] == "true",
    "hd_different": lambda c: c["hd"] == "elsewhere.example",
}

HEADERS: dict[str, Check] = {
    "alg_none": lambda h: h["alg"] == "none",
    "alg_hs256": lambda h: h["alg"] == "HS256",
    "alg_unknown": lambda h: h["alg"] == "XS999",
    "kid_unknown": lambda h: h["kid"] == "0" * 40,
    "kid_missing": lambda h: "kid" not in h,
    "kid_not_text": lambda h: h["kid"] == 7,
    "crit_header": lambda h: h["crit"] == ["galaxy"],
    "bad_signature": lambda h: h["alg"] == "RS256",
    "unpublished_key": lambda h: h["alg"] == "RS256",
    "weak_key": lambda h: h["alg"] == "RS256",
}


def spoilt(backend: Backend, name: str, endpoint: str = "token") -> Answer:
    """The token answer of a sign-in while the fault *name* is active."""
    backend.control("fault", endpoint=endpoint, name=name, count=1)
    code = backend.code(scopes=[APPDATA, FILE], nonce="n")
    return dict(backend.redeem(code).json())


def verifies(backend: Backend, token: str) -> bool:
    """Whether the published keys verify *token*, by another library."""
    keys = KeySet.import_key_set(backend.get("/oauth2/v3/certs").json())
    try:
        jws.deserialize_compact(token, keys, algorithms=["RS256"])
    except (JoseError, ValueError):
        return False
    return True


def test_no_fault_of_the_menu_is_untested() -> None:
    """
    Each name stands in one of the tables here.
    """
    told = {kind.name for kind in (*TOKEN_FAULTS, *IDENTITY_FAULTS, *DOCUMENT_FAULTS)}

    assert told == {
        *MEMBERS,
        *ERRORS,
        *CLAIMS,
        *HEADERS,
        *KEYS,
        *AGES,
        *DISCOVERY,
        *REDIRECTS,
        "invalid_token",
        "userinfo_another_subject",
    }
    assert told < MENU.keys()


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_is_spoilt(backend: Backend, name: str) -> None:
    """
    The refresh token was minted all the same.
    """
    answer = spoilt(backend, name)

    assert MEMBERS[name](answer)
    assert 1 == backend.get("/emulator/refresh_tokens", params={"email": ADA}).json()["live"]


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_answered(backend: Backend, name: str) -> None:
    """
    Without effect: the same code works afterwards.
    """
    status, body = ERRORS[name]
    code = backend.code()
    backend.control("fault", endpoint="token", name=name, count=1)

    response = backend.redeem(code)

    assert status == response.status_code
    assert body.items() <= response.json().items()
    assert 200 == backend.redeem(code).status_code


def test_an_errors_text_and_status_can_be_chosen(backend: Backend) -> None:
    """
    Google's descriptions vary.
    """
    backend.control(
        "fault",
        endpoint="token",
        name="unauthorized_client",
        description="Bad Request",
        status=400,
        retry_after=1,
    )
    response = backend.redeem("x")

    assert (400, "Bad Request", "1") == (
        response.status_code,
        response.json()["error_description"],
        response.headers["Retry-After"],
    )


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_spoilt_under_a_good_signature(backend: Backend, name: str) -> None:
    """
    So a verifier must look at the claim itself.
    """
    token = spoilt(backend, name)["id_token"]

    assert CLAIMS[name](read(token)[1])
    assert verifies(backend, token)


@pytest.mark.parametrize("name", HEADERS)
def test_a_signature_is_spoilt_over_good_claims(backend: Backend, name: str) -> None:
    """
    So a verifier must look at header, key and signature.
    """
    token = spoilt(backend, name)["id_token"]
    header, claims, _ = read(token)

    assert HEADERS[name](header)
    assert (backend.url, backend.client.id) == (claims["iss"], claims["aud"])
    assert not verifies(backend, token)


def test_an_unpublished_key_hides_under_a_published_name(backend: Backend) -> None:
    """
    Only the signature tells.
    """
    header = read(spoilt(backend, "unpublished_key")["id_token"])[0]

    assert header["kid"] in backend.get("/oauth2/v1/certs").json()


# Keys

JwkCheck = Callable[[list[Answer]], bool]

KEYS: dict[str, JwkCheck] = {
    "no_keys": lambda keys: keys == [],
    "duplicate_kid": lambda keys: len(keys) == 4 and len({key["kid"] for key in keys}) == 2,
    "other_kids": lambda keys: len(keys) == 2,
    "ec_key": lambda keys: {key["kty"] for key in keys} == {"EC"},
    "key_without_kid": lambda keys: all("kid" not in key for key in keys),
    "key_without_n": lambda keys: all("n" not in key for key in keys),
    "key_use_enc": lambda keys: all(key["use"] == "enc" for key in keys),
    "symmetric_key": lambda keys: all(key["kty"] == "oct" for key in keys),
    "keys_not_list": lambda keys: not isinstance(keys, list),
}


@pytest.mark.parametrize("name", KEYS)
def test_the_published_keys_are_spoilt(backend: Backend, name: str) -> None:
    """
    None of them leaves the honest set behind.
    """
    honest = backend.get("/oauth2/v3/certs").json()["keys"]
    backend.control("fault", endpoint="certs", name=name, count=1)
    keys = backend.get("/oauth2/v3/certs").json()["keys"]

    assert KEYS[name](keys)
    assert honest != keys


def test_names_are_exchanged_in_both_forms(backend: Backend) -> None:
    """
    The certificates follow the JWK set.
    """
    honest = set(backend.get("/oauth2/v1/certs").json())
    backend.control("fault", endpoint="certs", name="other_kids")

    assert honest.isdisjoint(backend.get("/oauth2/v1/certs").json())
    assert honest.isdisjoint(key["kid"] for key in backend.get("/oauth2/v3/certs").json()["keys"])


def test_a_strangers_key_stands_before_the_right_one(backend: Backend) -> None:
    """
    A verifier that takes the first of a name refuses a good token; it never accepts a bad one.
    """
    honest = {key["kid"]: key["n"] for key in backend.get("/oauth2/v3/certs").json()["keys"]}
    backend.control("fault", endpoint="certs", name="duplicate_kid", count=1)
    keys = backend.get("/oauth2/v3/certs").json()["keys"]

    assert all(honest[key["kid"]] != key["n"] for key in keys[:2])
    assert all(honest[key["kid"]] == key["n"] for key in keys[2:])


def test_elliptic_keys_come_as_certificates_as_well(backend: Backend) -> None:
    """
    Under the names of the right ones.
    """
    backend.control("fault", endpoint="certs", name="ec_key", count=1)
    certificates = backend.get("/oauth2/v1/certs").json().values()
    keys = [x509.load_pem_x509_certificate(pem.encode()).public_key() for pem in certificates]

    assert all(isinstance(key, ec.EllipticCurvePublicKey) for key in keys)


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_the_weak_key_is_published_beside_the_others(backend: Backend, version: str) -> None:
    """
    It verifies what the token endpoint signs with it; only its length is wrong.
    """
    token = spoilt(backend, "weak_key")["id_token"]
    kid = read(token)[0]["kid"]
    backend.control("fault", endpoint="certs", name="weak_key", count=1)
    published = backend.get(f"/oauth2/{version}/certs").json()

    if version == "v1":
        public = x509.load_pem_x509_certificate(published[kid].encode()).public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        assert 1024 == public.key_size
    else:
        assert kid in {key["kid"] for key in published["keys"]}
    assert backend.emulator.world.keys.weak.verifies(token)


AGES: dict[str, str | None] = {
    "max_age_zero": "public, max-age=0",
    "max_age_absent": None,
    "max_age_huge": "public, max-age=99999999999999999999",
    "max_age_text": "public, max-age=soon",
}


@pytest.mark.parametrize("name", AGES)
def test_the_age_of_the_keys_is_spoilt(backend: Backend, name: str) -> None:
    """
    The keys themselves are good.
    """
    backend.control("fault", endpoint="certs", name=name, count=1)
    response = backend.get("/oauth2/v3/certs")

    assert AGES[name] == response.headers.get("Cache-Control")
    assert 2 == len(response.json()["keys"])


# Discovery, userinfo, revocation, redirect

DISCOVERY: dict[str, Check] = {
    "issuer_different": lambda d: d["issuer"] == "https://issuer.example",
    "issuer_absent": lambda d: "issuer" not in d,
    "token_endpoint_absent": lambda d: "token_endpoint" not in d,
    "token_endpoint_elsewhere": lambda d: d["token_endpoint"] == "https://issuer.example/token",
    "token_endpoint_not_text": lambda d: isinstance(d["token_endpoint"], list),
    "jwks_uri_absent": lambda d: "jwks_uri" not in d,
}


@pytest.mark.parametrize("name", DISCOVERY)
def test_discovery_is_spoilt(backend: Backend, name: str) -> None:
    """
    One member at a time.
    """
    backend.control("fault", endpoint="discovery", name=name, count=1)

    assert DISCOVERY[name](backend.get("/.well-known/openid-configuration").json())


def test_userinfo_may_be_somebody_elses(backend: Backend) -> None:
    """
    OpenID Connect Core 5.3.2 asks the client to compare.
    """
    answer = backend.sign_in()
    backend.control("fault", endpoint="userinfo", name="userinfo_another_subject", count=1)
    headers = {"Authorization": f"Bearer {answer['access_token']}"}

    got = backend.get("/v1/userinfo", headers=headers).json()

    assert read(answer["id_token"])[1]["sub"] != got["sub"]


def test_a_revocation_may_be_refused(backend: Backend) -> None:
    """
    Without effect.
    """
    token = backend.sign_in()["refresh_token"]
    backend.control("fault", endpoint="revoke", name="invalid_token", count=1)
    response = backend.post("/revoke", data={"token": token})

    assert (400, "invalid_token") == (response.status_code, response.json()["error"])
    assert 200 == backend.refresh(token).status_code


REDIRECTS: dict[str, Check] = {
    "state_absent": lambda a: "state" not in a and "code" in a,
    "state_different": lambda a: a["state"] == "another-state",
    "iss_absent": lambda a: "iss" not in a and "code" in a,
    "iss_different": lambda a: a["iss"] == "https://issuer.example",
    "code_absent": lambda a: "code" not in a,
    "code_garbage": lambda a: a["code"] == "garbage",
    "error_added": lambda a: a["error"] == "server_error" and "code" in a,
}


@pytest.mark.parametrize("name", REDIRECTS)
def test_the_answer_on_the_redirect_is_spoilt(backend: Backend, name: str) -> None:
    """
    The pages before it are left alone.
    """
    from tests.emulator.test_authorization import Browser

    backend.control("fault", endpoint="auth", name=name, count=1)
    browser = Browser(backend)
    browser.open().sign_in()
    page = browser.text
    answer = browser.decide().answer
    browser.http.close()

    assert "wants access" in page
    assert REDIRECTS[name](answer)
