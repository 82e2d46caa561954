"""
Nodes and the database die at random moments of redeem and refresh, or the database is away for long.

Every code that was posted and every grant that was acknowledged is followed to its end.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from grantkeeper.testing.google import Code
from tests.chaos.calls import Calls, away
from tests.chaos.parts import HOUR, Counts, all_work, key_of, told_the_truth
from tests.chaos.postgres_town import PostgresTown
from tests.chaos.sizes import Size
from tests.chaos.storms import NODES
from tests.chaos.town import SCOPES, Node, some


async def node_kills(town: PostgresTown, seed: int, rounds: int, size: Size) -> Counts:
    """Kill -9 of a node at a random moment of redeem and refresh: nothing acknowledged is lost."""
    return await _crashes(town, f"kill-{seed}", seed, rounds, _kill_a_node)


async def database_crashes(town: PostgresTown, seed: int, rounds: int, size: Size) -> Counts:
    """PostgreSQL is shut down at once in the middle of redeem and refresh: nothing acknowledged is lost."""
    return await _crashes(town, f"crash-{seed}", seed, rounds, _crash_the_database)


Crash = Callable[[PostgresTown, list[Node], random.Random, float], Awaitable[None]]


async def _kill_a_node(town: PostgresTown, nodes: list[Node], dice: random.Random, span: float) -> None:
    victim = some(dice, nodes)
    await asyncio.sleep(dice.uniform(0.0, span))
    nodes.remove(victim)
    victim.kill()


async def _crash_the_database(
    town: PostgresTown, nodes: list[Node], dice: random.Random, span: float
) -> None:
    await asyncio.sleep(dice.uniform(0.0, span))
    await away(town.server.restart, "immediate")


async def _crashes(town: PostgresTown, name: str, seed: int, rounds: int, crash: Crash) -> Counts:
    """
    Rounds of three sign-ins and three refreshes at once with a crash among them.

    The replacement of a killed node starts while the next round runs on the others. Who got no answer,
    or that the store is away, asks again when the round is over, as if all claims had had their time.
    """
    counts: Counts = Counter()
    acknowledged: dict[str, Any] = {}
    nodes = list(await away(town.at_least, 3))
    refused = await _codes_refused(town)
    place = await away(town.newest_event)
    starting: set[asyncio.Future[list[Node]]] = set()
    async with Calls(town.caller_key) as calls:
        for turn in range(rounds):
            dice = random.Random(seed + turn)
            # Before the codes are made, which live ten minutes.
            await away(town.google.advance, HOUR)
            codes = [
                await away(town.google.code, f"{name}-{turn}-{n}@crash.example", SCOPES) for n in range(3)
            ]
            old = dice.sample(sorted(acknowledged), min(3, len(acknowledged)))
            living = list(nodes)
            posts = [
                asyncio.ensure_future(calls.redeem(some(dice, living).url, code, key_of(code)))
                for code in codes
            ]
            asks = [asyncio.ensure_future(calls.token(some(dice, living).url, grant)) for grant in old]
            await crash(town, nodes, dice, 0.12)
            while len(nodes) + len(starting) < 3:
                starting.add(asyncio.ensure_future(away(town.start, 1)))
            unanswered = []
            for code, answer in zip(codes, await asyncio.gather(*posts), strict=True):
                counts.update(redemptions=1)
                if answer.status == 200:
                    acknowledged[answer.body["grant"]["id"]] = code
                    counts.update(acknowledged=1)
                else:
                    assert answer.error in ("no_answer", "store_unavailable", "outcome_unknown"), answer
                    unanswered.append(code)
                    counts.update({f"redemption_{answer.error}": 1})
            for answer in await asyncio.gather(*asks):
                counts.update({f"refresh_{answer.error}": 1})
                assert answer.error in ("ok", "no_answer", "store_unavailable"), answer
            counts.update(crashes=1)
            done = [one for one in starting if one.done()] or (list(starting) if len(nodes) < 2 else [])
            for one in done:
                nodes += await one
                starting.discard(one)
            if unanswered:
                await away(town.lapse)
                counts += await told_the_truth(calls, nodes, unanswered, acknowledged)
        for one in starting:
            nodes += await one
        await all_work(town, calls, nodes, acknowledged)
        counts["doubted"] = sum((await away(town.events, "grant.doubted", place)).values())
        states = await away(town.states)
    assert {("active", None)} == set(states), states
    assert 0 == (await away(town.ask, "SELECT count(*) FROM grants WHERE uncertain_since IS NOT NULL"))[0][0]
    assert refused == await _codes_refused(town), "a code was sent twice"
    return counts


async def _codes_refused(town: PostgresTown) -> int:
    """How many codes Google has refused so far, as it does with one that comes twice."""
    return (await away(town.count, "authorization_code")).get("invalid_grant", 0)


class SignIns:
    """Phones that sign in one after the other and insist, with the same code and key, until they are told."""

    def __init__(self, town: PostgresTown, calls: Calls, nodes: Sequence[Node], dice: random.Random) -> None:
        self.town = town
        self.calls = calls
        self.nodes = nodes
        self.dice = dice
        self.ends: Counts = Counter()
        self.first_told: Counts = Counter()
        self.grants: dict[str, Code] = {}
        self._pending: list[asyncio.Task[None]] = []

    async def stream(self, name: str, seconds: float) -> None:
        """A new phone every 50 ms on average, for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            email = f"{name}-{len(self._pending)}@away.example"
            self._pending.append(asyncio.create_task(self._sign_in(email)))
            await asyncio.sleep(self.dice.uniform(0.0, 0.1))

    async def ended(self) -> int:
        """Wait for all of them; how many there were."""
        await asyncio.gather(*self._pending)
        return len(self._pending)

    async def _sign_in(self, email: str) -> None:
        code = await away(self.town.google.code, email, SCOPES)
        for attempt in range(200):
            answer = await self.calls.redeem(some(self.dice, self.nodes).url, code, key_of(code))
            if not attempt:
                self.first_told[answer.error] += 1
            if answer.error not in ("store_unavailable", "issuer_unavailable", "too_many_requests"):
                break
            await asyncio.sleep(self.dice.uniform(0.5, 1.5))
        if answer.status == 200:
            self.grants[answer.body["grant"]["id"]] = code
        self.ends[answer.error] += 1


