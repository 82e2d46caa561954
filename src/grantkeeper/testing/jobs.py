"""
Jobs in a test: a worker on a new database, the emulator as Google, and a clock that is moved.

The engine is the one in memory, which keeps the same promises as the real one (both pass
`grantkeeper.testing.EngineConformance`) and starts in a moment.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from grantkeeper.adapters.memory_engine import EngineBook, MemoryEngine
from grantkeeper.adapters.sealing import generate_keys
from grantkeeper.jobs.definition import Job, by_name
from grantkeeper.jobs.rates import ApiRate
from grantkeeper.library.worker import Worker
from grantkeeper.model import JobDescription, JobState
from grantkeeper.ports import StepRecord
from grantkeeper.settings import Settings
from grantkeeper.testing.google import GoogleEmulator

AnyJob = Job[..., Any]

LIMIT: Final = 30.0
"""Seconds after which a state that ought to come counts as never coming."""

SETTLED: Final = frozenset(JobState) - {JobState.QUEUED, JobState.RUNNING}
"""Where nothing goes on before the time, the user or somebody else does something."""


@dataclass(frozen=True, slots=True)
class Ran:
    """
    How a job stands, and what it has done.

    Attributes:
        report: What `keeper.jobs.get` tells of it.
        records: Every recorded step with its value, in order.
    """

    report: JobDescription
    records: tuple[tuple[str, Any], ...]

    @property
    def id(self) -> str:
        """Of the job."""
        return self.report.id

    @property
    def state(self) -> JobState:
        """One of `grantkeeper.model.JobState`; equal to its text, such as ``"done"``."""
        return self.report.state

    @property
    def reason(self) -> str | None:
        """Of being parked, waiting or failed."""
        return self.report.reason

    @property
    def note(self) -> str | None:
        """The same as a sentence."""
        return self.report.note

    @property
    def result(self) -> Any:
        """What it returned."""
        return self.report.result

    @property
    def steps(self) -> Mapping[str, Any]:
        """What the recorded steps returned, by name; of several with one name the last."""
        return dict(self.records)


class JobKit:
    """
    A worker under test, and what a test asks of it; made by `job_kit`.

    Attributes:
        google: The emulator.
        worker: The one that works now; after `crash` it is another.
    """

    def __init__(
        self,
        google: GoogleEmulator,
        settings: Settings,
        jobs: Collection[AnyJob],
        *,
        book: EngineBook | None = None,
        at_once: int = 4,
        rates: Sequence[ApiRate] = (),
    ) -> None:
        self.google = google
        self._settings = settings
        self._definitions = by_name(each.definition for each in jobs)
        self._book = EngineBook() if book is None else book
        self._at_once = at_once
        self._rates = rates
        self.engine, self.worker = self._hired()

    def _hired(self) -> tuple[MemoryEngine, Worker]:
        engine = MemoryEngine(self._book)
        return engine, Worker(
            self._settings, self._definitions, at_once=self._at_once, engine=engine, rates=self._rates
        )

    async def signed_in(self, email: str = "ada@example.com", scopes: Collection[str] | None = None) -> str:
        """
        A user signs in, or consents again; the id of the grant.

        Args:
            scopes: What is granted; default what the kit's jobs need.
        """
        if scopes is None:
            scopes = frozenset[str]().union(*(each.scopes for each in self._definitions.values()))
        wanted = sorted({"openid", "email", *scopes})
        return (await self.worker.keeper.redeem(self.google.code(email, wanted, force=True))).id

    async def enqueue(self, job: AnyJob | str, grant: str, /, **parameters: Any) -> str:
        """Ask for *job*, or one of that name, and do not wait; its id."""
        name = job if isinstance(job, str) else job.definition.name
        return (await self.worker.keeper.jobs.enqueue(name, grant, parameters=parameters)).id

    async def run(self, job: AnyJob | str, grant: str, /, **parameters: Any) -> Ran:
        """Ask for *job* and wait until nothing goes on: it ended, or waits, or is parked."""
        return await self.until(await self.enqueue(job, grant, **parameters))

    async def until(self, job_id: str, *states: str) -> Ran:
        """
        Wait until a job stands so; default until nothing goes on.

        Raises:
            AssertionError: It never does.
        """
        wanted = frozenset(states or SETTLED)
        until = asyncio.get_running_loop().time() + LIMIT
        while (report := await self.worker.keeper.jobs.get(job_id)).state not in wanted:
            if asyncio.get_running_loop().time() > until:
                raise AssertionError(f"the job is {report.state} and not {' or '.join(sorted(wanted))}")
            await asyncio.sleep(0.02)
        return Ran(report, tuple(_read(each) for each in await self.engine.steps(job_id)))

    def advance(self, seconds: float) -> None:
        """Move the clock, of Google and of the keeper; what is due goes on within a second."""
        self.google.advance(seconds)

    async def crash(self) -> None:
        """
        The worker dies where it is, and another takes over what it was at.

        Nothing more of the dead one is recorded. Other than after a true crash, what stands in
        ``finally`` is still done, and a plain function that is under way runs on to its end.
        """
        dead = self.worker
        await dead.stop(seconds=0.0)
        self.engine, self.worker = self._hired()
        await self.worker.start()
        # At once: on a real database it is noticed within seconds.
        await self.engine.recover(dead.executor)


@asynccontextmanager
async def job_kit(
    google: GoogleEmulator, folder: Path, *jobs: AnyJob, at_once: int = 4
) -> AsyncIterator[JobKit]:
    """
    A worker for *jobs*, on a new database in *folder*.

    Args:
        google: The fixture `google_emulator`.
        folder: An empty one, such as pytest's ``tmp_path``; made if it is not there.
        at_once: How many jobs run together.
    """
    kit = JobKit(google, kit_settings(google, folder), jobs, at_once=at_once)
    await kit.worker.start()
    try:
        yield kit
    finally:
        await kit.worker.stop(seconds=1.0)


def kit_settings(google: GoogleEmulator, folder: Path) -> Settings:
    """One client, a new database and new keys in *folder*, and the emulator's clock."""
    if google.client_secret is None:
        raise ValueError("the emulator has written no client file; use the fixture google_emulator")
    folder = folder.resolve()
    folder.mkdir(exist_ok=True)
    generate_keys(folder / "keys.json")
    return Settings.of(
        google.client_secret,
        directory=folder,
        issuer=google.issuer,
        keys=folder / "keys.json",
        database_url=f"sqlite:///{folder / 'grants.db'}",
        clock_file=google.clock_file,
    )


def _read(record: StepRecord) -> tuple[str, Any]:
    return record.name, msgspec.json.decode(record.value)
