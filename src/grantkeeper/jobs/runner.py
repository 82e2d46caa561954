"""
One run of a job: from its row to what becomes of it.

The row is written first and the engine told afterwards, by ending the run. A run that died in
between is run again and finds in the row what was decided.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from grantkeeper.errors import CallerNotAllowed, ScopeInsufficient, StoreUnavailable
from grantkeeper.jobs.context import JobContext, PlainJobContext
from grantkeeper.jobs.definition import Definition
from grantkeeper.jobs.failures import OUTAGES, PermanentFailure, Verdict, meant, ours, pause, verdict
from grantkeeper.jobs.means import Means
from grantkeeper.jobs.parking import WOKEN, granted, park_others
from grantkeeper.jobs.quoting import quotable, tellable
from grantkeeper.jobs.rights import beyond_rule
from grantkeeper.jobs.row import Lives, Row, TakenOver, patiently
from grantkeeper.jobs.work import Work
from grantkeeper.jobs.yard import Yard
from grantkeeper.model import ENDED, Job, JobState, Order
from grantkeeper.ports import Steps, Suspended

ELSEWHERE = Verdict(JobState.WAITING, "job_unknown", "the worker that took it does not know it", 15.0)
"""Another worker may: two apps can share a database."""

REST_OF_BROKEN = 60.0
"""Seconds at least until a job is begun again that our own code could not bring to an end."""

LONGEST_SAID = 500
"""Characters of an error's text in the log, which is for those who wrote the job; it is kept nowhere else."""

KEPT_LARGEST = 64 * 1024
"""Bytes of what a job returned that are kept in its row."""

MOST_BEGUN = 8
"""
How often a job is begun at least, with no step done in between, before it counts as the cause of that.

Workers are ended for many reasons, and a job that may be tried once is not failed by the first.
"""


