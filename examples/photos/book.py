"""The app's own little database: who is signed in, and which visits to Google's picker are not over."""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SESSION_LIFE = 14 * 86400
"""Seconds."""
PICK_LIFE = 86400

SCHEMA = """
CREATE TABLE IF NOT EXISTS visits (token_hash TEXT PRIMARY KEY, grant_id TEXT, name TEXT, until REAL) STRICT;
CREATE TABLE IF NOT EXISTS picks (session TEXT PRIMARY KEY, grant_id TEXT, opened REAL) STRICT;
"""


@dataclass(frozen=True)
class Visitor:
    """Somebody who is signed in."""

    grant: str
    name: str


@dataclass(frozen=True)
class Pick:
    """A visit to the picker that has not come to an end."""

    session: str
    grant: str


class Book:
    """Opens the file for each call: one machine, few users."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as db:
            db.executescript(SCHEMA)

    def sign_in(self, grant: str, name: str) -> str:
        """A new session; the value of its cookie, of which only a hash is kept."""
        token = secrets.token_urlsafe(32)
        with self._open() as db:
            db.execute("DELETE FROM visits WHERE until < ?", [time.time()])
            row = [_hash(token), grant, name, time.time() + SESSION_LIFE]
            db.execute("INSERT INTO visits VALUES (?, ?, ?, ?)", row)
        return token

    def visitor(self, token: str) -> Visitor | None:
        """Whose session it is."""
        with self._open() as db:
            found = db.execute(
                "SELECT grant_id, name FROM visits WHERE token_hash = ? AND until > ?",
                [_hash(token), time.time()],
            ).fetchone()
        return None if found is None else Visitor(*found)

    def sign_out(self, token: str) -> None:
        """End one session."""
        with self._open() as db:
            db.execute("DELETE FROM visits WHERE token_hash = ?", [_hash(token)])

    def open_pick(self, session: str, grant: str) -> None:
        """A user was sent to the picker."""
        with self._open() as db:
            db.execute("INSERT INTO picks VALUES (?, ?, ?)", [session, grant, time.time()])

    def picks(self, grant: str | None = None) -> list[Pick]:
        """Visits that are not over, of one user or of all; those of yesterday are dropped."""
        with self._open() as db:
            db.execute("DELETE FROM picks WHERE opened < ?", [time.time() - PICK_LIFE])
            found = db.execute(
                "SELECT session, grant_id FROM picks WHERE ?1 IS NULL OR grant_id = ?1 ORDER BY opened",
                [grant],
            ).fetchall()
        return [Pick(*row) for row in found]

    def close_pick(self, session: str) -> None:
        """The visit is over, or was given up."""
        with self._open() as db:
            db.execute("DELETE FROM picks WHERE session = ?", [session])

    def forget(self, grant: str) -> None:
        """Drop all of a user's."""
        with self._open() as db:
            db.execute("DELETE FROM visits WHERE grant_id = ?", [grant])
            db.execute("DELETE FROM picks WHERE grant_id = ?", [grant])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=10)
        try:
            with db:
                yield db
        finally:
            db.close()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
