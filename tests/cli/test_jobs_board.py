"""What a person sees of a worker, as lines and on a terminal."""

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from grantkeeper.cli.jobs_board import board, lines
from grantkeeper.model import JobDescription, JobState
from tests.jobs_kit import NOW


class Busy:
    """A worker that is at some jobs."""

    def __init__(self, count: int) -> None:
        job = JobDescription(id="j", job="improve", grant="g", state=JobState.RUNNING, created_at=NOW)
        self.executor = "w"
        self.running = [replace(job, done=each, of=4, doing=f"[b]photo {each}[/b]") for each in range(count)]
        self.ended = {JobState.PARKED: 1, JobState.DONE: 12} if count else {}


def shown(count: int, most: int = 10) -> list[str]:
    worker: Any = Busy(count)
    return list(lines(worker, most=most))


def test_a_line_for_each_job_and_what_came_of_others() -> None:
    """
    How far each is, and how many ended how.
    """
    assert [
        "improve  running  [........................]  0/4  [b]photo 0[/b]",
        "improve  running  [######..................]  1/4  [b]photo 1[/b]",
        "done 12  parked 1",
    ] == shown(2)


def test_more_than_fit_are_counted() -> None:
    """
    A line that scrolled away could not be taken back.
    """
    assert ["improve  running", "and 2 more"] == [each[:16].rstrip() for each in shown(3, most=1)[:2]]


def test_a_worker_without_jobs_says_that_it_waits() -> None:
    """
    Nothing to see is no reason to see nothing.
    """
    starting: Any = Busy(0)
    starting.executor = ""

    assert ["waiting for jobs"] == shown(0)
    assert ["starting"] == lines(starting, most=10)


def test_the_terminal_shows_them_and_is_left_clean() -> None:
    """
    What an app tells is text: it is no markup of the terminal's.
    """
    out, worker = io.StringIO(), Busy(1)
    console = Console(file=out, force_terminal=True, width=90, height=20)
    held: Any = worker
    with board(held, console):
        pass

    assert "[b]photo 0[/b]" in out.getvalue()
    assert "\x1b[2K" in out.getvalue(), "taken back at the end"
