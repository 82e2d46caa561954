"""
A load generator that is never the bottleneck: plain sockets, one epoll, one thread, a process of its own.

It knows just enough HTTP/1.1 for the answers it asks for: a status line, a
``Content-Length``, keep-alive. Each connection has one request under way; the
next is sent when the answer is whole (a closed loop), so latency counts from
the first byte sent to the last byte received.
"""

import json
import select
import socket
import subprocess
import sys
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
PATIENCE = 10.0
LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    What to send.

    Attributes:
        bodies: Sent in this order, over and over until *seconds* are over.
        seconds: ``None`` sends each body once.
    """

    url: str
    bodies: list[str]
    headers: dict[str, str]
    connections: int = 16
    seconds: float | None = 3.0

    def requests(self) -> Iterator[bytes]:
        """Whole requests, as long as there are any to send."""
        place = urlsplit(self.url)
        lines = [f"POST {place.path} HTTP/1.1", f"Host: {place.netloc}"]
        head = "\r\n".join(lines + [f"{name}: {value}" for name, value in self.headers.items()])
        made = [f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode() for body in self.bodies]
        return iter(made) if self.seconds is None else cycle(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What came back; latencies in milliseconds.

    Attributes:
        refused: Answers with a status other than 200.
        size: Of the last answer's body.
        busy: The share of the time in which this process itself was working.
    """

    answers: int
    refused: int
    size: int
    seconds: float
    p50: float
    p99: float
    busy: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def run(load: Load) -> Outcome:
    """Send *load* from this very process."""
    place = urlsplit(load.url)
    requests = load.requests()
    poll = select.epoll()
    sockets = {}
    for _ in range(load.connections):
        connection = socket.create_connection((place.hostname or "", place.port or 80))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
    parts: dict[int, bytes] = dict.fromkeys(sockets, b"")
    sent: dict[int, float] = {}
    latencies = array("d")
    refused = size = 0
    worked = process_time()
    started = perf_counter()
    until = started + (load.seconds or 0.0)
    for number, connection in sockets.items():
        _send(number, connection, requests, sent)
    while sent:
        ready = poll.poll(PATIENCE)
        if not ready:
            raise TimeoutError(f"no answer within {PATIENCE:g} seconds")
        for number, _ in ready:
            piece = parts[number] + sockets[number].recv(65536)
            end = piece.find(b"\r\n\r\n") + 4
            if end < 4 or len(piece) < end + (size := _length(piece, end)):
                if piece == parts[number]:
                    raise ConnectionError("the server hung up")
                parts[number] = piece
                continue
            now = perf_counter()
            parts[number] = b""
            latencies.append(now - sent.pop(number))
            refused += piece[9:12] != b"200"
            if load.seconds is None or now < until:
                _send(number, sockets[number], requests, sent)
    seconds = perf_counter() - started
    worked = process_time() - worked
    for connection in sockets.values():
        connection.close()
    poll.close()
    ranked = sorted(latencies)
    return Outcome(
        answers=len(ranked),
        refused=refused,
        size=size,
        seconds=seconds,
        p50=ranked[len(ranked) // 2] * 1e3,
        p99=ranked[len(ranked) * 99 // 100] * 1e3,
        busy=worked / seconds,
    )


def _send(number: int, connection: socket.socket, requests: Iterator[bytes], sent: dict[int, float]) -> None:
    request = next(requests, None)
    if request is not None:
        sent[number] = perf_counter()
        connection.sendall(request)


def _length(piece: bytes, end: int) -> int:
    at = piece.lower().find(LENGTH, 0, end)
    return int(piece[at + len(LENGTH) : piece.index(b"\r", at)])


def send(load: Load) -> Outcome:
    """
    Send *load* from a process of its own.

    Raises:
        RuntimeError: It failed, or any answer was not 200: then there is nothing to compare.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load generator failed: {done.stderr.strip()[-2000:]}")
    outcome = Outcome(**json.loads(done.stdout))
    if outcome.refused:
        raise RuntimeError(f"{outcome.refused} of {outcome.answers} answers were not 200")
    return outcome


if __name__ == "__main__":
    print(json.dumps(asdict(run(Load(**json.load(sys.stdin))))))
