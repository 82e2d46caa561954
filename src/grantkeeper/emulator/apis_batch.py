"""
Batches: many API calls in one `multipart/mixed` request, each answered in a part of its own.

Every call inside goes through the whole emulator again, faults and counters included. Headers of the outer
request, the token too, hold for each inner one that does not bring its own; a call that fails, even with
401, fails alone.
"""

import re
import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Scope

from grantkeeper.emulator.answers import ApiError
from grantkeeper.emulator.apis_calls import body_of
from grantkeeper.emulator.apis_multipart import MultipartInvalid, Part, parse_parts, split_message
from grantkeeper.emulator.wire import TRANSPORT, FaultLayer
from grantkeeper.emulator.world import World

LIMIT = 100
"""Drive takes no more calls than this in a batch."""

_REQUEST_LINE = re.compile(rb"([A-Z]+) +(\S+)(?: +HTTP/1\.[01])? *(\r?\n|\Z)")


@dataclass(frozen=True)
class Inner:
    """One call of a batch; `label` is its Content-ID, by which the sender knows the answer."""

    label: str | None
    method: str
    target: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


async def batch(request: Request, world: World, prefixes: tuple[str, ...]) -> Response:
    """
    Answer a batch.

    Args:
        prefixes: The paths that may be called through it.

    Raises:
        ApiError: 400, the body is no batch, or it has too many calls. No call was made.
    """
    body = await body_of(request)
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/mixed"):
        raise _refused("A batch request is multipart/mixed.")
    try:
        calls = [parse_inner(part) for part in parse_parts(body, content_type)]
    except MultipartInvalid as error:
        raise _refused(f"Failed to parse batch request: {error}.") from error
    if len(calls) > LIMIT:
        raise _refused(f"The batch request has {len(calls)} calls; {LIMIT} are allowed.")
    outer = {
        name: value
        for name, value in request.headers.items()
        if not name.startswith("content-") and name not in ("transfer-encoding", "connection", "host")
    }
    boundary = f"batch_{secrets.token_urlsafe(24)}"
    answers = []
    for call in calls:
        status, headers, content = await _answer(request, world, call, outer, prefixes)
        answers.append(_part(boundary, call.label, status, headers, content))
    answers.append(f"--{boundary}--\r\n".encode())
    return Response(b"".join(answers), headers={"Content-Type": f"multipart/mixed; boundary={boundary}"})


def parse_inner(part: Part) -> Inner:
    """
    Read the call in a part.

    Raises:
        MultipartInvalid: It is not `application/http`, or no request.
    """
    if (part.content_type or "").partition(";")[0].strip().lower() != "application/http":
        raise MultipartInvalid("a part is not application/http")
    text = part.body.lstrip(b"\r\n")
    found = _REQUEST_LINE.match(text)
    if found is None:
        raise MultipartInvalid("a part has no request line")
    headers, body = split_message(text[found.end() :], found[3] or b"\r\n")
    if (length := headers.get("content-length", "")).isdecimal():
        # The newline before the next boundary may have been doubled by the sender.
        body = body[: int(length)]
    return Inner(part.headers.get("content-id"), found[1].decode(), found[2].decode("latin-1"), headers, body)


async def _answer(
    request: Request, world: World, call: Inner, outer: dict[str, str], prefixes: tuple[str, ...]
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    try:
        target = urlsplit(call.target)
    except ValueError:
        target = urlsplit("")
    if not target.path.startswith(prefixes) or "alt=media" in target.query:
        refusal = _refused("Only calls of this API that carry no media can be batched.").response("classic")
        return 400, refusal.raw_headers, bytes(refusal.body)
    sent = {**outer, "host": request.headers.get("host", ""), **call.headers}
    sent["content-length"] = str(len(call.body))
    extensions = request.scope.get("extensions", {})
    scope: Scope = {
        **{key: request.scope[key] for key in ("type", "asgi", "http_version", "scheme", "client", "server")},
        "method": call.method,
        "path": unquote(target.path),
        "raw_path": target.path.encode("latin-1"),
        "root_path": "",
        "query_string": target.query.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
        "extensions": {key: value for key, value in extensions.items() if key == TRANSPORT},
    }
    delivered = False
    status, headers, pieces = 500, list[tuple[bytes, bytes]](), list[bytes]()

    async def receive() -> Message:
        nonlocal delivered
        if delivered:
            return await request.receive()
        delivered = True
        return {"type": "http.request", "body": call.body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            pieces.append(message.get("body", b""))

    await FaultLayer(request.app, world)(scope, receive, send)
    return status, headers, b"".join(pieces)


def _part(
    boundary: str, label: str | None, status: int, headers: list[tuple[bytes, bytes]], content: bytes
) -> bytes:
    lines = [f"--{boundary}", "Content-Type: application/http"]
    if label is not None:
        lines.append(f"Content-ID: {_response_label(label)}")
    lines += ["", f"HTTP/1.1 {status} {_phrase(status)}"]
    lines += [f"{name.decode('latin-1').title()}: {value.decode('latin-1')}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content + b"\r\n"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def _response_label(label: str) -> str:
    """`<x>` is answered as `<response-x>`."""
    return f"<response-{label[1:]}" if label.startswith("<") else f"response-{label}"


def _refused(message: str) -> ApiError:
    return ApiError(400, "badRequest", message)
