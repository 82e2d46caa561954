"""
grantkeeper: the backend side of "Sign in with Google", done once and done right.

`Keeper` redeems one-time codes, keeps the grants they become, and hands out
access tokens while the user is away. Importing this package is cheap; the parts
load when they are first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grantkeeper.jobs.context import JobContext, PlainJobContext
    from grantkeeper.jobs.definition import job
    from grantkeeper.jobs.failures import PermanentFailure, TryLater
    from grantkeeper.library.local import Keeper
    from grantkeeper.library.remote import RemoteKeeper

__version__ = "0.1.0"

_HOMES = {
    "JobContext": "grantkeeper.jobs.context",
    "Keeper": "grantkeeper.library.local",
    "PermanentFailure": "grantkeeper.jobs.failures",
    "PlainJobContext": "grantkeeper.jobs.context",
    "RemoteKeeper": "grantkeeper.library.remote",
    "TryLater": "grantkeeper.jobs.failures",
    "job": "grantkeeper.jobs.definition",
}

__all__ = [
    "JobContext",
    "Keeper",
    "PermanentFailure",
    "PlainJobContext",
    "RemoteKeeper",
    "TryLater",
    "__version__",
    "job",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
