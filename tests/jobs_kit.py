"""What tests of the faces of jobs need of a worker, without one: names announced, rows moved on."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from grantkeeper.jobs.desk import KINDS, Kind
from grantkeeper.jobs.means import Means
from grantkeeper.model import Job
from grantkeeper.ports import Engine, Store
from grantkeeper.testing import ManualClock, SeededDice

FAR = datetime(2100, 1, 1, tzinfo=UTC)
"""Later than any clock of the tests: what is announced then stays known."""

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


async def announce(store: Store, name: str, *, scopes: Collection[str] = ()) -> None:
    """A worker says that it can do jobs of that name."""
    said = await store.mark(KINDS)
    kinds = {} if said is None else msgspec.json.decode(said, type=dict[str, Kind])
    kinds[name] = Kind(scopes=tuple(sorted(scopes)), announced_at=FAR)
    await store.set_mark(KINDS, msgspec.json.encode(kinds))


async def moved(store: Store, job_id: str, **changes: Any) -> Job:
    """A worker writes how the job stands now; what the engine was to be told has been told."""
    job = await store.job(job_id)
    assert job is not None
    return await store.change_job(replace(job, **{"order": None, **changes}))


def means_of(store: Store, engine: Engine, clock: ManualClock, executor: str) -> Means:
    """Of a worker that asks nobody for tokens and carries nothing out."""
    return Means(
        store=store,
        engine=engine,
        http=None,  # type: ignore[arg-type]
        tokens=None,  # type: ignore[arg-type]
        clock=clock,
        dice=SeededDice(1),
        definitions={},
        executor=executor,
    )


async def lives() -> bool:
    """Nobody has missed the worker."""
    return True
