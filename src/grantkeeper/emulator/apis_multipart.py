"""Bodies of several parts (RFC 2046 5.1) as Google's front ends read them: uploads and batches."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


class MultipartInvalid(ValueError):
    """The body is not made of parts the way its content type says."""


@dataclass(frozen=True)
class Part:
    """One part; header names in lower case."""

    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def content_type(self) -> str | None:
        return self.headers.get("content-type")


def boundary_of(content_type: str) -> str | None:
    """The `boundary` parameter, quoted or not."""
    found = re.search(r';\s*boundary\s*=\s*(?:"([^"]+)"|([^\s;]+))', content_type, re.IGNORECASE)
    return (found[1] or found[2]) if found is not None else None


def parse_parts(body: bytes, content_type: str) -> list[Part]:
    """
    The parts of *body*.

    Lines may end in CRLF, as the standard has it, or in bare LF, as Python's client library sends them. The
    first delimiter shows which: guessing line by line would eat a CR that belongs to the content.

    Raises:
        MultipartInvalid: No boundary, no parts, or the end is missing.
    """
    boundary = boundary_of(content_type)
    if boundary is None:
        raise MultipartInvalid("the content type names no boundary")
    dashes = b"--" + boundary.encode()
    opening = re.search(rb"(?:\A|\n)" + re.escape(dashes) + rb"[ \t]*(\r?\n)", body)
    if opening is None:
        raise MultipartInvalid("the first boundary is missing")
    newline = opening[1]
    delimiter = re.compile(re.escape(newline + dashes) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
    parts = []
    # The newline before a delimiter belongs to it, so an empty part begins one newline early.
    at = opening.end()
    while True:
        found = delimiter.search(body, at - len(newline))
        if found is None:
            raise MultipartInvalid("the last boundary is missing")
        parts.append(_part(body[at : max(at, found.start())], newline))
        if found[1] is not None:
            return parts
        at = found.end()


def split_message(text: bytes, newline: bytes) -> tuple[dict[str, str], bytes]:
    """Header lines and the body after the first empty line."""
    head, empty_line, body = text.partition(newline * 2)
    if text.startswith(newline):
        head, body = b"", text[len(newline) :]
    elif not empty_line:
        head, body = text, b""
    headers: dict[str, str] = {}
    for line in re.sub(rb"\r?\n[ \t]+", b" ", head).splitlines():
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise MultipartInvalid("a header line has no colon")
        headers[name.strip().lower()] = value.strip()
    return headers, body


def _part(text: bytes, newline: bytes) -> Part:
    headers, body = split_message(text, newline)
    return Part(headers, body)
