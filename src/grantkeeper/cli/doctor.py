"""`grantkeeper doctor`: what would keep the service from working, and who can mend it."""

import stat
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from grantkeeper.cli.common import FAILED, HUMAN, OK, Manner, answer, hint_here, settings
from grantkeeper.errors import GrantkeeperError, HttpFailed, SealBroken, SettingsInvalid

if TYPE_CHECKING:
    from grantkeeper.model import Client
    from grantkeeper.ports import Store
    from grantkeeper.settings import Settings

PRIVATE = 0o600
SKEW_SECONDS = 30.0
LEAST_FREE = 256 * 1024 * 1024
LOOKED_AT = 20
"""Grants whose seals are tried: one is enough to know another deployment's keys."""

SLOW_WRITE = 0.1
"""Seconds of one small write."""

SLOW_SEAL = 1e-3
"""A seal takes some microseconds, more on a busy machine; a thousand say that a key is derived each time."""


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    says: str
    hint: str = ""


def doctor(*, fix: bool = False, manner: Manner = HUMAN) -> int:
    """
    Check this installation: settings, keys, database, clients, Google's addresses and the clock.

    Parameters
    ----------
    fix
        Mend what can be mended safely: permissions of keys and database.
    """
    import asyncio

    findings = asyncio.run(_examined(fix))
    wrong = sum(finding.verdict is Verdict.WRONG for finding in findings)
    if manner.json:
        rows = [
            {"check": one.what, "verdict": one.verdict, "says": one.says, "hint": one.hint}
            for one in findings
        ]
        answer({"ok": wrong == 0, "checks": rows})
        return FAILED if wrong else OK
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        print(f"{finding.verdict:<5}  {finding.what:<{width}}  {finding.says}")
        if finding.hint:
            print(f"{'':<5}  {'':<{width}}  hint: {finding.hint}")
    print("Nothing is wrong." if not wrong else f"{wrong} of {len(findings)} checks found something wrong.")
    return FAILED if wrong else OK


async def _examined(fix: bool) -> list[Finding]:
    findings = [_program()]
    try:
        found = settings()
    except SettingsInvalid as error:
        return findings + [Finding("settings", Verdict.WRONG, one, error.hint) for one in error.problems]
    findings.append(Finding("settings", Verdict.OK, "every setting can be used"))
    if fix:
        private = [path for path in (found.keys, found.database_file) if path is not None]
        findings += [_mended(path) for path in private if _too_open(path)]
    findings += [_keys(found), *[one async for one in _database(found)], _journal(found)]
    findings += _clients(found)
    for issuer in sorted({client.issuer for client in found.clients.values()}):
        client = next(one for one in found.clients.values() if one.issuer == issuer)
        findings += [one async for one in _issuer(found, client)]
    return findings


def _program() -> Finding:
    import platform

    import apsw

    import grantkeeper

    versions = f"grantkeeper {grantkeeper.__version__}, Python {platform.python_version()}"
    return Finding("program", Verdict.OK, f"{versions}, SQLite {apsw.sqlite_lib_version()}")


def _too_open(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & ~PRIVATE)


def _mended(path: Path) -> Finding:
    path.chmod(PRIVATE)
    return Finding("permissions", Verdict.NOTE, f"{path.name} could be read by others; now only by its owner")


def _keys(found: "Settings") -> Finding:
    """That the keys open what they close, and how fast."""
    from grantkeeper.library import adapters
    from grantkeeper.ports import SealContext

    try:
        sealer = adapters.sealer(found)
        context = SealContext("doctor", "doctor", "doctor")
        key = sealer.new_key("doctor", "doctor")
        box = sealer.seal(key, "doctor", context)
        rounds = 200
        began = time.perf_counter()
        for _ in range(rounds):
            sealer.unseal(key, box, context)
        each = (time.perf_counter() - began) / rounds
    except GrantkeeperError as error:
        return Finding("keys", Verdict.WRONG, error.text, error.hint)
    verdict = Verdict.OK if each < SLOW_SEAL else Verdict.NOTE
    return Finding("keys", verdict, f"they open what they close, in {each * 1e6:.1f} microseconds")


