"""
The file keys.json: read with care, created once, and replaced so that no key is ever lost on the way.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from grantkeeper.adapters.keyset import Keyset, WrongWrapping
from grantkeeper.adapters.kms import Kms
from grantkeeper.errors import SettingsInvalid

LARGEST_FILE = 1024 * 1024

SETTING = "GRANTKEEPER_KEYS"

Facts = tuple[int, int, int, int]
"""What changes when a file is written or another takes its place."""


def create_file(path: Path, keyset: Keyset, kms: Kms | None = None) -> None:
    """
    Write *keyset* to a new file that only its owner can read, and to the disk before this returns.

    Raises:
        FileExistsError: There is a file; keys are never overwritten.
        OSError: It cannot be written; nothing is left behind.
        SealBroken: *kms* does not seal it, or not now.
    """
    _write_new(path, lambda: keyset.serialise(kms))
    _sync_directory(path)


def replace_file(
    path: Path, change: Callable[[Keyset], Keyset], kms: Kms | None, new_kms: Kms | None
) -> Keyset:
    """
    Put what *change* makes of the keys at *path* in their place: all of it or nothing, also in a crash.

    Two that change the file at once take turns. The new text is read back from the
    disk and compared before it takes the old one's place.

    Args:
        kms: What opens the file now.
        new_kms: What seals it from now on.

    Returns:
        The new keys.

    Raises:
        SettingsInvalid: The file is missing, damaged, or cannot be written.
        SealBroken: A KMS does not open or seal it now.
    """
    # Where the path is a link, as in mounted secrets, what it points to is replaced.
    real = Path(os.path.realpath(path))
    with _alone(real):
        before = read_file(path, kms)
        after = change(before)
        new = real.with_name(f".{real.name}.{os.getpid()}.new")
        try:
            text = after.serialise(new_kms)
            _write_new(new, lambda: text)
            if not Keyset.parse(new.read_bytes(), new_kms).holds(after):
                raise SettingsInvalid(
                    [f"{SETTING}: the new file does not hold its keys; nothing was changed"]
                )
            owner = real.stat()
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(new, owner.st_uid, owner.st_gid)
            new.replace(real)
        except OSError as error:
            raise SettingsInvalid(
                [f"{SETTING}: the file cannot be written ({error.strerror}); the old one is untouched"]
            ) from None
        finally:
            new.unlink(missing_ok=True)
        _sync_directory(real)
    return after


def read_file(path: Path, kms: Kms | None = None) -> Keyset:
    """
    The keys in the file at *path*.

    Raises:
        SettingsInvalid: It is missing, readable by others, damaged, or not sealed as the settings say.
        SealBroken: *kms* does not open it, or not now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SettingsInvalid(
            [f"{SETTING}: there is no such file{_named(path)}, and without a key nothing starts"],
            hint="Run `grantkeeper init` for a new installation; a further node needs a copy of the first's.",
        ) from None
    except OSError as error:
        raise SettingsInvalid([f"{SETTING}: the file cannot be opened ({error.strerror})"]) from None
    try:
        return Keyset.parse(_contents(descriptor, path), kms)
    except WrongWrapping as error:
        raise SettingsInvalid(
            [f"{SETTING}: the file cannot be used: {error}"],
            hint="`grantkeeper keys wrap` and `grantkeeper keys unwrap` change how the file is sealed.",
        ) from None
    except ValueError as error:
        raise SettingsInvalid(
            [f"{SETTING}: the file is damaged: {error}"],
            hint="Bring the file back from its safe copy; without it nothing that is stored can be read.",
        ) from None
    finally:
        os.close(descriptor)


def _named(path: Path) -> str:
    """Its path, for a sentence; what ends otherwise may be a key itself, given where a file belongs."""
    return f" as {path}" if path.suffix == ".json" else ""


def facts(path: Path) -> Facts | None:
    """What tells that the file is another than before; ``None`` while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def _contents(descriptor: int, path: Path) -> bytes:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise SettingsInvalid([f"{SETTING}: this is not a file"])
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsInvalid(
            [f"{SETTING}: others may read or change the file (mode {stat.S_IMODE(found.st_mode):03o})"],
            hint=f"Run `chmod 600 {path}`; if others really could read it, make new keys.",
        )
    if found.st_size > LARGEST_FILE:
        raise SettingsInvalid([f"{SETTING}: the file is too large to hold keys"])
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read()


def _write_new(path: Path, text: Callable[[], bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def _sync_directory(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else changes the file at *path* meanwhile; whoever waited finds what the other made of it."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            # `read_file` tells what is wrong.
            yield
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            held = os.fstat(descriptor)
            now = facts(path)
            if now is not None and now[:2] == (held.st_dev, held.st_ino):
                yield
                return
        finally:
            os.close(descriptor)


__all__ = ["SETTING", "Facts", "create_file", "facts", "read_file", "replace_file"]
