"""What running jobs needs of the rest of the house."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from grantkeeper.jobs.definition import Definition
from grantkeeper.jobs.rates import ApiRate
from grantkeeper.model import Token
from grantkeeper.ports import Clock, Dice, Engine, Http, Sealer, Store

LOG = logging.getLogger("grantkeeper.jobs")


class Tokens(Protocol):
    """Where the tokens of grants come from: a keeper."""

    async def token(
        self, grant_id: str, scopes: frozenset[str] | None, min_ttl: int, rejected: str | None
    ) -> Token:
        """See `grantkeeper.library.core.KeeperCore.access_token`."""
        ...

    def credentials(self, grant_id: str, scopes: frozenset[str] | None, turn: Callable[[str], None]) -> Any:
        """A grant as google-auth's credentials, for a thread; *turn* gives leave to each request."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """
    Handed to everything that runs jobs; belongs to one loop.

    Attributes:
        definitions: The jobs that this process can do, by name.
        rates: That requests of jobs keep, with all other workers.
        hosts: Beside Google's own, those that may be sent a user's token: an emulator's.
        executor: The name of this worker.
        sealer: Closes addresses that steps record; without one they stay open.
    """

    store: Store
    engine: Engine
    http: Http
    tokens: Tokens
    clock: Clock
    dice: Dice
    definitions: Mapping[str, Definition]
    executor: str
    hosts: frozenset[str] = frozenset()
    rates: tuple[ApiRate, ...] = ()
    sealer: Sealer | None = None

    def tell(
        self, event: str, *, level: int = logging.INFO, error: BaseException | None = None, **ids: object
    ) -> None:
        """Log *event* with *ids*, as a keeper does; *error* with its traceback."""
        if LOG.isEnabledFor(level):
            known = {name: str(value) for name, value in ids.items() if value is not None}
            words = [event, *(f"{name}={value}" for name, value in known.items())]
            LOG.log(level, " ".join(words), extra={"event": event, "ids": known}, exc_info=error)
