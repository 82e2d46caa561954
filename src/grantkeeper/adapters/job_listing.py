"""Which statements make a listing of jobs, and with which values: the same for every database."""

from collections.abc import Iterable
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any

from grantkeeper.model import Job, JobState
from grantkeeper.ports import JobQuery

NARROWEST = ("grant_id", "batch", "caller", "name")
"""The filters that have an index, the one that lets the fewest through first."""


def job_pages(query: JobQuery) -> list[tuple[str, dict[str, Any]]]:
    """
    The statements by name and their values by name. Each reads a page at most, along the index it names.

    Those indexes hold the state before the id, so that the few that failed are found among the many
    that are done; without a state that takes a walk for each, for `merged_jobs`.
    """
    values: dict[str, Any] = {
        "after": query.after,
        "limit": query.limit,
        "grant_id": query.grant_id,
        "name": query.name,
        "caller": query.caller,
        "batch": query.batch,
        "state": None if query.state is None else query.state.value,
    }
    for column in NARROWEST:
        if values[column] is not None:
            states = JobState if query.state is None else [query.state]
            return [(f"jobs_of_{column}", values | {"state": state.value}) for state in states]
    return [("jobs" if query.state is None else "jobs_of_state", values)]


def merged_jobs(found: Iterable[list[Job]], limit: int) -> list[Job]:
    """The first *limit* of pages that are each in order of id."""
    return list(islice(merge(*found, key=attrgetter("id")), limit))
