"""
A backup's file on the disk: nothing is there under its name before all of it is.

It is written beside its place under another name, readable by its owner alone,
synced, and then given its name. What a killed process left behind is taken over
by the next backup to the same place.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from grantkeeper.errors import BackupRefused

PART = ".part"
BUFFER = 1 << 20


@contextmanager
def created(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """
    A new file for *path*, which it gets when the block ends well.

    Args:
        force: Whether what is there now may be replaced.

    Raises:
        BackupRefused: There is a file already, another backup is writing it, or the disk does not
            take it. Nothing is there under the name that was not there before.
    """
    if not force and os.path.lexists(path):
        raise _taken(path)
    part = path.with_name(path.name + PART)
    try:
        file = os.fdopen(_locked(part), "w+b", buffering=BUFFER)
    except OSError as error:
        raise BackupRefused(f"{path} cannot be made: {error.strerror}") from error
    with file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _name(part, path, force)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise BackupRefused(f"{path.name} cannot be written: {error.strerror}") from error
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _taken(path: Path) -> BackupRefused:
    return BackupRefused(
        f"there is a {path.name} already", hint="Name a new file, or say --force to replace it."
    )


def _locked(part: Path) -> int:
    """The unfinished file, empty and ours; a lock on it ends with its process."""
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two it may have been given its name by the one who held it.
            if part.exists() and os.path.samestat(part.lstat(), os.fstat(descriptor)):
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise BackupRefused(f"another backup is writing {part.name}", hint="Wait for it.") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _name(part: Path, path: Path, force: bool) -> None:
    if force:
        part.replace(path)
    else:
        try:
            # Unlike renaming, this never replaces what has appeared meanwhile.
            os.link(part, path)
        except FileExistsError:
            raise _taken(path) from None
        part.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """
    The backup at *path*, to be read as often as needed.

    Raises:
        BackupRefused: There is no such file, or it cannot be read.
    """
    try:
        # A pipe would block here, and could be read only once.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BackupRefused(f"{path} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BackupRefused(f"{path.name} is not a file")
    with os.fdopen(descriptor, "rb", buffering=BUFFER) as file:
        try:
            yield file
        except OSError as error:
            raise BackupRefused(f"{path} cannot be read: {error.strerror}") from error
