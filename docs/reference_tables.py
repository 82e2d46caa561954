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
from typing import Any

PLACE = re.compile(r"^<!-- table: ([a-z-]+) -->$", re.MULTILINE)


def filled(page: str) -> str:
    """
    *page* with every table in its place.

    Raises:
        KeyError: The page asks for a table that nobody writes.
    """
    return PLACE.sub(lambda place: TABLES[place[1]](), page)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a cell's line breaks, bars and tags are made harmless."""

    def harmless(cell: object) -> str:
        parts = " ".join(str(cell).split()).replace("|", "\\|").split("`")
        # Every other part stands between backticks, where a tag is no tag.
        return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))

    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(map(harmless, cells)) + " |"

    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)])


def summary(thing: object) -> str:
    """The first paragraph of a docstring, its cross references as plain code."""
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("``", "`")


WHO = {
    "caller": "The caller: the request is wrong",
    "user": "The user: has to sign in again",
    "operator": "The operator: the installation or Google's console needs a hand",
    "nobody": "Nobody: waiting helps",
    "issuer": "The issuer: it broke its own specification",
}


def errors() -> str:
    """Every public error, by who can mend it: code, meaning, what helps."""
    from grantkeeper.errors import ERRORS

    status = http_statuses()
    parts = []
    for who, title in WHO.items():
        kinds = [(code, kind) for code, kind in sorted(ERRORS.items()) if kind.who == who]
        rows = [
            (
                f"`{code}`",
                status.get(code, ""),
                "yes" if kind.retry else "no",
                f"{summary(kind)} *{kind.advice}*",
            )
            for code, kind in kinds
        ]
        parts += [
            f"## {title}",
            "",
            table(["code", "HTTP", "retry", "what it means, and what helps"], rows),
            "",
        ]
    return "\n".join(parts)


def http_statuses() -> dict[str, str]:
    """The HTTP statuses of every code, from the one table that maps them."""
    from grantkeeper.server import wire

    found: dict[str, set[int]] = {}
    for kind, status in wire.STATUS.items():
        found.setdefault(kind.code, set()).add(int(status))
    return {code: ", ".join(map(str, sorted(statuses))) for code, statuses in found.items()}


DOORS = {
    "OPEN": "anybody; it tells nothing about anyone",
    "BROWSER": "a person's browser, over HTTPS",
    "APP": "an app, with the header `X-Requested-With`; a caller key is optional",
    "CALLER": "a backend, with `Authorization: Bearer <caller key>`",
}


def http() -> str:
    """Every call of the service: who may, what it takes, what it answers."""
    from grantkeeper.server.openapi import document
    from grantkeeper.server.routes import ROUTES

    described = document(ROUTES)
    schemas = described["components"]["schemas"]
    parts = []
    for operation in ROUTES:
        call = described["paths"][operation.path][operation.method.lower()]
        parts += [f"## `{operation.method} {operation.path}`", "", f"{operation.summary.rstrip('?.')}.", ""]
        parts += [f"*Who may:* {DOORS[operation.door.name]}."]
        if operation.permission and operation.door.name in ("APP", "CALLER"):
            parts += [f"*Permission of the caller:* `{operation.permission}`."]
        parts += ["", *_fields("Parameters", call.get("parameters", []), schemas)]
        if operation.body:
            parts += _properties("Body", operation.body.__name__, schemas, "required")
        if operation.answer:
            parts += _properties(f"Answer {operation.status}", operation.answer.__name__, schemas, "always")
        else:
            parts += [f"*Answer {operation.status}:* no JSON.", ""]
        codes = sorted({f"`{kind.code}`" for kind in operation.refusals()})
        parts += [f"*Refusals:* {', '.join(codes)}." if codes else "*Refusals:* none.", ""]
    return "\n".join(parts)


def _fields(title: str, parameters: list[Any], schemas: dict[str, Any]) -> list[str]:
    rows = [
        (
            f"`{one['name']}`",
            f"{one['in']}, required" if one.get("required") else one["in"],
            _kind(one["schema"], schemas),
            one.get("description") or _said(one["schema"]),
        )
        for one in parameters
        if "name" in one
    ]
    return [f"*{title}:*", "", _without_empty(["name", "in", "type", "meaning"], rows), ""] if rows else []


def _properties(title: str, name: str, schemas: dict[str, Any], must: str) -> list[str]:
    schema = schemas[name]
    required = schema.get("required", [])
    rows = [
        (
            f"`{field}`",
            # Where a field may be left out, null is the same as nothing.
            _kind(about, schemas).removesuffix("" if field in required else " or null"),
            must if field in required else "",
            _said(about),
        )
        for field, about in schema.get("properties", {}).items()
    ]
    return [f"*{title}:*", "", _without_empty(["field", "type", "", "meaning"], rows), ""] if rows else []


def _said(schema: dict[str, Any]) -> str:
    """What a field's schema says about its meaning."""
    said = schema.get("description") or next(filter(None, map(_said, schema.get("anyOf", []))), "")
    return str(said)


def _without_empty(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without the columns in which nothing stands."""
    kept = [place for place in range(len(head)) if any(row[place] for row in rows)]
    return table([head[place] for place in kept], [[row[place] for place in kept] for row in rows])


def _kind(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        inner = schemas[name].get("properties")
        return (
            "{" + ", ".join(f"`{field}`" for field in inner) + "}" if inner else _kind(schemas[name], schemas)
        )
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one, schemas) for one in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), schemas)}"
    if schema.get("format") == "date-time":
        return "time (RFC 3339)"
    return str(schema.get("type", "any"))


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
    """Every setting by its name in the environment; the page says how the file spells it."""
    from grantkeeper.settings import SETTINGS

    return table(
        ["environment", "without it", "what it does"],
        [
            (
                f"`{setting.environment}`",
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
    # The parser takes `python -m sphinx`, which runs us here, for a part of its own name.
    written = re.sub(r"^(grantkeeper .*?) -m \S+", r"\1", written, flags=re.MULTILINE)
    # The title, the table of contents and the list of commands: Sphinx makes its own.
    return written[written.index("## grantkeeper ") :]


def ends() -> str:
    """Every kind of end that can be seen coming."""
    from grantkeeper.lifecycle import ENDS

    return table(["end", "what helps"], [(f"`{kind}`", remedy) for kind, remedy in ENDS.items()])


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
    "ends": ends,
    "errors": errors,
    "house": house,
    "http": http,
    "reasons": reasons,
    "settings": settings,
    "states": states,
}
"""What a page may ask for."""
