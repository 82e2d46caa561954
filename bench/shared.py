"""What several parts about PostgreSQL share: the rival on the same server, loads, and lists of processes."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography.fernet import Fernet
from google.oauth2.credentials import Credentials

from bench import handwritten, handwritten_postgres, postgres
from bench.google import Issuer
from bench.load import Load, send
from bench.meter import Watch, all_of
from bench.servers import Server
from bench.stage import SCOPES, Person, Stage
from tests.postgres import PostgresServer

OURS: Final = "grantkeeper"
USUAL: Final = "usual"
DATABASE: Final = "PostgreSQL"
ISSUER: Final = "emulator"

HOW_TOLD = (
    "Everything shares the cores of one machine. What a side itself works, and PostgreSQL for it, is told "
    "as CPU for each answer; the emulator and the load generator as cores that they kept busy; *machine "
    "busy* is the part of all cores in use, so that 1 means that another machine would have shown more."
)


def processes(count: int) -> str:
    """So many, in words."""
    return "1 process" if count == 1 else f"{count} processes"


def watches(
    name: str, servers: Iterable[Server], started: PostgresServer, issuer: Issuer | None = None
) -> dict[str, Watch]:
    """Those who work when the processes of one side are asked."""
    watched: dict[str, Watch] = {name: all_of(servers), DATABASE: lambda: postgres.cpu(started)}
    if issuer is not None:
        watched[ISSUER] = issuer.server.cpu
    return watched


def urls(servers: Iterable[Server], path: str = "/v1/token") -> list[str]:
    """The same path of all of them."""
    return [server.url + path for server in servers]


def warm(servers: Sequence[Server], stage: Stage, bodies: Sequence[str]) -> None:
    """Every process gets every one of the *bodies*, twice: code and data are in memory."""
    for server in servers:
        load = Load(
            urls=urls([server]), bodies=[*bodies, *bodies], headers=stage.headers, connections=2, seconds=None
        )
        send(load)


def rival(
    stage: Stage,
    database: str,
    people: Mapping[str, Person],
    *,
    issuer: Issuer | None = None,
    stale: bool = False,
) -> Mapping[str, str]:
    """
    Give the hand-written service grants like the *stage*'s on a *database* of its own.

    Args:
        people: By the id of the grant.
        stale: Whether their access tokens are over.

    Returns:
        The variables it needs.
    """
    fernet_key = Fernet.generate_key().decode()
    client = json.loads(stage.registration.client_file)["web"]
    client.setdefault("token_uri", "https://oauth2.googleapis.com/token")
    now = datetime.now(UTC).replace(tzinfo=None)
    grants = {
        grant_id: Credentials(
            token="ya29." + "t" * 214,
            refresh_token=person.refresh_token.reveal(),
            token_uri=client["token_uri"],
            client_id=client["client_id"],
            client_secret=client["client_secret"],
            scopes=sorted(SCOPES),
            expiry=now + timedelta(hours=-1 if stale else 1),
        )
        for grant_id, person in people.items()
    }
    handwritten_postgres.fill(database, fernet_key, grants)
    return {
        handwritten.DATABASE: database,
        handwritten.FERNET_KEY: fernet_key,
        handwritten.CALLER_KEY: hashlib.sha256(stage.key.encode()).hexdigest(),
        handwritten_postgres.CLIENT: json.dumps(client),
        handwritten_postgres.CERTIFICATES: "" if issuer is None else f"{issuer.url}/oauth2/v1/certs",
    }
