"""
Which grant a request means: by id, by ``sub``, or by the app's own user id, within a caller's rule.

What was found is remembered, but only as a hint that any news may take away: a
subject or user that had one grant can have two a moment later.
"""

from typing import TYPE_CHECKING, Final, Protocol

from grantkeeper.errors import GrantNotFound, InvalidRequest
from grantkeeper.model import Caller
from grantkeeper.server.callers import require_client

if TYPE_CHECKING:
    from grantkeeper.library.core import KeeperCore

MOST_REMEMBERED: Final = 50_000

Question = tuple[frozenset[str], str | None, str | None, str | None, str | None]


class Names(Protocol):
    """A body that names a grant in one of the three ways."""

    grant: str | None
    subject: str | None
    client: str | None
    user: str | None


class Lookups:
    """Finds grants for callers. It belongs to the core's loop."""

    def __init__(self, core: "KeeperCore") -> None:
        self._core = core
        self._known: dict[Question, str] = {}
        self._epoch = 0
        core.on_change(self._changed)

    def remembered(self, caller: Caller, body: Names) -> str | None:
        """The id of the grant that *body* means, where no look-up is needed; ``None`` says nothing."""
        if body.grant is not None and not caller.clients:
            return body.grant if body.subject is body.user is body.client is None else None
        return None if self._core.feed_silent else self._known.get(_question(caller, body))

    async def find(self, caller: Caller, body: Names) -> str:
        """
        The same, looked up where it must be.

        Raises:
            InvalidRequest: Not exactly one of the three ways was used.
            CallerNotAllowed: The caller's rules do not name the client.
            GrantNotFound: There is none, or none that the caller may see.
            GrantAmbiguous: There are several.
        """
        ways = (body.grant, body.subject, body.user)
        if sum(way is not None for way in ways) != 1:
            raise InvalidRequest("send exactly one of grant, subject and user")
        if body.grant is not None and body.client is not None:
            raise InvalidRequest("client goes with subject or user; a grant has its own")
        if body.grant is not None and not body.grant.isprintable():
            raise GrantNotFound("there is no such grant")
        require_client(caller, body.client)
        known = self.remembered(caller, body)
        if known is not None:
            return known
        epoch = self._epoch
        found = await self._core.resolve(
            grant=body.grant, subject=body.subject, client=body.client, user=body.user, clients=caller.clients
        )
        if epoch == self._epoch:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[_question(caller, body)] = found
        return found

    def _changed(self, kind: str, _id: str) -> None:
        if kind in ("grant", "all"):
            self._epoch += 1
            self._known.clear()


def _question(caller: Caller, body: Names) -> Question:
    return (caller.clients, body.grant, body.subject, body.client, body.user)
