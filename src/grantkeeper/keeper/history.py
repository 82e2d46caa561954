"""
What the ends of a client's grants say about the client: most likely in testing mode, near the cap of tokens.

A small tally for each client, added up over all nodes in a mark of the store.
It never grows with the grants; old counts fade, for a client may leave testing
mode any day. What it says is inferred, and is told as that.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from grantkeeper.lifecycle import WeekSign, crowded, likely_testing, week_sign
from grantkeeper.model import Client, Grant, Lease, Provider
from grantkeeper.ports import LeaseStore, NodeStore, Release, Store

FADES_AT = 200
"""Signs after which all counts are halved, so that half a hundred new ones can change the verdict."""

LEASE = 10.0


class Tally(msgspec.Struct):
    """
    Signs that a client's grants gave.

    Attributes:
        deaths: Refused about seven days after consent, having worked till then.
        survivors: Refreshed when they were older than that.
        crowded: Came near the cap of live tokens for one account.
    """

    deaths: int = 0
    survivors: int = 0
    crowded: int = 0

    def __bool__(self) -> bool:
        return bool(self.deaths or self.survivors or self.crowded)

    def plus(self, other: "Tally") -> "Tally":
        """Both together, faded where they are many."""
        total = Tally(
            self.deaths + other.deaths, self.survivors + other.survivors, self.crowded + other.crowded
        )
        if total.deaths + total.survivors <= FADES_AT:
            return total
        return Tally(total.deaths // 2, total.survivors // 2, total.crowded)


def mark_name(client_id: str) -> str:
    """Under which the store remembers a client's tally."""
    return f"history:{client_id}"


async def tally_of(store: NodeStore, client_id: str) -> Tally:
    """What all nodes have written down of a client."""
    raw = await store.mark(mark_name(client_id))
    return Tally() if raw is None else msgspec.json.decode(raw, type=Tally)


@dataclass(slots=True)
class History:
    """The signs this process has seen, and what all have written down. Belongs to one loop."""

    _known: dict[str, Tally] = field(default_factory=dict)
    _new: dict[str, Tally] = field(default_factory=dict)

    def testing(self, client_id: str) -> bool:
        """Whether the client is most likely in testing mode, where consents end after seven days."""
        seen = self._known.get(client_id, Tally()).plus(self._new.get(client_id, Tally()))
        return likely_testing(seen.deaths, seen.survivors)

    def died(self, client: Client, grant: Grant, now: datetime) -> None:
        """The issuer has refused *grant*, as it was before."""
        self._sign(client, week_sign(grant, now, refused=True))

    def lived(self, client: Client, grant: Grant, now: datetime) -> None:
        """*grant*, as it was before, was refreshed."""
        self._sign(client, week_sign(grant, now, refused=False))

    def signed_in(self, grant: Grant) -> None:
        """*grant* has just got another refresh token."""
        if crowded(grant, exactly=True):
            self._new.setdefault(grant.client_id, Tally()).crowded += 1

    def _sign(self, client: Client, sign: WeekSign | None) -> None:
        if sign is None or client.provider is not Provider.GOOGLE:
            return
        tally = self._new.setdefault(client.client_id, Tally())
        if sign is WeekSign.DEATH:
            tally.deaths += 1
        else:
            tally.survivors += 1

    async def load(self, store: NodeStore, clients: Iterable[Client]) -> None:
        """
        Read what is written down.

        Raises:
            StoreUnavailable: It cannot be read.
        """
        for client in clients:
            self._known[client.client_id] = await tally_of(store, client.client_id)

    async def save(self, store: Store, owner: str) -> None:
        """
        Add what is new to what is written down; what another is adding to just now waits for the next time.

        Raises:
            StoreUnavailable: What was being added may be lost; it is a sign and no record.
        """
        for client_id in [client_id for client_id, tally in self._new.items() if tally]:
            lease = await _claimed(store, client_id, owner)
            if lease is None:
                continue
            known = await tally_of(store, client_id)
            total = known.plus(self._new.pop(client_id))
            self._known[client_id] = total
            await store.set_mark(mark_name(client_id), msgspec.json.encode(total))
            await store.commit(Release(lease))


async def _claimed(store: LeaseStore, client_id: str, owner: str) -> Lease | None:
    claim = await store.take(mark_name(client_id), owner, seconds=LEASE)
    return claim if isinstance(claim, Lease) else None
