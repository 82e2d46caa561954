"""Hand-outs on PostgreSQL by one, two and four processes, from memory and from the database."""

from pathlib import Path

from bench import crowd, postgres, servers
from bench.figures import Figure, Part, ratios
from bench.load import Load
from bench.meter import Side, Watch, around, in_turns
from bench.servers import Server
from bench.shared import DATABASE, HOW_TOLD, OURS, USUAL, processes, rival, urls, warm, watches
from bench.sizes import Sizes
from bench.stage import Stage, strangers

GRANTS = 100
"""Asked for in turns where they are to be in memory."""


def cached(sizes: Sizes, directory: Path) -> Part:
    """Tokens from memory."""
    figures: list[Figure] = []
    with postgres.server(sizes) as started:
        people = strangers(GRANTS)
        stage = crowd.furnish(started, directory, people)
        about = postgres.describe(stage.database)
        environment = rival(
            stage, started.url(started.create()), dict(zip(stage.readable, people, strict=True))
        )
        for count in sizes.processes:
            sides = _names(count)
            with servers.nodes(stage, count) as ours, servers.usual(environment, count) as theirs:
                for several in (ours, theirs):
                    warm(several, stage, stage.bodies())
                mine = _load(stage, ours, sizes, sizes.seconds)
                other = _load(stage, theirs, sizes, sizes.seconds)
                in_turns(
                    sizes.rounds,
                    _measured(sides[0], watches(OURS, ours, started), mine),
                    _measured(sides[1], watches(USUAL, theirs, started), other),
                )
            figures += _compared(count, *sides)
    return Part(
        name="nodes",
        title="A fresh token on PostgreSQL: one process and several",
        about=(
            f"`grantkeeper serve`, one to {sizes.processes[-1]} processes on one database, each asked by the "
            f"same number of {sizes.connections} connections, for {GRANTS} grants that are in the memory of "
            "all. *usual* is `bench/handwritten_postgres.py`: FastAPI, google-auth, Fernet, SQLAlchemy on "
            f"asyncpg, as many processes, on the same server. {HOW_TOLD} {about}."
        ),
        figures=figures,
    )


def uncached(sizes: Sizes, directory: Path) -> Part:
    """Tokens that are valid and in the database alone."""
    figures: list[Figure] = []
    with postgres.server(sizes) as started:
        people = strangers(sizes.uncached + 1)
        stage = crowd.furnish(started, directory, people)
        about = postgres.describe(stage.database)
        environment = rival(
            stage, started.url(started.create()), dict(zip(stage.readable, people, strict=True))
        )
        for count in sizes.processes:
            mine, other = _names(count)

            def ask_ours(number: int, side: Side = mine, count: int = count) -> None:
                with servers.nodes(stage, count) as ours:
                    # The last grant takes code and the caller's key into memory; it is not measured.
                    warm(ours, stage, stage.bodies(-1))
                    load = _load(stage, ours, sizes, None, stage.bodies(0, -1))
                    side.rounds.append(around(watches(OURS, ours, started), load))

            with servers.usual(environment, count) as theirs:
                warm(theirs, stage, stage.bodies(-1))
                fewer = _load(stage, theirs, sizes, None, stage.bodies(0, max(sizes.uncached // 8, 8)))
                in_turns(sizes.rounds, ask_ours, _measured(other, watches(USUAL, theirs, started), fewer))
            figures += _compared(count, mine, other)
    return Part(
        name="uncached",
        title="A valid token that only PostgreSQL has",
        about=(
            f"New processes each round, and {sizes.uncached:,} grants that they have never read, each asked "
            "for once: the row is read, the token unsealed. The hand-written service, which has no memory, "
            f"reads an eighth of them. {sizes.connections} connections. {about}."
        ),
        figures=figures,
    )


def _names(count: int) -> tuple[Side, Side]:
    return (
        Side(f"{OURS}, {processes(count)}", (OURS, DATABASE)),
        Side(f"{USUAL}, {processes(count)}", (USUAL, DATABASE)),
    )


def _load(
    stage: Stage,
    several: list[Server],
    sizes: Sizes,
    seconds: float | None,
    bodies: list[str] | None = None,
) -> Load:
    return Load(
        urls=urls(several),
        bodies=bodies or stage.bodies(0, GRANTS),
        headers=stage.headers,
        connections=sizes.connections,
        seconds=seconds,
    )


def _measured(side: Side, watched: dict[str, Watch], load: Load):
    def measure(number: int) -> None:
        side.rounds.append(around(watched, load))

    return measure


def _compared(count: int, mine: Side, other: Side) -> list[Figure]:
    compared = Figure.of(
        f"requests, ours / usual, {processes(count)}", "", ratios(mine.per_second, other.per_second)
    )
    return [compared, *mine.figures(), *other.figures()]
