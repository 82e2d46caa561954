"""The durable engine: it runs what it was given to the end, whoever dies meanwhile."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Suspended(BaseException):
    """
    Raised by a run that is not to go on now.

    The engine keeps the steps that were recorded and runs it again when it is resumed. No
    `Exception`, so that nothing that catches errors catches it.
    """


@dataclass(frozen=True, slots=True)
class Ticket:
    """
    What the engine knows of a job: ids, and nothing personal.

    Attributes:
        id: Of the job.
        group: Of the tickets of one group at most *at_once* run; the grant's id.
        at_once: ``None``: any number.
    """

    id: str
    group: str
    at_once: int | None = 1


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step that is recorded, and will not be done again."""

    name: str
    value: bytes


class Steps(Protocol):
    """The steps of one run. Every run of a job asks for the same steps in the same order."""

    async def step(self, name: str, call: Callable[[], Awaitable[bytes]]) -> bytes:
        """
        The recorded value of the run's next step; or what *call* gives, recorded before it is returned.

        An error of *call* is raised as it is and not recorded: the step will be done again. A
        run may ask for no other step after that.

        Raises:
            Suspended: The job was suspended, or is run by another executor.
            StepsDiffer: The recorded step at this place has another name.
        """
        ...


class StepsDiffer(Exception):
    """A run asks for other steps than an earlier run did: the code was changed under it."""


Run = Callable[[str, Steps], Awaitable[None]]
"""Does the job of that id; returning ends it for good, `Suspended` leaves it for later."""


class Engine(Protocol):
    """
    Runs jobs durably.

    Every method may be called again with the same arguments, by any process, and then
    changes nothing. All but `start` work without it, too.
    """

    async def start(self, run: Run, *, executor: str, at_once: int) -> None:
        """
        Begin to run what was submitted, on the running loop.

        Args:
            executor: Our name; one that no living process has.
            at_once: How many jobs this process runs together.
        """
        ...

    async def submit(self, tickets: Sequence[Ticket]) -> None:
        """Run these as soon as somebody is free, in order within a group."""
        ...

    async def resume(self, tickets: Sequence[Ticket]) -> None:
        """
        Run suspended ones again, from the first step that is not recorded; unknown ones are submitted.

        One that runs now is run once more should this run be suspended: who resumes may have seen our row say
        that it waits, a moment before the run that wrote so has ended.
        """
        ...

    async def suspend(self, job_ids: Sequence[str]) -> None:
        """Stop these: one that waits is not begun, one that runs is stopped at its next step."""
        ...

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Suspend these, and drop all that is known of them."""
        ...

    async def steps(self, job_id: str) -> list[StepRecord]:
        """The recorded steps, in order."""
        ...

    async def recover(self, executor: str) -> int:
        """What a dead *executor* was running is run elsewhere; how many that were."""
        ...

    async def stop(self, *, seconds: float) -> None:
        """
        Begin nothing more and wait up to *seconds* for what runs; the rest is left to `recover`.

        Lets go of everything.
        """
        ...
