"""What needs the issuer, on PostgreSQL: redeeming codes, and the storm when all tokens end at once."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bench import crowd, google, postgres, servers
from bench.figures import Aim, Figure, Part, ratios
from bench.google import Issuer
from bench.load import Load, send
from bench.meter import Side, around, in_turns
from bench.servers import Server
from bench.shared import DATABASE, HOW_TOLD, OURS, USUAL, processes, rival, urls, warm, watches
from bench.sizes import Sizes
from bench.stage import Person, Stage
from tests.postgres import PostgresServer

AT_ONCE = 4
"""How many callers want a token of the same expired grant, one on each connection."""

APP = {"Content-Type": "application/json", "X-Requested-With": "bench"}
"""Headers of an app that brings a code."""


# -- redeeming ----------------------------------------------------------------------------------


def redeem(sizes: Sizes, directory: Path) -> Part:
    """Codes become grants."""
    figures: list[Figure] = []
    with postgres.server(sizes) as started, google.issuer(_new(directory, "google")) as issuer:
        stage = crowd.furnish(started, _new(directory, "ours"), [], issuer=issuer)
        about = postgres.describe(stage.database)
        environment = rival(stage, started.url(started.create()), {}, issuer=issuer)
        for count in sizes.processes:
            mine = Side(f"{OURS}, {processes(count)}", (OURS, DATABASE))
            other = Side(f"{USUAL}, {processes(count)}", (USUAL, DATABASE))
            with servers.nodes(stage, count) as ours, servers.usual(environment, count) as theirs:

                def ask(side: Side, name: str, several: list[Server], number: int) -> None:
                    people = f"{side.name}-{number}".replace(", ", "-").replace(" ", "-")
                    load = codes_load(issuer, several, people, sizes.codes, sizes.connections)
                    side.rounds.append(around(watches(name, several, started, issuer), load))

                for server in (*ours, *theirs):
                    # Each process fetches the issuer's keys at its first code.
                    send(codes_load(issuer, [server], f"warm-{server.pid}", 4, 1))
                in_turns(sizes.rounds, partial(ask, mine, OURS, ours), partial(ask, other, USUAL, theirs))
            compared = f"redemptions, ours / usual, {processes(count)}"
            figures += [
                Figure.of(compared, "", ratios(mine.per_second, other.per_second)),
                *mine.figures("redemptions"),
                *other.figures("redemptions"),
            ]
    return Part(
        name="redeem",
        title="Redeeming codes on PostgreSQL",
        about=(
            f"`POST /v1/redeem` with {sizes.codes:,} new codes a round, {sizes.connections} connections, a "
            "new account each. The issuer is `grantkeeper emulator`, one process, which signs an RS256 ID "
            "token for each. Ours claims the code on disk before it is sent, verifies the ID token, stores "
            "the grant sealed and signs a session token; the hand-written service verifies and stores. "
            f"{HOW_TOLD} {about}."
        ),
        figures=figures,
    )


def codes_load(issuer: Issuer, several: list[Server], who: str, count: int, connections: int) -> Load:
    """So many new codes of people with that name, each to be redeemed once."""
    codes = issuer.codes([f"{who}.{number}@example.com" for number in range(count)])
    return Load(
        urls=urls(several, "/v1/redeem"),
        bodies=[json.dumps({"code": code}) for code in codes],
        headers=APP,
        connections=connections,
        seconds=None,
    )


# -- the storm ----------------------------------------------------------------------------------


def storm(sizes: Sizes, directory: Path) -> Part:
    """All access tokens end at once, and everybody asks."""
    figures: list[Figure] = []
    asked: dict[str, list[float]] = {OURS: [], USUAL: []}
    with postgres.server(sizes) as started, google.issuer(_new(directory, "google")) as issuer:
        people = issuer.people(sizes.expired)
        stage = crowd.furnish(started, _new(directory, "ours"), people, issuer=issuer)
        about = postgres.describe(stage.database)
        theirs = Rival(started, stage, issuer, dict(zip(stage.readable, people, strict=True)))
        for count in sizes.processes:
            mine = Side(f"{OURS}, {processes(count)}", (OURS, DATABASE))
            other = Side(f"{USUAL}, {processes(count)}", (USUAL, DATABASE))
            with servers.nodes(stage, count) as ours, servers.usual(theirs.environment, count) as usual:
                ask_ours = _Storm(OURS, ours, stage, sizes, started, issuer)
                ask_usual = _Storm(USUAL, usual, stage, sizes, started, issuer, theirs)
                in_turns(sizes.rounds, partial(ask_ours.once, mine), partial(ask_usual.once, other))
                if count == sizes.processes[-1]:
                    in_turns(
                        sizes.rounds,
                        partial(ask_ours.crowded, asked[OURS]),
                        partial(ask_usual.crowded, asked[USUAL]),
                    )
            compared = f"refreshed grants, ours / usual, {processes(count)}"
            figures += [
                Figure.of(compared, "", ratios(mine.per_second, other.per_second)),
                *mine.figures("refreshed grants"),
                *other.figures("refreshed grants"),
            ]
    many = f"asked {AT_ONCE} times at once, {processes(sizes.processes[-1])}"
    return Part(
        name="storm",
        title="A refresh storm on PostgreSQL",
        about=(
            f"The access tokens of {sizes.expired:,} grants end at once; then each grant is asked for once, "
            f"over {sizes.connections} connections. At the end each is asked for {AT_ONCE} times at the same "
            "moment over different processes, and the emulator says how many refreshes it saw for each "
            "grant: one is what is needed, and a rotating issuer would punish a second. The issuer is "
            f"`grantkeeper emulator`, one process. {HOW_TOLD} {about}."
        ),
        figures=[
            Figure.of(f"refreshes for each grant, {OURS}, {many}", "", asked[OURS], Aim(most=1.0)),
            Figure.of(f"refreshes for each grant, {USUAL}, {many}", "", asked[USUAL]),
            *figures,
        ],
    )


class Rival:
    """The hand-written service's database, in which every access token can be made old again."""

    def __init__(
        self, started: PostgresServer, stage: Stage, issuer: Issuer, people: Mapping[str, Person]
    ) -> None:
        self._url = started.url(started.create())
        self.environment = rival(stage, self._url, people, issuer=issuer, stale=True)
        self._run("CREATE TABLE stale AS TABLE grants")

    def expire(self) -> None:
        """Every access token is over."""
        self._run("UPDATE grants SET credentials = stale.credentials FROM stale WHERE grants.id = stale.id")
        self._run("VACUUM grants")

    def _run(self, statement: str) -> None:
        postgres.ask(self._url, lambda db: db.execute(statement))


