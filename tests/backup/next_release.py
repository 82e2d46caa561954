"""
The next release, made up: this one's package with a migration more.

It adds a column that may be empty, a table and an index, online: its migration
says that releases which know only the one before run on what it makes. Its backups may hold more.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

from grantkeeper.adapters.schema import migrations

RELEASE = "99.0"

_ADDED = {
    "sqlite": ["""
ALTER TABLE grants ADD COLUMN colour TEXT;
CREATE TABLE next_things (id TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE INDEX grants_colour ON grants (colour) WHERE colour IS NOT NULL;
"""],
    # The index is built beside the work of others, which PostgreSQL does outside a transaction alone.
    "postgres": ["""
ALTER TABLE grants ADD COLUMN colour TEXT COLLATE "C";
CREATE TABLE next_things (id TEXT COLLATE "C" NOT NULL PRIMARY KEY, value BYTEA NOT NULL);
""", """-- outside a transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS grants_colour ON grants (colour) WHERE colour IS NOT NULL;
"""],
}  # fmt: skip


def next_release(folder: Path, database: str = "sqlite") -> Path:
    """Make it in *folder*; put the path that comes back in front of PYTHONPATH."""
    found = find_spec("grantkeeper")
    assert found is not None
    assert found.origin is not None
    package = folder / "grantkeeper"
    shutil.copytree(Path(found.origin).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    front = package / "__init__.py"
    text = front.read_text("utf-8")
    begin = text.index("__version__ = ")
    end = text.index("\n", begin)
    front.write_text(f'{text[:begin]}__version__ = "{RELEASE}"{text[end:]}', "utf-8")
    tables = package / "adapters" / "archive_tables.py"
    tables.write_text(tables.read_text("utf-8").replace("CONTENTS = ", "CONTENTS = 1 + "), "utf-8")
    number = len(migrations(database))
    home = package / "adapters" / "sql" / database
    for place, added in enumerate(_ADDED[database], start=number + 1):
        text = f"-- oldest: {number}\n{added}"
        (home / "migrations" / f"{place:04}_next.sql").write_text(text, "utf-8")
    with (home / "schema.sql").open("a", encoding="utf-8") as schema:
        schema.write("\n".join(_ADDED[database]).replace("CONCURRENTLY IF NOT EXISTS ", ""))
    return folder
