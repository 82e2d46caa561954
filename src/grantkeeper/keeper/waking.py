"""Which changes of a grant wake the jobs that were parked for want of it."""

from grantkeeper.model import Grant, GrantState
from grantkeeper.ports import Step, WakeJobs


def woken(old: Grant | None, new: Grant) -> list[Step]:
    """
    What a commit that replaces *old* by *new* has to do for parked jobs, after the `Replace`.

    A job is parked because its grant did not work, lacked a scope, or was in doubt: the end of each
    wakes it. An ordinary refresh ends none of them and costs nothing here.

    Args:
        old: ``None`` for a new grant, which has no jobs.
    """
    if old is None or new.state is not GrantState.ACTIVE:
        return []
    works_again = old.state is not GrantState.ACTIVE
    opens_more = not new.granted <= old.granted
    out_of_doubt = old.uncertain_since is not None and new.uncertain_since is None
    return [WakeJobs(new.id)] if works_again or opens_more or out_of_doubt else []
