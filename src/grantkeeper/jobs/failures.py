"""What becomes of a job that cannot go on: a table of errors, and nothing else."""

import math
from dataclasses import dataclass, replace

from grantkeeper.backoff import heeded
from grantkeeper.errors import (
    ApiError,
    ApiUnavailable,
    ClientMisconfigured,
    ConsentRequired,
    GrantBlocked,
    GrantkeeperError,
    GrantNotFound,
    HttpFailed,
    InvalidRequest,
    IssuerUnavailable,
    QuotaExceeded,
    ScopeInsufficient,
    SealBroken,
    StoreUnavailable,
    TokenRefused,
)
from grantkeeper.model import JobState
from grantkeeper.ports import StepsDiffer

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 15 * 60.0
"""Seconds; pauses between attempts double from the first to the longest, and half of each is dice."""

OUTAGES = 136
"""How often something outside may be away in a row: with these pauses, that is about a day."""

QUOTA_PAUSE = 30.0
"""Seconds after a quota error that names none (google-facts 9.3)."""

SHORTEST_QUOTA_PAUSE = 1.0
"""Seconds after any other: who says "at once" would be asked without end."""

LONGEST_NOTE = 500
"""Characters of what a job says."""

EVERYBODYS = (IssuerUnavailable, StoreUnavailable, ClientMisconfigured, SealBroken)
"""Trouble that all jobs have at once: it is waited for as long as it lasts, and makes no dead letters."""

OUTSIDE = (*EVERYBODYS, ApiUnavailable, HttpFailed)
"""What says nothing against the job: an API or the network is away, perhaps for a night."""


class PermanentFailure(Exception):
    """Raised by a job for what will not pass: it is not tried again. The text is shown to people."""


LONGEST_LATER = 366 * 24 * 3600.0
"""Seconds that a job may ask for; more of them are as good as this."""


class TryLater(Exception):
    """
    Raised by a job that wants to be run again in *seconds*, at most a year; no attempt is counted.

    Raises:
        ValueError: That is no number.
    """

    def __init__(self, seconds: float, text: str = "the job asked to be run later") -> None:
        super().__init__(text)
        if math.isnan(seconds):
            raise ValueError("a job is run later by a number of seconds")
        self.seconds = float(min(max(0.0, seconds), LONGEST_LATER))


OURS = (GrantkeeperError, PermanentFailure, TryLater)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What becomes of the job.

    Attributes:
        reason: A word: of the error table, of a grant's reasons, or ``error``.
        note: A sentence for people; nothing of Google's or of the user's is in it.
        wait: Seconds until it goes on, where it waits.
        attempts: One more, if the job itself failed.
        outages: One more, if something outside was away.
    """

    state: JobState
    reason: str
    note: str
    wait: float = 0.0
    attempts: int = 0
    outages: int = 0


def meant(error: BaseException) -> BaseException:
    """
    *error*, or the one of ours that it was raised from.

    Google's libraries raise their own from what our credentials tell them.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, OURS):
        found = found.__cause__
    return error if found is None else found


def ours(error: BaseException) -> bool:
    """Whether what is `meant` by *error* is one of ours."""
    return isinstance(meant(error), OURS)


def verdict(
    error: BaseException,
    *,
    attempts: int = 0,
    outages: int = 0,
    most: int,
    roll: float,
    granted: bool = False,
) -> Verdict:
    """
    What *error* makes of a job.

    Args:
        attempts: Before this, since the job last got a step further.
        outages: The same of what is outside.
        most: How many attempts there may be.
        roll: In [0, 1), for the jitter of a pause.
        granted: The grant works and has all that the job named.
    """
    found = _decided(meant(error), roll=roll, granted=granted)
    if found is None:
        found = _again(meant(error), attempts=attempts, outages=outages, most=most, roll=roll)
    return replace(found, attempts=attempts + found.attempts, outages=outages + found.outages)


