"""The journal: what it was told to keep is there after anything, and what was cut short is not."""

import asyncio
import resource
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grantkeeper.adapters.journal import FileJournal, MemoryJournal, read_entries, wrapped_keys
from grantkeeper.errors import JournalFailed
from grantkeeper.model import JournalEntry, JournalKind
from grantkeeper.ports import Journal

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def entry(number: int, *, at: datetime | None = None, size: int = 40) -> JournalEntry:
    """An entry that can be told from others; what is sealed in it is any bytes."""
    return JournalEntry(
        id=f"entry-{number}",
        kind=JournalKind.REFRESH,
        owner=f"grant-{number}",
        client_id="ours",
        at=at or NOON + timedelta(seconds=number),
        data_key=b"key %d" % number,
        box=bytes(range(256)) * (size // 256 + 1),
    )


def ids(journal: Journal) -> list[str]:
    return [one.id for one in journal.entries()]


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
async def journal(directory: Path, anyio_backend: str) -> AsyncIterator[FileJournal]:
    opened = FileJournal(directory)
    yield opened
    await opened.close()


async def left_behind(directory: Path, *entries: JournalEntry) -> Path:
    """A file as a dead process leaves it."""
    dead = FileJournal(directory)
    for one in entries:
        await dead.write(one)
    (path,) = files(directory)
    await dead.close()
    return path


@pytest.mark.parametrize("kind", [FileJournal, MemoryJournal])
async def test_what_is_written_is_held_until_it_is_struck_out(
    kind: type[FileJournal | MemoryJournal], directory: Path
) -> None:
    """
    In the order of the answers, whichever was written first; every journal does this.
    """
    journal = FileJournal(directory) if kind is FileJournal else MemoryJournal()
    for number in (2, 1, 3):
        await journal.write(entry(number))
    await journal.strike("entry-1")
    await journal.strike("never written")

    assert ["entry-2", "entry-3"] == ids(journal)
    assert entry(2) == journal.entries()[0]
    await journal.close()


async def test_files_are_their_owners_alone(journal: FileJournal, directory: Path) -> None:
    """
    Directory 0700, file 0600, whatever the umask lets through.
    """
    await journal.write(entry(1))

    (path,) = files(directory)
    assert (0o700, 0o600) == tuple(stat.S_IMODE(one.stat().st_mode) for one in (directory, path))


async def test_an_empty_journal_leaves_nothing(journal: FileJournal, directory: Path) -> None:
    """
    Struck out to the last entry, the file is empty; closed, it is gone.
    """
    await journal.write(entry(1))
    await journal.write(entry(2))
    await journal.strike("entry-1")
    await journal.strike("entry-2")

    assert [0] == [path.stat().st_size for path in files(directory)]
    await journal.close()
    assert [] == list(directory.iterdir())


async def test_the_next_process_finds_what_was_held(directory: Path, journal: FileJournal) -> None:
    """
    Byte by byte what was written, without what was struck out; the file goes with its last entry.
    """
    dead = FileJournal(directory)
    for number in range(3):
        await dead.write(entry(number))
    await dead.strike("entry-1")
    await dead.close()

    assert 2 == await journal.adopt()
    assert (entry(0), entry(2)) == journal.entries()
    assert 0 == await journal.adopt()
    await journal.strike("entry-0")
    assert 1 == len(files(directory))
    await journal.strike("entry-2")
    assert [] == files(directory)


async def test_a_living_process_keeps_its_journal(directory: Path, journal: FileJournal) -> None:
    """
    The lock says who lives; it is free as soon as its process lets go.
    """
    living = FileJournal(directory)
    await living.write(entry(1))

    assert 0 == await journal.adopt()
    await living.close()
    assert 1 == await journal.adopt()


async def test_a_torn_tail_is_no_entry_wherever_it_is_torn(directory: Path, tmp_path: Path) -> None:
    """
    Cut at every byte, the file has all the entries whose line is whole, and nothing is called damaged.
    """
    path = await left_behind(directory, entry(1), entry(2))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1

    for length in range(len(whole) + 1):
        entries, damaged = read_entries(whole[:length])
        wanted = ["entry-1", "entry-2"][: (length >= first) + (length == len(whole))]
        assert (wanted, 0) == (list(entries), damaged), length


@pytest.mark.parametrize("cut", [1, 9, 40])
async def test_striking_out_after_a_torn_tail_strikes_out(directory: Path, cut: int) -> None:
    """
    The mark does not become the end of the line that a crash cut short.
    """
    path = await left_behind(directory, entry(1), entry(2), entry(3))
    path.write_bytes(path.read_bytes()[:-cut])
    second = FileJournal(directory)
    assert 2 == await second.adopt()
    await second.strike("entry-1")
    await second.close()

    third = FileJournal(directory)
    await third.adopt()

    assert (["entry-2"], 0) == (ids(third), third.damaged)
    await third.close()


async def test_a_damaged_line_hides_no_other_and_is_kept_aside(directory: Path, journal: FileJournal) -> None:
    """
    It is told of, and stays on disk for a person to look at when the rest is delivered.
    """
    path = await left_behind(directory, entry(1), entry(2), entry(3))
    content = bytearray(path.read_bytes())
    content[content.index(b"entry-2")] ^= 1
    path.write_bytes(content)

    await journal.adopt()

    assert (["entry-1", "entry-3"], 1) == (ids(journal), journal.damaged)
    await journal.strike("entry-1")
    await journal.strike("entry-3")
    assert ([], [path.with_suffix(".damaged")]) == (files(directory), list(directory.glob("*.damaged")))
    assert 1 == journal.damaged


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Files end at *size* bytes, as on a disk that is full there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 100, 500])
async def test_a_full_disk_is_told_and_costs_nothing_that_was_written(
    journal: FileJournal, directory: Path, room: int
) -> None:
    """
    Wherever in the line the disk ends, nothing of it stays; with room again, all goes on.
    """
    await journal.write(entry(1))
    (path,) = files(directory)
    size = path.stat().st_size

    with small_disk(size + room):
        with pytest.raises(JournalFailed):
            await journal.write(entry(2, size=1024))
        told = journal.trouble

    assert "the journal cannot be written (File too large)" == told
    assert size == path.stat().st_size
    await journal.probe()
    assert journal.trouble is None
    await journal.write(entry(3))
    assert ["entry-1", "entry-3"] == list(read_entries(path.read_bytes())[0])


