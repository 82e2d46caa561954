"""
Numbers for Prometheus: plain dictionary counters, and their sum over the workers of one machine.

A hit costs two additions, which is why this is no metrics library: the text
format is small. Each worker writes its numbers into the supervisor's directory
five times a second; a scrape waits that long and then sums, so that it sees
everything that was answered before it.
"""

import asyncio
import os
import resource
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from grantkeeper.keeper.upkeep import Record

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FLUSH_SECONDS: Final = 0.2
TOKEN_ROUTE: Final = "/v1/token"
SUFFIX: Final = ".numbers"
GONE: Final = "gone" + SUFFIX
LAST_SUCCESS: Final = "last_success "
JOBS: Final = "jobs "

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Numbers(msgspec.Struct):
    """
    The numbers of one process, or their sum.

    Attributes:
        requests: By route, method and status, joined by spaces.
        seconds: By route: how many fell into each bucket and beyond, then their sum.
        events: By kind and outcome, joined by a space.
        gauges: What is true now; of processes that have ended these do not count. Of moments, which
            are under names that begin with `LAST_SUCCESS`, the latest counts and no sum.
    """

    requests: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: dict[str, list[float]] = msgspec.field(default_factory=dict)
    events: dict[str, int] = msgspec.field(default_factory=dict)
    gauges: dict[str, float] = msgspec.field(default_factory=dict)


class Tally:
    """Counts what this process answers."""

    def __init__(
        self,
        events: Mapping[tuple[str, str], int],
        chores: "Mapping[str, Record] | None" = None,
        held: Callable[[], int] = lambda: 0,
    ) -> None:
        self._events = events
        self._chores = chores or {}
        self._held = held
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[str, list[float]] = {}
        self.hits = 0
        self._hit_seconds = self._row(TOKEN_ROUTE)

    def hit(self, seconds: float) -> None:
        """One token was handed out from memory; `Service.watch` logs how many there were now and then."""
        self.hits += 1
        self._hit_seconds[bisect_left(BUCKETS, seconds)] += 1.0
        self._hit_seconds[-1] += seconds

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request is done."""
        self._requests[route, method, status] += 1
        row = self._row(route)
        row[bisect_left(BUCKETS, seconds)] += 1.0
        row[-1] += seconds

    def _row(self, route: str) -> list[float]:
        return self._seconds.setdefault(route, [0.0] * (len(BUCKETS) + 2))

    def numbers(self) -> Numbers:
        """All of it, as of now."""
        requests = self._requests + Counter({(TOKEN_ROUTE, "POST", 200): self.hits})
        events = Counter(dict(self._events)) + Counter({("token", "memory"): self.hits})
        return Numbers(
            requests={f"{route} {method} {status}": n for (route, method, status), n in requests.items()},
            seconds={route: list(row) for route, row in self._seconds.items()},
            events={f"{kind} {outcome}": n for (kind, outcome), n in events.items()},
            gauges={
                "workers": 1.0,
                "resident_memory_bytes": _resident(),
                "journal": float(self._held()),
                **self._moments(),
            },
        )

    def _moments(self) -> dict[str, float]:
        return {
            f"{LAST_SUCCESS}{name}": record.last_success.timestamp()
            for name, record in self._chores.items()
            if record.last_success is not None
        }


def _resident() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        # Elsewhere only the highest value is known; macOS counts bytes, others kilobytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
    return float(pages * resource.getpagesize())


def total(all_numbers: Iterable[Numbers]) -> Numbers:
    """The sum."""
    result = Numbers()
    for numbers in all_numbers:
        for mine, theirs in (
            (result.requests, numbers.requests),
            (result.events, numbers.events),
            (result.gauges, numbers.gauges),
        ):
            for key, value in theirs.items():
                before = mine.get(key, 0)
                latest = key.startswith(LAST_SUCCESS)
                mine[key] = max(before, value) if latest else before + value  # type: ignore[assignment]
        for route, row in numbers.seconds.items():
            so_far = result.seconds.get(route, [0.0] * len(row))
            result.seconds[route] = [a + b for a, b in zip(so_far, row, strict=True)]
    return result


class Board:
    """The directory where the workers of one supervisor put their numbers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, numbers: Numbers, pid: int | None = None) -> None:
        """Replace a process's numbers, by default ours."""
        self._write(f"{os.getpid() if pid is None else pid}{SUFFIX}", numbers)

    def others(self) -> list[Numbers]:
        """What everybody but this process has put, those that have ended included."""
        own = f"{os.getpid()}{SUFFIX}"
        return [
            numbers
            for path in sorted(self._directory.glob(f"*{SUFFIX}"))
            if path.name != own and (numbers := self._read(path)) is not None
        ]

    def bury(self, pid: int) -> None:
        """Keep the counts of a process that has ended, and drop what was only true while it lived."""
        path = self._directory / f"{pid}{SUFFIX}"
        last = self._read(path)
        if last is not None:
            last.gauges.clear()
            gone = self._read(self._directory / GONE)
            self._write(GONE, total([last] if gone is None else [gone, last]))
            path.unlink(missing_ok=True)

    def _write(self, name: str, numbers: Numbers) -> None:
        new = self._directory / f".{name}.new"
        new.write_bytes(msgspec.json.encode(numbers))
        new.replace(self._directory / name)

    def _read(self, path: Path) -> Numbers | None:
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(path.read_bytes(), type=Numbers)
        return None


