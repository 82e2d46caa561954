"""
Reading what comes in: bodies as JSON or form, queries, header values; types before values.

A parameter of the wrong type, size or number of times is `InvalidRequest`
naming the parameter and never quoting its value. Unknown parameters are ignored,
as RFC 6749 section 3.1 has it.
"""

import asyncio
import json
import re
import types
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Message, Receive

from grantkeeper.errors import InvalidRequest, TooLarge, TooSlow, UnsupportedMediaType

LARGEST_BODY: Final = 64 * 1024
BODY_SECONDS: Final = 10.0
MOST_PARAMETERS: Final = 100

# What stands before a colon: inside of a text a quotation mark is escaped.
_NAME: Final = re.compile(rb'"([^"\\]*)"\s*:')


class Disconnected(Exception):
    """The other side hung up before its request was whole; there is nobody to answer."""


Headers = Mapping[bytes, bytes]

T = TypeVar("T")


async def read_body(receive: Receive, headers: Headers, first: Message | None = None) -> bytes:
    """
    The whole body.

    Args:
        first: A message that was received before, which is the body's beginning.

    Raises:
        TooLarge: It is over `LARGEST_BODY`, said or seen.
        TooSlow: It was not whole after `BODY_SECONDS`.
        Disconnected: The other side hung up.
    """
    said = headers.get(b"content-length", b"0")
    if not said.isdigit() or int(said) > LARGEST_BODY:
        raise TooLarge(f"the body is larger than {LARGEST_BODY} bytes")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive() if first is None else first
                first = None
                if message["type"] != "http.request":
                    raise Disconnected
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > LARGEST_BODY:
                    raise TooLarge(f"the body is larger than {LARGEST_BODY} bytes")
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {BODY_SECONDS:.0f} seconds") from None


def media_type(headers: Headers) -> Literal["json", "form"]:
    """
    What kind of body the headers announce.

    Raises:
        UnsupportedMediaType: Neither JSON nor a form, not in UTF-8, or compressed.
    """
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
        raise UnsupportedMediaType("the body is compressed; send it as it is")
    kind, *parameters = headers.get(b"content-type", b"").lower().split(b";")
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"charset" and value.strip().strip(b'"') not in (b"utf-8", b"utf8", b"us-ascii"):
            raise UnsupportedMediaType("the body is not in UTF-8")
    match kind.strip():
        case b"application/json":
            return "json"
        case b"application/x-www-form-urlencoded":
            return "form"
    raise UnsupportedMediaType("the body is neither JSON nor a form")


def parse_body(kind: type[T], raw: bytes, headers: Headers) -> T:
    """
    The body as a *kind*.

    Raises:
        InvalidRequest: It is not what the headers say, or a parameter is missing or of the wrong type.
        UnsupportedMediaType: See `media_type`.
    """
    try:
        if media_type(headers) == "form":
            return msgspec.convert(_form(kind, raw), kind)
        body = msgspec.json.decode(raw, type=kind)
        _refuse_repeats(kind, raw)
        return body
    except msgspec.ValidationError as error:
        raise InvalidRequest(_complaint(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest("the body is not valid JSON in UTF-8") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def _complaint(text: str) -> str:
    """A sentence of ours for one of msgspec's, which names no value."""
    if text.startswith("Object missing required field"):
        return f"{text.split('`')[1]} is missing"
    what, _, where = text.rpartition(" - at `$")
    if not where:
        return "the body must be a JSON object"
    name = where.rstrip("`").lstrip(".")
    if "matching regex" in what:
        return f"{name} has characters that do not belong there, or another length"
    what = what.replace("`", "").removeprefix("Expected ").replace(" | null", "").replace(" | ", " or ")
    return f"{name} must be {what.replace('str', 'text').replace('array', 'list')}"


def may_repeat(raw: bytes) -> bool:
    """Whether a name may come twice in this JSON; most bodies are cleared without reading them again."""
    # Each name has its colon, so the usual body with one needs no pattern.
    if raw.count(b":") < 2:
        return False
    names = _NAME.findall(raw)
    return len(names) != len(set(names)) or b"\\u" in raw


def _refuse_repeats(kind: type[Any], raw: bytes) -> None:
    """In JSON as in a form: two readers of one request must not read two things."""
    if not may_repeat(raw):
        return

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                wanted = kind.__struct_fields__
                raise InvalidRequest(f"{name if name in wanted else 'a parameter'} was sent more than once")
            found[name] = value
        return found

    try:
        json.loads(raw, object_pairs_hook=once)
    except ValueError:
        raise InvalidRequest("the body is not valid JSON in UTF-8") from None


def _form(kind: type[Any], raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except UnicodeDecodeError:
        raise InvalidRequest("the form is not in UTF-8, percent-encoded") from None
    except ValueError:
        raise InvalidRequest(f"the form has more than {MOST_PARAMETERS} parameters") from None
    return _once(kind, pairs)


def _once(kind: type[Any], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Text parameters as a mapping; an empty value counts as none (RFC 6749 section 3.1)."""
    wanted = _types(kind)
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequest(f"{name if name in wanted else 'a parameter'} was sent more than once")
        number = int in wanted.get(name, ()) and value.isascii() and value.isdigit() and len(value) < 10
        found[name] = int(value) if number else value
    return {name: value for name, value in found.items() if value != ""}


def _types(kind: type[Any]) -> dict[str, set[Any]]:
    hints = get_type_hints(kind)
    return {name: set(_flat(hint)) for name, hint in hints.items()}


def _flat(hint: Any) -> list[Any]:
    return (
        [leaf for part in get_args(hint) for leaf in _flat(part)]
        if get_origin(hint) in (Union, types.UnionType)
        else [hint]
    )


def parse_query(kind: type[T], query: bytes) -> T:
    """
    The query string as a *kind*.

    Raises:
        InvalidRequest: A parameter is of the wrong type or there more than once.
    """
    try:
        return msgspec.convert(_form(kind, query), kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_complaint(str(error))) from None


def idempotency_key(values: list[bytes]) -> str | None:
    """
    The ``Idempotency-Key`` header.

    Raises:
        InvalidRequest: It is there twice, or is not 22 to 255 visible characters.
    """
    if not values:
        return None
    value = values[0]
    if len(values) > 1:
        raise InvalidRequest("Idempotency-Key was sent more than once")
    if not 22 <= len(value) <= 255 or not all(0x21 <= byte <= 0x7E for byte in value):
        raise InvalidRequest("Idempotency-Key must be 22 to 255 visible characters")
    return value.decode("ascii")
