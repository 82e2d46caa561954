"""Looking at offline work, following it, ending it and letting it go on."""

from typing import TYPE_CHECKING

from grantkeeper.cli.common import (
    CONSENT_NEEDED,
    FAILED,
    HUMAN,
    OK,
    Flag,
    Manner,
    answer,
    ask,
    fields,
    hint,
    plain,
    say,
    table,
)
from grantkeeper.cli.jobs_many import ALL, CANCEL, RETRY, Change, Which, for_each, page, states
from grantkeeper.errors import InvalidRequest

if TYPE_CHECKING:
    from grantkeeper.library.calls import Calls
    from grantkeeper.library.job_calls import JobPage
    from grantkeeper.model import JobDescription

EVERY = 0.5
"""Seconds between two looks of --watch."""


def list_jobs(
    *,
    which: Which = ALL,
    limit: int = 100,
    cursor: str | None = None,
    watch: Flag = False,
    manner: Manner = HUMAN,
) -> int:
    """
    List jobs, a page at a time, in the order in which they were made.

    Parameters
    ----------
    limit
        How many at most, up to 1000.
    cursor
        The next_cursor of the page before.
    watch
        Look again until none of them goes on by itself.
    """
    from grantkeeper.cli.jobs_watch import COLUMNS, Screen, follow_page, row
    from grantkeeper.server.answers import JobAnswer, JobsAnswer

    if watch and manner.json:
        raise InvalidRequest("--watch is for people; a program lists again, or watches one job")

    async def look(keeper: "Calls") -> "JobPage":
        return await page(keeper, which, limit=limit, cursor=cursor)

    async def follow(keeper: "Calls") -> "JobPage":
        return await follow_page(lambda: look(keeper), Screen(), every=EVERY)

    found = ask(follow if watch else look)
    if manner.json:
        answer(JobsAnswer([JobAnswer.of(each) for each in found.jobs], found.next_cursor))
        return OK
    table([row(each) for each in found.jobs], COLUMNS)
    if found.next_cursor:
        hint(f"more with --cursor {found.next_cursor}")
    return OK


def show(job: str, /, *, watch: Flag = False, manner: Manner = HUMAN) -> int:
    """
    Show one job: its state, why, who can mend it, how far it is, what came of it.

    Parameters
    ----------
    job
        The job's id.
    watch
        Follow it until it ends or needs the user; the exit status then is 0 done, 1 failed or
        cancelled, 3 consent needed.
    """
    from grantkeeper.cli.jobs_watch import Screen, follow_job
    from grantkeeper.model import JobState

    async def follow(keeper: "Calls") -> "JobDescription":
        screen = Screen(quiet=manner.json)
        return await follow_job(lambda: keeper.jobs.get(job), screen, every=EVERY)

    if not watch:
        _tell(ask(lambda keeper: keeper.jobs.get(job)), manner)
        return OK
    found = ask(follow)
    _tell(found, manner)
    return {JobState.DONE: OK, JobState.PARKED: CONSENT_NEEDED}.get(found.state, FAILED)


def retry(job_id: str | None = None, /, *, which: Which = ALL, manner: Manner = HUMAN) -> int:
    """
    Let a job go on now that failed, waits or is parked; what was done is not done again.

    Without an id, all that fit are: the failed ones, unless --state says waiting or parked.

    Parameters
    ----------
    job_id
        The job's id.
    """
    return _change(RETRY, job_id, which, manner)


def cancel(job_id: str | None = None, /, *, which: Which = ALL, manner: Manner = HUMAN) -> int:
    """
    End a job; one that runs stops at its next step.

    Without an id, all that fit and are not done are, failed ones too: those can be retried no more then.

    Parameters
    ----------
    job_id
        The job's id.
    """
    return _change(CANCEL, job_id, which, manner)


def _change(change: Change, job_id: str | None, which: Which, manner: Manner) -> int:
    if job_id is not None:
        if which != ALL:
            raise InvalidRequest("give the id of one job, or say which ones, not both")
        _tell(ask(lambda keeper: change.one(keeper, job_id)), manner)
        return OK
    wanted = states(change, which)
    count = ask(lambda keeper: for_each(keeper, change, which, wanted, quiet=manner.json))
    if manner.json:
        answer({change.done: count})
    else:
        say(f"{change.done} {count} job{'' if count == 1 else 's'}")
    return OK


def _tell(job: "JobDescription", manner: Manner) -> None:
    from grantkeeper.cli.jobs_watch import progress
    from grantkeeper.server.answers import JobAnswer

    told = JobAnswer.of(job)
    if manner.json:
        answer(told)
        return
    shown = plain(told)
    remedy, after = shown.pop("remedy"), shown.pop("hint")
    fields(
        {
            **shown,
            "progress": progress(job),
            **{name: _text(shown[name]) for name in ("parameters", "result")},
        }
    )
    for line in (remedy, after):
        if line is not None:
            hint(line)


def _text(value: object) -> str | None:
    """What the app itself put there, as the JSON that it is."""
    import msgspec

    return None if value in (None, {}) else msgspec.json.encode(value).decode()
