"""
A place to measure in: keys, a client file, a caller, and a database with as many grants as wanted.

The grants that will be read are made as the keeper makes them, sealed and
committed through the store. All others exist to be in the way: they are written
by SQL, with random bytes where a sealed value would be, of the same length.
"""

import asyncio
import json
import os
import random
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import apsw

from grantkeeper.adapters.records import GRANT, TOKEN, grant_row, token_row
from grantkeeper.adapters.sealing import generate_keys, load_keys
from grantkeeper.adapters.sqlite import SqliteStore, open_sqlite
from grantkeeper.ids import uuid7
from grantkeeper.keeper.seals import Seals
from grantkeeper.model import (
    Caller,
    Grant,
    GrantState,
    IdentitySource,
    Profile,
    StoredToken,
    Subject,
)
from grantkeeper.ports import Insert, PutToken
from grantkeeper.secret import AccessToken, RefreshToken

CLIENT_ID = "407408718192-benchbenchbenchbenchbenchbenchbe.apps.googleusercontent.com"
ISSUER = "https://accounts.google.com"
SCOPES = frozenset(
    {
        "openid",
        "https://www.googleapis.com/auth/userinfo.email",
        "https://www.googleapis.com/auth/userinfo.profile",
        "https://www.googleapis.com/auth/drive.appdata",
    }
)
LIFETIME = timedelta(hours=1)
SPAN = timedelta(days=365)
"""The stored grants were made within so long before now."""

BATCH = 500


@dataclass(frozen=True, slots=True)
class Stage:
    """
    A furnished directory.

    Attributes:
        key: What the caller sends.
        readable: Ids of the grants whose tokens are real and fresh.
    """

    directory: Path
    key: str
    readable: list[str]

    @property
    def database(self) -> str:
        """The setting."""
        return f"sqlite:///{self.directory / 'grants.db'}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the service needs to know, and nothing of the person at the keyboard."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("GRANTKEEPER_")}
        return ours | {
            "GRANTKEEPER_DATABASE_URL": self.database,
            "GRANTKEEPER_CLIENT_SECRETS": str(self.directory / "client_secret.json"),
            "GRANTKEEPER_KEYS": str(self.directory / "keys.json"),
        }

    @property
    def headers(self) -> dict[str, str]:
        """Of a request for a token."""
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    def bodies(self, first: int = 0, last: int | None = None) -> list[str]:
        """Requests for the tokens of the readable grants."""
        return [json.dumps({"grant": grant_id}) for grant_id in self.readable[first:last]]


def furnish(directory: Path, *, readable: int, others: int = 0) -> Stage:
    """A new stage in *directory*, which exists and is empty."""
    generate_keys(directory / "keys.json")
    web = {
        "client_id": CLIENT_ID,
        "client_secret": "GOCSPX-" + secrets.token_urlsafe(21),
        "project_id": "bench",
        "redirect_uris": ["http://127.0.0.1:8000/connect/callback"],
    }
    (directory / "client_secret.json").write_text(json.dumps({"web": web}), encoding="utf-8")
    stage = Stage(directory, "gk_" + secrets.token_urlsafe(32), [])
    stage.readable.extend(asyncio.run(_fill(stage, readable)))
    if others:
        _crowd(stage, others)
    return stage


async def _fill(stage: Stage, count: int) -> list[str]:
    seals = Seals(load_keys(stage.directory / "keys.json"))
    store = open_sqlite(stage.database)
    try:
        await store.add_caller(
            Caller(
                id="bench",
                name="bench",
                key_hash=sha256(stage.key.encode()).digest(),
                created_at=datetime.now(UTC),
            )
        )
        ids: list[str] = []
        while len(ids) < count:
            made = list(_grants(seals, len(ids), min(count - len(ids), BATCH)))
            await _keep(store, made)
            ids += [grant.id for grant, _ in made]
        return ids
    finally:
        await store.close()


async def _keep(store: SqliteStore, made: list[tuple[Grant, StoredToken]]) -> None:
    steps: list[Insert | PutToken] = []
    for grant, token in made:
        steps += [Insert(grant), PutToken(token)]
    await store.commit(*steps)


