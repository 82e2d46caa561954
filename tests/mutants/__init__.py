"""
Mutants: grantkeeper with one defect put in, to see that a proof of its absence would notice.

A mutant is a module whose docstring names the defect and whose `mutate` replaces one thing, through the
function it is given. In this process it is put in for a while (`put_in`); a process of its own has it for
life: ``python -m tests.mutants NAME serve --port 0``. The product has no switch for any of this.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

Replace = Callable[[Any, str, Any], Any]
"""Takes an object or a dictionary, a name and what shall stand there; gives what stood there."""


@dataclass(frozen=True)
class Mutant:
    """
    A module of this package.

    Attributes:
        test: The proof in `tests.defects.test_defects` that must notice.
    """

    name: str
    test: str
    docstring: str
    mutate: Callable[[Replace], None]


def mutant(name: str) -> Mutant:
    """The mutant of that name."""
    module = import_module(f"tests.mutants.{name}")
    return Mutant(name, module.TEST, module.__doc__ or "", module.mutate)


def names() -> list[str]:
    """Every mutant."""
    return sorted(path.stem for path in Path(__file__).parent.glob("d*.py"))


def replace_in(place: Any, name: str, new: Any) -> Any:
    """Put *new* there for good; what was there must have been there, else the mutant is of another time."""
    if isinstance(place, dict):
        old = place[name]
        place[name] = new
        return old
    old = getattr(place, name)
    setattr(place, name, new)
    return old


@contextmanager
def put_in(name: str) -> Iterator[None]:
    """Have mutant *name* in this process until the end of the block."""
    undo: list[tuple[Any, str, Any]] = []

    def replace(place: Any, what: str, new: Any) -> Any:
        old = replace_in(place, what, new)
        undo.append((place, what, old))
        return old

    try:
        mutant(name).mutate(replace)
        yield
    finally:
        for place, what, old in reversed(undo):
            replace_in(place, what, old)
