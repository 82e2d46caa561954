"""The manners of every command: what goes where, in which form, and with which exit status it ends."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from grantkeeper.errors import (
    ClientMisconfigured,
    ConsentRequired,
    GrantkeeperError,
    InvalidRequest,
    IssuerUnavailable,
    SealBroken,
    SettingsInvalid,
    StoreUnavailable,
    TooManyRequests,
)

if TYPE_CHECKING:
    from grantkeeper.library.calls import Calls
    from grantkeeper.ports import Store
    from grantkeeper.settings import Settings

OK, FAILED, USAGE, CONSENT_NEEDED, UNAVAILABLE = 0, 1, 2, 3, 4

T = TypeVar("T")

_STATUSES: Sequence[tuple[tuple[type[GrantkeeperError], ...], int]] = (
    ((InvalidRequest,), USAGE),
    ((ConsentRequired,), CONSENT_NEEDED),
    ((IssuerUnavailable, StoreUnavailable, ClientMisconfigured, SealBroken, TooManyRequests), UNAVAILABLE),
)


@Parameter(name="*")
@dataclass(frozen=True)
class Manner:
    """
    How to answer.

    Parameters
    ----------
    json
        Answer in JSON.
    """

    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False


HUMAN = Manner()

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
"""Said or not said; there is nothing to deny."""


def exit_status(error: GrantkeeperError) -> int:
    """What a command ends with that failed with *error*."""
    return next((status for kinds, status in _STATUSES if isinstance(error, kinds)), FAILED)


def say(line: str) -> None:
    """Something for the person that is not the result."""
    print(f"grantkeeper: {line}", file=sys.stderr)


def hint(line: str) -> None:
    """What the person may do next."""
    print(f"hint: {line}", file=sys.stderr)


def complain(error: GrantkeeperError, *, as_json: bool) -> None:
    """Tell why a command failed: for people always, on standard output too for programs."""
    if isinstance(error, SettingsInvalid):
        for problem in error.problems:
            say(problem)
    else:
        say(f"{error.code}: {error.text}")
    missing = error.details.get("missing_scopes")
    if missing:
        say(f"missing scopes: {' '.join(missing)}")
    if error.hint:
        hint(hint_here(error))
    if as_json:
        from grantkeeper.server.wire import fields as told

        answer({"error": error.code, "error_description": error.text, "hint": error.hint, **told(error)})


def hint_here(error: GrantkeeperError) -> str:
    """The error's hint, at a terminal, where nobody sees the header that the service sends beside it."""
    if "Retry-After" not in error.hint:
        return error.hint
    if isinstance(error, IssuerUnavailable):
        return "Try again later. If it lasts: can the issuer's address be reached, or does its emulator run?"
    return "Try again later."


def answer(value: Any) -> None:
    """Print a result as JSON, at once: who reads it through a pipe may wait for it while we go on."""
    import msgspec

    encoded = msgspec.json.encode(value, enc_hook=_unprintable, order="deterministic")
    print(msgspec.json.format(encoded, indent=2).decode(), flush=True)


def _unprintable(value: object) -> object:
    raise TypeError(f"a {type(value).__name__} is not for printing")


def plain(value: Any) -> Any:
    """A record of the service's answers in dictionaries, lists and texts, for people's lines and columns."""
    import msgspec

    return msgspec.to_builtins(value)


def fields(pairs: Mapping[str, object]) -> None:
    """Print a result as lines of name and value; what is unknown is left out."""
    shown = {name: value for name, value in pairs.items() if value not in (None, "", [], ())}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        print(f"{name:<{width}}  {_shown(value)}")


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Print results in columns, a header first."""
    print("\n".join(lines(rows, columns)))


def lines(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> list[str]:
    """The same, not printed."""
    cells = [list(columns), *([_shown(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple, set, frozenset)):
        return " ".join(sorted(map(str, value))) or "-"
    return str(value)


def secret_from(file: Path | None, what: str) -> str:
    """
    A secret from a file, or from standard input; never from an argument, where everybody can see it.

    Raises:
        InvalidRequest: There is none.
    """
    try:
        if file is not None:
            value = file.read_text(encoding="utf-8")
        else:
            if sys.stdin.isatty():
                say(f"paste the {what} and press Enter")
            value = sys.stdin.readline()
    except (OSError, UnicodeDecodeError) as error:
        # Not the file's name: it may be the secret itself, given where a file belongs.
        raise InvalidRequest(f"the {what} cannot be read: {reason(error)}") from error
    value = value.strip()
    if not value:
        raise InvalidRequest(f"no {what} came on standard input", hint=f"Pipe the {what} in, or name a file.")
    return value


def reason(error: Exception) -> str:
    """Why a file could not be read, in the system's words where it has some."""
    return getattr(error, "strerror", None) or type(error).__name__


def settings(*, need_clients: bool = False) -> "Settings":
    """
    The settings of this place and environment; a command that asks Google needs a client.

    Raises:
        SettingsInvalid: They cannot be used; every problem is told.
    """
    from grantkeeper.settings import load_settings

    return load_settings(os.environ, Path.cwd(), need_clients=need_clients)


def keeper() -> "Calls":
    """The service, if the environment names one, else a keeper on the database of this place."""
    found = settings()
    if found.url is not None and found.caller_key_file is not None:
        from grantkeeper.library.remote import RemoteKeeper
        from grantkeeper.secret import CallerKey

        return RemoteKeeper(found.url, CallerKey(secret_from(found.caller_key_file, "caller key")))
    from grantkeeper.library.local import Keeper

    return Keeper.open(settings=settings(need_clients=True))


def ask(call: Callable[["Calls"], Awaitable[T]]) -> T:
    """Open a keeper, ask it once, and close it."""
    import asyncio

    async def once() -> T:
        async with keeper() as opened:
            return await call(opened)

    return asyncio.run(once())


def with_store(call: Callable[["Store"], Awaitable[T]]) -> T:
    """Ask the database itself: for what no service makes or shows."""
    import asyncio

    from grantkeeper.library import adapters

    async def once() -> T:
        store = await adapters.store(settings())
        try:
            return await call(store)
        finally:
            await store.close()

    return asyncio.run(once())


__all__ = [
    "CONSENT_NEEDED",
    "FAILED",
    "HUMAN",
    "OK",
    "UNAVAILABLE",
    "USAGE",
    "Flag",
    "Manner",
    "answer",
    "ask",
    "complain",
    "exit_status",
    "fields",
    "hint",
    "hint_here",
    "keeper",
    "lines",
    "plain",
    "reason",
    "say",
    "secret_from",
    "settings",
    "table",
    "with_store",
]
