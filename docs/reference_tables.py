"""
Writes the tables of the reference pages from the tables that the code uses.

A page says where one belongs with a comment, ``<!-- table: errors -->``; Sphinx
puts it there while it reads the page (conf.py), and `tests/docs` fails on an
entry that says nothing about itself.
"""

import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

PLACE = re.compile(r"^<!-- table: ([a-z-]+) -->$", re.MULTILINE)


def filled(page: str) -> str:
    """
    *page* with every table in its place.

    Raises:
        KeyError: The page asks for a table that nobody writes.
    """
    return PLACE.sub(lambda place: TABLES[place[1]](), page)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a cell's line breaks and bars are made harmless."""

    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)])


def summary(thing: object) -> str:
    """The first paragraph of a docstring, its cross references as plain code."""
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("``", "`")


def errors() -> str:
    """Every public error: code, who can mend it, what helps."""
    from grantkeeper.errors import ERRORS

    status = http_statuses()
    return table(
        ["code", "HTTP", "who can mend it", "again later?", "what it means", "what helps"],
        [
            (
                f"`{code}`",
                status.get(code, ""),
                kind.who,
                "yes" if kind.retry else "no",
                summary(kind),
                kind.advice,
            )
            for code, kind in sorted(ERRORS.items())
        ],
    )


def http_statuses() -> dict[str, str]:
    """The HTTP statuses of every code, from the one table that maps them."""
    from grantkeeper.server import wire

    found: dict[str, set[int]] = {}
    for kind, status in wire.STATUS.items():
        found.setdefault(kind.code, set()).add(int(status))
    return {code: ", ".join(map(str, sorted(statuses))) for code, statuses in found.items()}


def states() -> str:
    """The life of a grant: which event leads where."""
    from grantkeeper.lifecycle import TRANSITIONS, Event

    return table(
        ["state", *(f"`{event}`" for event in Event)],
        [
            (f"`{state}`", *(f"`{steps[event]}`" if event in steps else "never" for event in Event))
            for state, steps in TRANSITIONS.items()
        ],
    )


def reasons() -> str:
    """Why a grant is not usable, and what helps."""
    from grantkeeper.lifecycle import REMEDIES

    return table(["reason", "what helps"], [(f"`{reason}`", text) for reason, text in REMEDIES.items()])


def settings() -> str:
    """Every setting by its name in the environment."""
    from grantkeeper.settings import SETTINGS

    return table(
        ["setting", "default", "meaning"],
        [
            (f"`GRANTKEEPER_{entry.name}`", f"`{entry.default}`" if entry.default else "", entry.meaning)
            for entry in SETTINGS
        ],
    )


def commands() -> str:
    """The command line's own help, command by command."""
    from grantkeeper.cli.main import app

    return app.generate_docs(output_format="markdown", heading_level=2, include_hidden=False)


def house() -> str:
    """Every module with the first sentence of its docstring, floor by floor."""
    package = importlib.util.find_spec("grantkeeper")
    assert package is not None
    assert package.submodule_search_locations
    root = Path(package.submodule_search_locations[0])
    rows = [(f"`{name}`", sentence) for name, sentence in _first_sentences(root)]
    return table(["module", "answers for"], rows)


def _first_sentences(root: Path) -> Iterator[tuple[str, str]]:
    import ast

    for path in sorted(root.rglob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        name = ".".join(("grantkeeper", *path.relative_to(root).with_suffix("").parts))
        if docstring:
            sentence = re.split(r"(?<=[.:])\s", docstring.split("\n\n")[0] + " ")[0]
            yield name.removesuffix(".__init__"), sentence.replace("``", "`")


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "errors": errors,
    "house": house,
    "reasons": reasons,
    "settings": settings,
    "states": states,
}
"""What a page may ask for."""
