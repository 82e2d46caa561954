"""Revoking many grants at once: the choice said aloud, progress shown, a signed report at the end."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from grantkeeper.cli.common import (
    FAILED,
    HUMAN,
    OK,
    UNAVAILABLE,
    Flag,
    Manner,
    answer,
    fields,
    hint,
    reason,
    say,
    settings,
    with_store,
)
from grantkeeper.errors import InvalidRequest, StoreUnavailable

if TYPE_CHECKING:
    from grantkeeper.keeper.panic_choice import Choice
    from grantkeeper.library.core import KeeperCore
    from grantkeeper.ports import Store
    from grantkeeper.settings import Settings

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
MOST_LISTED = 10_000
"""Ids that a dry run in JSON lists at most; it counts all."""


def panic(
    *,
    client: list[str] | None = None,
    user: list[str] | None = None,
    scope: list[str] | None = None,
    older_than: str | None = None,
    newer_than: str | None = None,
    caller: list[str] | None = None,
    all: Flag = False,  # noqa: A002 - the flag is --all
    dry_run: Flag = False,
    yes: Flag = False,
    rate: float | None = None,
    resume: str | None = None,
    report: Path | None = None,
    manner: Manner = HUMAN,
) -> int:
    """
    Revoke many grants: here at once, at Google one after the other, with a signed report at the end.

    Rules of different kinds must all fit, of one kind any. What users consent to after the start is
    left alone.

    Parameters
    ----------
    client
        Grants of this client; repeatable.
    user
        Grants attached to this user of yours; repeatable.
    scope
        Grants with this scope; repeatable.
    older_than
        Last consented to before that: 90d, 12h, or a date such as 2027-01-31.
    newer_than
        Last consented to since then: 90d, 12h, or a date such as 2027-01-31.
    caller
        Grants whose tokens were handed out to this caller, by name or id; repeatable.
    all
        Every grant there is.
    dry_run
        Only list and count what would be revoked; nothing is changed and nobody is asked.
    yes
        Really do it.
    rate
        Calls of Google in a second; default 10.
    resume
        Go on with the run of this id.
    report
        Where to write the report; default panic-ID.jsonl in this folder.
    """
    chosen = any((client, user, scope, older_than, newer_than, caller))
    if resume is not None:
        if chosen or all or dry_run or rate is not None:
            raise InvalidRequest("--resume goes on with what was chosen; give no choice with it")
        return _run(resume, None, None, report, manner)
    if not chosen and not all:
        raise InvalidRequest(
            "choose grants by --client, --user, --scope, --older-than, --newer-than or --caller",
            hint="--all chooses every grant; --dry-run shows what a choice means.",
        )
    if chosen and all:
        raise InvalidRequest("--all leaves nothing to choose; give it alone")
    if dry_run == yes:
        raise InvalidRequest(
            "say --dry-run to see what would be revoked, or --yes to revoke it",
            hint="A revoked grant comes back only when its user consents again.",
        )
    if rate is not None and not 0.01 <= rate <= 1000:
        raise InvalidRequest("--rate must be 0.01 to 1000 calls in a second")

    async def choice(core: "KeeperCore") -> "Choice":
        return await _choice(
            core.settings,
            core.store,
            now=core.clock.now(),
            clients=client or [],
            users=user or [],
            scopes=scope or [],
            callers=caller or [],
            older_than=older_than,
            newer_than=newer_than,
            everything=all,
        )

    if dry_run:
        return asyncio.run(_preview(choice, manner))
    return _run(None, choice, rate, report, manner)


def verify(report: Path, /, *, jwks: Path | None = None, manner: Manner = HUMAN) -> int:
    """
    Prove that a report of a panic is whole, unchanged, and signed by this grantkeeper.

    Parameters
    ----------
    report
        The file.
    jwks
        A kept copy of /.well-known/jwks.json, where the database is not at hand.
    """
    import msgspec

    from grantkeeper.keeper.panic_report import ReportWrong, verified
    from grantkeeper.protocol.session import public_jwks

    try:
        if jwks is not None:
            keys = msgspec.json.decode(jwks.read_bytes(), type=dict[str, object])
        else:

            async def ours(store: "Store") -> dict[str, object]:
                return public_jwks(await store.signing_keys())

            keys = with_store(ours)
        found = verified(report, keys)
    except (OSError, msgspec.MsgspecError) as error:
        which = getattr(error, "filename", None) or jwks or report
        raise InvalidRequest(f"{which} cannot be read: {reason(error)}") from error
    except ReportWrong as error:
        if manner.json:
            answer({"genuine": False, "why": str(error)})
        say(f"do not believe {report.name}: {error}")
        return FAILED
    found.pop("type")
    if manner.json:
        answer({"genuine": True, **found})
    else:
        fields(
            {"genuine": True, **_counted(found["answers"]), **{k: found[k] for k in ("run", "by", "grants")}}
        )
    return OK


# -- running ------------------------------------------------------------------------------------


@asynccontextmanager
async def _opened() -> AsyncIterator["KeeperCore"]:
    from grantkeeper.library.core import KeeperCore

    core = await KeeperCore.open(settings(need_clients=True))
    try:
        yield core
    finally:
        await core.close()


async def _preview(choice: Callable[["KeeperCore"], object], manner: Manner) -> int:
    by_client: dict[str, int] = {}
    ids: list[str] = []
    async with _opened() as core:
        async for grant in core.panic.preview(await choice(core)):  # type: ignore[misc]
            name = core.means.name_of(grant.client_id)
            by_client[name] = by_client.get(name, 0) + 1
            if not manner.json:
                print(grant.id, name, grant.state)
            elif len(ids) < MOST_LISTED:
                ids.append(grant.id)
    count = sum(by_client.values())
    if manner.json:
        answer({"would_revoke": count, "clients": by_client, "grants": ids, "more": count > len(ids)})
    else:
        for name, number in sorted(by_client.items()):
            say(f"{number} of the client {name}")
        say(f"{count} grants would be revoked; nothing was changed")
    return OK


def _run(
    run_id: str | None,
    choice: Callable[["KeeperCore"], object] | None,
    rate: float | None,
    report: Path | None,
    manner: Manner,
) -> int:
    if report is not None and report.exists():
        raise InvalidRequest("the report's file is there already; nothing was revoked")
    bar = _Bar(quiet=manner.json or not sys.stderr.isatty())
    named: list[str] = [] if run_id is None else [run_id]

    async def work() -> int:
        async with _opened() as core:
            if choice is not None:
                begun = await core.panic.begin(await choice(core), by=_who(), rate=rate)  # type: ignore[misc]
                named.append(begun.id)
                say(f"panic {begun.id} has begun")
            place = report or Path(f"panic-{named[0]}.jsonl")
            run = await core.panic.work(named[0], place, bar.show)
        bar.end()
        failed = run.answers.get("failed", 0)
        if manner.json:
            told = {"run": run.id, "grants": run.chosen, "answers": run.answers, "report": str(place)}
            answer({**told, "finished_at": run.finished_at})
        else:
            fields({"run": run.id, "grants": run.chosen, **_counted(run.answers), "report": str(place)})
        if failed:
            hint("What failed is revoked here all the same; a running service goes on telling Google.")
        return UNAVAILABLE if failed else OK

    try:
        return asyncio.run(work())
    except (KeyboardInterrupt, StoreUnavailable):
        bar.end()
        if named:
            hint(f"Go on with: grantkeeper panic --resume {named[0]}")
        raise


def _counted(answers: dict[str, int]) -> dict[str, object]:
    return {name.replace("_", " "): count for name, count in sorted(answers.items())}


def _who() -> str:
    """The account and the machine that the command runs as, for the report."""
    import getpass
    import socket

    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        account = "unknown"
    return f"{account}@{socket.gethostname()}"


class _Bar:
    """A line on standard error that says how far it is, for a person."""

    WIDTH = 30

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._drawn = False

    def show(self, part: str, done: int, of: int) -> None:
        """One more is done."""
        if self._quiet:
            return
        if part == "marked":
            line = f"revoked here: {done}"
        else:
            full = self.WIDTH * done // max(of, 1)
            line = f"told Google [{'#' * full}{'.' * (self.WIDTH - full)}] {done}/{of}"
        print(f"\r{line}", end="", file=sys.stderr, flush=True)
        self._drawn = True

    def end(self) -> None:
        """Leave the line as it is."""
        if self._drawn:
            print(file=sys.stderr)
            self._drawn = False


# -- choosing -----------------------------------------------------------------------------------


async def _choice(
    found: "Settings",
    store: "Store",
    *,
    now: datetime,
    clients: list[str],
    users: list[str],
    scopes: list[str],
    callers: list[str],
    older_than: str | None,
    newer_than: str | None,
    everything: bool,
) -> "Choice":
    from grantkeeper.keeper.panic_choice import Choice
    from grantkeeper.protocol.scopes import asked

    unknown = sorted(set(clients) - set(found.clients))
    if unknown:
        raise InvalidRequest(f"--client names no client of the settings: {', '.join(unknown)}")
    known = await store.callers()
    ids: list[str] = []
    for name in callers:
        # One that was revoked under the same name had tokens too.
        fits = [one.id for one in known if name in (one.id, one.name)]
        if not fits:
            raise InvalidRequest(f"there is no caller {name}", hint="grantkeeper callers list shows them.")
        ids += fits
    return Choice(
        clients=tuple(sorted(set(clients))),
        client_ids=tuple(sorted({found.clients[name].client_id for name in clients})),
        users=tuple(dict.fromkeys(users)),
        scopes=tuple(sorted(asked(scopes) or ())),
        callers=tuple(dict.fromkeys(ids)),
        consented_before=None if older_than is None else _moment("--older-than", older_than, now),
        consented_since=None if newer_than is None else _moment("--newer-than", newer_than, now),
        everything=everything,
    )


def _moment(flag: str, text: str, now: datetime) -> datetime:
    if text[-1:] in UNITS and text[:-1].isascii() and text[:-1].isdigit() and len(text) <= 9:
        return now - timedelta(seconds=int(text[:-1]) * UNITS[text[-1]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{flag} must be like 90d, 12h or 2027-01-31") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)
