"""
Statements and migrations: what lies in ``sql/`` and in which order it is applied.

A file of statements holds several, each after a line ``-- name: NAME``; words in
braces are filled in when it is read. A migration is a file whose name begins
with its number; once released it never changes, and its checksum proves it.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from grantkeeper.adapters.records import LISTS, column_text
from grantkeeper.errors import SettingsInvalid

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_OLDEST = re.compile(r"-- oldest: ([0-9]+)\n")
_OUTSIDE = re.compile(r"^-- outside a transaction$", re.MULTILINE)
_MIGRATION = re.compile(r"^([0-9]{4})_([a-z0-9_]+)\.sql$")
_PLACE = re.compile(r"\?|(?<!:):([a-z_]+)")


def _home(database: str) -> Traversable:
    return files("grantkeeper.adapters") / "sql" / database


def named_statements(text: str, parts: Mapping[str, str]) -> dict[str, str]:
    """
    The statements of one file by name.

    Comments are dropped: the text of a statement is the key under which the
    driver finds it prepared.

    Raises:
        ValueError: A name comes twice.
        KeyError: A word in braces has no part.
    """
    found: dict[str, str] = {}
    _, *pieces = _NAME.split(text)
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        if name in found:
            raise ValueError(f"the statement {name} is there twice")
        lines = (line.strip() for line in body.splitlines() if not line.lstrip().startswith("--"))
        found[name] = " ".join(filter(None, lines)).rstrip("; ").format_map(parts)
    return found


def numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """
    *text* with ``$1``, ``$2``, … where it has ``?`` (each its own) or ``:name`` (each name one).

    Returns:
        It and the names, in the order of their numbers.
    """
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        name = found[1] or f"{len(names) + 1}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACE.sub(number, text), tuple(names)


def column_parts(mark: str = "?", *, quoted: Collection[str] = ()) -> dict[str, str]:
    """
    What statements name in braces: each list of columns, and under ``…_marks`` as many placeholders.

    ``token_padding`` is as many NULLs as a token is narrower than a grant.

    Args:
        quoted: Columns whose names are words of the database's own.
    """
    parts = {
        name: column_text(f'"{column}"' if column in quoted else column for column in columns)
        for name, columns in LISTS.items()
    }
    parts |= {f"{name}_marks": column_text([mark] * len(columns)) for name, columns in LISTS.items()}
    return parts | {"token_padding": column_text(["NULL"] * (len(LISTS["grant"]) - len(LISTS["token"])))}


def statements(database: str, parts: Mapping[str, str]) -> dict[str, str]:
    """Every named statement for *database*."""
    found: dict[str, str] = {}
    for file in sorted(_home(database).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql") and file.name != "schema.sql":
            for name, text in named_statements(file.read_text(encoding="utf-8"), parts).items():
                if name in found:
                    raise ValueError(f"the statement {name} is there twice")
                found[name] = text
    return found


def fresh_schema(database: str) -> str:
    """The script that makes the newest schema in an empty database."""
    return (_home(database) / "schema.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Migration:
    """
    One step from a schema to the next; *checksum* is the SHA-256 of its text.

    Its first line may say ``-- oldest: N``: releases that know only the migrations up to N run on
    what it makes, so that it can be applied before they are replaced. A line may say ``-- outside a
    transaction``, for what PostgreSQL does only there, such as building an index while the table is in
    use; its statements must then bear being run twice.
    """

    number: int
    name: str
    text: str = field(repr=False)

    @property
    def oldest(self) -> int:
        """The last migration of the oldest release that runs on what this one makes."""
        match = _OLDEST.match(self.text)
        return self.number if match is None else int(match[1])

    @property
    def outside(self) -> bool:
        """Whether its statements are run one by one, each a transaction by itself."""
        return _OUTSIDE.search(self.text) is not None

    @property
    def statements(self) -> tuple[str, ...]:
        """Its statements; each ends with a semicolon at the end of a line."""
        lines = "\n".join(line for line in self.text.splitlines() if not line.lstrip().startswith("--"))
        return tuple(filter(None, (part.strip() for part in re.split(r";[ ]*(?:\n|\Z)", lines))))

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    """What a database remembers of a migration; *oldest* is 0 where a release wrote it that did not know."""

    checksum: str
    oldest: int = 0


@cache
def migrations(database: str) -> tuple[Migration, ...]:
    """The migrations for *database*, the first first; their numbers have no gap."""
    found = [
        Migration(int(match[1]), match[2], file.read_text(encoding="utf-8"))
        for file in (_home(database) / "migrations").iterdir()
        if (match := _MIGRATION.match(file.name))
    ]
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations for {database} are not numbered 1, 2, 3, …")
    return tuple(found)


def pending(known: Sequence[Migration], applied: Mapping[int, Applied]) -> tuple[Migration, ...]:
    """
    The migrations that are still to be run.

    Args:
        known: What this release ships.
        applied: What the database remembers, by number.

    Raises:
        SettingsInvalid: The database is of a newer release that says that this one does not run on
            it, or an applied migration was another than the one of this number here.
    """
    shipped = {migration.number: migration for migration in known}
    newer = sorted(number for number in set(applied) - set(shipped) if applied[number].oldest not in shipped)
    if newer:
        raise SettingsInvalid(
            [f"the database has migration {newer[-1]}, and this release knows only {len(known)}"],
            hint="Start the release that made the database, or a newer one.",
        )
    changed = [
        number
        for number in sorted(set(applied) & set(shipped))
        if applied[number].checksum != shipped[number].checksum
    ]
    if changed:
        raise SettingsInvalid(
            [f"migration {changed[0]} of the database is not the one this release of grantkeeper ships"],
            hint="Install an unaltered release; if the database was made by a changed one, restore a backup.",
        )
    return tuple(migration for migration in known if migration.number not in applied)
