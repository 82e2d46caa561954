"""
A place to measure in: keys, a client file, a caller, and a database with as many grants as wanted.

The grants that will be read are made as the keeper makes them, sealed and
committed through the store. All others exist to be in the way: they are written
by SQL, with random bytes where a sealed value would be, of the same length.
PostgreSQL has a way of its own to write millions, see `bench.crowd`.
"""

import asyncio
import json
import os
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import apsw

from grantkeeper.adapters.records import GRANT, TOKEN, grant_row, token_row
from grantkeeper.adapters.sealing import generate_keys, load_keys
from grantkeeper.adapters.sqlite import open_sqlite
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
from grantkeeper.ports import Insert, PutToken, Store
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
ANY_REFRESH_TOKEN = 75
"""Bytes of randomness in a refresh token as long as Google's."""

SPAN = timedelta(days=365)
"""The stored grants were made within so long before now."""

BATCH = 500


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in at an issuer; *refresh_token* works there, or nowhere."""

    sub: str
    email: str
    refresh_token: RefreshToken


@dataclass(frozen=True, slots=True)
class Registration:
    """Our client at an issuer, and the file that says so."""

    client_id: str
    issuer: str
    client_file: str


@dataclass(frozen=True, slots=True)
class Stage:
    """
    A furnished directory.

    Attributes:
        key: What the caller sends.
        database: The setting.
        registration: Our client.
        readable: Ids of the grants whose tokens are real and fresh.
        settings: More of the service's settings, by their names in the environment.
    """

    directory: Path
    key: str
    database: str
    registration: Registration
    readable: list[str]
    settings: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the service needs to know, and nothing of the person at the keyboard."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("GRANTKEEPER_")}
        return ours | {
            "GRANTKEEPER_DATABASE_URL": self.database,
            "GRANTKEEPER_CLIENT_SECRETS": str(self.directory / "client_secret.json"),
            "GRANTKEEPER_KEYS": str(self.directory / "keys.json"),
            **self.settings,
        }

    @property
    def headers(self) -> dict[str, str]:
        """Of a request for a token."""
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    def bodies(self, first: int = 0, last: int | None = None) -> list[str]:
        """Requests for the tokens of the readable grants."""
        return [json.dumps({"grant": grant_id}) for grant_id in self.readable[first:last]]

    def seals(self) -> Seals:
        """With the keys of this directory."""
        return Seals(load_keys(self.directory / "keys.json"))


def nowhere() -> Registration:
    """A client of Google's that Google does not know."""
    web = {
        "client_id": CLIENT_ID,
        "client_secret": "GOCSPX-" + secrets.token_urlsafe(21),
        "project_id": "bench",
        "redirect_uris": ["http://127.0.0.1:8000/connect/callback"],
    }
    return Registration(CLIENT_ID, ISSUER, json.dumps({"web": web}))


def stranger(number: int) -> Person:
    """Somebody whom no issuer knows."""
    token = RefreshToken("1//" + secrets.token_urlsafe(ANY_REFRESH_TOKEN))
    return Person(f"2{number:020d}", f"person.{number}@example.com", token)


def strangers(count: int) -> list[Person]:
    """So many of them."""
    return [stranger(number) for number in range(count)]


def empty(
    directory: Path,
    database: str | None = None,
    registration: Registration | None = None,
    **settings: str,
) -> Stage:
    """A new stage without a grant in *directory*, which exists and is empty; the database is SQLite's."""
    registration = registration or nowhere()
    generate_keys(directory / "keys.json")
    (directory / "client_secret.json").write_text(registration.client_file, encoding="utf-8")
    return Stage(
        directory=directory,
        key="gk_" + secrets.token_urlsafe(32),
        database=database or f"sqlite:///{directory / 'grants.db'}",
        registration=registration,
        readable=[],
        settings=settings,
    )


def furnish(directory: Path, *, readable: int, others: int = 0) -> Stage:
    """A new stage on SQLite in *directory*, which exists and is empty."""
    stage = empty(directory)
    asyncio.run(populate(stage, open_sqlite(stage.database), strangers(readable)))
    if others:
        _crowd(stage, others)
    return stage


async def populate(stage: Stage, store: Store, people: Sequence[Person]) -> None:
    """Give the stage its caller and a readable grant of each of *people*, and close the *store*."""
    seals = stage.seals()
    try:
        await store.add_caller(caller(stage))
        for first in range(0, len(people), BATCH):
            steps: list[Insert | PutToken] = []
            for grant, token in sealed(stage, seals, people[first : first + BATCH]):
                steps += [Insert(grant), PutToken(token)]
                stage.readable.append(grant.id)
            await store.commit(*steps)
    finally:
        await store.close()


def caller(stage: Stage) -> Caller:
    """The one who asks."""
    return Caller(
        id="bench", name="bench", key_hash=sha256(stage.key.encode()).digest(), created_at=datetime.now(UTC)
    )


def sealed(stage: Stage, seals: Seals, people: Sequence[Person]) -> Iterator[tuple[Grant, StoredToken]]:
    """Grants of *people* as years of sign-ins would leave them, each with a fresh token."""
    now = datetime.now(UTC)
    for person in people:
        yield sealed_grant(stage.registration, seals, person, now, now - SPAN * random.random())


def sealed_grant(
    registration: Registration, seals: Seals, person: Person, now: datetime, created_at: datetime
) -> tuple[Grant, StoredToken]:
    """A grant as redeeming makes it, with values as long as Google's."""
    grant = Grant(
        id=uuid7(created_at, secrets.token_bytes(10)),
        client_id=registration.client_id,
        project="bench",
        subject=Subject(registration.issuer, person.sub),
        state=GrantState.ACTIVE,
        identity_source=IdentitySource.ANSWER,
        created_at=created_at,
        requested=SCOPES,
        granted=SCOPES,
        generation=1,
        consented_at=created_at,
    )
    grant = replace(grant, data_key=seals.new_key(grant))
    profile = Profile(
        sub=person.sub,
        email=person.email,
        email_verified=True,
        name=person.email.partition("@")[0].replace(".", " ").title(),
        picture="https://lh3.example.com/a/" + secrets.token_urlsafe(40),
    )
    grant = replace(
        grant,
        refresh_token=seals.seal_refresh_token(grant, person.refresh_token, 1),
        lookups=seals.lookups(person.refresh_token),
        profile=seals.seal_profile(grant, profile),
        email_index=seals.email_index(person.email),
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
    now = datetime.now(UTC)
    model, token = sealed_grant(stage.registration, stage.seals(), stranger(0), now, now - SPAN)
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
