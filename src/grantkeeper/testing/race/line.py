"""HTTP of one request on a connection of its own, bare, so that any process may take or cut it."""

import asyncio
import time
from urllib.parse import urlsplit

from grantkeeper.testing.race.target import Ask, Reply

LIMIT = 60.0


async def open_line(url: str, ask: Ask) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """
    Connect and send *ask*, whole.

    Raises:
        OSError: Nobody is there.
    """
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    headers = {"Host": place.netloc, "Connection": "close", "Content-Length": str(len(ask.body))}
    lines = [f"{ask.method} {ask.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (headers | dict(ask.headers)).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + ask.body)
    return reader, writer


async def send(url: str, ask: Ask) -> Reply:
    """Send *ask* and read the answer; one that was cut counts as none."""
    began = time.monotonic()
    try:
        reader, writer = await open_line(url, ask)
        try:
            async with asyncio.timeout(LIMIT):
                text = await reader.read()
        finally:
            writer.close()
    except (OSError, TimeoutError):
        return Reply(0, seconds=time.monotonic() - began)
    status, body = _parsed(text)
    return Reply(status, body, time.monotonic() - began)


def _parsed(text: bytes) -> tuple[int, bytes]:
    head, mark, body = text.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    parts = first.split()
    if not mark or len(parts) < 2 or not parts[1].isdigit():
        return 0, b""
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)
    }
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        whole, body = _unchunked(body)
    else:
        whole = len(body) >= int(headers.get(b"content-length", b"0"))
    return (int(parts[1]), body) if whole else (0, b"")


def _unchunked(text: bytes) -> tuple[bool, bytes]:
    """Whether the last chunk is there, and what the chunks hold."""
    pieces: list[bytes] = []
    while text:
        size, mark, rest = text.partition(b"\r\n")
        length = int(size.partition(b";")[0] or b"0", 16) if mark else 0
        if not mark or len(rest) < length:
            break
        if length == 0:
            return True, b"".join(pieces)
        pieces.append(rest[:length])
        text = rest[length + 2 :]
    return False, b""
