"""The audit buffer: everything is written once, whatever the store does meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.audit import BATCH, Audit
from grantkeeper.errors import StoreUnavailable
from grantkeeper.model import AuditEvent
from grantkeeper.testing.clock import ManualClock

pytestmark = pytest.mark.anyio


class SlowStore(MemoryStore):
    """A store that lets others go first, and fails at chosen batches."""

    def __init__(self, *failing: int) -> None:
        super().__init__()
        self.failing = set(failing)
        self.calls = 0

    async def append(self, events: Sequence[AuditEvent]) -> None:
        await asyncio.sleep(0)
        self.calls += 1
        if self.calls in self.failing:
            raise StoreUnavailable("the disk is full")
        await super().append(events)


async def written(store: MemoryStore) -> Counter[str]:
    """How often each event was written, hand-outs by their grant and count."""
    found = await store.events(limit=100_000)
    return Counter(f"{event.name} {event.grant_id} {event.detail.get('count', '')}" for _, event in found)


def event(number: int) -> AuditEvent:
    return AuditEvent(ManualClock().now(), "something.happened", f"g{number}")


async def test_two_at_once_write_everything_once() -> None:
    """
    The background writer and somebody in a hurry do not write the same events, and both live on.
    """
    store = SlowStore()
    audit = Audit(store, store, ManualClock())
    for number in range(3):
        audit.note(event(number))
        audit.handed_out("g", "a caller")

    await asyncio.gather(audit.flush(), audit.flush(), audit.flush())

    expected = {f"something.happened g{number} ": 1 for number in range(3)} | {"token.handed_out g 3": 1}
    assert expected == await written(store)


async def test_a_store_that_fails_in_between_gets_the_rest_later() -> None:
    """
    What was written before the failure is not written again, and nothing is lost.
    """
    store = SlowStore(2)
    audit = Audit(store, store, ManualClock())
    for number in range(BATCH + 1):
        audit.note(event(number))
    with pytest.raises(StoreUnavailable):
        await audit.flush()

    await audit.flush()

    assert {f"something.happened g{number} ": 1 for number in range(BATCH + 1)} == await written(store)


async def test_what_comes_while_it_writes_is_written_next() -> None:
    """
    A hand-out in the middle of a flush is counted by the next one.
    """
    store = SlowStore()
    audit = Audit(store, store, ManualClock())
    audit.handed_out("g", None)
    flushing = asyncio.ensure_future(audit.flush())
    await asyncio.sleep(0)
    audit.handed_out("g", None)
    audit.note(event(1))

    await flushing
    await audit.flush()

    assert {"token.handed_out g 1": 2, "something.happened g1 ": 1} == await written(store)


async def test_a_full_buffer_refuses_hand_outs() -> None:
    """
    A token whose hand-out cannot be recorded is not handed out.
    """
    store = SlowStore(1)
    audit = Audit(store, store, ManualClock(), capacity=2)
    audit.handed_out("g", None)
    audit.handed_out("h", None)

    with pytest.raises(StoreUnavailable):
        audit.handed_out("i", None)
    with pytest.raises(StoreUnavailable):
        await audit.flush()
    with pytest.raises(StoreUnavailable):
        audit.handed_out("i", None)
    await audit.flush()
    audit.handed_out("i", None)
