"""
Backing up and restoring: which adapters take part, and what must be proved before anything is written.

The keys are never part of it. They are asked for two things: a keyed hash over
the backup, so that nobody without them can alter one unseen, and whether they
open what is about to be restored.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import grantkeeper
from grantkeeper.adapters.archive import (
    FORMAT,
    Facts,
    Header,
    Reader,
    Source,
    Summary,
    Writer,
    wrap_id,
)
from grantkeeper.adapters.archive_file import created, opened
from grantkeeper.adapters.archive_tables import CONTENTS, TABLES
from grantkeeper.adapters.records import GRANT, Row, grant_of, instant
from grantkeeper.errors import BackupRefused, SealBroken
from grantkeeper.keeper.seals import Seals
from grantkeeper.library import adapters
from grantkeeper.ports import Clock, Sealer
from grantkeeper.settings import Settings

PURPOSE = "backup"
"""Keeps the keyed hash over a backup apart from all other keyed hashes."""

SAMPLES = 20
"""Grants under each wrapping key that are opened before a restore."""

_KEY = GRANT.index("data_key")
_REFRESH = GRANT.index("refresh_box")


@dataclass(frozen=True, slots=True)
class Report:
    """What was backed up or restored."""

    header: Header
    summary: Summary


async def back_up(settings: Settings, path: Path, *, force: bool = False) -> Report:
    """
    Write the database, as it is at one moment, to a new file.

    Args:
        force: Whether a file that is there may be replaced.

    Raises:
        BackupRefused: The file cannot be made, or the database is not one this release can back up.
        SettingsInvalid: The keys cannot be used.
        StoreUnavailable: The database cannot be read now.
    """
    sealer, clock = adapters.sealer(settings), adapters.clock(settings)
    with created(path, force=force) as file:
        source = await adapters.backup_source(settings)
        try:
            return await _written(file, source, sealer, clock)
        finally:
            await source.close()


async def _written(file: BinaryIO, source: Source, sealer: Sealer, clock: Clock) -> Report:
    header = _header(source.facts, clock)
    writer = Writer(file, header)
    for table in TABLES.values():
        await writer.table(table, source.rows(table))
    return Report(header, writer.seal(lambda digest: sealer.digest(PURPOSE, digest)))


def _header(facts: Facts, clock: Clock) -> Header:
    return Header(
        grantkeeper_backup=FORMAT,
        contents=CONTENTS,
        release=grantkeeper.__version__,
        database=facts.database,
        schema=facts.schema,
        at=clock.now(),
        last_change=facts.last_change,
        last_lease=facts.last_lease,
    )


async def restore(
    settings: Settings, path: Path, *, checked: Callable[[Report], None] = lambda report: None
) -> Report:
    """
    Fill an empty database from a backup; all of it or nothing.

    The whole file is read and proved before the first write. From that first
    write to the end the database says that it is half restored, and nothing
    opens it.

    Args:
        checked: Told what the backup holds once it is proved and before it is written.

    Raises:
        BackupRefused: The backup is damaged or altered, keys.json does not open it, or the database
            is not empty.
        SettingsInvalid: The keys cannot be used, or the database cannot be grantkeeper's.
        StoreUnavailable: The database cannot be written now.
    """
    sealer, clock = adapters.sealer(settings), adapters.clock(settings)
    with opened(path) as file:
        target = await adapters.restore_target(settings)
        try:
            report, digest = proved(file, sealer)
            checked(report)
            await target.begin()
            reader = Reader(file)
            for table, rows in reader.batches():
                await target.put(table, rows)
            if reader.seal is None or reader.seal.sha256 != digest:
                raise BackupRefused("the backup was changed while it was read")
            await target.finish(report.header, instant(clock.now()))
        finally:
            await target.close()
    return report


def proved(file: BinaryIO, sealer: Sealer) -> tuple[Report, str]:
    """
    What the backup in *file* holds, and the sum of it all, once nothing speaks against it.

    Raises:
        BackupRefused: It is damaged or altered, or was made under other keys.
    """
    reader = Reader(file)
    samples: dict[int | None, list[Row]] = {}
    for table, rows in reader.batches():
        if table.name == "grants":
            for row in rows:
                if row[_REFRESH] is not None and len(kept := samples.setdefault(_under(row), [])) < SAMPLES:
                    kept.append(row)
    assert reader.summary is not None
    assert reader.seal is not None
    _open([row for kept in samples.values() for row in kept], sealer, reader.summary)
    proofs = [proof.hex() for proof in sealer.digests(PURPOSE, reader.seal.sha256)]
    if not any(hmac.compare_digest(proof, reader.seal.proof) for proof in proofs):
        raise BackupRefused(
            "the backup was made under another keys.json, or was altered since",
            hint="Give back the keys.json that was in use when the backup was made, or take another copy.",
        )
    return Report(reader.header, reader.summary), reader.seal.sha256


def _under(row: Row) -> int | None:
    return wrap_id(row[_KEY])


def _open(samples: list[Row], sealer: Sealer, summary: Summary) -> None:
    seals = Seals(sealer)
    try:
        for row in samples:
            seals.refresh_token(grant_of(row))
    except SealBroken as error:
        named = ", ".join(map(str, summary.wrap_ids))
        raise BackupRefused(
            f"keys.json does not open what is in this backup: {error.text}",
            hint=f"Give back the keys.json of the time of the backup; it has the keys {named}.",
        ) from error


__all__ = ["Report", "back_up", "proved", "restore"]
