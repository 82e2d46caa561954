"""What is told of a job: a remedy for every reason, a next step for every state that needs one."""

from datetime import UTC, datetime

import pytest

from grantkeeper.errors import ERRORS
from grantkeeper.jobs.telling import described, remedy
from grantkeeper.lifecycle import REMEDIES
from grantkeeper.model import Job, JobState, Reason

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def a_job(state: JobState = JobState.QUEUED, **changes: object) -> Job:
    return Job(id="j", name="improve", grant_id="g", state=state, created_at=NOW, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", list(Reason))
def test_a_reason_of_the_grant_has_its_remedy(reason: Reason) -> None:
    """
    The same sentence that a report about the grant has.
    """
    assert REMEDIES[reason] == remedy(a_job(JobState.PARKED, reason=str(reason)))


@pytest.mark.parametrize("code", sorted(set(ERRORS) - set(Reason)))
def test_an_error_has_its_advice(code: str) -> None:
    """
    The same sentence that its answer has.
    """
    assert ERRORS[code].advice == remedy(a_job(JobState.FAILED, reason=code))


@pytest.mark.parametrize("reason", [None, "of_the_apps_own"])
def test_nobody_invents_a_remedy(reason: str | None) -> None:
    """
    What only the app knows, its note has to say.
    """
    assert remedy(a_job(JobState.FAILED, reason=reason)) is None


def test_who_waits_is_told_what_comes_next() -> None:
    """
    Where it goes on by itself, and where it does not.
    """
    hints = {state: described(a_job(state)).hint for state in JobState}

    assert {JobState.PARKED, JobState.WAITING, JobState.FAILED} == {
        state for state, hint in hints.items() if hint is not None
    }


def test_a_parked_job_names_the_permissions_it_needs() -> None:
    """
    So that the app can ask for all of them at once; where none are named, none are.
    """
    hint = described(a_job(JobState.PARKED, scopes=frozenset({"b", "a"}))).hint

    assert (hint or "").endswith("It needs: a b.")
    assert "needs" not in (described(a_job(JobState.PARKED)).hint or "")


def test_parameters_and_result_are_read_back() -> None:
    """
    As the app gave them; a job that returned nothing has none.
    """
    job = described(a_job(JobState.DONE, parameters=b'{"photo":"p"}', result=b"[1]"))

    assert ({"photo": "p"}, [1]) == (job.parameters, job.result)
    assert described(a_job()).result is None
