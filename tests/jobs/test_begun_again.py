"""What a run finds after others: a worker that died, a release that needs more, a grant that works again."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from grantkeeper import JobContext, job
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.memory_engine import MemoryEngine
from grantkeeper.errors import ApiUnavailable, ConsentRequired, ScopeInsufficient
from grantkeeper.jobs.definition import by_name
from grantkeeper.jobs.failures import OUTAGES
from grantkeeper.jobs.means import Means
from grantkeeper.jobs.runner import MOST_BEGUN, Runner
from grantkeeper.jobs.yard import Yard
from grantkeeper.model import Job, JobState, Order
from grantkeeper.ports import Insert, StepRecord, Suspended
from grantkeeper.testing import ManualClock, SeededDice
from grantkeeper.testing.records import a_caller, a_grant, a_job
from tests.jobs_kit import lives

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Engine(MemoryEngine):
    """Knows some steps of every job."""

    def __init__(self, recorded: int = 0) -> None:
        super().__init__()
        self.recorded = recorded

    async def steps(self, job_id: str) -> list[StepRecord]:
        return [StepRecord("step", b"1")] * self.recorded


class Tokens:
    """Says what it was asked for, and has none."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def token(self, grant_id: str, scopes: Any, min_ttl: int, rejected: str | None) -> Any:
        self.asked.append(scopes)
        raise ConsentRequired("the grant is gone", reason="revoked")

    def credentials(self, grant_id: str, scopes: Any, turn: Any) -> Any:
        raise NotImplementedError


async def ran(
    *jobs: Any, recorded: int = 0, rule: frozenset[str] | None = None, **fields: Any
) -> tuple[Job, Tokens]:
    """How the row of a job stands after a run, and what tokens were asked for."""
    store, grant, tokens = MemoryStore(), a_grant(granted=frozenset({"openid", "files"})), Tokens()
    await store.commit(Insert(grant))
    if rule is not None:
        await store.add_caller(a_caller(scopes=rule))
    row = replace(a_job(), name=jobs[0].definition.name, **fields)
    await store.add_jobs([row])
    means = Means(
        store=store,
        engine=Engine(recorded),
        http=None,  # type: ignore[arg-type]
        tokens=tokens,
        clock=ManualClock(NOW),
        dice=SeededDice(1),
        definitions=by_name(each.definition for each in jobs),
        executor="worker",
    )
    yard = Yard(1)
    try:
        await Runner(means, yard, lives).run(row.id, None)  # type: ignore[arg-type]
    except Suspended:
        pass
    finally:
        yard.close()
    found = await store.job(row.id)
    assert found is not None
    return found, tokens


@job()
async def knows_of_a_cut(ctx: JobContext) -> bool:
    return ctx.http.cut_at == NOW


@job(scopes=["openid"])
async def returns(ctx: JobContext) -> int:
    return ctx.attempt


@job(scopes=["openid", "files"])
async def needs_more(ctx: JobContext) -> None:
    await ctx.token()


@pytest.mark.parametrize(
    ("before", "attempt"),
    [
        ({"state": JobState.QUEUED, "attempts": 2}, 3),
        ({"state": JobState.RUNNING, "attempts": 2, "steps": 1}, 4),
        ({"state": JobState.RUNNING, "attempts": 2, "steps": 0}, 1),
    ],
    ids=["begun by the engine", "cut off", "cut off after a further step"],
)
async def test_a_run_that_was_cut_off_counts_unless_it_got_further(
    before: Mapping[str, Any], attempt: int
) -> None:
    """
    Nobody wrote down how it ended, so the next one does.
    """
    found, _ = await ran(returns, recorded=1, **before)

    assert (JobState.DONE, str(attempt).encode()) == (found.state, found.result)


async def test_a_job_that_workers_die_in_is_a_dead_letter() -> None:
    """
    Else it would go on through all of them, and through those that replace them.
    """
    found, _ = await ran(returns, state=JobState.RUNNING, attempts=MOST_BEGUN - 1, order=None)

    assert (JobState.FAILED, "worker_died") == (found.state, found.reason)
    assert found.note is not None
    assert "8 times" in found.note
    assert found.keep_until is not None


@job()
async def finds_nobody(ctx: JobContext) -> None:
    raise ApiUnavailable("Google answered 503", status=503)


@pytest.mark.parametrize(
    ("state", "attempts"), [(JobState.QUEUED, 0), (JobState.RUNNING, 1)], ids=["begun", "cut off"]
)
async def test_an_outage_is_no_death_of_workers(state: JobState, attempts: int) -> None:
    """
    A job that has waited for an API all night, and whose worker is then ended, is not its cause.
    """
    found, _ = await ran(finds_nobody, state=state, outages=100, order=None)

    assert (JobState.WAITING, attempts, 101) == (found.state, found.attempts, found.outages)