async def _database(found: "Settings") -> AsyncIterator[Finding]:
    """That it can be opened, read and written, by us alone, and has room."""
    from grantkeeper.library import adapters

    path = found.database_file
    if path is not None and not path.exists():
        yield Finding("database", Verdict.WRONG, "there is none yet", "grantkeeper init makes it.")
        return
    try:
        store = await adapters.store(found)
    except GrantkeeperError as error:
        yield Finding("database", Verdict.WRONG, error.text, error.hint)
        return
    try:
        began = time.perf_counter()
        await store.ready()
        took = time.perf_counter() - began
        if path is not None:
            yield Finding("database", Verdict.OK, f"{path.name} can be read and written")
        else:
            yield _server(found, took)
        fit = await _fit(found, store)
        if fit is not None:
            yield fit
        async for sign in _signs(found, store):
            yield sign
        now = adapters.clock(found).now()
        callers = [
            one
            for one in await store.callers()
            if one.revoked_at is None and (one.expires_at is None or now < one.expires_at)
        ]
        if callers:
            yield Finding("callers", Verdict.OK, f"{len(callers)} may ask")
        else:
            hint = "grantkeeper callers create NAME makes a key for your backend."
            yield Finding("callers", Verdict.NOTE, "no backend may ask yet", hint)
    except GrantkeeperError as error:
        yield Finding("database", Verdict.WRONG, error.text, error.hint)
    finally:
        await store.close()
    if path is None:
        return
    if _too_open(path):
        says = f"{path.name} can be read by others"
        yield Finding("permissions", Verdict.WRONG, says, f"chmod 600 {path.name}, or doctor --fix.")
    import shutil

    free = shutil.disk_usage(path.parent).free
    if free < LEAST_FREE:
        says = f"only {free // 2**20} MiB are free beside the database"
        yield Finding("disk", Verdict.WRONG, says, "Make room: a full disk loses sign-ins.")


def _server(found: "Settings", took: float) -> Finding:
    """PostgreSQL, and how far away it is."""
    says = f"PostgreSQL can be read and written, in {took * 1e3:.1f} milliseconds"
    if took > SLOW_WRITE:
        return Finding("database", Verdict.NOTE, says, "Put the database near: every sign-in waits for it.")
    if found.statement_cache == 0 and found.listen_url is None:
        hint = "Set GRANTKEEPER_LISTEN_URL, so that changes are heard at once and not five times a second."
        return Finding("database", Verdict.NOTE, f"{says}, through a pooler", hint)
    return Finding("database", Verdict.OK, says)


async def _fit(found: "Settings", store: "Store") -> Finding | None:
    """That keys.json is the one which sealed what the database holds; ``None`` while there is nothing."""
    from grantkeeper.keeper.seals import Seals
    from grantkeeper.library import adapters
    from grantkeeper.ports import GrantQuery

    try:
        seals = Seals(adapters.sealer(found))
    except SettingsInvalid:
        return None  # `_keys` says it.
    sealed = [one for one in await store.search(GrantQuery(limit=LOOKED_AT)) if one.refresh_token is not None]
    try:
        for grant in sealed:
            seals.refresh_token(grant)
    except SealBroken as error:
        return Finding("seals", Verdict.WRONG, error.text, error.hint)
    return Finding("seals", Verdict.OK, "keys.json opens what the database holds") if sealed else None


async def _signs(found: "Settings", store: "Store") -> AsyncIterator[Finding]:
    """What the ends of grants say about their clients, and a panic that was not brought to its end."""
    from grantkeeper.keeper.history import tally_of
    from grantkeeper.keeper.panic_run import Runs
    from grantkeeper.lifecycle import ENDS, likely_testing

    for client in found.clients.values():
        seen = await tally_of(store, client.client_id)
        if likely_testing(seen.deaths, seen.survivors):
            says = (
                f"most likely in testing mode: {seen.deaths} grants ended at about seven days, "
                f"{seen.survivors} lived on"
            )
            yield Finding(f"client {client.name}", Verdict.NOTE, says, ENDS["testing_mode"])
        if seen.crowded:
            says = f"{seen.crowded} grants have come near Google's cap of 100 live tokens"
            yield Finding(f"client {client.name}", Verdict.NOTE, says, ENDS["live_tokens"])
    for run in await Runs(store).unfinished():
        hint = f"Unless it is running now: grantkeeper panic --resume {run}"
        yield Finding("panic", Verdict.NOTE, f"the run {run} is not finished", hint)


