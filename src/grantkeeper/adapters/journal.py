"""
The journal: sealed answers in a file of this process, on disk until the store has them.

A file is lines, each with its length and checksum in front: a line that a crash
cut short is no line, and one that is damaged hides no other. The process that
works with a file holds its lock (``flock``), so a file whose lock is free
belongs to nobody any more and is taken over by whoever finds it first.

Nothing here opens a seal; what can be read in a file says only where an entry belongs.
"""

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet
from zlib import crc32

import msgspec

from grantkeeper.errors import JournalFailed
from grantkeeper.model import JournalEntry

SUFFIX = ".journal"
DAMAGED = ".damaged"
FILE_MODE, DIRECTORY_MODE = 0o600, 0o700

T = TypeVar("T")

_sync = getattr(os, "fdatasync", os.fsync)


class _Record(msgspec.Struct, omit_defaults=True):
    """A line: an entry, or the id of one that is struck out."""

    entry: JournalEntry | None = None
    struck: str | None = None


def _line(record: _Record) -> bytes:
    body = msgspec.json.encode(record)
    return b"%08x %08x %s\n" % (len(body), crc32(body), body)


def _read_line(line: bytes) -> _Record | None:
    """The record of a line without its end; ``None`` if it is not whole."""
    length, checksum, body = line[:8], line[9:17], line[18:]
    try:
        if int(length, 16) != len(body) or int(checksum, 16) != crc32(body):
            return None
        return msgspec.json.decode(body, type=_Record)
    except (ValueError, msgspec.MsgspecError):
        return None


def read_entries(content: bytes) -> tuple[dict[str, JournalEntry], int]:
    """
    The entries of a file that are not struck out, in order, and how many lines are damaged.

    What follows the last line's end was being written when its process died, so nobody was told that
    it is there: it does not count.
    """
    entries: dict[str, JournalEntry] = {}
    damaged = 0
    *lines, _ = content.split(b"\n")
    for line in filter(None, lines):
        record = _read_line(line)
        if record is None:
            damaged += 1
        elif record.entry is not None:
            entries[record.entry.id] = record.entry
        elif record.struck is not None:
            entries.pop(record.struck, None)
    return entries, damaged


def wrapped_keys(directory: Path) -> Iterator[bytes]:
    """
    The wrapped data keys in all journals of *directory*, of living processes and dead ones.

    Raises:
        OSError: A file cannot be read.
    """
    for path in sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else ():
        with suppress(FileNotFoundError):
            entries, _ = read_entries(path.read_bytes())
            yield from (entry.data_key for entry in entries.values())


def held_in(directory: Path) -> tuple[int, int]:
    """
    How many entries all journals of *directory* hold, and how many lines are damaged.

    Raises:
        OSError: A file cannot be read.
    """
    held = damaged = 0
    for path in [*directory.glob(f"*{SUFFIX}"), *directory.glob(f"*{DAMAGED}")] if directory.is_dir() else ():
        with suppress(FileNotFoundError):
            entries, bad = read_entries(path.read_bytes())
            held, damaged = held + len(entries), damaged + bad
    return held, damaged


class _File:
    """One locked file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._fd: int | None = descriptor
        self.held: set[str] = set()
        self.damaged = 0
        self._clean = True
        _LOCKED.add(self)

    @classmethod
    def create(cls, directory: Path) -> "_File":
        """
        A new one.

        Raises:
            OSError: It cannot be made.
        """
        while True:
            path = directory / f"{os.getpid()}-{os.urandom(8).hex()}{SUFFIX}"
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, FILE_MODE)
            # Until it is locked it looks like a dead process's, and somebody may have tidied it away.
            if _lock(descriptor):
                _sync_directory(directory)
                return cls(path, descriptor)
            os.close(descriptor)

    @classmethod
    def adopt(cls, path: Path) -> "tuple[_File, dict[str, JournalEntry]] | None":
        """
        A dead process's file and what is in it; ``None`` if its process lives.

        Raises:
            OSError: It cannot be read.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return None
        try:
            if not _lock(descriptor):
                os.close(descriptor)
                return None
            content = path.read_bytes()
            # What it was writing when it died must not become a line by what is written next.
            os.ftruncate(descriptor, content.rfind(b"\n") + 1)
            entries, damaged = read_entries(content)
        except BaseException:
            os.close(descriptor)
            raise
        file = cls(path, descriptor)
        file.held, file.damaged = set(entries), damaged
        return file, entries

    @property
    def lost(self) -> bool:
        """Whether somebody has deleted it, or it is closed: what is written to it nobody finds."""
        return self._fd is None or os.fstat(self._fd).st_nlink == 0

    def append(self, record: _Record | None) -> None:
        """
        Write a line, or an empty one, and wait for the disk.

        Raises:
            OSError: It is not written; nothing of it is left that could be read.
        """
        assert self._fd is not None
        before, clean = os.fstat(self._fd).st_size, self._clean
        line = b"\n" if record is None else _line(record)
        data = line if self._clean else b"\n" + line
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
            _sync(self._fd)
        except OSError:
            self._clean = False
            with suppress(OSError):
                os.ftruncate(self._fd, before)
                self._clean = clean
            raise
        self._clean = True

    def empty(self) -> None:
        """
        Drop what is written in it: nothing there is waited for.

        Raises:
            OSError: That failed; the lines are still there.
        """
        assert self._fd is not None
        os.ftruncate(self._fd, 0)
        _sync(self._fd)
        self._clean = True

    def remove(self) -> None:
        """Delete it, or keep it aside under another name if it has damaged lines, and give its lock back."""
        with suppress(OSError):
            if self.damaged:
                self.path.rename(self.path.with_suffix(DAMAGED))
            else:
                self.path.unlink(missing_ok=True)
            _sync_directory(self.path.parent)
        self.close()

    def close(self) -> None:
        """Give the lock back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


_LOCKED: WeakSet[_File] = WeakSet()


def _let_go() -> None:
    """In a forked child: our parent's lock must not live on in us when the parent dies."""
    for file in list(_LOCKED):
        file.close()


