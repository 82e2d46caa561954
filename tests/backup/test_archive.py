"""The file of a backup, damaged and hostile in every way we could think of."""

import asyncio
import hashlib
import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.adapters import archive
from grantkeeper.adapters.archive import Reader
from grantkeeper.adapters.archive_file import created, opened
from grantkeeper.adapters.archive_tables import BYTES, CONTENTS, LEFT_OUT, NEEDED, NUMBERS, TABLES
from grantkeeper.adapters.sqlite_backup import RESTORES
from grantkeeper.adapters.sqlite_file import connect, prepare, rows
from grantkeeper.errors import BackupRefused
from grantkeeper.ports import Insert
from grantkeeper.testing.records import a_caller, a_full_grant, a_grant
from tests.backup.places import Place, SqlitePlace, back_up, restore
from tests.backup.sums import resealed


@pytest.fixture
def backup(tmp_path: Path) -> bytes:
    """A small one, whole."""
    return asyncio.run(made(SqlitePlace(tmp_path / "old.db")))


async def made(place: SqlitePlace) -> bytes:
    store = await place.store()
    await store.commit(Insert(a_full_grant(1)), Insert(a_grant(2)))
    await store.add_caller(a_caller())
    await store.set_mark("word", b"value")
    await store.close()
    return await back_up(place)


def read(backup: bytes) -> dict[str, int]:
    """How many rows of each table there are, if the reader believes it."""
    found: dict[str, int] = {}
    for table, some in Reader(io.BytesIO(backup)).batches():
        found[table.name] = found.get(table.name, 0) + len(some)
    return found


def row_changed(backup: bytes, table: str, column: str, value: Any) -> bytes:
    """A backup in which the first row of *table* says something else, with sums that fit."""
    lines = backup.splitlines(keepends=True)
    begin = next(
        place for place, line in enumerate(lines) if line.startswith(b'{"table":"%s"' % table.encode())
    )
    columns = json.loads(lines[begin])["columns"]
    row = json.loads(lines[begin + 1])
    row[columns.index(column)] = value
    lines[begin + 1] = json.dumps(row).encode() + b"\n"
    return resealed(lines)


# -- whole --------------------------------------------------------------------------------------


def test_a_whole_one_is_read(backup: bytes) -> None:
    """
    Every row is counted; the same with sums that somebody else made.
    """
    assert {"grants": 2, "callers": 1, "marks": 1} == read(backup)
    assert {"grants": 2, "callers": 1, "marks": 1} == read(resealed(backup.splitlines(keepends=True)))


def test_it_is_for_people_too(backup: bytes) -> None:
    """
    Every line is JSON; the first says what this is and the last but one what is in it.
    """
    lines = [json.loads(line) for line in backup.splitlines()]

    assert (1, "sqlite") == (lines[0]["grantkeeper_backup"], lines[0]["database"])
    assert 2 == lines[-2]["rows"]["grants"]
    assert hashlib.sha256(b"".join(backup.splitlines(keepends=True)[:-1])).hexdigest() == lines[-1]["sha256"]


def test_every_table_is_kept_or_left_out_on_purpose(tmp_path: Path) -> None:
    """
    A table that somebody adds must be decided on; one that is left out says why.
    """
    prepare(tmp_path / "a.db")
    db = connect(tmp_path / "a.db", busy_seconds=1.0, read_only=True)
    names = {name for (name,) in rows(db, "SELECT name FROM sqlite_schema WHERE type = 'table'")}
    there = {name for name in names if not name.startswith("sqlite_")}

    assert there == set(TABLES) | set(LEFT_OUT)
    assert set() == set(TABLES) & set(LEFT_OUT)
    assert set(TABLES) == set(RESTORES) == set(NEEDED)
    db.close()


# What a database has for itself: its own order of rows, and the end of a claim by its own clock.
OWN = {("grants", "number"), ("redemptions", "claimed_until")}


def test_every_column_is_kept_and_has_its_kind(tmp_path: Path) -> None:
    """
    A column that somebody adds is in the backup, with the type and the need that the schema gives it.
    """
    prepare(tmp_path / "a.db")
    db = connect(tmp_path / "a.db", busy_seconds=1.0, read_only=True)
    kinds = {"INTEGER": "number", "BLOB": "bytes", "TEXT": "text"}
    for name, table in TABLES.items():
        facts = rows(db, 'SELECT name, type, "notnull" OR pk FROM pragma_table_xinfo(?)', (name,))
        there = {
            column: (kinds[kind], bool(need)) for column, kind, need in facts if (name, column) not in OWN
        }
        told = {
            column: (
                "number" if column in NUMBERS else "bytes" if column in BYTES else "text",
                column in NEEDED[name],
            )
            for column in table.columns
        }
        assert there == told
    db.close()


# -- damaged ------------------------------------------------------------------------------------


def test_a_backup_cut_anywhere_is_refused(backup: bytes) -> None:
    """
    At the end of any line and in the middle of it.
    """
    lines = backup.splitlines(keepends=True)
    ends = [sum(map(len, lines[:number])) for number in range(len(lines) + 1)]
    cuts = {cut for end in ends for cut in (end, end - 1, end + 7)} - {len(backup)}

    for cut in sorted(cut for cut in cuts if 0 <= cut < len(backup)):
        with pytest.raises(BackupRefused):
            read(backup[:cut])


