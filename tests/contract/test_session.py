"""`session.token`: what the app's backend verifies, by the key set alone (section 3)."""

import base64
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.contract.stage import Google, Stage, jwt


def number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def verify(stage: Stage, token: str) -> None:
    """
    As a backend in any language would (RFC 7515 5.2, RFC 7518 3.4).

    Raises:
        InvalidSignature: It is not of the key that it names.
    """
    keys = stage.ask("GET", "/.well-known/jwks.json").json["keys"]
    (key,) = (key for key in keys if key["kid"] == jwt(token)[0]["kid"])
    assert ("EC", "P-256") == (key["kty"], key["crv"])
    assert "d" not in key
    public = EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), SECP256R1()).public_key()
    signed, _, signature = token.rpartition(".")
    pair = base64.urlsafe_b64decode(signature + "==")
    dss = encode_dss_signature(int.from_bytes(pair[:32], "big"), int.from_bytes(pair[32:], "big"))
    public.verify(dss, signed.encode(), ECDSA(SHA256()))


def test_it_is_verified_by_the_published_keys(stage: Stage, google: Google) -> None:
    """
    ES256; the signature of another token is noticed.
    """
    token = stage.redeem({"code": google.code("sam@example.com")}).json["session"]["token"]

    verify(stage, token)
    other = stage.redeem({"code": google.code("mallory@example.com")}).json["session"]["token"]
    with pytest.raises(InvalidSignature):
        verify(stage, other.rpartition(".")[0] + "." + token.rpartition(".")[2])


def test_its_claims_are_those_of_the_contract(stage: Stage, google: Google) -> None:
    """
    Whose it is, for whom, for which grant, and for how long.
    """
    code, sub = google.sign_in("claims@example.com", nonce="n-claims")
    said = stage.redeem({"code": code, "nonce": "n-claims"}).json
    header, claims = jwt(said["session"]["token"])

    assert ("ES256", "gk-session+jwt") == (header["alg"], header["typ"])
    assert {
        "iss": f"http://127.0.0.1:{stage.port}",
        "aud": google.client["client_id"],
        "sub": sub,
        "sub_iss": google.issuer,
        "grant": said["grant"]["id"],
        "nonce": "n-claims",
    }.items() <= claims.items()
    assert claims["jti"]
    assert 0 < claims["exp"] - claims["iat"] <= 300
    assert "Bearer" == said["session"]["token_type"]
    assert abs(claims["exp"] - claims["iat"] - said["session"]["expires_in"]) <= 1
    assert time.time() - 60 < claims["iat"]


def test_without_a_nonce_there_is_none(stage: Stage, google: Google) -> None:
    """
    And each token is one of its own.
    """
    sessions = [
        jwt(stage.redeem({"code": google.code("jti@example.com")}).json["session"]["token"])[1]
        for _ in range(2)
    ]

    assert ["nonce" in claims for claims in sessions] == [False, False]
    assert sessions[0]["jti"] != sessions[1]["jti"]
