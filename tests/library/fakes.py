"""A keeper's side of credentials, set by hand."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from grantkeeper.model import Token
from grantkeeper.protocol.scopes import Scopes
from grantkeeper.secret import AccessToken

GRANT = "0197b6f0-0000-7000-8000-000000000001"
DRIVE = "https://www.googleapis.com/auth/drive.appdata"


@dataclass
class Tokens:
    """
    The `TokenSource` of the tests.

    Attributes:
        memory: What the keeper would hand out without waiting.
        life: Seconds of the tokens that `fetch` gets.
        fails: What `fetch` raises.
    """

    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    life: float = 3599.0
    memory: Token | None = None
    fails: Exception | None = None
    asked: list[tuple[str, Scopes | None, int, str | None]] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    entry: object | None = None
    number: int = 0

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def mark(self, grant_id: str) -> object | None:
        return self.entry

    def mark_of(self, token: Token) -> object | None:
        return self.entry if token is self.memory else None

    def fresh(self, grant_id: str, scopes: Scopes | None, min_ttl: int) -> Token | None:
        if self.memory is None or (self.memory.expires_at - self.at).total_seconds() < max(min_ttl, 600):
            return None
        return self.memory

    def fetch(self, grant_id: str, scopes: Scopes | None, min_ttl: int, rejected: str | None) -> Token:
        self.asked.append((grant_id, scopes, min_ttl, rejected))
        self.threads.append(threading.current_thread().name)
        if self.fails is not None:
            raise self.fails
        return self.put()

    async def ask(self, grant_id: str, scopes: Scopes | None, min_ttl: int, rejected: str | None) -> Token:
        return self.fetch(grant_id, scopes, min_ttl, rejected)

    def put(self) -> Token:
        """A new token in memory, as after a refresh here or elsewhere."""
        self.number += 1
        self.entry = object()
        self.memory = Token(
            access_token=AccessToken(f"ya29.token-{self.number}"),
            expires_at=self.at + timedelta(seconds=self.life),
            expires_in=int(self.life),
            scopes=frozenset({DRIVE}),
            missing_scopes=frozenset(),
            grant=GRANT,
        )
        return self.memory

    def drop(self) -> None:
        """What a revocation does to memory."""
        self.memory = self.entry = None