@pytest.mark.parametrize(
    ("caller", "rule", "asked", "failed"),
    [
        (None, None, {"openid"}, False),
        (a_caller().id, set(), {"openid"}, False),
        (a_caller().id, {"openid", "files", "more"}, {"openid"}, False),
        (a_caller().id, {"openid"}, {"openid"}, True),
        (a_caller().id, None, {"openid"}, True),
        (a_caller().id, {"openid"}, {"openid", "files"}, False),
        (a_caller().id, {"openid"}, set(), False),
    ],
    ids=["ours", "no rule", "wide enough", "too narrow", "unknown", "asked for with it", "named nothing"],
)
async def test_a_new_release_gets_no_more_than_its_caller_may_have(
    caller: str | None, rule: set[str] | None, asked: set[str], failed: bool
) -> None:
    """
    Its function needs a further scope: whoever asked for the job may have a rule against that.
    """
    found, tokens = await ran(
        needs_more,
        rule=None if rule is None else frozenset(rule),
        caller=caller,
        state=JobState.QUEUED,
        scopes=frozenset(asked),
    )

    assert ([] if failed else [frozenset({"openid", "files"})]) == tokens.asked
    if failed:
        assert (JobState.FAILED, "caller_not_allowed") == (found.state, found.reason)
        assert (found.note or "").endswith("do not allow: files")


async def test_a_new_release_takes_over_with_what_it_needs() -> None:
    """
    A job asked for under the old release has a token that opens what the new one's function needs, too.
    """
    _, tokens = await ran(needs_more, state=JobState.QUEUED, scopes=frozenset({"openid"}))

    assert [frozenset({"openid", "files"})] == tokens.asked


@pytest.mark.parametrize(
    ("attempts", "state", "order"),
    [(0, JobState.QUEUED, Order.RESUME), (MOST_BEGUN - 1, JobState.PARKED, None)],
)
async def test_a_grant_that_only_looks_as_if_it_worked_is_not_tried_for_ever(
    attempts: int, state: JobState, order: Order | None
) -> None:
    """
    Its row says that the user consented meanwhile, and each run finds that it is not so.
    """
    found, _ = await ran(needs_more, state=JobState.QUEUED, attempts=attempts, order=None)

    assert (state, order) == (found.state, found.order)


@job(scopes=["openid", "photos"])
async def has_too_little(ctx: JobContext) -> None:
    raise AssertionError("it is not to be begun")


@pytest.mark.parametrize(
    ("function", "attempts", "state"),
    [
        (returns, 0, JobState.DONE),
        (returns, MOST_BEGUN - 1, JobState.PARKED),
        (has_too_little, 0, JobState.PARKED),
    ],
    ids=["granted", "tried often enough", "not granted"],
)
async def test_a_run_that_died_before_it_looked_again_is_made_up_for(
    function: Any, attempts: int, state: JobState
) -> None:
    """
    The user consented while it found out that his grant was gone; then it parked the job, and died.
    """
    found, _ = await ran(function, state=JobState.PARKED, reason="revoked", attempts=attempts, order=None)

    assert (state, None if state is JobState.DONE else "revoked") == (found.state, found.reason)


@job(scopes=["openid"])
async def names_too_little(ctx: JobContext) -> None:
    raise ScopeInsufficient("Google answered 403", missing_scopes=["files"])


@job(scopes=["openid", "photos"])
async def lacks(ctx: JobContext) -> None:
    raise ScopeInsufficient("Google answered 403", missing_scopes=["photos"])


async def test_a_scope_that_the_job_forgot_to_name_is_a_dead_letter() -> None:
    """
    The grant has it, the token does not: parked, the job would wait for a consent that changes nothing.
    """
    found, _ = await ran(names_too_little, state=JobState.QUEUED, order=None)

    assert (JobState.FAILED, "scope_insufficient") == (found.state, found.reason)
    assert "such as files: name it in @job(scopes=…) and retry" in (found.note or "")


async def test_a_scope_that_the_grant_lacks_is_waited_for() -> None:
    """
    The job named it; the user gave less, or took some of it back.
    """
    found, _ = await ran(lacks, state=JobState.QUEUED, order=None)

    assert (JobState.PARKED, "missing_scopes") == (found.state, found.reason)


@pytest.mark.parametrize(("state", "cut"), [(JobState.RUNNING, b"true"), (JobState.QUEUED, b"false")])
async def test_a_run_knows_that_the_one_before_it_was_cut_off(state: JobState, cut: bytes) -> None:
    """
    What that one sent may still be on its way: who looks for its effect waits a little.
    """
    found, _ = await ran(knows_of_a_cut, state=state, order=None)

    assert (JobState.DONE, cut) == (found.state, found.result)


async def test_a_defect_of_ours_does_not_lose_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Suspended in the engine, with a row that says that it runs, nobody would ever look at it again.
    """

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Runner, "_done", broken)
    found, _ = await ran(returns, state=JobState.QUEUED, order=None)

    assert (JobState.WAITING, "error", NOW + timedelta(minutes=1), 1) == (
        found.state,
        found.reason,
        found.due_at,
        found.outages,
    )


async def test_a_defect_of_ours_does_not_run_a_job_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Ever less often, and after a day somebody must look.
    """

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Runner, "_done", broken)
    late, _ = await ran(returns, state=JobState.QUEUED, order=None, outages=20)
    last, _ = await ran(returns, state=JobState.QUEUED, order=None, outages=OUTAGES - 1)

    assert late.due_at is not None and NOW + timedelta(minutes=7) < late.due_at
    assert (JobState.FAILED, "error", OUTAGES) == (last.state, last.reason, last.outages)
    assert last.keep_until is not None
