"""Caller keys: made here, shown once, kept as a hash."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from grantkeeper.cli.common import HUMAN, OK, Manner, answer, hint, say, settings, table, with_store
from grantkeeper.errors import InvalidRequest, StoreConflict

if TYPE_CHECKING:
    from grantkeeper.model import Caller, Permission

T = TypeVar("T")

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def create(
    name: str,
    /,
    *,
    client: list[str] | None = None,
    scope: list[str] | None = None,
    permission: list[str] | None = None,
    expires: str | None = None,
    manner: Manner = HUMAN,
) -> int:
    """
    Make a key for a backend. It is shown this once; one without flags may do everything.

    Parameters
    ----------
    name
        What to call the backend.
    client
        Only grants of this client; repeatable.
    scope
        Only this scope; repeatable.
    permission
        Only this: redeem, token, grants.read, grants.write, credentials, proxy or jobs; repeatable.
    expires
        When it ends: 90d, 12h, or a date such as 2027-01-31.
    """
    from grantkeeper.adapters.dice import SystemDice
    from grantkeeper.ids import uuid7
    from grantkeeper.model import Caller
    from grantkeeper.protocol.caller_key import SIZE, caller_key, key_hash
    from grantkeeper.protocol.scopes import asked

    found, dice = settings(), SystemDice()
    unknown = sorted(set(client or ()) - set(found.clients))
    if unknown:
        raise InvalidRequest(f"--client names no client of the settings: {', '.join(unknown)}")
    now = _now()
    key = caller_key(dice.bytes(SIZE)).reveal()
    caller = Caller(
        id=uuid7(now, dice.bytes(10)),
        name=_name(name),
        key_hash=key_hash(key.encode()),
        created_at=now,
        clients=frozenset(client or ()),
        scopes=asked(scope) or frozenset(),
        permissions=_permissions(permission),
        expires_at=None if expires is None else _end(expires, now),
    )
    try:
        with_store(lambda store: store.add_caller(caller))
    except StoreConflict:
        raise InvalidRequest(f"there is a caller named {caller.name} already") from None
    if manner.json:
        answer({"key": key, **_shape(caller)})
    else:
        print(key)
        say(f"made the caller {caller.name}; its key is above and will not be shown again")
        hint("Give it to the backend as a file or environment variable, sent as Authorization: Bearer <key>.")
    return OK


def list_callers(*, manner: Manner = HUMAN) -> int:
    """List callers and their rules; keys cannot be shown again."""
    rows = [_shape(caller) for caller in with_store(lambda store: store.callers())]
    if manner.json:
        answer({"callers": rows})
    else:
        table(rows, ["name", "id", "clients", "scopes", "permissions", "expires_at", "revoked_at"])
    return OK


def revoke(caller: str, /, *, manner: Manner = HUMAN) -> int:
    """
    End a caller's access; every running service obeys within a second.

    Parameters
    ----------
    caller
        Its name or id.
    """
    ended = with_store(lambda store: store.revoke_caller(caller, _now()))
    if ended is None:
        raise InvalidRequest(f"there is no caller {caller}", hint="grantkeeper callers list shows them.")
    if manner.json:
        answer(_shape(ended))
    else:
        say(f"revoked the caller {ended.name}")
    return OK


def _now() -> datetime:
    from grantkeeper.library import adapters

    return adapters.clock(settings()).now()


def _name(name: str) -> str:
    if not 0 < len(name) <= 100 or not name.isprintable():
        raise InvalidRequest("a caller's name must have 1 to 100 printable characters")
    return name


def _permissions(names: list[str] | None) -> "frozenset[Permission]":
    from grantkeeper.model import Permission

    try:
        return frozenset(Permission(name) for name in names or ())
    except ValueError:
        raise InvalidRequest(f"--permission must be one of {', '.join(Permission)}") from None


def _end(text: str, now: datetime) -> datetime:
    if text[-1:] in UNITS and text[:-1].isascii() and text[:-1].isdigit() and len(text) <= 9:
        return now + timedelta(seconds=int(text[:-1]) * UNITS[text[-1]])
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest("--expires must be like 90d, 12h or 2027-01-31") from None
    end = end if end.tzinfo is not None else end.replace(tzinfo=now.tzinfo)
    if end <= now:
        raise InvalidRequest("--expires is in the past")
    return end


def _shape(caller: "Caller") -> dict[str, Any]:
    return {
        "id": caller.id,
        "name": caller.name,
        "clients": sorted(caller.clients),
        "scopes": sorted(caller.scopes),
        "permissions": sorted(caller.permissions),
        "created_at": caller.created_at,
        "expires_at": caller.expires_at,
        "revoked_at": caller.revoked_at,
    }