def test_a_changed_byte_is_found(backup: bytes) -> None:
    """
    Wherever it is, sums or the form of the file tell.
    """
    for place in range(0, len(backup), 41):
        changed = bytearray(backup)
        changed[place] ^= 0x01
        if place > len(backup) - 80:
            break  # the proof, which only the keys can judge
        with pytest.raises(BackupRefused):
            read(bytes(changed))


DAMAGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "empty": lambda lines: [],
    "one line": lambda lines: lines[:1],
    "no backup": lambda lines: [b"PRAGMA foreign_keys=OFF;\n", *lines[1:]],
    "a zip": lambda lines: [b"PK\x03\x04" + b"\0" * 100 + b"\n"],
    "no end": lambda lines: lines[:-1],
    "no summary": lambda lines: [*lines[:-2], lines[-1]],
    "more after the end": lambda lines: [*lines, b"\n"],
    "two in one": lambda lines: lines * 2,
    "a line too many": lambda lines: [*lines[:3], lines[2], *lines[3:]],
    "a line too few": lambda lines: [*lines[:2], *lines[3:]],
    "lines exchanged": lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
    "another format": lambda lines: [
        lines[0].replace(b'"grantkeeper_backup":1', b'"grantkeeper_backup":2'), *lines[1:]
    ],
    "an unknown field": lambda lines: [lines[0].replace(b'"release"', b'"x":1,"release"'), *lines[1:]],
    "a path": lambda lines: [
        line.replace(b'"table":"grants"', b'"table":"../../etc/passwd"') for line in lines
    ],
    "a table of the database": lambda lines: [
        line.replace(b'"table":"grants"', b'"table":"migrations"') for line in lines
    ],
    "a statement as a column": lambda lines: [
        line.replace(b'"columns":["id"', b'"columns":["id); DROP TABLE grants; --"') for line in lines
    ],
    "a column twice": lambda lines: [
        line.replace(b'"columns":["id","client_id"', b'"columns":["id","id"') for line in lines
    ],
    "a needed column missing": lambda lines: [
        line.replace(b'"columns":["id",', b'"columns":[') for line in lines
    ],
    "deep": lambda lines: [*lines[:2], b"[" * 100_000 + b"\n", *lines[3:]],
    "no UTF-8": lambda lines: [*lines[:2], b'["\xff\xfe"]\n', *lines[3:]],
    "huge numbers": lambda lines: [
        lines[0].replace(b'"last_change":', b'"last_change":9' + b"9" * 30), *lines[1:]
    ],
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_hostile_one_is_refused(backup: bytes, damage: str) -> None:
    """
    By what it is, and never with another exception; sums that fit do not help.
    """
    lines = DAMAGES[damage](backup.splitlines(keepends=True))

    for made in (b"".join(lines), resealed(lines) if len(lines) > 5 and damage not in SUMS else b""):
        with pytest.raises(BackupRefused) as caught:
            read(made)

        assert len(caught.value.text) < 200


SUMS = {
    "more after the end", "two in one", "a line too many", "a line too few", "lines exchanged",
    "no summary", "no end",
}  # fmt: skip
"""Damages that only the sums show, or that a new seal mends."""

VALUES: list[tuple[str, str, Any]] = [
    ("grants", "id", None),
    ("grants", "id", 7),
    ("grants", "id", ["x"]),
    ("grants", "created_at", "yesterday"),
    ("grants", "created_at", True),
    ("grants", "created_at", 1.5),
    ("grants", "created_at", 2**63),
    ("grants", "created_at", -(2**62)),
    ("grants", "state", "excellent"),
    ("grants", "reason", "because"),
    ("grants", "identity_source", ""),
    ("grants", "refresh_box", "no base64!"),
    ("grants", "lookups", "zz"),
    ("callers", "permissions", "everything"),
    ("callers", "key_hash", None),
    ("callers", "created_at", {}),
    ("marks", "value", 1),
]


@pytest.mark.parametrize(("table", "column", "value"), VALUES)
def test_a_value_of_a_wrong_kind_is_refused_before_anything_is_written(
    backup: bytes, table: str, column: str, value: Any
) -> None:
    """
    The sums fit, and still it is said which line is no row.
    """
    with pytest.raises(BackupRefused, match=f"is no row of {table}"):
        read(row_changed(backup, table, column, value))


def test_a_row_of_another_width_is_refused(backup: bytes) -> None:
    """
    A value too few or too many.
    """
    lines = backup.splitlines(keepends=True)
    row = json.loads(lines[2])
    for wrong in (row[:-1], [*row, None], []):
        lines[2] = json.dumps(wrong).encode() + b"\n"
        with pytest.raises(BackupRefused, match="no row of grants"):
            read(resealed(lines))


