"""Whether a token costs more when more grants are stored: it must not."""

from collections import defaultdict
from pathlib import Path

from bench import servers
from bench.figures import Aim, Figure, Part, ratios
from bench.load import Load, Outcome, send
from bench.sizes import Sizes
from bench.stage import Stage, furnish

READ = 5_000
"""Grants that may be read, among a million; each round takes others."""


def scale(sizes: Sizes, directory: Path) -> Part:
    """The same questions to a small and to a large database."""
    for name in ("few", "many"):
        (directory / name).mkdir()
    read = min(READ, sizes.many // 2)
    stages = {
        sizes.few: furnish(directory / "few", readable=sizes.few),
        sizes.many: furnish(directory / "many", readable=read, others=sizes.many - read),
    }
    cold: dict[int, list[Outcome]] = defaultdict(list)
    warm: dict[int, list[Outcome]] = defaultdict(list)
    for number in range(sizes.rounds):
        for count in stages if number % 2 == 0 else reversed(stages):
            stage = stages[count]
            first = number * sizes.distinct % (len(stage.readable) - sizes.distinct + 1)
            _once(stage, first, sizes, cold[count], warm[count])
    figures = []
    for name, outcomes in (("uncached", cold), ("cached", warm)):
        few, many = outcomes[sizes.few], outcomes[sizes.many]
        for quantile in ("p50", "p99"):
            mine = [getattr(outcome, quantile) for outcome in many]
            base = [getattr(outcome, quantile) for outcome in few]
            aim = Aim(most=1.5) if quantile == "p50" else None
            figures += [
                Figure.of(f"{name} {quantile}, {sizes.many:,} / {sizes.few:,}", "", ratios(mine, base), aim),
                Figure.of(f"{name} {quantile}, {sizes.few:,} grants", "ms", base),
                Figure.of(f"{name} {quantile}, {sizes.many:,} grants", "ms", mine),
            ]
    return Part(
        name="scale",
        title="A thousand grants and a million",
        about=(
            "Latency of `/v1/token` on one connection, one request at a time. *Uncached*: a new process, "
            f"and {sizes.distinct:,} grants that it has never read, each once (the files are in the "
            "system's cache). *Cached*: the same grants again. The million rows are real rows with random "
            "bytes where a sealed value would be, but for those that are read."
        ),
        figures=figures,
    )


def _once(stage: Stage, first: int, sizes: Sizes, cold: list[Outcome], warm: list[Outcome]) -> None:
    with servers.service(stage) as server:
        url, headers = f"{server.url}/v1/token", stage.headers
        bodies = stage.bodies(first, first + sizes.distinct)
        # The first takes the caller's key and much code into memory; it is no grant of the round.
        elsewhere = stage.bodies(first - 1, first) or stage.bodies(first + sizes.distinct)[:1] or bodies[-1:]
        send(Load(urls=[url], bodies=elsewhere, headers=headers, connections=1, seconds=None))
        cold.append(send(Load(urls=[url], bodies=bodies, headers=headers, connections=1, seconds=None)))
        warm.append(
            send(Load(urls=[url], bodies=bodies, headers=headers, connections=1, seconds=sizes.seconds))
        )
