"""What a person sees of a worker at the terminal: the jobs it is at, line by line, below its log."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grantkeeper.cli.jobs_watch import line

if TYPE_CHECKING:
    from rich.console import Console

    from grantkeeper.library.worker import Worker

LOOKS = 4
"""In a second."""


def lines(worker: "Worker", *, most: int) -> Sequence[str]:
    """The jobs that it is at, at most so many, and how those ended that it was at before."""
    at = worker.running
    shown = [line(job) for job in at[:most]]
    if len(at) > most:
        shown.append(f"and {len(at) - most} more")
    ended = "  ".join(f"{state} {count}" for state, count in sorted(worker.ended.items()))
    if not worker.executor:
        return ["starting"]
    if not at:
        shown.append("waiting for jobs")
    return [*shown, ended] if ended else shown


@contextmanager
def board(worker: "Worker", console: "Console | None" = None) -> Iterator[None]:
    """Show it until the end; what is printed on standard error meanwhile stands above."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    screen = console or Console(stderr=True)

    def now() -> Any:
        # What an app told as progress is text, and no markup.
        return Text(
            "\n".join(lines(worker, most=max(1, screen.height - 4))), no_wrap=True, overflow="ellipsis"
        )

    with Live(get_renderable=now, console=screen, refresh_per_second=LOOKS, transient=True):
        yield
