"""`Race`: runs parts against a target and ends everything that it started."""

import asyncio
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from grantkeeper.testing.race.field import Field, away
from grantkeeper.testing.race.issuer import Issuer
from grantkeeper.testing.race.outcome import Outcome
from grantkeeper.testing.race.parts import PARTS, Sizes
from grantkeeper.testing.race.target import Place, Target


class Race:
    """
    A race of one service against itself, over processes, on 127.0.0.1.

    The parts are ``storm``, ``rotation``, ``kills``, ``rotation-kills``, ``slow``, ``trouble``,
    ``departures`` and ``loser``.

    Args:
        nodes: Processes of the service, two at least.
        seed: Decides the order of requests and the moments of kills, not the scheduling of the machine.

    Raises:
        ValueError: Two nodes at least are needed to race.
    """

    def __init__(self, target: Target, *, nodes: int = 2, sizes: Sizes | None = None, seed: int = 1) -> None:
        if nodes < 2:
            raise ValueError("a race needs two nodes at least")
        self.target = target
        self.nodes = nodes
        self.sizes = sizes or Sizes()
        self.seed = seed

    def run(self, parts: Sequence[str] = tuple(PARTS)) -> Outcome:
        """
        Run *parts* in a temporary folder, in their order; this blocks for as long as they take.

        Raises:
            KeyError: There is no such part.
            ProcessFailed: A node, or the issuer, does not start.
        """
        wanted = [PARTS[name] for name in parts]
        with tempfile.TemporaryDirectory(prefix="grantkeeper-race-", ignore_cleanup_errors=True) as folder:
            issuer = Issuer(Path(folder))
            try:
                return asyncio.run(self._run(wanted, issuer, Path(folder)))
            finally:
                issuer.close()

    async def _run(self, wanted: Sequence[object], issuer: Issuer, folder: Path) -> Outcome:
        place = Place(folder, issuer.google)
        field = Field(self.target, place, issuer, random.Random(self.seed))  # noqa: S311 - repeatable
        results = []
        try:
            await away(self.target.prepare, place)
            await field.start(self.nodes)
            for part in wanted:
                assert callable(part)
                results.append(await part(field, self.sizes))
        finally:
            await away(field.close)
        return Outcome(self.target.name, self.seed, self.nodes, results)
