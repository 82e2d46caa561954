"""Where an answer waits that the store could not take."""

from typing import Protocol

from grantkeeper.model import JournalEntry


class Journal(Protocol):
    """
    Keeps sealed answers on this machine's disk until the store has them.

    Entries of processes that died are taken over by whoever finds them.
    """

    @property
    def trouble(self) -> str | None:
        """Why it could not be written when that was last tried; ``None`` while it can."""
        ...

    @property
    def damaged(self) -> int:
        """Entries that cannot be read any more, kept where they are for a person to look at."""
        ...

    def entries(self) -> tuple[JournalEntry, ...]:
        """What this process holds, of its own and taken over, the oldest answer first."""
        ...

    async def write(self, entry: JournalEntry) -> None:
        """
        Keep *entry*; it is on disk when this returns.

        Raises:
            JournalFailed: It is not.
        """
        ...

    async def strike(self, entry_id: str) -> None:
        """
        Drop an entry that the store has taken.

        What cannot be struck out on disk is dropped here all the same, and may be delivered once more
        by another process, which finds that the store has it.
        """
        ...

    async def adopt(self) -> int:
        """Take over what dead processes left; how many entries that brought. Never fails."""
        ...

    async def probe(self) -> None:
        """Find out, for `trouble`, whether an entry could be written now. Never fails."""
        ...

    async def close(self) -> None:
        """Let go; what is still held is for the next process."""
        ...