async def gathered(tally: Tally, board: Board | None) -> Numbers:
    """The numbers of this process, or of all workers, none older than the call."""
    if board is None:
        return tally.numbers()
    await asyncio.sleep(FLUSH_SECONDS * 1.25)
    return total([tally.numbers(), *board.others()])


def exposition(numbers: Numbers) -> bytes:
    """The text that Prometheus reads."""
    lines: list[str] = []

    def family(name: str, kind: str, text: str) -> None:
        lines.append(f"# HELP grantkeeper_{name} {text}")
        lines.append(f"# TYPE grantkeeper_{name} {kind}")

    family("requests_total", "counter", "Requests answered, by route, method and status.")
    for key, count in sorted(numbers.requests.items()):
        route, method, status = key.split(" ")
        labels = f'route="{route}",method="{method}",status="{status}"'
        lines.append(f"grantkeeper_requests_total{{{labels}}} {count}")
    family("request_seconds", "histogram", "Time from the first look at a request to its answer.")
    for route, row in sorted(numbers.seconds.items()):
        so_far = 0.0
        for bound, count_in in zip((*map(str, BUCKETS), "+Inf"), row[:-1], strict=True):
            so_far += count_in
            lines.append(f'grantkeeper_request_seconds_bucket{{route="{route}",le="{bound}"}} {so_far:.0f}')
        lines.append(f'grantkeeper_request_seconds_sum{{route="{route}"}} {row[-1]:.9g}')
        lines.append(f'grantkeeper_request_seconds_count{{route="{route}"}} {so_far:.0f}')
    family("events_total", "counter", "What the keeper did, by kind and outcome.")
    for key, count in sorted(numbers.events.items()):
        event, _, outcome = key.partition(" ")
        lines.append(f'grantkeeper_events_total{{event="{event}",outcome="{outcome}"}} {count}')
    family("chore_last_success_seconds", "gauge", "When a background chore last succeeded here, Unix time.")
    for key, moment in sorted(numbers.gauges.items()):
        if key.startswith(LAST_SUCCESS):
            chore = key.removeprefix(LAST_SUCCESS)
            lines.append(f'grantkeeper_chore_last_success_seconds{{chore="{chore}"}} {moment:.3f}')
    family("workers", "gauge", "Processes that answer.")
    lines.append(f"grantkeeper_workers {numbers.gauges.get('workers', 0):.0f}")
    family("journal_entries", "gauge", "Answers of issuers that wait in a journal for the database.")
    lines.append(f"grantkeeper_journal_entries {numbers.gauges.get('journal', 0):.0f}")
    family("jobs", "gauge", "Jobs in the database, by state, as counted a while ago.")
    for key, count_of in sorted(numbers.gauges.items()):
        if key.startswith(JOBS):
            state = key.removeprefix(JOBS)
            lines.append(f'grantkeeper_jobs{{state="{state}"}} {count_of:.0f}')
    family("resident_memory_bytes", "gauge", "Resident memory of all of them.")
    lines.append(f"grantkeeper_resident_memory_bytes {numbers.gauges.get('resident_memory_bytes', 0):.0f}")
    return ("\n".join(lines) + "\n").encode()
