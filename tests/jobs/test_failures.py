"""What becomes of a job that cannot go on: every row of the table."""

import math
from typing import Any

import pytest
from google.auth.exceptions import RefreshError

from grantkeeper.errors import (
    ApiMisbehaved,
    ApiRefused,
    ApiUnavailable,
    ClientMisconfigured,
    ConsentRequired,
    GrantBlocked,
    GrantNotFound,
    HttpFailed,
    InvalidRequest,
    IssuerUnavailable,
    Quota,
    QuotaExceeded,
    ScopeInsufficient,
    SealBroken,
    StoreUnavailable,
    TokenRefused,
)
from grantkeeper.jobs.failures import (
    LONGEST_LATER,
    OUTAGES,
    PermanentFailure,
    TryLater,
    Verdict,
    quota_pause,
    verdict,
)
from grantkeeper.model import JobState
from grantkeeper.ports import StepsDiffer

PARKED, WAITING, FAILED = JobState.PARKED, JobState.WAITING, JobState.FAILED


def found(
    error: BaseException, *, most: int = 8, roll: float = 0.0, attempts: int = 0, outages: int = 0
) -> Verdict:
    return verdict(error, most=most, roll=roll, attempts=attempts, outages=outages)


def caused(error: Exception, cause: Exception) -> Exception:
    """*error* as ``raise error from cause`` leaves it."""
    error.__cause__ = cause
    return error


GONE = ConsentRequired("the user took it back", reason="revoked")

ROWS: list[tuple[BaseException, JobState, str, str]] = [
    (GONE, PARKED, "revoked", "the user took it back"),
    (
        ScopeInsufficient("Google answered 403", missing_scopes=["s"]),
        PARKED,
        "missing_scopes",
        "Google answered 403",
    ),
    (GrantBlocked("not allowed"), PARKED, "grant_blocked", "not allowed"),
    (GrantNotFound("gone"), JobState.CANCELLED, "grant_not_found", "gone"),
    (TryLater(5), WAITING, "asked_for_later", "the job asked to be run later"),
    (QuotaExceeded("used up", whose=Quota.USER), WAITING, "quota_exceeded", "used up"),
    (PermanentFailure("the album is full"), FAILED, "error", "the album is full"),
    (StepsDiffer("step 1 was a"), FAILED, "steps_differ", "step 1 was a"),
    (InvalidRequest("no field x"), FAILED, "invalid_request", "no field x"),
    (ApiRefused("Google answered 400", status=400), FAILED, "api_refused", "Google answered 400"),
    (ApiUnavailable("Google answered 503", status=503), WAITING, "api_unavailable", "Google answered 503"),
    (TokenRefused("Google answered 401"), WAITING, "token_refused", "Google answered 401"),
    (IssuerUnavailable("away"), WAITING, "issuer_unavailable", "away"),
    (StoreUnavailable("away"), WAITING, "store_unavailable", "away"),
    (HttpFailed("10.0.0.1 refused", may_have_arrived=False), WAITING, "error", "the network failed"),
    (OSError("/home/ada/secret"), WAITING, "error", "the job raised OSError"),
    # Google's own libraries wrap what our credentials say.
    (caused(RefreshError("no"), GONE), PARKED, "revoked", "the user took it back"),
]


@pytest.mark.parametrize(
    ("error", "state", "reason", "note"), ROWS, ids=[f"{type(row[0]).__name__}-{row[2]}" for row in ROWS]
)
def test_each_error_has_its_row(error: BaseException, state: JobState, reason: str, note: str) -> None:
    """
    State, reason, and a sentence in which nothing of Google's or of the user's stands.
    """
    decided = found(error)

    assert (state, reason, note) == (decided.state, decided.reason, decided.note)


@pytest.mark.parametrize(("would", "such"), [([], ""), (["s", "t"], ", such as s")])
def test_a_scope_that_the_job_does_not_name_is_no_matter_of_consent(would: list[str], such: str) -> None:
    """
    The grant has all that the job named: whoever wrote the job is told, and the user is left alone.
    """
    decided = verdict(
        ScopeInsufficient("Google answered 403", missing_scopes=would),
        most=8,
        roll=0.0,
        granted=True,
    )
    told = (
        f"the job's function does not name the scope that this call needs{such}: "
        "name it in @job(scopes=…) and retry"
    )

    assert (FAILED, "scope_insufficient", told) == (decided.state, decided.reason, decided.note)


def test_a_broken_answer_is_as_its_kind_says() -> None:
    """
    What Google got wrong is tried again exactly if its error says that this may help.
    """
    error = ApiMisbehaved("not JSON")

    assert (WAITING if error.retry else FAILED) == found(error).state


@pytest.mark.parametrize(
    "error", [GONE, TryLater(1), QuotaExceeded("used up", whose=Quota.USER), PermanentFailure("no")]
)
def test_what_says_nothing_against_the_job_is_no_attempt(error: Exception) -> None:
    """
    A user who is away and a quota may last for long; neither wears the job out.
    """
    after = found(error, attempts=7, outages=5)

    assert (7, 5, found(error).state) == (after.attempts, after.outages, after.state)


