"""Faults of the ID token: claims absent, mistyped or wrong, and every trick with the signature."""

import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization

from grantkeeper.emulator.faults import Answer, Fault, FaultKind, Missed, Spoil
from grantkeeper.emulator.jose import b64, read, signing_input
from grantkeeper.emulator.keys import SigningKey
from grantkeeper.emulator.spoil_token import json_object, with_members

if TYPE_CHECKING:
    from grantkeeper.emulator.world import World

Claims = dict[str, Any]
Forge = Callable[[Claims, Claims, "World"], str]

_DAY = 86_400
_ELSEWHERE = "https://issuer.example"
_STRANGER = "999999999999-strangerstrangerstrangerstranger.apps.googleusercontent.com"


def _spoil(forge: Forge) -> Spoil:
    """Replace the ID token of a token answer by what *forge* makes of its header and claims."""

    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        members = json_object(answer)
        if "id_token" not in members:
            raise Missed
        header, claims, _ = read(members["id_token"])
        members["id_token"] = forge(header, claims, world)
        return with_members(answer, members)

    return spoil


def _resigned(header: Claims, claims: Claims, world: "World") -> str:
    return world.keys.current.sign(claims, header)


def claim(name: str, value: Any) -> Forge:
    """A token whose claim *name* is *value*, or what *value* makes of the claims."""

    def forge(header: Claims, claims: Claims, world: "World") -> str:
        made = value(claims) if callable(value) else value
        return _resigned(header, {**claims, name: made}, world)

    return forge


def without(name: str) -> Forge:
    """A token that lacks the claim *name*."""

    def forge(header: Claims, claims: Claims, world: "World") -> str:
        if name not in claims:
            raise Missed
        return _resigned(header, {key: value for key, value in claims.items() if key != name}, world)

    return forge


def _header(**changes: Any) -> Forge:
    def forge(header: Claims, claims: Claims, world: "World") -> str:
        changed = {key: value for key, value in {**header, **changes}.items() if value is not None}
        return _resigned(changed, claims, world)

    return forge


def _alg_none(header: Claims, claims: Claims, world: "World") -> str:
    return signing_input({"alg": "none", "typ": "JWT"}, claims) + "."


def _alg_hs256(header: Claims, claims: Claims, world: "World") -> str:
    """The public key as an HMAC secret: the old confusion of algorithms."""
    public = world.keys.current.private.public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = signing_input({**header, "alg": "HS256"}, claims)
    return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def _bad_signature(header: Claims, claims: Claims, world: "World") -> str:
    text, _, signature = world.keys.current.sign(claims, header).rpartition(".")
    return f"{text}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _unpublished_key(header: Claims, claims: Claims, world: "World") -> str:
    return SigningKey().sign(claims, header)


def _weak_key(header: Claims, claims: Claims, world: "World") -> str:
    return world.keys.weak.sign(claims)


def _bare(claims: Claims) -> str:
    return str(claims["iss"]).partition("://")[2]