def _grants(seals: Seals, first: int, count: int) -> Iterator[tuple[Grant, StoredToken]]:
    now = datetime.now(UTC)
    for number in range(first, first + count):
        yield _sealed(seals, number, now, now - SPAN * random.random())


def _sealed(seals: Seals, number: int, now: datetime, created_at: datetime) -> tuple[Grant, StoredToken]:
    """A grant as redeeming makes it, with values as long as Google's."""
    grant = Grant(
        id=uuid7(created_at, secrets.token_bytes(10)),
        client_id=CLIENT_ID,
        project="bench",
        subject=Subject(ISSUER, f"2{number:020d}"),
        state=GrantState.ACTIVE,
        identity_source=IdentitySource.ANSWER,
        created_at=created_at,
        requested=SCOPES,
        granted=SCOPES,
        generation=1,
    )
    grant = replace(grant, data_key=seals.new_key(grant))
    refresh_token = RefreshToken("1//" + secrets.token_urlsafe(75))
    email = f"person.{number}@example.com"
    profile = Profile(
        sub=grant.subject.sub,
        email=email,
        email_verified=True,
        name=f"Person {number}",
        picture="https://lh3.example.com/a/" + secrets.token_urlsafe(40),
    )
    grant = replace(
        grant,
        refresh_token=seals.seal_refresh_token(grant, refresh_token, 1),
        lookups=seals.lookups(refresh_token),
        profile=seals.seal_profile(grant, profile),
        email_index=seals.email_index(email),
    )
    token = StoredToken(
        grant.id,
        "",
        seals.seal_access_token(grant, AccessToken("ya29." + secrets.token_urlsafe(160)), ""),
        SCOPES,
        now,
        now + LIFETIME,
    )
    return grant, token


def _crowd(stage: Stage, count: int) -> None:
    """*count* grants more, in the order of their ids, as years of sign-ins would leave them."""
    seals = Seals(load_keys(stage.directory / "keys.json"))
    now = datetime.now(UTC)
    model, token = _sealed(seals, 0, now, now - SPAN)
    pace = int(SPAN / timedelta(milliseconds=1)) // count
    new_id = (
        "printf('%08x-%04x-7%03x-8%03x-%012x', (:start + i * :pace) >> 16, (:start + i * :pace) & 65535,"
        " abs(random()) % 4096, abs(random()) % 4096, abs(random()) % 281474976710656)"
    )
    differing = {
        "id": new_id,
        "sub": "printf('1%020d', i)",
        "lookups": "lower(printf('%s %s %s', hex(randomblob(32)), hex(randomblob(32)), hex(randomblob(32))))",
    }
    differing |= {
        name: f"randomblob(length(:{name}))"
        for name in ("data_key", "refresh_box", "profile_box", "email_index")
    }
    values = dict(zip(GRANT, grant_row(model, 1), strict=True))
    grants = _copies("grants", GRANT, differing, "n")
    tokens = _copies(
        "tokens",
        TOKEN,
        {"grant_id": "id", "token_box": "randomblob(length(:token_box))"},
        "(SELECT id FROM grants WHERE sub BETWEEN printf('1%020d', :first) AND printf('1%020d', :last))",
    )
    values |= dict(zip(TOKEN, token_row(token), strict=True))
    values |= {"start": int((now - SPAN).timestamp() * 1000), "pace": pace}
    db = apsw.Connection(str(stage.directory / "grants.db"))
    try:
        db.pragma("cache_size", -1_000_000)
        db.pragma("synchronous", "OFF")
        for first in range(0, count, 50_000):
            last = min(first + 50_000, count) - 1
            with db:
                db.execute(grants, values | {"first": first, "last": last})
                db.execute(tokens, values | {"first": first, "last": last})
        db.execute("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()


def _copies(table: str, columns: tuple[str, ...], differing: Mapping[str, str], source: str) -> str:
    """Rows of *table* like the bound ones, but for what differs."""
    chosen = ", ".join(differing.get(column, f":{column}") for column in columns)
    return (
        "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
        f" INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {source}"
    )