class Runner:
    """
    Runs jobs for the engine; belongs to the loop of the keeper.

    Args:
        lives: Whether our worker's lease is ours.

    Attributes:
        at: The rows of those that it is at.
        ended: How many runs came to which state.
    """

    def __init__(self, means: Means, yard: Yard, lives: Lives) -> None:
        self._means = means
        self._yard = yard
        self._lives = lives
        self.at: dict[str, Row] = {}
        self.ended: Counter[JobState] = Counter()

    async def run(self, job_id: str, steps: Steps) -> None:
        """
        See `grantkeeper.ports.Run`.

        Raises:
            Suspended: The job goes on later, or never.
            TakenOver: Another worker runs it now, or will.
        """
        try:
            await self._run(job_id, steps)
        except Exception as error:  # noqa: BLE001 - a row that says "running" of a job that nobody runs is lost
            self._means.tell("job.broken", level=logging.ERROR, error=error, job=job_id)
            row = await self._ours(job_id)
            if row is not None:
                found = _broken(row.job.outages, self._means.dice.roll())
                definition = self._means.definitions.get(row.job.name)
                await self._write(row, definition, found, outages=found.outages)
            raise Suspended from None

    async def _ours(self, job_id: str) -> Row | None:
        """
        The row, which is ours to write; ``None``: the job is done.

        Raises:
            Suspended: It was decided what becomes of it, by a run that died before the engine heard of it.
            TakenOver: It runs, and not here.
        """
        job = await patiently(partial(self._means.store.job, job_id))
        if job is not None and job.state is JobState.DONE:
            return None
        if job is None or not await self._goes_on(job):
            raise Suspended
        # After the reading: whoever takes our jobs from here on changes the version that we have.
        if job.state is JobState.RUNNING and not await patiently(self._lives):
            raise TakenOver
        return Row(self._means.store, job, self._lives)

    async def _goes_on(self, job: Job) -> bool:
        """
        Whether its row says that it is to run.

        A parked one is where its grant works by now: the run that parked it died before it looked again.
        """
        if job.state is not JobState.PARKED:
            return job.state in (JobState.QUEUED, JobState.RUNNING)
        definition = self._means.definitions.get(job.name)
        needed = job.scopes if definition is None else job.scopes | definition.scopes
        return _tried_again(job.attempts) and await self._granted(replace(job, scopes=needed))

    async def _run(self, job_id: str, steps: Steps) -> None:
        row = await self._ours(job_id)
        if row is None:
            return
        job = row.job
        definition = self._means.definitions.get(job.name)
        if definition is None:
            await self._write(row, None, ELSEWHERE)
            raise Suspended
        beyond = await patiently(partial(beyond_rule, self._means.store, job, definition.scopes))
        if beyond:
            await self._write(row, definition, _not_allowed(beyond))
            raise Suspended
        begun = await self._begun(job)
        if begun.get("attempts", 0) >= max(definition.attempts, MOST_BEGUN):
            await self._write(row, definition, _killer(begun["attempts"]), **begun)
            raise Suspended
        await row.change(
            patient=True,
            state=JobState.RUNNING,
            started_at=job.started_at or self._means.clock.now(),
            reason=None,
            note=None,
            due_at=None,
            # Carried out twice it is nothing; struck out by one who is not to run this, it would be missed.
            order=Order.RESUME if job.order is Order.RESUME else None,
            **begun,
        )
        self._means.tell("job.begun", job=job.id, name=job.name, grant=job.grant_id)
        work = Work(self._means, row, steps, definition)
        if job.state is JobState.RUNNING:
            work.session.cut_at = self._means.clock.now()
        self.at[job.id] = row
        try:
            try:
                result = await self._do(work, definition)
            except Suspended:
                raise
            except Exception as error:  # noqa: BLE001 - the author's code may raise anything
                await self._failed(work, definition, error)
                raise Suspended from None
            await self._done(work, definition, result)
        finally:
            self.at.pop(job.id, None)
            await work.last_news()

    async def _begun(self, job: Job) -> dict[str, Any]:
        """
        What the row learns from a run before this one that ended without a word, its worker having died.

        It is counted, unless it got a step further: it may have been the job that killed the worker.
        """
        if job.state is not JobState.RUNNING:
            return {}
        try:
            recorded = len(await self._means.engine.steps(job.id))
        except StoreUnavailable:
            return {}
        if recorded > job.steps:
            return {"steps": recorded, "attempts": 0, "outages": 0}
        return {"steps": recorded, "attempts": job.attempts + 1}

    async def _do(self, work: Work, definition: Definition) -> bytes:
        arguments = definition.read(work.row.job.parameters)
        home = asyncio.get_running_loop()
        if definition.plain:
            context = PlainJobContext(work, home, self._yard)
            value = await self._yard.thread(partial(definition.function, context, **arguments))
        else:
            value = await self._yard.run(definition.function(JobContext(work, home, self._yard), **arguments))
        try:
            result = msgspec.json.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise PermanentFailure(f"a job returns what JSON can hold, not {type(value).__name__}") from error
        return result if len(result) <= KEPT_LARGEST else b'"(too large to be kept)"'

    async def _done(self, work: Work, definition: Definition, result: bytes) -> None:
        # First of all: who sees that it is done sees what followed from it too.
        await work.session.worked()
        now = self._means.clock.now()
        await work.row.change(
            patient=True,
            state=JobState.DONE,
            result=result,
            seal_key=None,
            steps=max(work.row.job.steps, work.recorded),
            attempts=0,
            outages=0,
            **await work.last_news(),
            ended_at=now,
            keep_until=now + definition.keep,
        )
        self.ended[JobState.DONE] += 1
        self._means.tell("job.done", job=work.row.job.id, name=definition.name, steps=work.recorded)

    async def _failed(self, work: Work, definition: Definition, raised: Exception) -> None:
        """Write down what *raised* makes of the job."""
        row = work.row
        foreign = None if ours(raised) else await work.session.foreign(raised)
        error = foreign or raised
        attempts, outages = (0, 0) if work.done_anew else (row.job.attempts, row.job.outages)
        needed = replace(row.job, scopes=work.scopes)
        found = verdict(
            error,
            attempts=attempts,
            outages=outages,
            most=definition.attempts,
            roll=self._means.dice.roll(),
            granted=isinstance(meant(error), ScopeInsufficient) and await self._granted(needed),
        )
        given = work.session.given
        found = replace(found, note=quotable(found.note, given))
        if found.reason == "error" or foreign is not None:
            self._means.tell(
                "job.raised",
                level=logging.WARNING,
                error=tellable(raised, given),
                job=row.job.id,
                name=definition.name,
                said=quotable(str(raised), given)[:LONGEST_SAID],
            )
        more = await work.last_news() | {
            "attempts": found.attempts,
            "outages": found.outages,
            "steps": max(row.job.steps, work.recorded),
        }
        await self._write(row, definition, found, **more)
        if found.state is not JobState.PARKED:
            return
        if await self._granted(needed):
            if _tried_again(attempts):
                await row.change(patient=True, attempts=attempts + 1, **WOKEN)
            return
        await park_others(self._means.store, row.job)

    async def _granted(self, job: Job) -> bool:
        """Whether its grant works and has the scopes of *job*, as far as its row says."""
        return await patiently(partial(granted, self._means.store, job))

    async def _write(self, row: Row, definition: Definition | None, found: Verdict, **more: Any) -> None:
        now = self._means.clock.now()
        ended = found.state in ENDED
        await row.change(
            patient=True,
            state=found.state,
            reason=found.reason,
            note=found.note,
            due_at=now + timedelta(seconds=found.wait) if found.state is JobState.WAITING else None,
            ended_at=now if ended else None,
            keep_until=now + definition.keep if ended and definition is not None else None,
            **more,
        )
        self.ended[found.state] += 1
        self._means.tell(f"job.{found.state}", job=row.job.id, name=row.job.name, reason=found.reason)


def _tried_again(attempts: int) -> bool:
    """
    Whether a parked job whose grant works by now is tried again, after so many attempts.

    They are counted: should the grant only look as if it worked, it is not tried for ever.
    """
    return attempts + 1 < MOST_BEGUN


def _not_allowed(beyond: frozenset[str]) -> Verdict:
    """What becomes of a job whose function needs more by now than whoever asked for it may have."""
    note = (
        "the job's function needs scopes by now that the rules of the caller who asked for it do not allow: "
        f"{' '.join(sorted(beyond))}"
    )
    return Verdict(JobState.FAILED, CallerNotAllowed.code, note)


def _broken(outages: int, roll: float) -> Verdict:
    """What becomes of a job when our own code fails: longer and longer rests, and after a day an end."""
    note = "the worker failed, not the job; its log says how"
    if outages + 1 >= OUTAGES:
        note = f"{note}; tried {outages + 1} times"
        return Verdict(JobState.FAILED, "error", note, outages=outages + 1)
    wait = max(REST_OF_BROKEN, pause(outages, roll))
    return Verdict(JobState.WAITING, "error", note, wait, outages=outages + 1)


def _killer(times: int) -> Verdict:
    """What becomes of a job in which so many workers died."""
    note = f"its worker died in it {times} times, with no step done in between: look whether it is the cause"
    return Verdict(JobState.FAILED, "worker_died", note)
