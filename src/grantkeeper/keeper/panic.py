"""
Revoking many grants at once, after a theft: here in seconds, at the issuer with patience.

A run has two parts. First every chosen grant is marked revoked, page by page;
from each page's commit on no node hands its tokens out. Then the issuer is told
of one after the other, at a bounded rate. Both are written down as they go, so
that a run that was killed anywhere goes on where it was: the pages of grants in
marks of the store, each answer of the issuer in the same commit as the grant's
tombstone. While a run lives, the upkeep leaves its grants to it; should it never
be resumed, the upkeep tells the issuer of them after `HOLD`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from grantkeeper.backoff import REVOCATIONS_PER_SECOND, Pace
from grantkeeper.errors import (
    ClientUnknown,
    GrantNotFound,
    InvalidRequest,
    SealBroken,
    StoreUnavailable,
)
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.panic_choice import Choice, fits
from grantkeeper.keeper.panic_report import KIND, ReportLines
from grantkeeper.keeper.panic_run import Line, Run, Runs
from grantkeeper.keeper.revocation import TELL_SECONDS, Revoker, Word
from grantkeeper.keeper.sessions import Sessions
from grantkeeper.model import AuditEvent, Grant, GrantState, Held, Lease
from grantkeeper.ports import GrantQuery, Release

PAGE = 100
"""Grants that are chosen, marked and written down at once."""

HOLD = timedelta(days=1)
"""How long the upkeep waits, beyond the time the run should take, before it tells the issuer itself."""

LEASE = 10.0
RENEWED_AFTER = 3.0
ROUNDS = 8
"""How often the issuer is told of a grant before the run gives up on it and leaves it to the upkeep."""

AT_ONCE = 16
"""Calls of the issuer in the air at most."""

BUSY_AGAIN = 1.0
"""Seconds until a grant is looked at again that another process is telling the issuer of."""

RECALLED = 1000
"""Answers read back after a crash: those that came since the last page was written down are far fewer."""

Progress = Callable[[str, int, int], None]
"""Called with the part (``marked`` or ``told``), how many are done in it, and of how many (0: unknown)."""

HOPELESS = (SealBroken, ClientUnknown)
"""Reasons for which another try within the run cannot help."""


@dataclass(slots=True)
class _Recalled:
    """Answers that a killed run had written with the grant but not yet into its page."""

    answers: dict[str, tuple[str, datetime]] | None = None


@dataclass(slots=True)
class _Work:
    """A run in hand."""

    run: Run
    pace: Pace
    progress: Progress
    told: int = 0
    resumed: bool = False
    recalled: _Recalled = field(default_factory=_Recalled)


class Panic:
    """
    Runs panics. Belongs to one loop.

    Attributes:
        runs: What is written down of them.
    """

    def __init__(self, means: Means, revoker: Revoker, sessions: Sessions, *, page: int = PAGE) -> None:
        self._means = means
        self._revoker = revoker
        self._sessions = sessions
        self._page_size = page
        self.runs = Runs(means.store)

    # -- beginning ----------------------------------------------------------------------------

    def rate(self, choice: Choice) -> float:
        """The usual rate for the issuers that *choice* is about: the slowest's."""
        clients = [one for name, one in self._means.clients.items() if name in choice.clients]
        chosen = clients or list(self._means.clients.values())
        return min((REVOCATIONS_PER_SECOND[one.provider] for one in chosen), default=1.0)

    async def preview(self, choice: Choice) -> AsyncIterator[Grant]:
        """What a run would revoke, changing nothing and asking nobody."""
        seen: set[str] = set()
        run = self._new(choice, "", 1.0)
        async for page, _, _ in self._pages(run):
            for grant in page:
                # Only the audit names a grant more than once.
                if not choice.callers or grant.id not in seen:
                    yield grant
                if choice.callers:
                    seen.add(grant.id)

    async def begin(self, choice: Choice, *, by: str, rate: float | None = None) -> Run:
        """
        A new run, written down; nothing is revoked yet.

        Raises:
            InvalidRequest: Nothing is chosen.
        """
        if choice.empty:
            raise InvalidRequest("a panic needs a choice of grants, or everything said aloud")
        run = self._new(choice, by, rate or self.rate(choice))
        await self.runs.save(run)
        await self.runs.list_it(run.id)
        await self._note("panic.begun", run)
        return run

    def _new(self, choice: Choice, by: str, rate: float) -> Run:
        now = self._means.clock.now()
        # The order of beginning shows in the id, and two in one second differ.
        name = f"{now:%Y%m%dT%H%M%S}-{self._means.dice.bytes(4).hex()}"
        return Run(id=name, by=by, started_at=now, choice=choice, rate=rate)

    # -- working ------------------------------------------------------------------------------

    async def work(self, run_id: str, report: Path, progress: Progress = lambda part, done, of: None) -> Run:
        """
        Do what is left of a run, and write its *report*.

        Raises:
            InvalidRequest: There is no such run, or another process is at it.
            StoreUnavailable: It stands still; resume it later.
        """
        async with self._alone(run_id):
            run = await self.runs.find(run_id)
            if run.finished_at is not None:
                await self.runs.tidy(run)
                return run
            resumed = run.pages > 0
            work = _Work(run, Pace(run.rate), progress, resumed=resumed)
            await self._mark(work)
            await self._tell(work)
            await self._finish(work, report)
            return run

    @asynccontextmanager
    async def _alone(self, run_id: str) -> AsyncIterator[None]:
        """No other process works on the run meanwhile; one that died is waited for."""
        name, owner = f"panic:{run_id}", self._means.owner()
        give_up = self._means.clock.monotonic() + LEASE + RENEWED_AFTER
        while isinstance(claim := await self._means.store.take(name, owner, seconds=LEASE), Held):
            if self._means.clock.monotonic() >= give_up:
                raise InvalidRequest("another process is working on this panic")
            await asyncio.sleep(0.5)
        me = asyncio.current_task()
        assert me is not None
        lost: list[bool] = []

        async def keep(lease: Lease) -> None:
            while True:
                await asyncio.sleep(RENEWED_AFTER)
                try:
                    kept = await self._means.store.renew(lease, seconds=LEASE)
                except StoreUnavailable:
                    kept = None
                if kept is None:
                    lost.append(True)
                    me.cancel()
                    return

        keeper = asyncio.create_task(keep(claim), name=name)
        try:
            yield
        except asyncio.CancelledError:
            if not lost:
                raise
            me.uncancel()
            raise StoreUnavailable(
                "the run's lease could not be kept", hint="Resume it; nothing is told twice.", retry_after=5.0
            ) from None
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            if not lost:
                await self._means.store.commit(Release(claim))

    # -- the first part: here -----------------------------------------------------------------

    async def _mark(self, work: _Work) -> None:
        """Write down and mark every chosen grant."""
        run = work.run
        if run.pages and not run.marked:
            # It may have been killed between writing its last page down and marking it.
            await self._mark_page(run, [line.grant for line in await self.runs.page(run, run.pages - 1)])
        if run.marked:
            return
        async for grants, source, cursor in self._pages(run):
            if grants:
                lines = [_line(grant) for grant in grants]
                await self.runs.save_page(run, run.pages, lines)
                run.pages += 1
                run.chosen += len(grants)
            run.source, run.cursor = source, cursor
            await self.runs.save(run)
            if grants:
                await self._mark_page(run, [grant.id for grant in grants])
                work.progress("marked", run.chosen, 0)
        run.marked = True
        await self.runs.save(run)

    async def _mark_page(self, run: Run, ids: list[str]) -> None:
        rows = [row for grant_id in ids if (row := await self._means.store.get(grant_id)) is not None]
        # The later in line, the later the upkeep would step in.
        in_line = timedelta(seconds=2 * run.chosen / run.rate)
        due = self._means.clock.now() + HOLD + in_line
        wanted = [row for row in rows if fits(row, run.choice, run.started_at)]
        await self._revoker.mark_all(
            wanted, due, lambda row: fits(row, run.choice, run.started_at), _caller(run)
        )

    async def _pages(self, run: Run) -> AsyncIterator[tuple[list[Grant], int, str]]:
        """What fits, in pages of bounded size, each with the place at which the next begins."""
        choice = run.choice
        sources = choice.callers or choice.users or ("",)
        cursor = run.cursor
        for number in range(run.source, len(sources)):
            source = sources[number]
            while True:
                read = self._handed_to if choice.callers else self._searched
                found, cursor, more = await read(choice, source, cursor)
                new = [
                    one
                    for one in found
                    if fits(one, choice, run.started_at)
                    # Only the audit names a grant more than once.
                    and not (choice.callers and _marked_since(one, run.started_at))
                ]
                place = (number, cursor) if more else (number + 1, "")
                yield new, *place
                if not more:
                    break
            cursor = ""

    async def _searched(self, choice: Choice, user: str, after: str) -> tuple[list[Grant], str, bool]:
        query = GrantQuery(
            client_ids=frozenset(choice.client_ids) or None,
            user=user or None,
            after=after,
            limit=self._page_size,
        )
        found = await self._means.store.search(query)
        return found, found[-1].id if found else after, len(found) == self._page_size

    async def _handed_to(self, choice: Choice, caller: str, after: str) -> tuple[list[Grant], str, bool]:
        """The grants that the audit's next page names beside a caller."""
        events = await self._means.store.events(after=int(after or 0), limit=self._page_size, caller=caller)
        ids = dict.fromkeys(event.grant_id for _, event in events if event.grant_id is not None)
        rows = [row for grant_id in ids if (row := await self._means.store.get(grant_id)) is not None]
        return rows, str(events[-1][0]) if events else after, len(events) == self._page_size

    # -- the second part: at the issuer -------------------------------------------------------

    async def _tell(self, work: _Work) -> None:
        """Tell the issuer of every grant that has no answer yet, page by page, in several rounds."""
        run = work.run
        unfinished = list(range(run.pages))
        for round_number in range(1, ROUNDS + 1):
            left = []
            for number in unfinished:
                lines = await self.runs.page(run, number)
                if all(line.answer for line in lines):
                    if round_number == 1:
                        work.told += len(lines)
                        work.progress("told", work.told, run.chosen)
                    continue
                await self._tell_page(work, number, lines, last=round_number == ROUNDS)
                if any(not line.answer for line in lines):
                    left.append(number)
            if not left:
                return
            unfinished = left

    async def _tell_page(self, work: _Work, number: int, lines: list[Line], *, last: bool) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(line: Line) -> None:
            async with places:
                await self._tell_one(work, line, last=last)
            if line.answer:
                work.told += 1
                work.progress("told", work.told, work.run.chosen)

        calls = [one(line) for line in lines if not line.answer]
        # Where the store is away, calls under way are let end, and what is known is written down.
        troubles = [end for end in await asyncio.gather(*calls, return_exceptions=True) if end is not None]
        await self.runs.save_page(work.run, number, lines)
        if troubles:
            raise troubles[0]

    async def _tell_one(self, work: _Work, line: Line, *, last: bool) -> None:
        clock, run = self._means.clock, work.run
        # A killed run's answers are in the store already: they cost no turn.
        row = await self._means.store.get(line.grant)
        if row is not None and row.state is GrantState.REVOKED and row.revocation_due is not None:
            await asyncio.sleep(work.pace.turn(clock.monotonic()))
        sent_at = clock.monotonic()
        try:
            telling = await self._revoker.tell(line.grant, hold=HOLD, run=_caller(run))
            # Most likely the killed run itself, whose claim on this grant has not lapsed yet.
            give_up = sent_at + TELL_SECONDS + BUSY_AGAIN
            while telling.word is Word.BUSY and clock.monotonic() < give_up:
                await asyncio.sleep(BUSY_AGAIN)
                telling = await self._revoker.tell(line.grant, hold=HOLD, run=_caller(run))
        except GrantNotFound:
            line.answer, line.at = "forgotten", clock.now()
            return
        if telling.word is Word.BUSY:
            line.reason = "another process was telling the issuer"
        elif telling.error is not None:
            line.tries += 1
            line.reason = telling.error.code
            work.pace.failed(sent_at, clock.monotonic(), self._means.dice.roll(), telling.error.retry_after)
            last = last or isinstance(telling.error, HOPELESS)
        else:
            work.pace.succeeded()
            line.answer, line.at, line.reason = str(telling.word), clock.now(), ""
            if telling.word is Word.ELSEWHERE and work.resumed:
                line.answer, line.at = (await self._recall(work)).get(line.grant, (line.answer, line.at))
            return
        if last:
            line.answer, line.at = "failed", clock.now()
            await self._revoker.hand_over(
                line.grant,
                AuditEvent(
                    line.at,
                    "panic.failed",
                    line.grant,
                    _caller(run),
                    detail={"answer": "failed", "reason": line.reason},
                ),
            )

    async def _recall(self, work: _Work) -> dict[str, tuple[str, datetime]]:
        """The last answers that the run wrote into the audit before it was killed, read once."""
        if work.recalled.answers is None:
            newest: deque[AuditEvent] = deque(maxlen=RECALLED)
            after = 0
            while events := await self._means.store.events(after=after, limit=1000, caller=_caller(work.run)):
                newest += [event for _, event in events if event.name == "panic.revoked"]
                after = events[-1][0]
            work.recalled.answers = {
                event.grant_id: (event.detail["answer"], event.at) for event in newest if event.grant_id
            }
        return work.recalled.answers

    # -- the end ------------------------------------------------------------------------------

    async def _finish(self, work: _Work, report: Path) -> None:
        """Write the report, then that the run is over; its pages are dropped, for the report has them."""
        run = work.run
        run.answers = {}
        part = report.with_name(report.name + ".part")
        with part.open("wb") as file:
            lines = ReportLines(file)
            lines.add(
                {
                    "type": "header",
                    "run": run.id,
                    "by": run.by,
                    "started_at": run.started_at,
                    "choice": run.choice,
                    "rate": run.rate,
                }
            )
            for number in range(run.pages):
                for line in await self.runs.page(run, number):
                    run.answers[line.answer] = run.answers.get(line.answer, 0) + 1
                    told = {"type": "grant", "grant": line.grant, "client": line.client, "at": line.at}
                    told |= {"answer": line.answer} | ({"reason": line.reason} if line.reason else {})
                    lines.add(told)
            now = self._means.clock.now()
            lines.add(
                {
                    "type": "trailer",
                    "finished_at": now,
                    "grants": run.chosen,
                    "answers": run.answers,
                    "chain": lines.chain.hex(),
                }
            )
            lines.sign(
                await self._sessions.sign({"run": run.id, "sha256": lines.sha256, "signed_at": now}, KIND)
            )
            file.flush()
            _sync(file.fileno())
        part.replace(report)
        run.finished_at = now
        await self.runs.save(run)
        await self._note("panic.finished", run, grants=str(run.chosen), sha256=lines.sha256)
        await self.runs.tidy(run)

    # -- the audit ----------------------------------------------------------------------------

    async def _note(self, name: str, run: Run, **detail: str) -> None:
        event = AuditEvent(self._means.clock.now(), name, caller=_caller(run), detail=detail)
        await self._means.store.append([event])


def _sync(descriptor: int) -> None:
    import os

    os.fsync(descriptor)


def _caller(run: Run) -> str:
    """Under which name the audit has what a run did."""
    return f"panic:{run.id}"


def _marked_since(grant: Grant, begun: datetime) -> bool:
    """Whether this run has marked *grant* already: the audit may name it again."""
    return grant.state is GrantState.REVOKED and grant.revoked_at is not None and grant.revoked_at >= begun


def _line(grant: Grant) -> Line:
    """A grant without a refresh token is over with its mark: there is nothing to tell."""
    if grant.refresh_token is None:
        return Line(grant=grant.id, client=grant.client_id, answer="nothing_to_tell")
    return Line(grant=grant.id, client=grant.client_id)
