"""
A load generator that is never the bottleneck: plain sockets, one epoll, one thread, a process of its own.

Several processes of a service are asked by turns, as a balancer would do it:
each connection goes to the next of them. It knows just enough HTTP/1.1 for the
answers it asks for: a status line, a ``Content-Length``, keep-alive. Each
connection has one request under way; the next is sent when the answer is whole
(a closed loop), so latency counts from the first byte sent to the last byte
received.
"""

import json
import select
import socket
import subprocess
import sys
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    What to send.

    Attributes:
        urls: The same path of one or several processes.
        bodies: Sent in this order, over and over until *seconds* are over.
        seconds: ``None`` sends each body once.
        keep: Whether the outcome brings the answers' bodies, in the order of the requests.
    """

    urls: list[str]
    bodies: list[str]
    headers: dict[str, str]
    connections: int = 16
    seconds: float | None = 3.0
    keep: bool = False

    def head(self, url: str) -> bytes:
        """A request to *url*, up to the number of its body's bytes."""
        place = urlsplit(url)
        lines = [f"POST {place.path} HTTP/1.1", f"Host: {place.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "Content-Length: "]).encode()

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """What follows a `head`, with its number, as long as there is anything to send."""
        made = [b"%d\r\n\r\n%b" % (len(body.encode()), body.encode()) for body in self.bodies]
        return enumerate(made if self.seconds is None else cycle(made))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What came back; latencies in milliseconds.

    Attributes:
        refused: Answers with a status other than 200.
        refusal: The first of them.
        size: Of the last answer's body.
        busy: The share of the time in which this process itself was working.
        kept: The answers' bodies, where the load asked for them.
    """

    answers: int
    refused: int
    size: int
    seconds: float
    p50: float
    p99: float
    busy: float
    kept: list[str] = field(default_factory=list)
    refusal: str = ""

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


@dataclass(slots=True)
class _Line:
    """A connection, and the request under way on it: its number, since when, and the answer so far."""

    socket: socket.socket
    head: bytes
    number: int = 0
    since: float = 0.0
    got: bytes = b""

    def send(self, requests: Iterator[tuple[int, bytes]]) -> bool:
        """Send the next request; ``False`` if there is none."""
        following = next(requests, None)
        if following is None:
            return False
        self.number, rest = following
        self.got = b""
        self.since = perf_counter()
        self.socket.sendall(self.head + rest)
        return True


def run(load: Load) -> Outcome:
    """Send *load* from this very process."""
    requests = load.rest()
    poll = select.epoll()
    lines = {line.socket.fileno(): line for line in _connected(load)}
    for number in lines:
        poll.register(number, select.EPOLLIN)
    latencies = array("d")
    kept: dict[int, str] = {}
    refused = size = 0
    refusal = ""
    worked = process_time()
    started = perf_counter()
    until = started + (load.seconds or 0.0)
    under_way = sum([line.send(requests) for line in lines.values()])
    while under_way:
        ready = poll.poll(PATIENCE)
        if not ready:
            raise TimeoutError(f"no answer within {PATIENCE:g} seconds")
        for number, _ in ready:
            line = lines[number]
            piece = line.socket.recv(65536)
            if not piece:
                raise ConnectionError(f"the server hung up {refusal[:600]}".rstrip())
            whole = line.got = line.got + piece
            end = whole.find(b"\r\n\r\n") + 4
            if end < 4 or len(whole) < end + (size := _length(whole, end)):
                continue
            now = perf_counter()
            latencies.append(now - line.since)
            if whole[9:12] != b"200":
                refused += 1
                refusal = refusal or whole.decode(errors="replace")
            if load.keep:
                kept[line.number] = whole[end:].decode()
            if not ((load.seconds is None or now < until) and line.send(requests)):
                under_way -= 1
    seconds = perf_counter() - started
    worked = process_time() - worked
    for line in lines.values():
        line.socket.close()
    poll.close()
    ranked = sorted(latencies)
    return Outcome(
        answers=len(ranked),
        refused=refused,
        refusal=refusal,
        size=size,
        seconds=seconds,
        p50=ranked[len(ranked) // 2] * 1e3,
        p99=ranked[len(ranked) * 99 // 100] * 1e3,
        busy=worked / seconds,
        kept=[kept[number] for number in sorted(kept)],
    )


def _connected(load: Load) -> Iterator[_Line]:
    for _, url in zip(range(load.connections), cycle(load.urls), strict=False):
        place = urlsplit(url)
        connection = socket.create_connection((place.hostname or "", place.port or 80))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield _Line(connection, load.head(url))


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
        raise RuntimeError(
            f"{outcome.refused} of {outcome.answers} answers were not 200: {outcome.refusal[:600]}"
        )
    return outcome


if __name__ == "__main__":
    print(json.dumps(asdict(run(Load(**json.load(sys.stdin))))))
