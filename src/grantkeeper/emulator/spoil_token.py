"""Faults of the token answer: members that are absent, of the wrong type or hostile, and every error code."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from grantkeeper.emulator.answers import OAuthError
from grantkeeper.emulator.faults import Answer, Fault, FaultKind, Missed, Spoil
from grantkeeper.emulator.scopes import IDENTITY, PREFIX
from grantkeeper.emulator.spoil_wire import JSON

if TYPE_CHECKING:
    from grantkeeper.emulator.world import World

Change = Callable[[dict[str, Any]], None]

ABSENT = object()


class Raw(str):
    """A JSON value written as it stands, for numbers that no encoder would write."""

    __slots__ = ()


def json_object(answer: Answer) -> dict[str, Any]:
    """
    The members of a successful JSON answer.

    Raises:
        Missed: It is another kind of answer, so the fault waits for the next one.
    """
    if answer.status != 200:
        raise Missed
    return dict(msgspec.json.decode(answer.body, type=dict[str, Any]))


def with_members(answer: Answer, members: dict[str, Any]) -> Answer:
    """*answer* with *members* as its body."""
    pieces = [msgspec.json.encode(name) + b":" + _written(value) for name, value in members.items()]
    return Answer(answer.status, answer.headers, b"{" + b",".join(pieces) + b"}")


def _written(value: Any) -> bytes:
    return str(value).encode() if isinstance(value, Raw) else msgspec.json.encode(value)


def member(name: str, value: Any) -> Spoil:
    """Set member *name* to *value*, or take it away if that is `ABSENT`."""

    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        members = json_object(answer)
        if value is ABSENT:
            if members.pop(name, None) is None:
                raise Missed
        else:
            members[name] = value
        return with_members(answer, members)

    return spoil


def _member_text(name: str, change: Callable[[str], str]) -> Spoil:
    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        members = json_object(answer)
        members[name] = change(str(members[name]))
        return with_members(answer, members)

    return spoil


def _narrower(scope: str) -> str:
    """Without the last service scope; without any, the identity alone."""
    scopes = scope.split()
    services = [each for each in scopes if each not in IDENTITY]
    return " ".join(each for each in scopes if each not in services[-1:])


def _wider(scope: str) -> str:
    return f"{scope} {PREFIX}drive"


def _member_faults() -> list[FaultKind]:
    table: list[tuple[str, str, Spoil]] = [
        ("access_token_absent", "No access token.", member("access_token", ABSENT)),
        ("access_token_empty", "The access token is an empty string.", member("access_token", "")),
        ("access_token_not_text", "The access token is a number.", member("access_token", 42)),
        (
            "access_token_with_newline",
            "The access token would break a header.",
            _member_text("access_token", _split),
        ),
        (
            "access_token_huge",
            "The access token has 100,000 characters.",
            _member_text("access_token", _long),
        ),
        ("expires_in_absent", "No life is announced.", member("expires_in", ABSENT)),
        ("expires_in_negative", "The life is -1.", member("expires_in", -1)),
        ("expires_in_zero", "The life is 0.", member("expires_in", 0)),
        (
            "expires_in_string",
            'The life is the text "3599", which some servers do.',
            member("expires_in", "3599"),
        ),
        ("expires_in_text", 'The life is the text "soon".', member("expires_in", "soon")),
        ("expires_in_huge", "The life is 10 to the power of 30.", member("expires_in", Raw("1" + "0" * 30))),
        ("expires_in_true", "The life is true.", member("expires_in", True)),
        ("expires_in_null", "The life is null.", member("expires_in", None)),
        ("expires_in_nan", "The life is NaN, which is not JSON.", member("expires_in", Raw("NaN"))),
        ("expires_in_float", "The life is 3599.5.", member("expires_in", 3599.5)),
        ("expires_in_short", "The life is 30 seconds.", member("expires_in", 30)),
        ("token_type_absent", "No token type.", member("token_type", ABSENT)),
        ("token_type_mac", "The token type is mac.", member("token_type", "mac")),
        ("token_type_not_text", "The token type is a list.", member("token_type", ["Bearer"])),
        (
            "token_type_lower",
            "The token type is bearer in lower case, which is right.",
            member("token_type", "bearer"),
        ),
        ("scope_absent", "No scope, which means what was asked (RFC 6749 5.1).", member("scope", ABSENT)),
        ("scope_not_text", "The scopes are a list.", member("scope", ["openid"])),
        ("scope_empty", "The scope is an empty string.", member("scope", "")),
        ("scope_narrower", "One service scope is missing.", _member_text("scope", _narrower)),
        ("scope_wider", "The drive scope was added.", _member_text("scope", _wider)),
        (
            "refresh_token_absent",
            "No refresh token, although one was minted.",
            member("refresh_token", ABSENT),
        ),
        ("refresh_token_empty", "The refresh token is an empty string.", member("refresh_token", "")),
        ("refresh_token_not_text", "The refresh token is a number.", member("refresh_token", 42)),
        ("refresh_token_null", "The refresh token is null.", member("refresh_token", None)),
        ("id_token_absent", "No ID token.", member("id_token", ABSENT)),
        ("id_token_not_text", "The ID token is an object.", member("id_token", {"sub": "1"})),
        ("id_token_empty", "The ID token is an empty string.", member("id_token", "")),
        ("id_token_garbage", "The ID token is not a JWS.", member("id_token", "not.a.token")),
        ("id_token_two_parts", "The ID token has lost its signature.", _member_text("id_token", _two_parts)),
        (
            "unknown_member",
            "A member that nobody knows, which is to be ignored.",
            member("galaxy", {"far": True}),
        ),
    ]
    return [FaultKind(name, ("token",), True, does, spoil) for name, does, spoil in table]


def _split(token: str) -> str:
    return f"{token[:20]}\r\nX-Injected: yes\r\n{token[20:]}"


def _long(token: str) -> str:
    return token + "a" * 100_000


def _two_parts(token: str) -> str:
    return token.rpartition(".")[0]


# Error answers


def _error(error: OAuthError) -> Spoil:
    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        body: dict[str, Any] = dict(error.body)
        if "description" in fault.options:
            body["error_description"] = fault.options["description"]
        return _error_answer(error.status, body, fault)

    return spoil


def _error_body(status: int, body: Any) -> Spoil:
    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        return _error_answer(status, body, fault)

    return spoil


def _error_answer(status: int, body: Any, fault: Fault) -> Answer:
    headers = [(b"content-type", JSON), (b"cache-control", b"no-store")]
    if "retry_after" in fault.options:
        headers.append((b"retry-after", str(fault.options["retry_after"]).encode()))
    return Answer(int(fault.options.get("status", status)), headers, msgspec.json.encode(body))


_ERRORS: list[tuple[str, OAuthError]] = [
    ("invalid_grant", OAuthError("invalid_grant", "Token has been expired or revoked.")),
    (
        "invalid_rapt",
        OAuthError("invalid_grant", "reauth related error (invalid_rapt)", subtype="invalid_rapt"),
    ),
    (
        "rapt_required",
        OAuthError("invalid_grant", "reauth related error (rapt_required)", subtype="rapt_required"),
    ),
    ("invalid_client", OAuthError("invalid_client", "The OAuth client was not found.", status=401)),
    ("unauthorized_client", OAuthError("unauthorized_client", "Unauthorized", status=401)),
    ("deleted_client", OAuthError("deleted_client", "The OAuth client was deleted.", status=401)),
    ("disabled_client", OAuthError("disabled_client", "The OAuth client was disabled.", status=401)),
    ("admin_policy_enforced", OAuthError("admin_policy_enforced", "Restricted by the administrator.")),
    ("invalid_scope", OAuthError("invalid_scope")),
    ("org_internal", OAuthError("org_internal", "Only for one organisation.", status=403)),
    ("redirect_uri_mismatch", OAuthError("redirect_uri_mismatch")),
    ("invalid_request", OAuthError("invalid_request")),
    ("unsupported_grant_type", OAuthError("unsupported_grant_type")),
    ("access_denied", OAuthError("access_denied", "Forbidden", status=403)),
    ("invalid_dpop_proof", OAuthError("invalid_dpop_proof")),
    ("use_dpop_nonce", OAuthError("use_dpop_nonce")),
    ("internal_failure", OAuthError("internal_failure", "Internal error", status=500)),
    ("server_error", OAuthError("server_error", "Internal error", status=500)),
    ("temporarily_unavailable", OAuthError("temporarily_unavailable", "Later", status=503)),
    ("error_unknown", OAuthError("galaxy_exploded", "A code that nobody has seen before.")),
    ("error_with_secrets", OAuthError("invalid_request", "Value GKMARK-echo was not understood.")),
]

_ODD_ERRORS: list[tuple[str, str, int, Any]] = [
    (
        "rate_limit_exceeded",
        "403 with the code under `error_code`.",
        403,
        {"error_code": "rate_limit_exceeded"},
    ),
    ("error_not_text", "400 whose `error` is a number.", 400, {"error": 7}),
    ("error_list", "400 whose `error` is a list.", 400, {"error": ["invalid_grant"]}),
    ("error_absent", "400 with an empty object.", 400, {}),
    (
        "error_object",
        "400 whose `error` is an object, as API errors are.",
        400,
        {"error": {"code": 400, "message": "Bad Request", "status": "INVALID_ARGUMENT"}},
    ),
    ("error_with_200", "200 with an error in it.", 200, {"error": "invalid_grant"}),
]


def _error_faults() -> list[FaultKind]:
    plain = [
        FaultKind(
            name,
            ("token",),
            False,
            f"{error.status} `{error.error}`; `description`, `status` and `retry_after` change it.",
            _error(error),
            outcome=error.error,
        )
        for name, error in _ERRORS
    ]
    odd = [
        FaultKind(name, ("token",), False, does, _error_body(status, body))
        for name, does, status, body in _ODD_ERRORS
    ]
    gone = FaultKind(
        "invalid_token",
        ("revoke",),
        False,
        "400 `invalid_token`.",
        _error(OAuthError("invalid_token", "Token expired or revoked")),
    )
    return [*plain, *odd, gone]


TOKEN_FAULTS = [*_member_faults(), *_error_faults()]
