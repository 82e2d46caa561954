"""What every keeper works with: the ports, the clients, and how it tells what happened."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from grantkeeper.backoff import CondemnLimit
from grantkeeper.errors import ClientUnknown
from grantkeeper.issuer import Issuer
from grantkeeper.model import Client
from grantkeeper.ports import Clock, Dice, Sealer, Store

REFRESH_LIMIT = 10.0
"""Seconds a refresh may take at the issuer."""

STORE_LIMIT = 5.0
"""Seconds that storing an answer is tried again before the caller is told."""

LEASE_SECONDS = REFRESH_LIMIT + STORE_LIMIT + 2.0
"""
How long a refresh is claimed: a call at the issuer and its storing fit in, and it is renewed before another.
Whoever waits for a process that died waits no longer than this.
"""

LOG = logging.getLogger("grantkeeper.keeper")

RETENTION = timedelta(hours=24)
"""How long redemptions are kept."""


@dataclass(slots=True)
class Means:
    """
    Handed to every keeper by the edge that picked the adapters.

    Attributes:
        clients: By settings name.
        counters: How often something came to some end, for metrics; a plain
            dictionary, written on the loop.
        restored_at: When the database was last brought back from a backup, as far as is known here.
    """

    store: Store
    sealer: Sealer
    clock: Clock
    dice: Dice
    clients: Mapping[str, Client]
    issuer: Issuer
    condemn_limit: CondemnLimit = field(default_factory=CondemnLimit)
    counters: Counter[tuple[str, str]] = field(default_factory=Counter)
    restored_at: datetime | None = None

    def client(self, name: str | None) -> Client:
        """
        The client of that settings name; unnamed, ``default`` or the only one there is.

        Raises:
            ClientUnknown: There is none, or the request must say which.
        """
        if name is None:
            name = (
                "default" if "default" in self.clients or len(self.clients) != 1 else next(iter(self.clients))
            )
        if name not in self.clients:
            raise ClientUnknown("no client of that name is configured")
        return self.clients[name]

    def client_of(self, client_id: str) -> Client:
        """
        The client with that OAuth client id.

        Raises:
            ClientUnknown: The settings do not define it any more.
        """
        for client in self.clients.values():
            if client.client_id == client_id:
                return client
        raise ClientUnknown("the client of this grant is not in the settings any more")

    def name_of(self, client_id: str) -> str:
        """The settings name of a client id; the id itself where the settings have dropped it."""
        for name, client in self.clients.items():
            if client.client_id == client_id:
                return name
        return client_id

    def tell(self, event: str, *, level: int = logging.INFO, **ids: object) -> None:
        """
        Log *event* with *ids*: ``grant.refreshed grant=…``. Never a text of a person or an issuer.

        A handler that knows the record's ``ids`` may show them as fields.
        """
        if LOG.isEnabledFor(level):
            known = {name: str(value) for name, value in ids.items() if value is not None}
            words = [event, *(f"{name}={value}" for name, value in known.items())]
            LOG.log(level, " ".join(words), extra={"event": event, "ids": known})

    def owner(self) -> str:
        """A new random owner for a claim or a lease."""
        return self.dice.bytes(16).hex()
