"""What credentials need of a keeper: the tokens of a grant, and word of when they change."""

from datetime import datetime
from typing import Protocol

from grantkeeper.model import Token
from grantkeeper.protocol.scopes import Scopes


class TokenSource(Protocol):
    """Where the tokens of a grant come from; every method may be called in any thread."""

    def now(self) -> datetime:
        """The keeper's time."""
        ...

    def mark(self, grant_id: str) -> object | None:
        """The same object until something about the grant changes; ``None`` if memory cannot tell."""
        ...

    def mark_of(self, token: Token) -> object | None:
        """The present `mark` if *token* belongs to it."""
        ...

    def fresh(self, grant_id: str, scopes: Scopes | None, min_ttl: int) -> Token | None:
        """A token that memory has, without waiting."""
        ...

    def fetch(self, grant_id: str, scopes: Scopes | None, min_ttl: int, rejected: str | None) -> Token:
        """
        A token, whatever it takes; blocks.

        Raises:
            RuntimeError: This is the keeper's own loop, or the keeper is closed.
        """
        ...

    async def ask(self, grant_id: str, scopes: Scopes | None, min_ttl: int, rejected: str | None) -> Token:
        """The same as `fetch`, awaited on whatever loop is running."""
        ...
