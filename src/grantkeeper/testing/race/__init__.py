"""
The race kit: fires requests at a token service across processes, kills it, and counts what the issuer saw.

It works on any service that keeps refresh tokens and hands out access tokens over HTTP. Tell it how by a
`Target`, run a `Race`, and read the `Outcome`: counts from both sides, and for each of nine defects that
nearly every such service has, whether it was shown. Nothing leaves this machine, and only what was
started is ended.
"""

from grantkeeper.testing.processes import Process, ProcessFailed
from grantkeeper.testing.race.outcome import DEFECTS, Outcome, Result, Verdict, side_by_side
from grantkeeper.testing.race.parts import PARTS, Sizes
from grantkeeper.testing.race.run import Race
from grantkeeper.testing.race.target import Ask, Place, Reply, Target

__all__ = [
    "DEFECTS",
    "PARTS",
    "Ask",
    "Outcome",
    "Place",
    "Process",
    "ProcessFailed",
    "Race",
    "Reply",
    "Result",
    "Sizes",
    "Target",
    "Verdict",
    "side_by_side",
]