class _Storm:
    """One side's storms: tokens end, and all of them are asked for."""

    def __init__(
        self,
        name: str,
        several: list[Server],
        stage: Stage,
        sizes: Sizes,
        started: PostgresServer,
        issuer: Issuer,
        theirs: Rival | None = None,
    ) -> None:
        self._several, self._stage, self._sizes = several, stage, sizes
        self._watched = watches(name, several, started, issuer)
        self._issuer = issuer
        self._expire = issuer.expire if theirs is None else theirs.expire
        self._expire()
        warm(several, stage, stage.bodies(0, 1))

    def once(self, side: Side, number: int) -> None:
        """Each grant is wanted by one."""
        self._expire()
        side.rounds.append(around(self._watched, self._load(self._stage.bodies())))

    def crowded(self, counted: list[float], number: int) -> None:
        """Each grant is wanted by several; counts refreshes at the issuer for each grant."""
        self._expire()
        before = self._issuer.refreshes()
        send(self._load([body for body in self._stage.bodies() for _ in range(AT_ONCE)]))
        counted.append((self._issuer.refreshes() - before) / len(self._stage.readable))

    def _load(self, bodies: list[str]) -> Load:
        return Load(
            urls=urls(self._several),
            bodies=bodies,
            headers=self._stage.headers,
            connections=self._sizes.connections,
            seconds=None,
        )


def _new(directory: Path, name: str) -> Path:
    made = directory / name
    made.mkdir()
    return made
