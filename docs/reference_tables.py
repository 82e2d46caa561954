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
    """Every setting by its name in the environment and in the file."""
    from grantkeeper.settings import SETTINGS

    return table(
        ["environment", "grantkeeper.toml", "without it", "what it does"],
        [
            (
                f"`{setting.environment}`",
                f"`{setting.name}`",
                f"`{setting.default}`" if setting.default else setting.usual or "nothing",
                setting.sentence
                + ("" if setting.used else " *Read and checked, and not used yet in this release.*"),
            )
            for setting in SETTINGS
        ],
    )


def client_settings() -> str:
    """What a client's own table of the file may hold."""
    from grantkeeper.settings_clients import CLIENT_SETTINGS

    return table(
        ["key", "without it", "what it does"],
        [(f"`{key.name}`", key.default or "nothing", key.sentence) for key in CLIENT_SETTINGS],
    )


def commands() -> str:
    """The command line's own help, command by command."""
    from grantkeeper.cli.main import app

    written = str(app.generate_docs(output_format="markdown", heading_level=1, include_hidden=False))
    # The title, the table of contents and the list of commands: Sphinx makes its own.
    return written[written.index("## grantkeeper ") :]


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
    "client-settings": client_settings,
    "commands": commands,
    "errors": errors,
    "house": house,
    "reasons": reasons,
    "settings": settings,
    "states": states,
}
"""What a page may ask for."""