async def database_away(town: PostgresTown, seed: int, rounds: int, size: Size) -> Counts:
    """The database is away during a storm of sign-ins: every code that Google accepted ends honestly."""
    counts: Counts = Counter()
    nodes = await away(town.at_least, NODES)
    refused = await _codes_refused(town)
    for turn in range(rounds):
        before = (await away(town.count, "authorization_code")).get("ok", 0)
        async with Calls(town.caller_key) as calls:
            phones = SignIns(town, calls, nodes, random.Random(seed + turn))
            streaming = asyncio.ensure_future(phones.stream(str(seed + turn), size.away_seconds + 4.0))
            await asyncio.sleep(1.0)
            await away(town.server.stop, "immediate")
            await asyncio.sleep(size.away_seconds)
            await away(town.server.start)
            await streaming
            sign_ins = await phones.ended()
            accepted = (await away(town.count, "authorization_code")).get("ok", 0) - before

            assert {"ok", "outcome_unknown"} >= set(phones.ends), phones.ends
            assert phones.ends["ok"] <= accepted <= sign_ins
            await all_work(town, calls, nodes, phones.grants)
        counts.update({f"ended_{name}": count for name, count in phones.ends.items()})
        counts.update({f"first_told_{name}": count for name, count in phones.first_told.items()})
        counts.update(sign_ins=sign_ins, accepted_by_google=accepted)
    assert refused == await _codes_refused(town), "a code was sent twice"
    return counts