os.register_at_fork(after_in_child=_let_go)


def _lock(descriptor: int) -> bool:
    """Lock a file that still has its name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileJournal:
    """
    The `grantkeeper.ports.Journal` of one process, in a directory that many may share.

    The disk is waited for in a thread of its own, one write after the other.
    """

    def __init__(self, directory: Path) -> None:
        self.trouble: str | None = None
        self._directory = directory
        self._own: _File | None = None
        self._adopted: list[_File] = []
        self._held: dict[str, tuple[JournalEntry, _File]] = {}
        self._aside = 0
        self._closed = False
        self._mutex = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")

    @property
    def damaged(self) -> int:
        files = [*self._adopted, *([] if self._own is None else [self._own])]
        return self._aside + sum(file.damaged for file in files)

    def entries(self) -> tuple[JournalEntry, ...]:
        with self._mutex:
            held = [entry for entry, _ in self._held.values()]
        # One process's entries are in the order of their answers; sorting is stable.
        return tuple(sorted(held, key=lambda entry: entry.at))

    async def write(self, entry: JournalEntry) -> None:
        await self._run(lambda: self._write(entry))

    async def strike(self, entry_id: str) -> None:
        with suppress(JournalFailed):
            await self._run(lambda: self._strike(entry_id))

    async def adopt(self) -> int:
        try:
            return await self._run(self._adopt)
        except JournalFailed:
            return 0

    async def probe(self) -> None:
        with suppress(JournalFailed):
            await self._run(lambda: self._append(None))

    async def close(self) -> None:
        if not self._closed:
            await self._run(self._close)
            self._closed = True
            self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise JournalFailed("the journal is closed")
        try:
            working = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError:
            # At the end of a program there are no new threads to be had: the disk is waited for here.
            return work()
        return await working

    # -- in the thread ------------------------------------------------------------------------

    def _write(self, entry: JournalEntry) -> None:
        file = self._append(_Record(entry=entry))
        file.held.add(entry.id)
        with self._mutex:
            self._held[entry.id] = (entry, file)

    def _append(self, record: _Record | None) -> _File:
        try:
            if self._own is None or self._own.lost:
                self._directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
                self._own = _File.create(self._directory)
            self._own.append(record)
            if record is None and not self._own.held and not self._own.damaged:
                self._own.empty()
        except OSError as error:
            self.trouble = f"the journal cannot be written ({error.strerror or type(error).__name__})"
            raise JournalFailed(self.trouble) from error
        self.trouble = None
        return self._own

    def _strike(self, entry_id: str) -> None:
        with self._mutex:
            _, file = self._held.pop(entry_id, (None, None))
        if file is None:
            return
        file.held.discard(entry_id)
        if file.lost:
            self._adopted = [one for one in self._adopted if one is not file]
            return
        try:
            if file.held or file.damaged:
                file.append(_Record(struck=entry_id))
            elif file is self._own:
                file.empty()
        except OSError as error:
            self.trouble = f"the journal cannot be written ({error.strerror or type(error).__name__})"
        if file is not self._own and not file.held:
            self._put_away(file)

    def _put_away(self, file: _File) -> None:
        self._adopted = [one for one in self._adopted if one is not file]
        self._aside += 1 if file.damaged else 0
        file.remove()

    def _adopt(self) -> int:
        found = 0
        try:
            paths = sorted(self._directory.glob(f"*{SUFFIX}"))
            self._aside = len(list(self._directory.glob(f"*{DAMAGED}")))
        except OSError:
            return 0
        ours = {file.path for file in (*self._adopted, self._own) if file is not None}
        for path in paths:
            if path in ours:
                continue
            try:
                adopted = _File.adopt(path)
            except OSError as error:
                self.trouble = f"a journal cannot be read ({error.strerror or type(error).__name__})"
                continue
            if adopted is None:
                continue
            file, entries = adopted
            self._adopted.append(file)
            with self._mutex:
                self._held |= {entry.id: (entry, file) for entry in entries.values()}
            found += len(entries)
            if not entries:
                self._put_away(file)
        return found

    def _close(self) -> None:
        if self._own is not None and not self._own.held and not self._own.lost:
            self._own.remove()
        for file in (self._own, *self._adopted):
            if file is not None:
                file.close()
        self._own, self._adopted = None, []
        with self._mutex:
            self._held.clear()


class MemoryJournal:
    """
    The same without a disk: for tests, and for who has none.

    Attributes:
        trouble: Set it, and nothing can be written.
    """

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.damaged = 0
        self._held: dict[str, JournalEntry] = {}

    def entries(self) -> tuple[JournalEntry, ...]:
        return tuple(sorted(self._held.values(), key=lambda entry: entry.at))

    async def write(self, entry: JournalEntry) -> None:
        if self.trouble is not None:
            raise JournalFailed(self.trouble)
        self._held[entry.id] = entry

    async def strike(self, entry_id: str) -> None:
        self._held.pop(entry_id, None)

    async def adopt(self) -> int:
        return 0

    async def probe(self) -> None:
        pass

    async def close(self) -> None:
        pass