def _decided(error: BaseException, *, roll: float, granted: bool) -> Verdict | None:
    """What *error* makes of a job however often it has come; ``None``: that depends."""
    if isinstance(error, ConsentRequired):
        return Verdict(JobState.PARKED, str(error.details.get("reason", error.code)), error.text)
    if isinstance(error, ScopeInsufficient):
        if granted:
            return Verdict(JobState.FAILED, error.code, _unnamed(error))
        return Verdict(JobState.PARKED, "missing_scopes", error.text)
    if isinstance(error, GrantBlocked):
        return Verdict(JobState.PARKED, error.code, error.text)
    if isinstance(error, GrantNotFound):
        return Verdict(JobState.CANCELLED, error.code, error.text)
    if isinstance(error, TryLater):
        return Verdict(JobState.WAITING, "asked_for_later", str(error)[:LONGEST_NOTE], error.seconds)
    if isinstance(error, QuotaExceeded):
        # Nothing was done, and it may well last all day: no attempt is counted.
        wait = quota_pause(error.retry_after) * (1.0 + roll / 4)
        return Verdict(JobState.WAITING, error.code, error.text, wait)
    if _permanent(error):
        return Verdict(JobState.FAILED, _reason(error), _note(error))
    return None


def _again(error: BaseException, *, attempts: int, outages: int, most: int, roll: float) -> Verdict:
    """What may pass: a pause, or the end of them. Here `attempts` and `outages` are what this adds."""
    outside = isinstance(error, OUTSIDE)
    before = outages if outside else attempts
    one = {"outages" if outside else "attempts": 1}
    limit = max(most, OUTAGES) if outside else most
    if before + 1 >= limit and not isinstance(error, EVERYBODYS):
        note = f"{_note(error)}; tried {before + 1} times"
        return Verdict(JobState.FAILED, _reason(error), note, **one)
    wait = pause(before, roll)
    asked = error.retry_after if isinstance(error, GrantkeeperError) else None
    return Verdict(JobState.WAITING, _reason(error), _note(error), max(wait, heeded(asked or 0.0)), **one)


def pause(before: int, roll: float) -> float:
    """Seconds until the next try, after *before* that failed and one more; *roll* is in [0, 1)."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(before, 16)) * (0.5 + roll / 2)


def quota_pause(asked: float | None, before: float = 0.0) -> float:
    """
    Seconds for which a quota is left alone.

    Args:
        asked: What Google asked for, if it did; never undercut, but see `heeded`.
        before: How long the pause was after which it was still used up: this one is twice that, at
            most `LONGEST_PAUSE`.
    """
    own = min(LONGEST_PAUSE, max(SHORTEST_QUOTA_PAUSE, 2.0 * before))
    return max(own, QUOTA_PAUSE if asked is None else heeded(asked))


def _unnamed(error: ScopeInsufficient) -> str:
    """The user gave all that he was asked for, and the token opens no more: his consent cures nothing."""
    would = f", such as {error.missing_scopes[0]}" if error.missing_scopes else ""
    return (
        f"the job's function does not name the scope that this call needs{would}: "
        "name it in @job(scopes=…) and retry"
    )


def _permanent(error: BaseException) -> bool:
    if isinstance(error, PermanentFailure | StepsDiffer | InvalidRequest):
        return True
    # A refused token was new: the grant is looked at again, and says what is wrong with it.
    return isinstance(error, ApiError) and not error.retry and not isinstance(error, TokenRefused)


def _reason(error: BaseException) -> str:
    if isinstance(error, GrantkeeperError):
        return error.code
    return "steps_differ" if isinstance(error, StepsDiffer) else "error"


def _note(error: BaseException) -> str:
    """A sentence; of an error that is not ours only its kind, for its text may hold anything."""
    if isinstance(error, GrantkeeperError):
        return error.text
    if isinstance(error, PermanentFailure | StepsDiffer):
        return str(error)[:LONGEST_NOTE]
    if isinstance(error, HttpFailed):
        return "the network failed"
    return f"the job raised {type(error).__name__}"