async def test_a_place_that_cannot_be_written_is_told_and_heals(tmp_path: Path) -> None:
    """
    A file stands where the directory should be; once it is gone, the journal works.
    """
    (tmp_path / "journal").write_text("in the way", encoding="utf-8")
    journal = FileJournal(tmp_path / "journal")

    assert 0 == await journal.adopt()
    await journal.probe()
    told = journal.trouble
    assert "the journal cannot be written (File exists)" == told
    (tmp_path / "journal").unlink()
    await journal.write(entry(1))
    assert ["entry-1"] == ids(journal)
    assert journal.trouble is None
    await journal.close()


async def test_a_file_that_was_deleted_is_made_anew(journal: FileJournal, directory: Path) -> None:
    """
    What is written to a file without a name, nobody would find.
    """
    await journal.write(entry(1))
    files(directory)[0].unlink()

    await journal.write(entry(2))

    (path,) = files(directory)
    assert ["entry-2"] == list(read_entries(path.read_bytes())[0])
    await journal.strike("entry-1")
    assert ["entry-2"] == ids(journal)


async def test_writes_keep_their_order(journal: FileJournal, directory: Path) -> None:
    """
    Fifty at once, of one moment, are in the file and in memory as they were asked for.
    """
    wanted = [f"entry-{number}" for number in range(50)]

    await asyncio.gather(*(journal.write(entry(number, at=NOON)) for number in range(50)))

    assert wanted == ids(journal)
    assert wanted == list(read_entries(files(directory)[0].read_bytes())[0])


async def test_wrapped_keys_of_all_journals_are_listed(journal: FileJournal, directory: Path) -> None:
    """
    Of dead processes and living ones, without what is struck out: `keys prove` has to know them.
    """
    assert [] == list(wrapped_keys(directory))
    await left_behind(directory, entry(1), entry(2))
    await journal.write(entry(3))
    await journal.write(entry(4))
    await journal.strike("entry-4")

    assert {b"key 1", b"key 2", b"key 3"} == set(wrapped_keys(directory))


async def test_a_closed_journal_keeps_nothing_and_says_so(directory: Path) -> None:
    """
    Whoever is late is told; closing twice is no mistake.
    """
    journal = FileJournal(directory)
    await journal.close()
    await journal.close()

    with pytest.raises(JournalFailed):
        await journal.write(entry(1))
    assert 0 == await journal.adopt()
    await journal.probe()
    await journal.strike("entry-1")
