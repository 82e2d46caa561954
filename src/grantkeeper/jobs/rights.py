"""What a job's tokens may open, as long as somebody's rule has a say in it."""

from grantkeeper.model import Job
from grantkeeper.ports import CallerStore


async def beyond_rule(store: CallerStore, job: Job, needed: frozenset[str]) -> frozenset[str]:
    """
    Which of the scopes that a new release of the job *needed* its caller's rule does not allow.

    What the job was asked for with was compared with the rule then. A caller that nobody knows any
    more gets nothing beyond that.
    """
    more = needed - job.scopes
    if job.caller is None or not job.scopes or not more:
        # Our own people have no rule; and a job that named nothing had one of a caller without a rule.
        return frozenset()
    rules = [each.scopes for each in await store.callers() if each.id == job.caller]
    if rules and not rules[0]:
        return frozenset()
    return more.difference(*rules)