def _journal(found: "Settings") -> Finding:
    """That no answer waits for the database in a journal here, and that one could be written."""
    import os

    from grantkeeper.adapters.journal import held_in

    directory = found.journal_dir
    try:
        held, damaged = held_in(directory)
    except OSError as error:
        says = f"the journal cannot be read ({error.strerror})"
        return Finding("journal", Verdict.WRONG, says, "Give its directory to the service's user.")
    if held or damaged:
        says = f"holds {held} answers that are not in the database, and {damaged} damaged lines"
        hint = "Start the service: it delivers them. If it runs, see the runbook under store_unavailable."
        return Finding("journal", Verdict.WRONG if damaged else Verdict.NOTE, says, hint)
    place = next(one for one in (directory, *directory.parents) if one.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        says = "the journal cannot be written"
        return Finding("journal", Verdict.WRONG, says, "Name another place in GRANTKEEPER_JOURNAL_DIR.")
    return Finding("journal", Verdict.OK, "it is empty: the database has every answer")


def _clients(found: "Settings") -> list[Finding]:
    if not found.clients:
        hint = (
            "Name the client_secret_*.json of your web client as client_secrets in grantkeeper.toml, "
            "or in GRANTKEEPER_CLIENT_SECRETS."
        )
        return [Finding("clients", Verdict.WRONG, "no client is configured", hint)]
    findings = []
    for client in found.clients.values():
        sources = ", ".join(client.redirects)
        findings.append(Finding(f"client {client.name}", Verdict.OK, f"takes codes from {sources}"))
        if not client.app_client_ids:
            says = "app_client_ids is empty: ID tokens that phones send are refused"
            hint = "List the client ids of your iOS and Android apps, for preflight and id_token."
            findings.append(Finding(f"client {client.name}", Verdict.NOTE, says, hint))
        if client.return_to and found.public_url is None:
            says = "return_to is set, but the redirect flow needs public_url"
            findings.append(
                Finding(f"client {client.name}", Verdict.WRONG, says, "Set GRANTKEEPER_PUBLIC_URL.")
            )
        elif client.return_to:
            says = f"register {str(found.public_url).rstrip('/')}/connect/callback as a redirect URI"
            hint = "No file proves that it is registered; the Google Cloud console shows it."
            findings.append(Finding(f"client {client.name}", Verdict.NOTE, says, hint))
    return findings


async def _issuer(found: "Settings", client: "Client") -> AsyncIterator[Finding]:
    """That the issuer's addresses and keys can be had, and that our clocks agree."""
    from grantkeeper.issuer import Issuer
    from grantkeeper.library import adapters
    from grantkeeper.protocol.id_token import CLOCKS
    from grantkeeper.protocol.message import HttpRequest

    http = adapters.http()
    clock = adapters.clock(found)
    try:
        issuer = Issuer(http, clock)
        await issuer.prepare(client)
        yield Finding("issuer", Verdict.OK, f"{client.issuer} answers, and its keys can be used")
        endpoints = await issuer.endpoints(client)
        sent = await http.send(HttpRequest("GET", endpoints.jwks), seconds=5.0, largest=1 << 20)
        skew = _skew(sent.headers.get("date"), clock.now())
        if skew is not None and abs(skew) > SKEW_SECONDS:
            says = f"our clock differs from the issuer's by {skew:+.0f} seconds"
            yield Finding("clock", Verdict.WRONG, says, f"ID tokens and expiry depend on it. {CLOCKS}")
        elif skew is not None:
            yield Finding("clock", Verdict.OK, "our clock agrees with the issuer's")
    except (GrantkeeperError, HttpFailed) as error:
        hint = hint_here(error) if isinstance(error, GrantkeeperError) else ""
        yield Finding("issuer", Verdict.WRONG, f"{client.issuer}: {error}", hint)
    finally:
        close: Callable[[], object] | None = getattr(http, "close", None)
        if close is not None:
            await close()  # type: ignore[misc]


def _skew(date: str | None, now: datetime) -> float | None:
    """Seconds that *now* is ahead of a ``Date`` header, whose own grain is a second."""
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(date or "")
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return (now - at).total_seconds()
