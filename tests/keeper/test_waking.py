"""Parked jobs are woken by what ends the reason of their being parked, and by nothing else."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from grantkeeper.keeper.waking import woken
from grantkeeper.model import GrantState
from grantkeeper.ports import WakeJobs
from grantkeeper.testing.records import NOW, a_grant

WAKE = [WakeJobs(a_grant().id)]


@pytest.mark.parametrize("state", [state for state in GrantState if state is not GrantState.ACTIVE])
def test_a_grant_that_works_again_wakes(state: GrantState) -> None:
    """
    Whatever it was before.
    """
    assert WAKE == woken(a_grant(state=state), a_grant())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {"granted": frozenset({"openid", "files"})}, WAKE),
        ({}, {"granted": frozenset({"files"})}, WAKE),
        ({"granted": frozenset({"openid", "files"})}, {"granted": frozenset({"files"})}, []),
        ({"uncertain_since": NOW}, {}, WAKE),
        ({"uncertain_since": NOW}, {"uncertain_since": NOW}, []),
        ({}, {"uncertain_since": NOW}, []),
        ({}, {"state": GrantState.NEEDS_CONSENT, "granted": frozenset({"openid", "files"})}, []),
        ({"state": GrantState.REVOKED}, {"state": GrantState.BLOCKED}, []),
    ],
)
def test_a_wider_or_certain_grant_wakes(
    old: dict[str, Any], new: dict[str, Any], expected: list[WakeJobs]
) -> None:
    """
    A narrower one does not, nor one that does not work now.
    """
    assert expected == woken(a_grant(**old), a_grant(**new))


def test_an_ordinary_refresh_wakes_nobody() -> None:
    """
    It is the hot path: its commit gets no further statement.
    """
    refreshed = replace(a_grant(), refreshed_at=NOW + timedelta(hours=1), generation=2, version=2)

    assert [] == woken(a_grant(), refreshed)


def test_a_new_grant_has_nobody_to_wake() -> None:
    """
    Jobs are for grants that are there.
    """
    assert [] == woken(None, a_grant())
