"""A fresh token over HTTP: one process of grantkeeper beside a bare answer, and beside the usual service."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.fernet import Fernet
from google.oauth2.credentials import Credentials

from bench import handwritten, servers
from bench.figures import Aim, Figure, Part, ratios
from bench.load import Load, Outcome, send
from bench.servers import Server
from bench.sizes import Sizes
from bench.stage import CLIENT_ID, SCOPES, Stage, furnish

GRANTS = 100
"""Asked for in turns."""


@dataclass
class Side:
    """One side of a comparison, and what its rounds came to."""

    server: Server
    load: Load
    outcomes: list[Outcome] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def round(self) -> None:
        """Measure once more."""
        before = self.server.cpu()
        outcome = send(self.load)
        self.outcomes.append(outcome)
        self.cpu.append((self.server.cpu() - before) / outcome.answers * 1e6)

    @property
    def per_second(self) -> list[float]:
        """Answers a second, round by round."""
        return [outcome.per_second for outcome in self.outcomes]

    @property
    def p99(self) -> list[float]:
        """In milliseconds, round by round."""
        return [outcome.p99 for outcome in self.outcomes]

    def figures(self, name: str) -> list[Figure]:
        """What is told of one side alone."""
        return [
            Figure.of(f"{name}: requests", "per second", self.per_second),
            Figure.of(f"{name}: p50", "ms", [outcome.p50 for outcome in self.outcomes]),
            Figure.of(f"{name}: p99", "ms", self.p99),
            Figure.of(f"{name}: CPU of the server", "µs per request", self.cpu),
            Figure.of(f"{name}: load generator busy", "of its time", [one.busy for one in self.outcomes]),
        ]


def _side(server: Server, stage: Stage, sizes: Sizes) -> Side:
    load = Load(
        urls=[f"{server.url}/v1/token"],
        bodies=stage.bodies(),
        headers=stage.headers,
        connections=sizes.connections,
        seconds=sizes.seconds,
    )
    side = Side(server, load)
    # Warm: every grant is in memory, every code path has been taken.
    send(Load(urls=load.urls, bodies=load.bodies, headers=load.headers, connections=2, seconds=0.5))
    return side


def in_turns(sides: list[Side], rounds: int) -> None:
    """Measure all sides, each *rounds* times, one after the other and back again."""
    for number in range(rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            side.round()


def bare(sizes: Sizes, directory: Path) -> Part:
    """A token from memory beside as many bytes from nowhere."""
    stage = furnish(directory, readable=GRANTS)
    with servers.service(stage) as ours:
        mine = _side(ours, stage, sizes)
        size = send(
            Load(urls=mine.load.urls, bodies=stage.bodies(0, 1), headers=stage.headers, seconds=0.1)
        ).size
        with servers.bare(size) as plain, servers.bare(size, guarded=True) as guarded:
            theirs, kin = _side(plain, stage, sizes), _side(guarded, stage, sizes)
            in_turns([mine, theirs, kin], sizes.rounds)
    return Part(
        name="bare",
        title="A fresh token over HTTP, beside a bare ASGI answer",
        about=(
            f"One process each, {sizes.connections} connections kept alive, one request under way on each. "
            f"*bare* sends a fixed answer of the same {size} bytes and reads nothing, on the same server "
            "(uvicorn, uvloop, httptools) with the same settings; *bare, guarded* does it under "
            "grantkeeper's own connection protocol, which joins head and body into one system call."
        ),
        figures=[
            Figure.of(
                "requests, ours / bare", "", ratios(mine.per_second, theirs.per_second), Aim(least=0.7)
            ),
            Figure.of("requests, ours / bare, guarded", "", ratios(mine.per_second, kin.per_second)),
            Figure.of("p99, ours / bare", "", ratios(mine.p99, theirs.p99), Aim(most=3.0)),
            Figure.of("p99, ours / bare, guarded", "", ratios(mine.p99, kin.p99)),
            *mine.figures("grantkeeper"),
            *theirs.figures("bare"),
            *kin.figures("bare, guarded"),
        ],
    )


def usual(sizes: Sizes, directory: Path) -> Part:
    """A token from memory beside the same answer of the hand-written service."""
    stage = furnish(directory, readable=GRANTS)
    environment = rival(stage)
    with servers.service(stage) as ours, servers.handwritten(environment) as other:
        mine, theirs = _side(ours, stage, sizes), _side(other, stage, sizes)
        in_turns([mine, theirs], sizes.rounds)
    return Part(
        name="usual",
        title="A fresh token over HTTP, beside the usual hand-written service",
        about=(
            "`bench/handwritten.py`: FastAPI, google-auth, SQLAlchemy and Fernet on SQLite, on the same "
            "server with the same settings, asked the same for grants of the same size. "
            f"{sizes.connections} connections."
        ),
        figures=[
            Figure.of(
                "requests, ours / usual", "", ratios(mine.per_second, theirs.per_second), Aim(least=20)
            ),
            Figure.of("CPU, usual / ours", "", ratios(theirs.cpu, mine.cpu)),
            *mine.figures("grantkeeper"),
            *theirs.figures("usual"),
        ],
    )


def rival(stage: Stage) -> Mapping[str, str]:
    """The hand-written service's database with grants like the *stage*'s; the variables it needs."""
    path, fernet_key = str(stage.directory / "handwritten.db"), Fernet.generate_key().decode()
    expiry = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
    grants = {
        grant_id: Credentials(
            token="ya29." + "t" * 214,
            refresh_token="1//" + "r" * 100,
            token_uri="https://oauth2.googleapis.com/token",
            client_id=CLIENT_ID,
            client_secret="GOCSPX-" + "s" * 28,
            scopes=sorted(SCOPES),
            expiry=expiry,
        )
        for grant_id in stage.readable
    }
    handwritten.fill(path, fernet_key, grants)
    return {
        handwritten.DATABASE: path,
        handwritten.FERNET_KEY: fernet_key,
        handwritten.CALLER_KEY: hashlib.sha256(stage.key.encode()).hexdigest(),
    }
