"""
Who asks: caller keys, and what a caller's rules let it do.

Callers are remembered in memory and forgotten when the change feed says so.
"""

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from grantkeeper.errors import CallerNotAllowed, CallerUnknown
from grantkeeper.model import Caller, Permission
from grantkeeper.protocol.caller_key import FORM, key_hash

if TYPE_CHECKING:
    from grantkeeper.library.core import KeeperCore

MOST_REMEMBERED: Final = 10_000


def bearer(values: list[bytes]) -> bytes | None:
    """
    The key in the ``Authorization`` headers; ``None`` if there is no such header.

    Raises:
        CallerUnknown: There are several, or it is no caller key.
    """
    if not values:
        return None
    scheme, _, key = values[0].partition(b" ")
    if len(values) > 1 or scheme.lower() != b"bearer" or not FORM.fullmatch(key.strip()):
        raise CallerUnknown("the Authorization header has no caller key")
    return key.strip()


class Callers:
    """The callers that have asked lately. It belongs to the core's loop."""

    def __init__(self, core: "KeeperCore") -> None:
        self._core = core
        self._by_header: dict[bytes, Caller] = {}
        self._epoch = 0
        core.on_change(self._changed)

    def remembered(self, authorization: bytes) -> Caller | None:
        """
        The caller whose whole ``Authorization`` header this is, from memory alone.

        ``None`` means no more than "look it up": unknown, expired, or the
        change feed is silent so that memory cannot be trusted.
        """
        caller = self._by_header.get(sha256(authorization).digest())
        if caller is None or self._core.feed_silent or self._ended(caller):
            return None
        return caller

    def met(self, key: bytes) -> bool:
        """Whether the key has been good before, however old that news is: such a one is no guess."""
        return _slot(key) in self._by_header

    async def known(self, key: bytes) -> Caller:
        """
        The caller with this key, from the store.

        Raises:
            CallerUnknown: There is none, or its time is over.
            StoreUnavailable: Nobody knows.
        """
        epoch = self._epoch
        caller = await self._core.store.caller(key_hash(key))
        if caller is None or self._ended(caller):
            raise CallerUnknown("the caller key is not valid")
        if epoch == self._epoch:
            # A change in between may be about this very caller: then it is not remembered.
            if len(self._by_header) >= MOST_REMEMBERED:
                self._by_header.clear()
            self._by_header[_slot(key)] = caller
        return caller

    def _ended(self, caller: Caller) -> bool:
        if caller.revoked_at is not None:
            return True
        return caller.expires_at is not None and self._core.clock.now() >= caller.expires_at

    def _changed(self, kind: str, _id: str) -> None:
        if kind in ("caller", "all"):
            self._epoch += 1
            self._by_header.clear()


def _slot(key: bytes) -> bytes:
    """Where a caller is remembered: under the hash of the header as everybody writes it."""
    return sha256(b"Bearer " + key).digest()


def require(caller: Caller, permission: Permission) -> None:
    """
    Raises:
        CallerNotAllowed: The caller's rules lack *permission*.
    """
    if not caller.may(permission):
        raise CallerNotAllowed(f"the caller {caller.name} lacks the permission {permission}")


def require_client(caller: Caller, client: str | None) -> None:
    """
    Check the name of a client before anything is looked up under it.

    Raises:
        CallerNotAllowed: The caller's rules do not name *client*.
    """
    if client is not None and not caller.sees(client):
        raise CallerNotAllowed(f"the caller {caller.name} may not use that client")
