"""Caller keys: made here, shown once, kept as a hash; their rules, which every node obeys within a second."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from grantkeeper.cli.common import HUMAN, OK, Flag, Manner, answer, hint, say, settings, table, with_store
from grantkeeper.errors import InvalidRequest, StoreConflict

if TYPE_CHECKING:
    from grantkeeper.model import AuditEvent, Caller, Permission
    from grantkeeper.ports import Store
    from grantkeeper.settings import Settings

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
    now = _now()
    key = caller_key(dice.bytes(SIZE)).reveal()
    caller = Caller(
        id=uuid7(now, dice.bytes(10)),
        name=_name(name),
        key_hash=key_hash(key.encode()),
        created_at=now,
        clients=_clients(client, found),
        scopes=asked(scope) or frozenset(),
        permissions=_permissions(permission),
        expires_at=None if expires is None else _end(expires, now),
    )

    async def save(store: "Store") -> None:
        await store.add_caller(caller)
        await store.append([_event("caller.created", caller, now)])

    try:
        with_store(save)
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


def change(
    name: str,
    /,
    *,
    client: list[str] | None = None,
    any_client: Flag = False,
    scope: list[str] | None = None,
    any_scope: Flag = False,
    permission: list[str] | None = None,
    any_permission: Flag = False,
    expires: str | None = None,
    never_expires: Flag = False,
    manner: Manner = HUMAN,
) -> int:
    """
    Change what a caller may do; its key stays, and every running service obeys within a second.

    A rule that is named takes the place of the old one of its kind; the others stay.

    Parameters
    ----------
    name
        The caller's name or id.
    client
        From now on only grants of this client; repeatable.
    any_client
        From now on grants of every client.
    scope
        From now on only this scope; repeatable.
    any_scope
        From now on every scope.
    permission
        From now on only this: redeem, token, grants.read, grants.write, credentials, proxy or jobs;
        repeatable.
    any_permission
        From now on everything.
    expires
        When it ends: 90d, 12h, or a date such as 2027-01-31.
    never_expires
        It does not end by itself any more.
    """
    from grantkeeper.model import caller_meant
    from grantkeeper.protocol.scopes import asked

    for words, given, lifted in (
        ("--client and --any-client", client, any_client),
        ("--scope and --any-scope", scope, any_scope),
        ("--permission and --any-permission", permission, any_permission),
        ("--expires and --never-expires", expires, never_expires),
    ):
        if given and lifted:
            raise InvalidRequest(f"{words} contradict each other")
    now = _now()
    changes: dict[str, Any] = {}
    if client or any_client:
        changes["clients"] = _clients(client, settings())
    if scope or any_scope:
        changes["scopes"] = asked(scope) or frozenset()
    if permission or any_permission:
        changes["permissions"] = _permissions(permission)
    if expires or never_expires:
        changes["expires_at"] = None if expires is None else _end(expires, now)
    if not changes:
        raise InvalidRequest(
            "say what is to change", hint="grantkeeper callers change --help lists the rules."
        )

    async def save(store: "Store") -> "tuple[Caller, Caller]":
        old = _living(caller_meant(await store.callers(), name), name)
        new = replace(old, **changes)
        await store.change_caller(new)
        await store.append([_event("caller.changed", new, now, changed=" ".join(sorted(changes)))])
        return old, new

    try:
        old, new = with_store(save)
    except StoreConflict:
        raise InvalidRequest(f"the caller {name} was revoked meanwhile") from None
    if manner.json:
        answer(_shape(new))
    else:
        before, after = _shape(old), _shape(new)
        for rule in sorted(changes):
            say(f"{new.name}: {rule} was {_said(before[rule])}, is {_said(after[rule])}")
    return OK


def _living(caller: "Caller | None", name: str) -> "Caller":
    """*caller*, if there is one and its access has not ended."""
    if caller is None or caller.revoked_at is not None:
        state = "does not exist" if caller is None else "is revoked"
        raise InvalidRequest(f"the caller {name} {state}", hint="grantkeeper callers list shows them.")
    return caller


def _said(rule: object) -> str:
    if isinstance(rule, list):
        return " ".join(rule) or "any"
    return "never" if rule is None else str(rule)


def revoke(caller: str, /, *, manner: Manner = HUMAN) -> int:
    """
    End a caller's access; every running service obeys within a second.

    Parameters
    ----------
    caller
        Its name or id.
    """
    from grantkeeper.model import ENDED, JobState
    from grantkeeper.ports import JobQuery

    now = _now()

    async def end(store: "Store") -> "tuple[Caller | None, bool]":
        ended = await store.revoke_caller(caller, now)
        if ended is None:
            return None, False
        if ended.revoked_at == now:
            await store.append([_event("caller.revoked", ended, now)])
        going_on = [state for state in JobState if state not in ENDED]
        asked = [await store.jobs(JobQuery(caller=ended.id, state=state, limit=1)) for state in going_on]
        return ended, any(asked)

    ended, asks = with_store(end)
    if ended is None:
        raise InvalidRequest(f"there is no caller {caller}", hint="grantkeeper callers list shows them.")
    if manner.json:
        answer(_shape(ended))
    else:
        say(f"revoked the caller {ended.name}")
        if asks:
            hint(f"What it asked for goes on: grantkeeper jobs cancel --caller {ended.id} ends its jobs.")
    return OK


def _now() -> datetime:
    from grantkeeper.library import adapters

    return adapters.clock(settings()).now()


def _event(what: str, caller: "Caller", now: datetime, **detail: str) -> "AuditEvent":
    from grantkeeper.model import AuditEvent

    return AuditEvent(now, what, caller=caller.id, detail=detail)


def _clients(names: list[str] | None, found: "Settings") -> frozenset[str]:
    unknown = sorted(set(names or ()) - set(found.clients))
    if unknown:
        raise InvalidRequest(f"--client names no client of the settings: {', '.join(unknown)}")
    return frozenset(names or ())


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
