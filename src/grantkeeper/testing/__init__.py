"""
What the tests of others can use: the emulator as a fixture, clocks set by hand, conformance suites.

Importing this package loads nothing; each name loads its home when it is first used (PEP 562).
"""

from importlib import import_module
from typing import Any

_CONFORMANCE = "grantkeeper.testing.conformance"
_HOMES = {
    "AuditStoreConformance": _CONFORMANCE,
    "CallerStoreConformance": _CONFORMANCE,
    "ChangeFeedConformance": _CONFORMANCE,
    "EngineConformance": "grantkeeper.testing.engine_conformance",
    "GrantStoreConformance": _CONFORMANCE,
    "JobCommitConformance": _CONFORMANCE,
    "JobStoreConformance": _CONFORMANCE,
    "LeaseStoreConformance": _CONFORMANCE,
    "ManualClock": "grantkeeper.testing.clock",
    "OnceStoreConformance": _CONFORMANCE,
    "PaceStoreConformance": _CONFORMANCE,
    "RedemptionStoreConformance": _CONFORMANCE,
    "SealerConformance": "grantkeeper.testing.sealer_conformance",
    "SearchConformance": _CONFORMANCE,
    "SeededDice": "grantkeeper.testing.dice",
    "SigningKeyStoreConformance": _CONFORMANCE,
    "StoreConformance": _CONFORMANCE,
    "UpkeepConformance": _CONFORMANCE,
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
