"""Following jobs while they are done: one look after the other, shown to whoever watches."""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from grantkeeper.cli.common import lines
from grantkeeper.model import ENDED, JobState

if TYPE_CHECKING:
    from grantkeeper.library.job_calls import JobPage
    from grantkeeper.model import JobDescription

COLUMNS: Final = ("id", "job", "grant", "state", "reason", "progress", "steps", "attempts", "due_at")
WATCHED: Final = ("state", "progress", "job", "reason", "steps", "id", "due_at", "attempts", "grant")
"""The same for who watches, what changes first: a terminal shows as many as fit."""

IDS: Final = frozenset({"id", "grant"})
RESTING: Final = ENDED | {JobState.PARKED}
"""States in which there is nothing more to see until somebody does something."""

PATIENCE: Final = 5.0
NOBODY: Final = "hint: nothing begins; is a worker running? grantkeeper jobs run --app MODULE"
WIDTH: Final = 24
SHORT: Final = 8
"""Characters at an id's end, which are random; its beginning is the time."""


class Screen:
    """
    Lines on standard error that take the place of the ones before.

    Where no person watches, only what is new is printed, below what was.

    Args:
        quiet: Show nothing.
        terminal: Whether lines can be taken back; default what standard error is.
    """

    def __init__(self, *, quiet: bool = False, terminal: bool | None = None) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._shown: Sequence[str] = ()

    def show(self, now: Sequence[str]) -> None:
        """These instead of the last."""
        if self._quiet or now == self._shown:
            return
        if self._terminal:
            self.wipe()
            # A line that wraps, or that scrolls away, could not be taken back.
            now = [line[: self.width] for line in now[: shutil.get_terminal_size().lines - 1]]
            new = now
        else:
            before = set(self._shown)
            new = [line for line in now if line not in before]
        for line in new:
            print(line, file=sys.stderr)
        sys.stderr.flush()
        self._shown = now

    @property
    def width(self) -> int | None:
        """How many characters of a line can be seen; ``None`` where that is no question."""
        return shutil.get_terminal_size().columns - 1 if self._terminal else None

    def wipe(self) -> None:
        """Take the lines back, where that can be done; the result will stand in their place."""
        if self._terminal and self._shown:
            print(f"\x1b[{len(self._shown)}A\x1b[J", end="", file=sys.stderr, flush=True)
        if self._terminal:
            self._shown = ()


class Idle:
    """
    Notices that jobs wait for a worker and nobody takes them up.

    No worker needs to be known here, so that a service can be watched, too.

    Args:
        patience: Seconds after which it says so; a worker that lives takes less to begin.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._since: float | None = None

    def lines(self, states: Collection[JobState]) -> list[str]:
        """What to say below jobs that stand so now: nothing, or one line."""
        if JobState.QUEUED not in states or JobState.RUNNING in states:
            self._since = None
            return []
        now = asyncio.get_running_loop().time()
        self._since = now if self._since is None else self._since
        return [NOBODY] if now - self._since >= self._patience else []


async def follow_job(
    look: Callable[[], "Awaitable[JobDescription]"],
    screen: Screen,
    *,
    every: float,
    patience: float = PATIENCE,
) -> "JobDescription":
    """*look* every so many seconds until the job rests; as it then is."""
    idle = Idle(patience)
    while True:
        job = await look()
        screen.show([line(job), *idle.lines({job.state})])
        if job.state in RESTING:
            screen.wipe()
            return job
        await asyncio.sleep(every)


async def follow_page(
    look: Callable[[], "Awaitable[JobPage]"], screen: Screen, *, every: float, patience: float = PATIENCE
) -> "JobPage":
    """*look* every so many seconds until all jobs on the page rest; as they then are."""
    idle = Idle(patience)
    while True:
        page = await look()
        nobody = idle.lines({job.state for job in page.jobs})
        screen.show([*nobody, *fitting([row(job) for job in page.jobs], screen.width)])
        if all(job.state in RESTING for job in page.jobs):
            screen.wipe()
            return page
        await asyncio.sleep(every)


def fitting(rows: Sequence[Mapping[str, object]], width: int | None) -> list[str]:
    """
    A table of what fits into *width*: every column of it is whole, and an id at least its end.

    Args:
        width: ``None``: everything.
    """
    if width is None:
        return lines(rows, COLUMNS)
    shown: list[str] = []
    for column in WATCHED:
        if _across(lines(rows, [*shown, column])) > width and column in IDS:
            rows = [{**each, column: f"…{str(each[column])[-SHORT:]}"} for each in rows]
        if _across(lines(rows, [*shown, column])) <= width or not shown:
            shown.append(column)
    return lines(rows, shown)


def _across(table: Sequence[str]) -> int:
    return max(map(len, table))


def row(job: "JobDescription") -> Mapping[str, object]:
    """A job in columns."""
    due = None if job.due_at is None else job.due_at.isoformat(timespec="seconds")
    return {
        "id": job.id,
        "job": job.job,
        "grant": job.grant,
        "state": job.state,
        "reason": job.reason,
        "progress": progress(job),
        "steps": job.steps,
        "attempts": job.attempts,
        "due_at": due,
    }


def progress(job: "JobDescription") -> str | None:
    """How far it says it is."""
    if job.of:
        return f"{job.done}/{job.of}"
    return str(job.done) if job.done else None


def line(job: "JobDescription") -> str:
    """A job on one line, with a bar where it knows how much there is to do."""
    said: list[str] = [job.job, job.state]
    if job.of:
        full = min(WIDTH * job.done // job.of, WIDTH)
        said.append(f"[{'#' * full}{'.' * (WIDTH - full)}]")
    said += [text for text in (progress(job), job.doing) if text is not None]
    if job.reason is not None:
        said.append(job.reason)
    if job.state is JobState.WAITING and job.due_at is not None:
        said.append(f"until {job.due_at.isoformat(timespec='seconds')}")
    return "  ".join(said)
