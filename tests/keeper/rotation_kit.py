"""A keeper with many grants in front of an issuer that rotates refresh tokens and knows which it gave."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

from grantkeeper.adapters.clock import SystemClock
from grantkeeper.adapters.keyset import Keyset
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.sealing import KeysetSealer
from grantkeeper.adapters.sqlite import open_sqlite
from grantkeeper.issuer import Issuer
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.nodes import Nodes, Pace
from grantkeeper.keeper.seals import Seals
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import Client, Grant, Profile, Provider
from grantkeeper.ports import Insert, Store
from grantkeeper.protocol.message import HttpRequest, HttpResponse
from grantkeeper.secret import ClientSecret, RefreshToken
from grantkeeper.settings import Settings
from grantkeeper.testing.dice import SeededDice
from grantkeeper.testing.records import ISSUER, a_grant

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

CLIENT = Client(
    name="default",
    provider=Provider.OIDC,
    client_id="client.example",
    secrets=(ClientSecret("secret"),),
    issuer=ISSUER,
)

QUICK = Pace(look=0.02, report=0.05, believed=1.0)


class RotatingIssuer:
    """Each refresh token works once, and the one that replaces it names the same grant."""

    def __init__(self) -> None:
        self.current: dict[str, str] = {}
        self.reused: list[str] = []
        self._numbers = itertools.count(1)

    async def send(
        self, request: HttpRequest, *, seconds: float, largest: int, fresh: bool = False
    ) -> HttpResponse:
        if request.method == "GET":
            return _json(
                {
                    "issuer": ISSUER,
                    "authorization_endpoint": f"{ISSUER}/auth",
                    "token_endpoint": f"{ISSUER}/token",
                    "jwks_uri": f"{ISSUER}/keys",
                }
            )
        token = parse_qs(request.body.decode())["refresh_token"][0]
        grant = token.split("/")[0]
        if self.current.get(grant, token) != token:
            self.reused.append(token)
        number = next(self._numbers)
        self.current[grant] = f"{grant}/{number}"
        return _json(
            {
                "access_token": f"at-{number}",
                "token_type": "Bearer",
                "expires_in": 3600,
                "refresh_token": self.current[grant],
            }
        )


def _json(body: object) -> HttpResponse:
    return HttpResponse(200, json.dumps(body).encode(), {"content-type": "application/json"})


def two_keys(*, index: bool = False) -> Keyset:
    """A key ``old``, which is primary, and ``new``, which nobody uses yet."""
    keyset = Keyset.generate(name="old", now=NOW).with_wrap_key("new", NOW + timedelta(days=1))
    return keyset.with_index_key(NOW) if index else keyset


def old_alone(keyset: Keyset) -> Keyset:
    """What a node has to which the new keys were not copied."""
    new, old = keyset.wrap_keys
    keyset = keyset.without_wrap_key(new.id, primary=old.id)
    return keyset.without_index_key(2, primary=1) if len(keyset.index_versions) > 1 else keyset


def new_alone(keyset: Keyset) -> Keyset:
    """What is left once the old wrapping key is dropped."""
    new, old = keyset.wrap_keys
    return keyset.without_wrap_key(old.id, primary=new.id)


def open_store(kind: str, path: Path) -> Store:
    """A new database."""
    return MemoryStore() if kind == "memory" else open_sqlite(f"sqlite:///{path / 'grants.db'}")


def settings(path: Path) -> Settings:
    return Settings.of(CLIENT, directory=path, keys=path / "keys.json", database_url=f"sqlite:///{path}/g.db")


@asynccontextmanager
async def a_core(
    path: Path, store: Store, keyset: Keyset, issuer: RotatingIssuer | None = None
) -> AsyncIterator[KeeperCore]:
    """A keeper on *store* with these keys."""
    core = await KeeperCore.open(
        settings(path), store=store, sealer=KeysetSealer(keyset), http=issuer or RotatingIssuer()
    )
    try:
        yield core
    finally:
        await core.close()


def means(store: Store, keyset: Keyset, seed: int = 0) -> Means:
    """What a keeper of another process would work with."""
    clock = SystemClock()
    return Means(
        store=store,
        sealer=KeysetSealer(keyset),
        clock=clock,
        dice=SeededDice(seed),
        clients={"default": CLIENT},
        issuer=Issuer(RotatingIssuer(), clock),
    )


def a_node(store: Store, keyset: Keyset, seed: int, pace: Pace = QUICK) -> Nodes:
    """Another process."""
    return Nodes(means(store, keyset, seed), release="0.0", pace=pace)


async def fill(store: Store, keyset: Keyset, count: int) -> list[str]:
    """Grants sealed under the primary key of *keyset*; their ids."""
    seals = Seals(KeysetSealer(keyset))
    made: list[Grant] = []
    for number in range(1, count + 1):
        grant = a_grant(number, data_key=None, refresh_token=None, requested=frozenset(), granted=frozenset())
        grant = replace(grant, data_key=seals.new_key(grant))
        token = RefreshToken(f"{grant.id}/0")
        profile = Profile(sub=grant.subject.sub, email=f"user{number}@example.com")
        grant = replace(
            grant,
            refresh_token=seals.seal_refresh_token(grant, token, 1),
            profile=seals.seal_profile(grant, profile),
        )
        made.append(seals.hashed(grant, token=token, profile=profile))
    for place in range(0, count, 500):
        await store.commit(*map(Insert, made[place : place + 500]))
    return [grant.id for grant in made]
