"""What a store of jobs must do."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from grantkeeper.errors import StoreConflict
from grantkeeper.model import ENDED, Job, JobState, Order
from grantkeeper.ports import Delete, Insert, JobQuery, Replace, Store, WakeJobs
from grantkeeper.testing.conformance_base import Conformance, outcomes, saved
from grantkeeper.testing.conformance_rest import heard, named
from grantkeeper.testing.records import NOW, a_full_job, a_grant, a_job, an_event, job_id

MOMENT = timedelta(microseconds=1)

FIXED = {
    "id",
    "name",
    "grant_id",
    "created_at",
    "parameters",
    "scopes",
    "caller",
    "batch",
    "key",
    "per_grant",
}
CHANGING = [part.name for part in fields(Job) if part.name not in FIXED | {"version"}]


async def added(store: Store, *jobs: Job) -> list[Job]:
    """*jobs* as the store has them, each for the grant that its id names."""
    for grant_id in sorted({job.grant_id for job in jobs}):
        if await store.get(grant_id) is None:
            await store.commit(Insert(a_grant(int(grant_id[-6:], 16))))
    assert len(jobs) == await store.add_jobs(jobs)
    found = [await store.job(job.id) for job in jobs]
    return [job for job in found if job is not None]


def ids(jobs: Sequence[Job]) -> list[str]:
    """Of *jobs*, in their order."""
    return [job.id for job in jobs]


def numbered(*numbers: int) -> list[str]:
    """The ids of jobs of *numbers*."""
    return [job_id(number) for number in numbers]


@pytest.mark.anyio
class JobStoreConformance(Conformance):
    """`grantkeeper.ports.JobStore`, but for what a commit does to jobs."""

    @pytest.mark.parametrize("full", [False, True])
    async def test_a_job_comes_back_as_it_was_added(self, store: Store, full: bool) -> None:
        """
        Every field survives, empty or full, to the microsecond; the first version is one.
        """
        job = a_full_job() if full else a_job()
        (stored,) = await added(store, replace(job, version=41))

        assert job == stored
        assert await store.job(job_id(2)) is None

    async def test_a_page_of_jobs_is_added_at_once(self, store: Store) -> None:
        """
        Some hundred, of many grants, each told on the feed; none at all is no mistake.
        """
        await saved(store, *(a_grant(number) for number in range(1, 301)))
        place = await store.last_change()
        page = [a_job(number, grant=number) for number in range(1, 301)]

        assert 300 == await store.add_jobs(page)
        assert 0 == await store.add_jobs([])
        assert ids(page) == ids(await store.jobs(JobQuery(limit=1000)))
        assert sorted(("job", one) for one in ids(page)) == sorted(named(await heard(store, place)))

    async def test_jobs_that_cannot_be_are_left_out(self, store: Store) -> None:
        """
        Without a grant, with a key that another has, or under a known id; also within one page.
        """
        await added(store, a_job(1, key="day 1"))
        await saved(store, a_grant(2))
        place = await store.last_change()
        count = await store.add_jobs(
            [
                a_job(1, grant=2),
                a_job(2, key="day 1"),
                a_job(3, grant=9),
                a_job(4, key="day 1", name="other"),
                a_job(5, grant=2, key="day 1"),
                a_job(6, key="day 2"),
                a_job(7, key="day 2"),
                a_job(8),
                a_job(9),
            ]
        )

        assert 5 == count
        assert numbered(1, 4, 5, 6, 8, 9) == ids(await store.jobs(JobQuery()))
        assert 5 == len(await heard(store, place))

    async def test_a_job_is_found_by_its_key(self, store: Store) -> None:
        """
        And by name and grant; of another name, grant or key there is none.
        """
        job = a_job(1, key="day 1")
        await added(store, job)

        found = await store.job_of_key(job.name, job.grant_id, "day 1", caller=None)
        assert job.id == getattr(found, "id", None)
        assert None is await store.job_of_key("other", job.grant_id, "day 1", caller=None)
        assert None is await store.job_of_key(job.name, job.grant_id, "day 2", caller=None)
        assert None is await store.job_of_key(job.name, job.grant_id, "day 1", caller="other")

    async def test_whoever_asks_has_keys_of_his_own(self, store: Store) -> None:
        """
        Two callers, our own people and two batches take no key from one another; each finds its own.
        """
        askers: list[dict[str, Any]] = [{"caller": "a"}, {"caller": "b"}, {}, {"batch": "1"}, {"batch": "2"}]
        page = [a_job(number, key="day 1", **asker) for number, asker in enumerate(askers, 1)]
        again = [replace(job, id=job_id(number)) for number, job in enumerate(page, 11)]
        await added(store, *page)
        of_key = partial(store.job_of_key, page[0].name, page[0].grant_id, "day 1")

        assert 0 == await store.add_jobs(again)
        assert page[:3] == [await of_key(caller=caller) for caller in ("a", "b", None)]

    async def test_of_many_who_add_one_key_one_does(self, store: Store) -> None:
        """
        A schedule that several workers keep makes one job.
        """
        await saved(store, a_grant())
        counts = await outcomes(*(store.add_jobs([a_job(number, key="day 1")]) for number in range(1, 21)))

        assert [0] * 19 + [1] == sorted(counts)
        assert 1 == len(await store.jobs(JobQuery()))

    @pytest.mark.parametrize("name", CHANGING)
    async def test_each_field_is_changed(self, store: Store, name: str) -> None:
        """
        What is returned is what is stored, one version later.
        """
        (stored,) = await added(store, a_job())
        changed = replace(stored, **{name: getattr(a_full_job(), name)})
        result = await store.change_job(changed)

        assert replace(changed, version=2) == result == await store.job(stored.id)
        assert getattr(stored, name) != getattr(result, name)
        again = await store.change_job(replace(result, **{name: getattr(stored, name)}))
        assert replace(stored, version=3) == again == await store.job(stored.id)

    async def test_what_was_asked_for_stays(self, store: Store) -> None:
        """
        A change of how a job stands is none of what it is.
        """
        (stored,) = await added(store, a_job(key="key"))
        other = a_full_job(1, grant=2)
        result = await store.change_job(replace(other, id=stored.id, version=1))

        assert {name: getattr(stored, name) for name in FIXED} == {
            name: getattr(result, name) for name in FIXED
        }
        assert result == await store.job(stored.id)

    async def test_a_change_to_another_version_conflicts(self, store: Store) -> None:
        """
        And one of a job that is not there; nothing is written or told.
        """
        (stored,) = await added(store, a_job())
        await store.change_job(replace(stored, done=1))
        place = await store.last_change()
        results = await outcomes(
            store.change_job(replace(stored, done=2)), store.change_job(a_job(2, done=2))
        )
        now = await store.job(stored.id)

        assert [StoreConflict, StoreConflict] == [type(result) for result in results]
        assert replace(stored, done=1, version=2) == now
        assert [] == await heard(store, place)

    async def test_of_many_changes_to_one_version_one_wins(self, store: Store) -> None:
        """
        The others hear of a conflict.
        """
        (stored,) = await added(store, a_job())
        results = await outcomes(
            *(store.change_job(replace(stored, attempts=number)) for number in range(1, 31))
        )

        (won,) = [result for result in results if isinstance(result, Job)]
        assert 29 == sum(isinstance(result, StoreConflict) for result in results)
        assert won == await store.job(stored.id)

    async def test_changes_are_told_but_for_quiet_ones(self, store: Store) -> None:
        """
        Progress alone is nobody's news; it is a new version all the same.
        """
        (stored,) = await added(store, a_job())
        place = await store.last_change()
        quiet = await store.change_job(replace(stored, done=1), quiet=True)
        silence = await heard(store, place)
        await store.change_job(replace(quiet, state=JobState.RUNNING))

        assert (2, []) == (quiet.version, silence)
        assert [("job", stored.id)] == named(await heard(store, place))

    async def test_jobs_are_listed_by_every_filter(self, store: Store) -> None:
        """
        Filters hold together; pages go on after an id.
        """
        await added(
            store,
            a_job(5, grant=1),
            a_job(4, grant=1, name="other", caller="you", batch="b"),
            a_job(3, grant=2, state=JobState.RUNNING, batch="b"),
            a_job(2, grant=2, caller="me"),
            a_job(1, grant=1, state=JobState.RUNNING, caller="me", batch="c"),
        )

        async def found(**query: object) -> list[str]:
            return ids(await store.jobs(JobQuery(**query)))  # type: ignore[arg-type]

        assert numbered(1, 2, 3, 4, 5) == await found()
        assert numbered(1, 4, 5) == await found(grant_id=a_grant(1).id)
        assert numbered(4) == await found(name="other")
        assert numbered(1, 3) == await found(state=JobState.RUNNING)
        assert numbered(1, 2) == await found(caller="me")
        assert numbered(3, 4) == await found(batch="b")
        assert numbered(1) == await found(grant_id=a_grant(1).id, state=JobState.RUNNING)
        assert numbered(4) == await found(caller="you", batch="b", grant_id=a_grant(1).id)
        assert [] == await found(caller="me", batch="b")
        assert numbered(3) == await found(state=JobState.RUNNING, batch="b", name="work", after=job_id(1))
        assert numbered(2, 3) == await found(after=job_id(1), limit=2)
        assert numbered(5) == await found(grant_id=a_grant(1).id, after=job_id(4), limit=2)

    async def test_orders_are_struck_out_once_they_are_told(self, store: Store) -> None:
        """
        The oldest first; of a job that changed meanwhile the order stays. Striking is no new version.
        """
        one, two, three, four = await added(
            store,
            a_job(1, order=Order.SUBMIT),
            a_job(2, order=Order.SUSPEND),
            a_job(3, order=Order.RESUME),
            a_job(4),
        )
        first = await store.ordered_jobs(limit=2)
        place = await store.last_change()
        two = await store.change_job(replace(two, order=Order.RESUME), quiet=True)
        await store.jobs_told([])
        await store.jobs_told([one, replace(two, version=1), a_job(9)])

        assert numbered(1, 2) == ids(first)
        assert [two, three] == await store.ordered_jobs()
        assert replace(one, order=None) == await store.job(one.id)
        assert four == await store.job(four.id)
        assert [] == await heard(store, place)
        await store.jobs_told([two, three])
        assert [] == await store.ordered_jobs()

    async def test_waiting_jobs_are_found_when_they_are_due(self, store: Store) -> None:
        """
        The longest due first; only those that wait.
        """
        later = NOW + timedelta(seconds=5)
        await added(
            store,
            a_job(1, state=JobState.WAITING, due_at=later),
            a_job(2, state=JobState.WAITING, due_at=NOW),
            a_job(3, state=JobState.PARKED, due_at=NOW),
            a_job(4, state=JobState.WAITING),
        )

        assert [] == await store.due_jobs(NOW - MOMENT)
        assert numbered(2) == ids(await store.due_jobs(NOW))
        assert numbered(2, 1) == ids(await store.due_jobs(later))
        assert numbered(2) == ids(await store.due_jobs(later, limit=1))

    async def test_queued_jobs_of_a_grant_come_in_order(self, store: Store) -> None:
        """
        Of this grant alone, the oldest first.
        """
        await added(
            store,
            a_job(3),
            a_job(1),
            a_job(2, state=JobState.RUNNING),
            a_job(4, grant=2),
            a_job(5),
        )

        assert numbered(1, 3, 5) == ids(await store.queued_of(a_grant(1).id))
        assert numbered(1, 3) == ids(await store.queued_of(a_grant(1).id, limit=2))

    async def test_jobs_are_counted_by_state(self, store: Store) -> None:
        """
        All, or those of a batch; a state of which there is none has no count.
        """
        await added(
            store,
            a_job(1, batch="b"),
            a_job(2, batch="b", state=JobState.DONE),
            a_job(3, batch="b", state=JobState.DONE),
            a_job(4, batch="c"),
            a_job(5, state=JobState.PARKED),
        )

        assert {JobState.QUEUED: 2, JobState.DONE: 2, JobState.PARKED: 1} == await store.count_jobs()
        assert {JobState.QUEUED: 1, JobState.DONE: 2} == await store.count_jobs(batch="b")
        assert {} == await store.count_jobs(batch="none")

    async def test_ended_jobs_are_swept_past_their_time(self, store: Store) -> None:
        """
        The engine is still to forget them; their keys are free. What has not ended stays.
        """
        await added(
            store,
            *(
                a_job(number, key=f"{number}", state=state, keep_until=NOW)
                for number, state in enumerate(JobState)
            ),
            a_job(20, state=JobState.DONE, keep_until=NOW + MOMENT),
            a_job(21, state=JobState.DONE),
        )
        gone = [job_id(number) for number, state in enumerate(JobState) if state in ENDED]
        first = await store.sweep(NOW - MOMENT)
        few = await store.sweep(NOW, limit=1)
        rest = await store.sweep(NOW)
        left = ids(await store.jobs(JobQuery()))

        assert (0, 1, len(ENDED) - 1) == (first, few, rest)
        assert sorted(gone) == await store.erased_jobs()
        assert not set(gone) & set(left)
        assert len(JobState) - len(ENDED) + 2 == len(left)
        assert 1 == await store.add_jobs([a_job(30, key=f"{list(JobState).index(JobState.DONE)}")])

    async def test_parameters_and_results_are_not_shown(self, store: Store) -> None:
        """
        They may be personal: neither a record nor an error prints them.
        """
        (stored,) = await added(store, a_job(parameters=b'{"x": "MARKER"}', result=b'"MARKER"'))
        await store.change_job(stored)
        with pytest.raises(StoreConflict) as caught:
            await store.change_job(stored)

        assert "MARKER" not in f"{stored!r} {caught.value!r} {caught.value}"


@pytest.mark.anyio
class JobCommitConformance(Conformance):
    """What commits of a grant do to its jobs."""

    async def test_parked_jobs_are_woken_with_the_grant(self, store: Store) -> None:
        """
        They are queued to be resumed, whatever the engine was to be told, and told on the feed.
        """
        one, two, three, other, running = await added(
            store,
            a_job(1, state=JobState.PARKED, reason="consent_required", note="Consent again.", due_at=NOW),
            a_job(2, state=JobState.PARKED, order=Order.SUBMIT, attempts=3, steps=2),
            a_job(3, state=JobState.PARKED, order=Order.SUSPEND),
            a_job(4, state=JobState.PARKED, grant=2),
            a_job(5, state=JobState.WAITING, due_at=NOW),
        )
        place = await store.last_change()
        grant = await store.get(a_grant(1).id)
        assert grant is not None
        await store.commit(Replace(grant), WakeJobs(grant.id))
        woken: dict[str, Any] = {"state": JobState.QUEUED, "order": Order.RESUME, "version": 2}

        assert replace(one, reason=None, note=None, due_at=None, **woken) == await store.job(one.id)
        assert replace(two, **woken) == await store.job(two.id)
        assert replace(three, **woken) == await store.job(three.id)
        assert [other, running] == [await store.job(job.id) for job in (other, running)]
        assert sorted([("grant", grant.id), *(("job", one) for one in numbered(1, 2, 3))]) == sorted(
            named(await heard(store, place))
        )

    async def test_waking_nobody_is_no_mistake(self, store: Store) -> None:
        """
        Neither without parked jobs nor without a grant; nothing is told.
        """
        (job,) = await added(store, a_job())
        place = await store.last_change()
        await store.commit(WakeJobs(job.grant_id), WakeJobs(a_grant(9).id))

        assert job == await store.job(job.id)
        assert [] == await heard(store, place)

    async def test_a_commit_that_conflicts_wakes_nobody(self, store: Store) -> None:
        """
        All of its steps or none.
        """
        (job,) = await added(store, a_job(state=JobState.PARKED))
        place = await store.last_change()
        for steps in (
            (WakeJobs(job.grant_id), Replace(a_grant(version=7))),
            (Replace(a_grant(version=7)), WakeJobs(job.grant_id)),
            (WakeJobs(job.grant_id), Delete(job.grant_id, 7)),
        ):
            with pytest.raises(StoreConflict):
                await store.commit(*steps)

        assert job == await store.job(job.id)
        assert [] == await store.erased_jobs()
        assert [] == await heard(store, place)

    async def test_a_thousand_parked_jobs_are_woken(self, store: Store) -> None:
        """
        In one commit like one of them.
        """
        await added(store, *(a_job(number, state=JobState.PARKED) for number in range(1000)))
        await store.commit(WakeJobs(a_grant(1).id))

        assert {JobState.QUEUED: 1000} == await store.count_jobs()
        assert 200 == len(await store.ordered_jobs())

    async def test_jobs_go_with_their_grant(self, store: Store) -> None:
        """
        Their ids stay until the engine has forgotten them; their keys are free for the next grant.
        """
        await added(store, a_job(1, key="key"), a_job(2, state=JobState.DONE), a_job(3, grant=2))
        place = await store.last_change()
        await store.commit(Delete(a_grant(1).id, 1))
        told = named(await heard(store, place))
        erased = await store.erased_jobs()
        few = await store.erased_jobs(limit=1)
        await store.drop_erased([])
        await store.drop_erased([job_id(1), job_id(9)])

        assert numbered(3) == ids(await store.jobs(JobQuery()))
        assert sorted([("grant", a_grant(1).id), *(("job", one) for one in numbered(1, 2))]) == sorted(told)
        assert (numbered(1, 2), numbered(1)) == (erased, few)
        assert numbered(2) == await store.erased_jobs()
        await store.commit(Insert(a_grant(1)))
        assert 1 == await store.add_jobs([a_job(4, key="key")])

    async def test_a_grant_is_deleted_and_made_anew_in_one_commit(self, store: Store) -> None:
        """
        Steps see what the ones before them did.
        """
        await added(store, a_job(1, state=JobState.PARKED))
        await store.commit(Delete(a_grant(1).id, 1), Insert(a_grant(1)), WakeJobs(a_grant(1).id))

        assert [] == await store.jobs(JobQuery())
        assert numbered(1) == await store.erased_jobs()

    async def test_no_job_is_left_parked_by_a_race(self, store: Store) -> None:
        """
        Whoever parks and then reads the grant as it was will be woken by the consent that comes.
        """
        for number in range(1, 21):
            (job,) = await added(store, a_job(number, grant=number, state=JobState.RUNNING))
            grant = await store.get(job.grant_id)
            assert grant is not None

            async def park(job: Job = job) -> bool:
                await store.change_job(replace(job, state=JobState.PARKED))
                now = await store.get(job.grant_id)
                assert now is not None
                return now.user == "back"

            sees, _ = await outcomes(
                park(), store.commit(Replace(replace(grant, user="back")), WakeJobs(grant.id))
            )
            after = await store.job(job.id)
            assert after is not None
            assert sees is True or after.state is JobState.QUEUED

    async def test_no_job_outlives_its_grant_by_a_race(self, store: Store) -> None:
        """
        Added while the grant is deleted it is left out, or goes with it.
        """
        for number in range(1, 21):
            await saved(store, a_grant(number))
            await outcomes(
                store.add_jobs([a_job(number, grant=number)]),
                store.commit(Delete(a_grant(number).id, 1)),
            )

        assert [] == await store.jobs(JobQuery())

    async def test_a_change_does_not_bring_back_what_was_deleted(self, store: Store) -> None:
        """
        It conflicts.
        """
        (job,) = await added(store, a_job())
        await store.commit(Delete(job.grant_id, 1))

        with pytest.raises(StoreConflict):
            await store.change_job(job)
        await store.append([an_event()])
        assert await store.job(job.id) is None
