"""
The file of a backup: JSON, a line for each row, the same for every database (decision 13).

The first line says what it is, then come the tables one after another, a
summary, and last a seal over every byte before it. Nothing in the file is
unpacked, no name in it is ever a path, and no part of it is held in memory but
the line at hand and a batch of rows.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Protocol, TypeVar

import msgspec

from grantkeeper.adapters.archive_tables import CONTENTS, NEEDED, TABLES, Table
from grantkeeper.adapters.records import Row
from grantkeeper.errors import BackupRefused

FORMAT = 1

LARGEST_LINE = 8 << 20
"""Bytes of a line at most; a row of ours has some thousand."""

BATCH_ROWS = 500
BATCH_BYTES = 4 << 20

GAP = 10**12
"""
How far a restored database's numbers (changes, leases, audit) begin above those of its backup: more
than any node can have seen since, and small enough for nine million restores.
"""

RESTORING = "restoring"
"""The mark of a database into which a restore was begun and not finished: nothing may serve it."""

RESTORED = "restored_at"
"""The mark that says when a database was restored, in microseconds since 1970 as text."""

Encoded = TypeVar("Encoded")

# -- what a backup says about itself ------------------------------------------------------------


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The first line.

    Attributes:
        contents: Which tables and columns may be in it: `grantkeeper.adapters.archive_tables.CONTENTS`.
        schema: The number of the newest migration of the database; each kind counts its own.
        last_change: The highest number of its change feed; `last_lease`, of its leases.
    """

    grantkeeper_backup: int
    contents: int
    release: str
    database: str
    schema: int
    at: datetime
    last_change: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    last_lease: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The last line but one.

    Attributes:
        rows: How many of each table.
        wrap_ids: The wrapping keys under which the data keys in it are; keys.json must have them.
        index_versions: The same of the index keys.
    """

    rows: dict[str, int]
    wrap_ids: list[int]
    index_versions: list[int]


class _Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    table: str
    columns: list[str]


class _End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rows: int
    sha256: str


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The last line.

    Attributes:
        sha256: Of every byte before this line.
        proof: A keyed hash of it, which only the holder of keys.json can make.
    """

    sha256: str
    proof: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a database says of itself at the moment of a backup."""

    database: str
    schema: int
    last_change: int
    last_lease: int


class Source(Protocol):
    """A database at one moment, to be read from the beginning to the end."""

    facts: Facts

    def rows(self, table: Table) -> AsyncIterator[Sequence[Row]]:
        """Every row of *table*, some at a time."""
        ...

    async def close(self) -> None:
        """Let go of the moment."""
        ...


class Target(Protocol):
    """An empty database that is being filled; all of it counts, or nothing."""

    async def begin(self) -> None:
        """
        Mark the database as half restored, durably, and begin.

        Raises:
            BackupRefused: It is not empty, or not of this release's schema.
        """
        ...

    async def put(self, table: Table, rows: Sequence[Row]) -> None:
        """Write rows as `Table.checked` made them."""
        ...

    async def finish(self, header: Header, at: int) -> None:
        """
        Let the numbers begin above all that any node may have seen, tell running nodes to look at
        everything, note the restore at *at* (microseconds since 1970), and commit.
        """
        ...

    async def close(self) -> None:
        """Undo what is not finished and let go."""
        ...


def wrap_id(data_key: bytes | None) -> int | None:
    """The id of the wrapping key that a wrapped data key names in its first bytes (tink's prefix)."""
    if data_key is None or len(data_key) < 5 or data_key[0] != 1:
        return None
    return int.from_bytes(data_key[1:5], "big")


# -- writing ------------------------------------------------------------------------------------


class Writer:
    """Writes a backup to *out*, from the beginning to `seal`."""

    def __init__(self, out: BinaryIO, header: Header) -> None:
        self._out = out
        self._whole = hashlib.sha256()
        self._encoder = msgspec.json.Encoder()
        self._rows: dict[str, int] = {}
        self._wrap_ids: set[int] = set()
        self._index_versions: set[int] = set()
        self._put(header)

    def _put(self, value: Any) -> bytes:
        line = self._encoder.encode(value) + b"\n"
        if len(line) > LARGEST_LINE:
            raise BackupRefused("the database holds a row that is too large for a backup")
        self._whole.update(line)
        self._out.write(line)
        return line

    async def table(self, table: Table, batches: AsyncIterator[Sequence[Row]]) -> None:
        """One table, its rows as the database has them."""
        self._put(_Begin(table.name, list(table.columns)))
        part, count = hashlib.sha256(), 0
        key = table.columns.index("data_key") if "data_key" in table.columns else None
        index = table.columns.index("index_version") if "index_version" in table.columns else None
        async for rows in batches:
            for row in rows:
                part.update(self._put(row))
                if key is not None and (found := wrap_id(row[key])) is not None:
                    self._wrap_ids.add(found)
                if index is not None:
                    self._index_versions.add(row[index])
            count += len(rows)
        self._put(_End(count, part.hexdigest()))
        self._rows[table.name] = count

    def seal(self, prove: Callable[[str], bytes]) -> Summary:
        """Write the end; *prove* makes the keyed hash of the whole."""
        summary = Summary(self._rows, sorted(self._wrap_ids), sorted(self._index_versions))
        self._put(summary)
        digest = self._whole.hexdigest()
        self._put(Seal(digest, prove(digest).hex()))
        return summary


# -- reading ------------------------------------------------------------------------------------


class Reader:
    """
    Reads a backup and believes nothing of it.

    `header` is there at once; `summary` and `seal` once `batches` came to its end, which it
    does only if every sum, count and value was right.

    Raises:
        BackupRefused: It is no backup, of a newer format, cut short, or damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        """
        Args:
            file: One that can be read anew from its beginning.
        """
        file.seek(0)
        self._file = file
        self._number = 0
        self._whole = hashlib.sha256()
        self.summary: Summary | None = None
        self.seal: Seal | None = None
        first = self._line()
        if not first.startswith(b'{"grantkeeper_backup":'):
            raise BackupRefused("this is not a backup of grantkeeper", hint="Name a file that backup made.")
        if not first.startswith(b'{"grantkeeper_backup":%d,' % FORMAT):
            raise BackupRefused(
                "this backup is of another format", hint="Restore it with the release that made it."
            )
        self.header = self._decoded(first, Header)
        if self.header.contents > CONTENTS:
            raise BackupRefused(
                f"this backup was made by release {self.header.release[:40]!r}, and holds what this release"
                " does not know",
                hint="Restore it with the release that made it, or a newer one.",
            )

    def _line(self) -> bytes:
        line = self._file.readline(LARGEST_LINE + 1)
        self._number += 1
        if not line.endswith(b"\n"):
            raise self._bad(
                "ends in the middle" if len(line) <= LARGEST_LINE else "has a line that is too long"
            )
        return line

    def _bad(self, text: str) -> BackupRefused:
        return BackupRefused(
            f"the backup is damaged: line {self._number} {text}",
            hint="Take another copy of it, or another backup.",
        )

    def _decoded(self, line: bytes, kind: type[Encoded]) -> Encoded:
        try:
            return msgspec.json.decode(line, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # The parser's sentence may quote what stands there.
            raise self._bad("is not what stands there in a backup") from None

    def _next(self) -> bytes:
        line = self._line()
        self._whole.update(line)
        return line

    def batches(self) -> Iterator[tuple[Table, list[Row]]]:
        """Every table, some rows at a time, as they are to be written."""
        self._file.seek(0)
        self._number = 0
        self._whole = hashlib.sha256()
        self._next()
        found: dict[str, int] = {}
        while (line := self._next()).startswith(b'{"table":'):
            begin = self._decoded(line, _Begin)
            table = TABLES.get(begin.table)
            if table is None or table.name in found:
                raise self._bad("begins a table that is not expected")
            counted = 0
            for rows in self._rows(table, begin.columns):
                counted += len(rows)
                yield table, rows
            found[table.name] = counted
        self._end(line, found)

    def _rows(self, table: Table, columns: list[str]) -> Iterator[list[Row]]:
        places = self._places(table, columns)
        decoder = msgspec.json.Decoder(
            tuple[tuple(table.types[table.columns.index(column)] for column in columns)]  # type: ignore[misc]
        )
        part, count, batch, size = hashlib.sha256(), 0, list[Row](), 0
        while (line := self._next()).startswith(b"["):
            part.update(line)
            try:
                given = decoder.decode(line)
                row = tuple(None if place is None else given[place] for place in places)
                batch.append(table.checked(row))
            except (msgspec.DecodeError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
                raise self._bad(f"is no row of {table.name}") from None
            count, size = count + 1, size + len(line)
            if len(batch) == BATCH_ROWS or size > BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch
        if self._decoded(line, _End) != _End(count, part.hexdigest()):
            raise self._bad(f"does not have the number or the sum of the rows of {table.name}")

    def _places(self, table: Table, columns: list[str]) -> list[int | None]:
        """Where each of our columns stands in the file's rows; one that a later release added is empty."""
        added = [name for name in table.columns if name not in columns]
        needed = NEEDED[table.name]
        if len(set(columns)) != len(columns) or set(columns) - set(table.columns) or set(added) & set(needed):
            raise self._bad(f"names columns that {table.name} does not have, or too few")
        return [columns.index(name) if name in columns else None for name in table.columns]

    def _end(self, line: bytes, found: dict[str, int]) -> None:
        self.summary = self._decoded(line, Summary)
        if self.summary.rows != found:
            raise self._bad("counts other rows than there are")
        digest = self._whole.hexdigest()
        self.seal = self._decoded(self._line(), Seal)
        if self.seal.sha256 != digest:
            raise self._bad("has another sum than what stands before it")
        if self._file.read(1):
            self._number += 1
            raise self._bad("comes after the end")