_CLAIMS: list[tuple[str, str, Forge]] = [
    ("invalid_iss", "Another issuer.", claim("iss", _ELSEWHERE)),
    ("missing_iss", "No issuer.", without("iss")),
    ("iss_not_text", "The issuer is a list.", claim("iss", lambda claims: [claims["iss"]])),
    ("iss_without_scheme", "The issuer without https://, which Google may send.", claim("iss", _bare)),
    (
        "iss_with_slash",
        "The issuer with a slash at its end.",
        claim("iss", lambda claims: claims["iss"] + "/"),
    ),
    ("invalid_aud", "For another client.", claim("aud", _STRANGER)),
    ("missing_aud", "For nobody.", without("aud")),
    ("aud_not_text", "The audience is a number.", claim("aud", 7)),
    ("aud_list", "The audience is a list of one.", claim("aud", lambda claims: [claims["aud"]])),
    ("aud_list_foreign", "A second audience.", claim("aud", lambda claims: [claims["aud"], _STRANGER])),
    ("invalid_azp", "Asked for by another client.", claim("azp", _STRANGER)),
    ("missing_azp", "No authorized party.", without("azp")),
    ("azp_not_text", "The authorized party is a number.", claim("azp", 7)),
    ("expired_id_token", "Expired a day ago.", claim("exp", lambda claims: claims["iat"] - _DAY)),
    ("missing_exp", "No expiry.", without("exp")),
    ("exp_true", "The expiry is true.", claim("exp", True)),
    ("exp_text", "The expiry is text.", claim("exp", lambda claims: str(claims["exp"]))),
    ("exp_far", "Expires in ten years.", claim("exp", lambda claims: claims["exp"] + 3653 * _DAY)),
    ("exp_huge", "The expiry is beyond any calendar.", claim("exp", 10**18)),
    ("iat_future", "Issued tomorrow.", claim("iat", lambda claims: claims["iat"] + _DAY)),
    ("iat_old", "Issued 30 days ago.", claim("iat", lambda claims: claims["iat"] - 30 * _DAY)),
    ("missing_iat", "No time of issue.", without("iat")),
    ("iat_true", "The time of issue is true.", claim("iat", True)),
    ("iat_text", "The time of issue is text.", claim("iat", lambda claims: str(claims["iat"]))),
    ("missing_sub", "No subject.", without("sub")),
    ("sub_not_text", "The subject is a number.", claim("sub", lambda claims: int(claims["sub"]) % 10**15)),
    ("sub_empty", "The subject is an empty string.", claim("sub", "")),
    ("sub_long", "The subject has 256 characters.", claim("sub", "1" * 256)),
    ("sub_not_ascii", "The subject has a letter beyond ASCII.", claim("sub", "1234567890\u00e9")),
    ("another_subject", "Somebody else.", claim("sub", "100000000000000000001")),
    ("nonce_absent", "The nonce that was sent does not come back.", without("nonce")),
    ("nonce_different", "Another nonce.", claim("nonce", "another-nonce")),
    ("nonce_not_text", "The nonce is a number.", claim("nonce", 7)),
    ("at_hash_different", "The hash of another access token.", claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")),
    ("at_hash_absent", "No hash of the access token, which is allowed.", without("at_hash")),
    ("email_not_text", "The e-mail address is a list.", claim("email", ["a@example.com"])),
    ("email_absent", "No e-mail address.", without("email")),
    ("email_unverified", "The address is not verified.", claim("email_verified", False)),
    ("email_verified_text", "The text true, as older tokens have.", claim("email_verified", "true")),
    ("hd_different", "Another Workspace domain.", claim("hd", "elsewhere.example")),
]

_SIGNATURES: list[tuple[str, str, Forge]] = [
    ("alg_none", "Not signed at all.", _alg_none),
    ("alg_hs256", "HMAC with the public key as its secret.", _alg_hs256),
    ("alg_unknown", "An algorithm that nobody knows.", _header(alg="XS999")),
    ("kid_unknown", "Names a key that is not published.", _header(kid="0" * 40)),
    ("kid_missing", "Names no key.", _header(kid=None)),
    ("kid_not_text", "The key's name is a number.", _header(kid=7)),
    (
        "crit_header",
        "A critical extension that nobody knows (RFC 7515 4.1.11).",
        _header(crit=["galaxy"], galaxy=1),
    ),
    ("bad_signature", "One character of the signature is wrong.", _bad_signature),
    ("unpublished_key", "Signed by a stranger's key under a published name.", _unpublished_key),
]


def _weak(answer: Answer, fault: Fault, world: "World") -> Answer:
    """At the token endpoint, sign with the weak key; at certs, publish it."""
    if fault.endpoint == "token":
        return _spoil(_weak_key)(answer, fault, world)
    members = json_object(answer)
    weak = world.keys.weak
    if "keys" in members:
        members["keys"] = [*members["keys"], weak.jwk]
    else:
        members[weak.kid] = weak.pem
    return with_members(answer, members)


IDENTITY_FAULTS = [
    *(
        FaultKind(name, ("token",), True, f"ID token: {does}", _spoil(forge))
        for name, does, forge in (*_CLAIMS, *_SIGNATURES)
    ),
    FaultKind(
        "weak_key",
        ("token", "certs"),
        True,
        "Sign with an RSA key of 1024 bits (token), or publish it (certs).",
        _weak,
    ),
]
