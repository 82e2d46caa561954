"""Processes of a service under test: started, watched, stalled, killed and ended, each by its own id."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

START_LIMIT = 90.0
STOP_LIMIT = 60.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:[1-9]\d*")


class ProcessFailed(AssertionError):
    """A process did not start, or did not end when it was told to; the text has the end of its log."""


class Process:
    """
    A command that serves until it is ended, the leader of a session of its own.

    Args:
        environment: All of it; nothing is inherited.
        log: Where its output goes, both streams.

    Attributes:
        url: Where it answers, once `ready` has returned.
        popen: The child itself.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self.log = log
        self.url = ""
        with log.open("wb") as out:
            self.popen = subprocess.Popen(  # noqa: S603 - the command is the test's own
                list(command),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def said(self) -> str:
        """What it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def ready(self, seconds: float = START_LIMIT) -> Self:
        """
        Wait until it has said where it listens: the first address on 127.0.0.1 in its log.

        Raises:
            ProcessFailed: It ended instead, or said nothing for *seconds*.
        """
        until = time.monotonic() + seconds
        while not self.url:
            ended = not self.alive
            # A line may be half written: an address counts once something stands after it.
            found = ADDRESS.search(self.said().rpartition("\n")[0])
            if found:
                self.url = found[0]
            elif ended or time.monotonic() > until:
                raise ProcessFailed(f"a process does not start:\n{self.said()[-3000:]}")
            else:
                time.sleep(0.02)
        return self

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None

    def kill(self) -> None:
        """Kill it at once, as the system does when memory runs out."""
        self.popen.kill()
        self.popen.wait()

    def stall(self) -> None:
        """Let it stand still until `resume`, as a machine does that swaps or is moved."""
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.popen.send_signal(signal.SIGCONT)

    def signal(self) -> None:
        """Ask it to end."""
        self.popen.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """
        End it in peace; the exit status.

        Raises:
            ProcessFailed: It did not end by itself; now it is killed.
        """
        if self.alive:
            self.signal()
            self.resume()
        try:
            return self.popen.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessFailed("a process does not end when it is told to") from None


def without_settings() -> dict[str, str]:
    """This process's environment, without settings of grantkeeper."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GRANTKEEPER_")}
