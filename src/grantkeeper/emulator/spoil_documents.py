"""Faults of what verifiers fetch (keys, discovery, userinfo) and of the answer on the redirect."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from grantkeeper.emulator.faults import Answer, Fault, FaultKind, Missed, Spoil
from grantkeeper.emulator.jose import b64
from grantkeeper.emulator.keys import SigningKey
from grantkeeper.emulator.spoil_token import ABSENT, json_object, member, with_members

if TYPE_CHECKING:
    from grantkeeper.emulator.world import World

Keys = list[tuple[str, dict[str, Any], str]]
"""Name, JWK and certificate of each published key."""


def _published(change: Callable[[Keys], Keys]) -> Spoil:
    """Publish other keys, in whichever form was asked for."""

    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        members = json_object(answer)
        keys = change([(key.kid, dict(key.jwk), key.pem) for key in world.keys.published])
        if "keys" in members:
            return with_members(answer, {"keys": [jwk for _, jwk, _ in keys]})
        return with_members(answer, {kid: pem for kid, _, pem in keys})

    return spoil


def _jwk_member(name: str, value: Any) -> Spoil:
    def change(keys: Keys) -> Keys:
        return [(kid, _changed(jwk, name, value), pem) for kid, jwk, pem in keys]

    return _published(change)


def _changed(jwk: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    kept = {key: each for key, each in jwk.items() if key != name}
    return kept if value is ABSENT else {**kept, name: value}


def _no_keys(keys: Keys) -> Keys:
    return []


def _stranger_first(keys: Keys) -> Keys:
    """A stranger's key under each name, before the true one."""
    stranger = SigningKey()
    twins = [(kid, {**stranger.jwk, "kid": kid}, stranger.pem) for kid, _, _ in keys]
    return [*twins, *keys]


def _other_names(keys: Keys) -> Keys:
    return [(kid[::-1], {**jwk, "kid": kid[::-1]}, pem) for kid, jwk, pem in keys]


def _elliptic(keys: Keys) -> Keys:
    private = ec.generate_private_key(ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    x, y = (b64(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    jwk = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": x, "y": y}
    name = x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=3650))
    pem = builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    return [(kid, {**jwk, "kid": kid}, pem) for kid, _, _ in keys]


def _cache_control(value: bytes | None) -> Spoil:
    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        headers = [(name, each) for name, each in answer.headers if name != b"cache-control"]
        added = [] if value is None else [(b"cache-control", value)]
        return Answer(answer.status, headers + added, answer.body)

    return spoil


_CERTS: list[tuple[str, str, Spoil]] = [
    ("no_keys", "No keys are published.", _published(_no_keys)),
    ("duplicate_kid", "A stranger's key stands first under each name.", _published(_stranger_first)),
    ("other_kids", "The right keys under other names.", _published(_other_names)),
    ("ec_key", "Elliptic curve keys under the names of the right ones.", _published(_elliptic)),
    ("key_without_kid", "The keys have no names (JWK set).", _jwk_member("kid", ABSENT)),
    ("key_without_n", "The keys have no modulus (JWK set).", _jwk_member("n", ABSENT)),
    ("key_use_enc", "The keys are for encryption (JWK set).", _jwk_member("use", "enc")),
    ("symmetric_key", "The keys are symmetric (JWK set).", _jwk_member("kty", "oct")),
    ("keys_not_list", "`keys` is an object.", member("keys", {})),
    ("max_age_zero", "The keys may not be kept.", _cache_control(b"public, max-age=0")),
    ("max_age_absent", "Nothing is said about keeping the keys.", _cache_control(None)),
    (
        "max_age_huge",
        "The keys may be kept for ever.",
        _cache_control(b"public, max-age=99999999999999999999"),
    ),
    ("max_age_text", "The age is not a number.", _cache_control(b"public, max-age=soon")),
]

_DISCOVERY: list[tuple[str, str, Spoil]] = [
    ("issuer_different", "The document of another issuer.", member("issuer", "https://issuer.example")),
    ("issuer_absent", "No issuer.", member("issuer", ABSENT)),
    ("token_endpoint_absent", "No token endpoint.", member("token_endpoint", ABSENT)),
    (
        "token_endpoint_elsewhere",
        "The token endpoint of a stranger.",
        member("token_endpoint", "https://issuer.example/token"),
    ),
    ("token_endpoint_not_text", "The token endpoint is a list.", member("token_endpoint", ["/token"])),
    ("jwks_uri_absent", "No address for the keys.", member("jwks_uri", ABSENT)),
]


def _redirected(name: str, value: str | None) -> Spoil:
    """Change a parameter of the redirect; a page is left alone, and the fault waits."""

    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        headers = dict(answer.headers)
        location, mark, query = headers.get(b"location", b"").decode().partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        if answer.status != 302 or not any(key in ("code", "error") for key, _ in pairs):
            raise Missed
        pairs = [pair for pair in pairs if pair[0] != name]
        if value is not None:
            pairs.append((name, value))
        headers[b"location"] = f"{location}{mark}{urlencode(pairs)}".encode()
        return Answer(302, list(headers.items()), b"")

    return spoil


_AUTH: list[tuple[str, str, Spoil]] = [
    ("state_absent", "The state does not come back.", _redirected("state", None)),
    ("state_different", "Another state comes back.", _redirected("state", "another-state")),
    ("iss_absent", "The redirect does not say who answers.", _redirected("iss", None)),
    ("iss_different", "The redirect names another issuer.", _redirected("iss", "https://issuer.example")),
    ("code_absent", "The redirect has no code.", _redirected("code", None)),
    ("code_garbage", "The redirect has a code that never was.", _redirected("code", "garbage")),
    ("error_added", "The redirect has a code and an error.", _redirected("error", "server_error")),
]

DOCUMENT_FAULTS = [
    *(FaultKind(name, ("certs",), True, does, spoil) for name, does, spoil in _CERTS),
    *(FaultKind(name, ("discovery",), True, does, spoil) for name, does, spoil in _DISCOVERY),
    *(FaultKind(name, ("auth",), True, does, spoil) for name, does, spoil in _AUTH),
    FaultKind(
        "userinfo_another_subject",
        ("userinfo",),
        True,
        "The userinfo of somebody else (OpenID Connect Core 5.3.2).",
        member("sub", "100000000000000000001"),
    ),
]
