"""What an operation writes to PostgreSQL: the numbers that arithmetic about large deployments needs."""

import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from bench import crowd, google, postgres, servers
from bench.asking import codes_load
from bench.figures import Figure, Part
from bench.google import Issuer
from bench.load import Load, send
from bench.postgres import Counters
from bench.servers import Server
from bench.shared import urls
from bench.sizes import Sizes
from bench.stage import Stage


class Balance:
    """
    Weighs what one process of the service does, less what it does anyhow.

    Attributes:
        starting: What a process writes that starts and ends.
        idle: What it writes in a second in which nobody asks.
    """

    def __init__(self, stage: Stage, sizes: Sizes) -> None:
        self._stage, self._sizes = stage, sizes
        self.starting, _ = self._gross(lambda server: None)
        slept, seconds = self._gross(lambda server: time.sleep(sizes.idle))
        self.idle = (slept - self.starting) * (1 / seconds)

    def weigh(self, do: Callable[[Server], object], count: int) -> Counters:
        """What *do* writes, for each of *count*."""
        gross, seconds = self._gross(do)
        return (gross - self.starting - self.idle * seconds) * (1 / count)

    def hand_outs(self, server: Server) -> None:
        """A token of each of the grants."""
        self._send(urls([server]), self._stage.bodies())

    def _send(self, addresses: list[str], bodies: list[str]) -> None:
        load = Load(
            urls=addresses,
            bodies=bodies,
            headers=self._stage.headers,
            connections=self._sizes.connections,
            seconds=None,
        )
        send(load)

    def _gross(self, do: Callable[[Server], object]) -> tuple[Counters, float]:
        """All that is written while a process lives that does this, and for how long it did."""
        before = postgres.counters(self._stage.database)
        with servers.service(self._stage) as server:
            started = perf_counter()
            do(server)
            seconds = perf_counter() - started
        # The server's processes count when they end, and they end a little after our connections.
        time.sleep(SETTLE_SECONDS)
        return postgres.counters(self._stage.database) - before, seconds


SETTLE_SECONDS = 0.5


def writes(sizes: Sizes, directory: Path) -> Part:
    """One process, every operation by itself."""
    for name in ("google", "ours"):
        (directory / name).mkdir()
    with postgres.server(sizes) as started, google.issuer(directory / "google") as issuer:
        people = issuer.people(sizes.expired)
        stage = crowd.furnish(started, directory / "ours", people, others=sizes.crowd, issuer=issuer)
        about = postgres.describe(stage.database)
        balance = Balance(stage, sizes)
        read = balance.weigh(balance.hand_outs, sizes.expired)
        issuer.expire()
        postgres.checkpoint(stage.database)
        first = balance.weigh(balance.hand_outs, sizes.expired)
        issuer.expire()
        again = balance.weigh(balance.hand_outs, sizes.expired)
        redeemed = balance.weigh(_redemptions(issuer, sizes), sizes.codes)
        commits = [postgres.commits_per_second(stage.database, sizes.seconds) for _ in range(sizes.rounds)]
    return Part(
        name="writes",
        title="What an operation writes to PostgreSQL",
        about=(
            "One process of the service, counted by the server from before it starts until it has ended, "
            "less what a process writes of which nobody asks anything. The "
            f"{sizes.expired:,} grants that are refreshed stand at even distances among {sizes.crowd:,} "
            "others, each on a page of its own. The first change of a page after a checkpoint writes the "
            "whole page to the log (8 kB): *first after a checkpoint* has as many of them as there can be, "
            "*the same pages again* as few. Vacuuming is in all of it. The baseline is one connection that "
            f"changes one small row and commits, over and over. {about}."
        ),
        figures=[
            *_told("a refresh", again),
            Figure.of(
                "a refresh: updates in place (HOT)", "of its updates", [again.hot / max(again.updated, 1e-9)]
            ),
            *_log("a refresh, the same pages again", again),
            *_log("a refresh, first after a checkpoint", first),
            *_told("a redemption", redeemed),
            *_log("a redemption", redeemed),
            *_told("an uncached hand-out", read),
            *_log("an uncached hand-out", read),
            Figure.of(
                "a process that nobody asks: transactions", "per second", [_none(balance.idle.transactions)]
            ),
            Figure.of("a process that nobody asks: log", "bytes per second", [_none(balance.idle.wal)]),
            Figure.of("a process that starts and ends: transactions", "", [balance.starting.transactions]),
            Figure.of("one connection, one row: commits", "per second", commits),
        ],
    )


def _redemptions(issuer: Issuer, sizes: Sizes) -> Callable[[Server], object]:
    def redeem(server: Server) -> None:
        send(codes_load(issuer, [server], "weighed", sizes.codes, sizes.connections))

    return redeem


def _told(what: str, counted: Counters) -> list[Figure]:
    return [
        Figure.of(f"{what}: transactions", "", [_none(counted.transactions)]),
        Figure.of(f"{what}: rows inserted", "", [_none(counted.inserted)]),
        Figure.of(f"{what}: rows updated", "", [_none(counted.updated)]),
        Figure.of(f"{what}: rows deleted", "", [_none(counted.deleted)]),
    ]


def _log(what: str, counted: Counters) -> list[Figure]:
    return [
        Figure.of(f"{what}: log", "bytes", [_none(counted.wal)]),
        Figure.of(f"{what}: whole pages in it", "", [_none(counted.pages)]),
    ]


def _none(value: float) -> float:
    """Less than nothing is nothing: what a process does anyhow was only estimated."""
    return max(value, 0.0)
