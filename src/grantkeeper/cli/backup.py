"""Backing up the database and bringing it back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grantkeeper.cli.common import HUMAN, OK, Manner, answer, hint, say, settings

if TYPE_CHECKING:
    from grantkeeper.library.backup import Report

UNCERTAIN = "restored grants are uncertain; those revoked since are dead at Google and a probe finds out"


def backup(file: Path, *, force: bool = False, manner: Manner = HUMAN) -> int:
    """
    Write the database to a file, as it is at one moment, while the service runs.

    The keys are not in it. Back up keys.json once, and again whenever keys change, in another place:
    whoever has both has every refresh token.

    Parameters
    ----------
    file
        Where to; there must be no such file yet.
    force
        Replace a file that is there.
    """
    import asyncio

    from grantkeeper.library.backup import back_up

    found = settings()
    report = asyncio.run(back_up(found, file, force=force))
    if manner.json:
        answer({"file": str(file), "keys": False, **_told(report)})
        return OK
    say(f"{file.name} holds {_counted(report)}")
    hint(f"The keys are not in it. Keep a copy of {found.keys.name} in another place.")
    return OK


def restore(file: Path, *, manner: Manner = HUMAN) -> int:
    """
    Fill an empty database from a backup, of SQLite or PostgreSQL alike.

    All of it is checked before anything is written. Every grant counts as uncertain afterwards and is
    tried at Google when it is next used. What was revoked or forgotten here after the backup is back.

    Parameters
    ----------
    file
        What grantkeeper backup wrote.
    """
    import asyncio

    from grantkeeper.library import backup

    def checked(report: "backup.Report") -> None:
        if not manner.json:
            say(f"the backup of {report.header.at:%Y-%m-%d %H:%M:%S} UTC is whole, and keys.json opens it")

    report = asyncio.run(backup.restore(settings(), file, checked=checked))
    if manner.json:
        answer({"file": str(file), "warning": UNCERTAIN, **_told(report)})
        return OK
    say(f"restored {_counted(report)}")
    say(UNCERTAIN)
    hint("Revoke and forget again what you revoked and forgot after the backup, callers too.")
    return OK


def _told(report: "Report") -> dict[str, Any]:
    header, summary = report.header, report.summary
    return {
        "at": header.at,
        "release": header.release,
        "database": header.database,
        "schema": header.schema,
        "rows": summary.rows,
        "wrap_ids": summary.wrap_ids,
        "index_versions": summary.index_versions,
    }


def _counted(report: "Report") -> str:
    rows = report.summary.rows
    return f"{rows['grants']} grants, {rows['callers']} callers and {rows['audit']} audit events"