def test_the_last_attempt_ends_it() -> None:
    """
    The sentence says how often it was tried.
    """
    assert found(OSError(), attempts=6).state is WAITING
    last = found(OSError(), attempts=7)

    assert (FAILED, 8, "the job raised OSError; tried 8 times") == (last.state, last.attempts, last.note)


@pytest.mark.parametrize(
    "error",
    [ApiUnavailable("Google answered 503", status=503), HttpFailed("refused", may_have_arrived=False)],
)
def test_an_api_that_is_away_for_a_night_makes_no_dead_letters(error: Exception) -> None:
    """
    It is waited for for about a day, in pauses that end soon after it is back; then somebody must look.
    """
    waited, count = 0.0, 0
    while (now := found(error, outages=count, roll=0.5)).state is WAITING:
        waited, count = waited + now.wait, now.outages

    assert 23 * 3600 < waited < 26 * 3600
    assert (FAILED, OUTAGES, 0) == (now.state, now.outages, now.attempts)


def test_what_is_outside_and_the_job_itself_are_counted_apart() -> None:
    """
    After a night's outage the job has all its attempts; and its own failures leave the outage its day.
    """
    itself = found(OSError(), outages=OUTAGES - 1)
    outside = found(ApiUnavailable("Google answered 503", status=503), attempts=7)

    assert (WAITING, 1, OUTAGES - 1) == (itself.state, itself.attempts, itself.outages)
    assert (WAITING, 7, 1) == (outside.state, outside.attempts, outside.outages)


@pytest.mark.parametrize(("attempts", "longest"), [(0, 2.0), (1, 4.0), (4, 32.0), (30, 900.0)])
def test_pauses_double_up_to_a_quarter_of_an_hour(attempts: int, longest: float) -> None:
    """
    Half of each is dice, so that those who failed together do not come back together.
    """
    waits = [found(OSError(), attempts=attempts, most=99, roll=roll).wait for roll in (0.0, 1.0)]

    assert [longest / 2, longest] == waits


def test_google_is_obeyed_where_it_says_when() -> None:
    """
    Never earlier than it said; a quota without a word waits half a minute.
    """
    away = ApiUnavailable("Google answered 503", status=503, retry_after=120)
    named = QuotaExceeded("used up", whose=Quota.USER, retry_after=60)
    unnamed = QuotaExceeded("used up", whose=Quota.PROJECT)

    assert 120 == found(away).wait
    assert [60.0, 75.0] == [found(named, roll=roll).wait for roll in (0.0, 1.0)]
    assert 30 == found(unnamed).wait


@pytest.mark.parametrize("asked", [3601.0, 999_999_999.0, 1e300])
@pytest.mark.parametrize(
    "kind",
    [
        IssuerUnavailable,
        StoreUnavailable,
        ApiUnavailable,
        lambda text, **asked: QuotaExceeded(text, whose=Quota.USER, **asked),
    ],
)
def test_nobody_is_obeyed_for_longer_than_an_hour(kind: Any, asked: float) -> None:
    """
    Who is out of his mind for a moment must not stop a job for years; it asks again each hour.
    """
    assert 3600 == found(kind("away", retry_after=asked)).wait


@pytest.mark.parametrize(
    ("asked", "before", "wait"),
    [(None, 0, 30), (0, 0, 1), (0.1, 0, 1), (None, 20, 40), (90, 40, 90), (0, 800, 900), (None, 3600, 900)],
)
def test_a_quota_is_left_alone_for_twice_as_long_each_time(
    asked: float | None, before: float, wait: float
) -> None:
    """
    At least for a second and at most for a quarter of an hour, unless Google asks for more.
    """
    assert wait == quota_pause(asked, before)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        (0.5, 0.5),
        (0, 0),
        (-3, 0),
        (10 * 86400, 864_000),
        (1e300, LONGEST_LATER),
        (math.inf, LONGEST_LATER),
        (-math.inf, 0),
    ],
)
def test_who_asks_for_later_gets_it(asked: float, wait: Any) -> None:
    """
    To the second, never in the past, and within a year: what is due later than that is a slip.
    """
    assert wait == found(TryLater(asked)).wait


@pytest.mark.parametrize("asked", [math.nan, None, "soon"])
def test_what_is_no_time_is_refused_where_it_is_raised(asked: Any) -> None:
    """
    There it is an error of the job like any other; in the worker it would be one of ours.
    """
    with pytest.raises((ValueError, TypeError)):
        TryLater(asked)


def test_what_a_job_says_is_cut() -> None:
    """
    A row is no place for a book.
    """
    book = "x" * 10_000

    assert (500, 500) == (len(found(PermanentFailure(book)).note), len(found(TryLater(1, book)).note))


@pytest.mark.parametrize(
    "error",
    [
        IssuerUnavailable("away"),
        StoreUnavailable("away"),
        ClientMisconfigured("refused"),
        SealBroken("another key"),
    ],
)
def test_trouble_of_the_whole_house_makes_no_dead_letters(error: Exception) -> None:
    """
    Google away for a night would fail the jobs of all users; they wait, ever less often.
    """
    after = found(error, attempts=7, outages=100_000, roll=1.0)

    assert (WAITING, 900.0, 7) == (after.state, after.wait, after.attempts)
