"""Faults below the meaning: lost, cut, slow and malformed answers, and the statuses of a broken server."""

from typing import TYPE_CHECKING, Any

import msgspec

from grantkeeper.emulator.answers import ApiError, Envelope, invalid_credentials
from grantkeeper.emulator.faults import ENDPOINTS, Answer, Fault, FaultKind, Spoil

if TYPE_CHECKING:
    from grantkeeper.emulator.world import World

JSON = b"application/json; charset=utf-8"
APIS = ("userinfo", "drive", "upload", "batch", "people", "photos", "picker")
ANSWERS = tuple(endpoint for endpoint in ENDPOINTS if endpoint != "auth")

_PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Error 502 (Server Error)</title></head>
<body><p>The server encountered a temporary error and could not complete your request.</p></body></html>
"""

_PHRASES = {
    408: "request_timeout",
    429: "rate_limit_exceeded",
    500: "internal_failure",
    502: "bad_gateway",
    503: "temporarily_unavailable",
    504: "gateway_timeout",
}


def replaced(body: bytes, content_type: bytes = JSON, status: int = 200) -> Spoil:
    """An answer that has nothing of the honest one."""

    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        status_sent = int(fault.options.get("status", status))
        return Answer(status_sent, [(b"content-type", content_type)], body)

    return spoil


def retyped(content_type: bytes) -> Spoil:
    """The honest answer under another content type."""

    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        headers = [(name, value) for name, value in answer.headers if name != b"content-type"]
        return Answer(answer.status, [*headers, (b"content-type", content_type)], answer.body)

    return spoil


def _status(status: int) -> Spoil:
    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        headers = [(b"content-type", JSON)]
        if "retry_after" in fault.options:
            headers.append((b"retry-after", str(fault.options["retry_after"]).encode()))
        if fault.endpoint in ("token", "revoke"):
            body: dict[str, Any] = {"error": _PHRASES[status], "error_description": "Try again later."}
        else:
            body = ApiError(status, "backendError", "Backend Error").body(_envelope(fault))
        return Answer(status, headers, msgspec.json.encode(body))

    return spoil


def _api(error: ApiError) -> Spoil:
    def spoil(answer: Answer, fault: Fault, world: "World") -> Answer:
        headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        if "retry_after" in fault.options:
            headers.append((b"retry-after", str(fault.options["retry_after"]).encode()))
        body = msgspec.json.encode(error.body(_envelope(fault)))
        return Answer(error.status, [(b"content-type", JSON), *headers], body)

    return spoil


def _envelope(fault: Fault) -> Envelope:
    return "status" if fault.endpoint in ("people", "photos", "picker") else "classic"


def _truncated(answer: Answer, fault: Fault, world: "World") -> Answer:
    return Answer(answer.status, answer.headers, answer.body[: max(1, len(answer.body) - 3)])


def _invalid_utf8(answer: Answer, fault: Fault, world: "World") -> Answer:
    body = answer.body[:-1] + b',"note":"\xff\xfe"}'
    return Answer(answer.status, answer.headers, body)


def _utf16(answer: Answer, fault: Fault, world: "World") -> Answer:
    headers = [(name, value) for name, value in answer.headers if name != b"content-type"]
    headers.append((b"content-type", b"application/json; charset=utf-16"))
    return Answer(answer.status, headers, answer.body.decode("latin-1").encode("utf-16"))


def _list(answer: Answer, fault: Fault, world: "World") -> Answer:
    return Answer(answer.status, answer.headers, b"[" + answer.body + b"]")


def _huge(answer: Answer, fault: Fault, world: "World") -> Answer:
    size = int(fault.options.get("size", 32 << 20))
    return Answer(answer.status, answer.headers, b'{"padding":"' + b"a" * size + b'",' + answer.body[1:])


def _deep(answer: Answer, fault: Fault, world: "World") -> Answer:
    depth = int(fault.options.get("depth", 100_000))
    body = b'{"deep":' + b"[" * depth + b"]" * depth + b"," + answer.body[1:]
    return Answer(answer.status, answer.headers, body)


def _redirect(answer: Answer, fault: Fault, world: "World") -> Answer:
    status = int(fault.options.get("status", 302))
    to = str(fault.options.get("to", f"{world.base_url}/emulator/elsewhere"))
    return Answer(status, [(b"location", to.encode())], b"")


def _delivery_faults() -> list[FaultKind]:
    return [
        FaultKind(
            "lost",
            ENDPOINTS,
            True,
            "The request takes effect and the connection closes without an answer.",
            delivery="none",
        ),
        FaultKind(
            "cut_before",
            ENDPOINTS,
            False,
            "The connection closes before the request takes effect.",
            delivery="none",
        ),
        FaultKind(
            "cut",
            ENDPOINTS,
            True,
            "Half of the body arrives, then the connection closes.",
            delivery="half",
        ),
        FaultKind(
            "slow",
            ENDPOINTS,
            True,
            "The request takes effect at once, the answer begins after `seconds` (2).",
            delivery="late",
        ),
        FaultKind(
            "drip",
            ENDPOINTS,
            True,
            "The head comes at once, the body in small pieces over `seconds` (2).",
            delivery="drop by drop",
        ),
    ]


def _body_faults() -> list[FaultKind]:
    table: list[tuple[str, str, Spoil]] = [
        ("empty", "200 with an empty body.", replaced(b"")),
        (
            "html",
            "200 with an HTML page (`status` to change it).",
            replaced(_PAGE, b"text/html; charset=utf-8"),
        ),
        ("not_json", "200 and a body that is not JSON, called JSON.", replaced(b"access_token=no&json=here")),
        ("truncated_json", "The JSON body lacks its end; the content length is right.", _truncated),
        ("invalid_utf8", "The JSON body holds bytes that are not UTF-8.", _invalid_utf8),
        ("wrong_charset", "The JSON body is UTF-16.", _utf16),
        ("wrong_content_type", "The honest body, called text/plain.", retyped(b"text/plain")),
        ("list_body", "The JSON object comes inside a list.", _list),
        ("null_body", "200 with the JSON body null.", replaced(b"null")),
        ("huge", "A JSON body of `size` bytes (32 MiB).", _huge),
        ("deep_json", "A JSON body nested `depth` levels deep (100000).", _deep),
    ]
    return [FaultKind(name, ANSWERS, True, does, spoil) for name, does, spoil in table]


def _status_faults() -> list[FaultKind]:
    statuses = [
        FaultKind(
            f"status_{status}",
            ANSWERS,
            False,
            f"{status} with a JSON error; `retry_after` adds the header, `processed` lets it take effect.",
            _status(status),
        )
        for status in _PHRASES
    ]
    redirect = FaultKind(
        "redirect", ANSWERS, False, "302 to `to` (a page of the emulator); `status` to change it.", _redirect
    )
    return [*statuses, redirect]


def _api_faults() -> list[FaultKind]:
    limit = "User Rate Limit Exceeded. Rate of requests for user exceed configured project quota."
    table: list[tuple[str, str, ApiError]] = [
        ("api_401", "401 with the challenge of a dead token.", invalid_credentials()),
        (
            "api_403_rate",
            "403 `userRateLimitExceeded`.",
            ApiError(403, "userRateLimitExceeded", limit, domain="usageLimits", info="RATE_LIMIT_EXCEEDED"),
        ),
        (
            "api_429",
            "429 `rateLimitExceeded`; `retry_after` adds the header.",
            ApiError(
                429,
                "rateLimitExceeded",
                "Rate Limit Exceeded",
                domain="usageLimits",
                info="RATE_LIMIT_EXCEEDED",
            ),
        ),
        ("api_500", "500 `backendError`.", ApiError(500, "backendError", "Internal Error")),
    ]
    return [FaultKind(name, APIS, False, does, _api(error)) for name, does, error in table]


WIRE_FAULTS = [*_delivery_faults(), *_body_faults(), *_status_faults(), *_api_faults()]
