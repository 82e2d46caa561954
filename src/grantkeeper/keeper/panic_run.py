"""A panic as it is written down: the run in one mark of the store, its grants in others, page by page."""

from datetime import datetime

import msgspec

from grantkeeper.errors import InvalidRequest
from grantkeeper.keeper.panic_choice import Choice
from grantkeeper.ports import NodeStore

UNFINISHED = "panic"
MOST_LISTED = 100


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """
    What became of one grant.

    Attributes:
        answer: Empty until there is one.
        tries: In vain, so far.
    """

    grant: str
    client: str
    answer: str = ""
    at: datetime | None = None
    reason: str = ""
    tries: int = 0


class Run(msgspec.Struct, kw_only=True, omit_defaults=True):
    """
    A panic as it is written down.

    Attributes:
        by: Who started it, as the machine knows them.
        rate: Calls of the issuer in a second.
        pages: How many pages of grants are written down.
        source, cursor: Where the choosing goes on.
        marked: Whether all that fit are marked.
        chosen: How many they are.
    """

    id: str
    by: str
    started_at: datetime
    choice: Choice
    rate: float
    pages: int = 0
    source: int = 0
    cursor: str = ""
    marked: bool = False
    chosen: int = 0
    finished_at: datetime | None = None
    answers: dict[str, int] = {}


class Runs:
    """Writes runs down and finds them again."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store

    async def find(self, run_id: str) -> Run:
        """
        A run as it was last written down.

        Raises:
            InvalidRequest: There is none of that id; the hint names those that are not finished.
        """
        raw = await self._store.mark(_name(run_id))
        if raw is None:
            left = ", ".join(await self.unfinished()) or "none"
            raise InvalidRequest("there is no panic of that id", hint=f"Not finished: {left}.")
        return msgspec.json.decode(raw, type=Run)

    async def save(self, run: Run) -> None:
        """Write down how far *run* has come."""
        await self._store.set_mark(_name(run.id), msgspec.json.encode(run))

    async def page(self, run: Run, number: int) -> list[Line]:
        """A page of its grants; empty where it was never written."""
        raw = await self._store.mark(_name(run.id, number))
        return [] if raw is None else msgspec.json.decode(raw, type=list[Line])

    async def save_page(self, run: Run, number: int, lines: list[Line]) -> None:
        """Write a page down, in the place of what it was."""
        await self._store.set_mark(_name(run.id, number), msgspec.json.encode(lines))

    async def unfinished(self) -> list[str]:
        """Ids of runs that have begun and not ended, the oldest first."""
        raw = await self._store.mark(UNFINISHED)
        return [] if raw is None else msgspec.json.decode(raw, type=list[str])

    async def list_it(self, run_id: str, *, done: bool = False) -> None:
        """Keep the list of what is not finished; two beginnings at one moment may lose one of it."""
        others = [one for one in await self.unfinished() if one != run_id]
        now = others if done else [*others, run_id][-MOST_LISTED:]
        await self._store.set_mark(UNFINISHED, msgspec.json.encode(now) if now else None)

    async def tidy(self, run: Run) -> None:
        """Forget what only an unfinished run needs."""
        await self.list_it(run.id, done=True)
        for number in range(run.pages):
            if await self._store.mark(_name(run.id, number)) is not None:
                await self._store.set_mark(_name(run.id, number), None)


def _name(run_id: str, page: int | None = None) -> str:
    """The mark of a run, or of one of its pages."""
    return f"panic:{run_id}" if page is None else f"panic:{run_id}:{page}"