def test_a_line_without_end_is_not_held_in_memory(backup: bytes) -> None:
    """
    A line longer than any of ours is refused at the limit.
    """
    lines = backup.splitlines(keepends=True)
    long = [*lines[:2], b'["' + b"a" * (2 * archive.LARGEST_LINE) + b'"]\n', *lines[3:]]

    class Counting(io.BytesIO):
        asked = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            line = super().readline(size)
            self.asked = max(self.asked, len(line))
            return line

    file = Counting(b"".join(long))
    with pytest.raises(BackupRefused, match="too long"):
        list(Reader(file).batches())

    assert archive.LARGEST_LINE + 1 == file.asked


def test_a_backup_that_may_hold_more_is_refused(backup: bytes) -> None:
    """
    A later release made it, and is named; the file itself fits.
    """
    lines = backup.splitlines(keepends=True)
    header = json.loads(lines[0]) | {"contents": CONTENTS + 1}
    lines[0] = json.dumps(header, separators=(",", ":")).encode() + b"\n"

    with pytest.raises(BackupRefused, match="made by release '0.1', and holds what this release does not"):
        read(resealed(lines))


def test_what_is_kept_changes_with_its_number_alone() -> None:
    """
    Whoever adds a table or a column raises `CONTENTS`, and writes the new sum here.
    """
    kept = {name: table.columns for name, table in TABLES.items()}
    sum_of_it = hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:16]

    assert (2, "9da6ca44a57bc0ca") == (CONTENTS, sum_of_it)


@pytest.mark.anyio
@pytest.mark.parametrize("pair", [("sqlite", "sqlite")], ids="-".join)
async def test_a_column_that_came_later_is_empty(backup: bytes, new: Place) -> None:
    """
    An older backup does not name it; one that may be empty is.
    """
    lines = backup.splitlines(keepends=True)
    begin = json.loads(lines[1])
    place = begin["columns"].index("consented_at")
    del begin["columns"][place]
    lines[1] = json.dumps(begin, separators=(",", ":")).encode() + b"\n"
    for number in (2, 3):
        row = json.loads(lines[number])
        del row[place]
        lines[number] = json.dumps(row).encode() + b"\n"

    await restore(resealed(lines), new)

    store = await new.store()
    grant = await store.get(a_full_grant(1).id)
    await store.close()
    assert grant is not None
    assert grant.consented_at is None
    assert a_full_grant(1).revoked_at == grant.revoked_at


# -- on the disk --------------------------------------------------------------------------------


def test_a_file_appears_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    """
    Under its name only when the block has ended, mode 600 whatever the mask.
    """
    path = tmp_path / "copy"
    mask = os.umask(0)
    try:
        with created(path, force=False) as file:
            file.write(b"text")
            file.flush()
            assert not path.exists()
    finally:
        os.umask(mask)

    assert b"text" == path.read_bytes()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert ["copy"] == [one.name for one in tmp_path.iterdir()]


def test_a_failing_backup_leaves_what_was_there(tmp_path: Path) -> None:
    """
    Even with force: the old file stays until the new one is whole.
    """
    path = tmp_path / "copy"
    path.write_bytes(b"old")

    def fail() -> None:
        with created(path, force=True) as file:
            file.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert b"old" == path.read_bytes()
    assert ["copy"] == [one.name for one in tmp_path.iterdir()]


def write(path: Path, force: bool = False) -> None:
    with created(path, force=force) as file:
        file.write(b"new")


def test_what_is_there_is_replaced_by_force_alone(tmp_path: Path) -> None:
    """
    Also when it has appeared while the backup was written, and when it is a link to nowhere.
    """
    path = tmp_path / "copy"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BackupRefused, match="already"):
        write(path)
    path.unlink()

    def raced() -> None:
        with created(path, force=False):
            path.write_bytes(b"old")

    with pytest.raises(BackupRefused, match="already"):
        raced()
    assert b"old" == path.read_bytes()

    write(path, force=True)
    assert b"new" == path.read_bytes()


def test_two_backups_to_one_place_do_not_mix(tmp_path: Path) -> None:
    """
    The second is refused while the first is at work; what a dead one left is taken over.
    """
    path = tmp_path / "copy"
    (tmp_path / "copy.part").write_bytes(b"left by a process that was killed, and longer than the new one")
    with created(path, force=False) as file:
        with pytest.raises(BackupRefused, match="another backup"):
            write(path)
        file.write(b"first")

    assert b"first" == path.read_bytes()
    assert ["copy"] == [one.name for one in tmp_path.iterdir()]


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    """
    Whoever may write in the folder cannot make a backup overwrite something else.
    """
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "copy.part").symlink_to(tmp_path / "precious")

    with pytest.raises(BackupRefused, match="cannot be made"):
        write(tmp_path / "copy")
    assert b"precious" == (tmp_path / "precious").read_bytes()


@pytest.mark.parametrize("what", ["nothing", "folder", "pipe"])
def test_what_is_no_file_is_not_read(tmp_path: Path, what: str) -> None:
    """
    It is refused at once; a pipe would block.
    """
    path = tmp_path / what
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)

    with pytest.raises(BackupRefused), opened(path):
        pass


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """
    As a refusal, with the system's word for it.
    """
    with pytest.raises(BackupRefused, match="No such file"):
        write(tmp_path / "nowhere" / "copy")
