"""
Many grants expire together and many nodes are asked for them, in peace and while nodes are killed.

What reached the issuer is counted by the issuer, what was stored by the database; the two must meet.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tests.chaos.calls import Answer, Calls, away
from tests.chaos.parts import HOUR, Counts
from tests.chaos.postgres_town import PostgresTown
from tests.chaos.sizes import Size
from tests.chaos.town import SCOPES, Node, some

NODES = 4
TOGETHER = 150
"""Requests under way at once."""

MOST_CUTS = 5
"""How often one request may meet a kill after its first."""


async def sign_in_many(town: PostgresTown, nodes: Sequence[Node], seed: int, count: int) -> list[str]:
    """New grants' ids."""
    room = asyncio.Semaphore(24)

    async def sign_in(number: int) -> str:
        async with room:
            code = await away(town.google.code, f"{seed}-{number}@many.example", SCOPES)
            answer = await calls.redeem(nodes[number % len(nodes)].url, code)
            assert 200 == answer.status, answer
            return str(answer.body["grant"]["id"])

    async with Calls(town.caller_key) as calls:
        return await asyncio.gather(*(sign_in(number) for number in range(count)))


class Storm:
    """
    Asks for tokens of many grants at many nodes, once more wherever a connection was cut.

    Where one that asks again meets the next kill, it asks once more, and that is counted.
    """

    def __init__(self, town: PostgresTown, calls: Calls, dice: random.Random) -> None:
        self.town = town
        self.calls = calls
        self.dice = dice
        self.nodes: list[Node] = []
        self.answers: Counts = Counter()
        self.lost: dict[str, str | None] = {}
        self.tokens: dict[str, set[str]] = {}

    async def blow(self, grants: Sequence[str], requests: int) -> None:
        """*requests* requests, every grant at least once, as many at once as `TOGETHER`."""
        asks = [grants[number % len(grants)] for number in range(requests)]
        self.dice.shuffle(asks)
        asking = iter(asks)
        await asyncio.gather(*(self._ask(asking) for _ in range(TOGETHER)))

    async def _ask(self, grants: Any) -> None:
        for grant in grants:
            answer = await self.once(grant)
            for counted in ("cut_connections", *["cut_again"] * MOST_CUTS):
                if answer.status != 0:
                    break
                self.answers[counted] += 1
                answer = await self.once(grant)
            self.answers[answer.error] += 1
            if answer.status == 200:
                self.tokens.setdefault(grant, set()).add(answer.body["access_token"])
            elif answer.error == "consent_required":
                self.lost[grant] = answer.body.get("reason")

    async def once(self, grant: str) -> Answer:
        """One request, to a node that is believed to live."""
        while not self.nodes:
            await asyncio.sleep(0.01)
        return await self.calls.token(some(self.dice, self.nodes).url, grant)


async def storm(town: PostgresTown, seed: int, rounds: int, size: Size) -> Counts:
    """Many grants expire together, four nodes are asked: one refresh each, and no error."""
    counts: Counts = Counter()
    nodes = await away(town.at_least, NODES)
    grants = await sign_in_many(town, nodes, seed, size.grants)
    for turn in range(rounds):
        await away(town.google.advance, HOUR)
        before, place = await away(town.count, "refresh_token"), await away(town.newest_event)
        async with Calls(town.caller_key, together=TOGETHER) as calls:
            blown = Storm(town, calls, random.Random(seed + turn))
            blown.nodes = nodes
            await blown.blow(grants, size.requests)
        after = await away(town.count, "refresh_token")
        stored = await away(town.events, "grant.refreshed", place)

        assert {"ok": size.requests} == blown.answers
        assert {"ok": before.get("ok", 0) + size.grants} == after
        assert dict.fromkeys(grants, 1) == stored
        assert {1} == {len(tokens) for tokens in blown.tokens.values()}, (
            "a grant was handed out in two tokens"
        )
        counts.update(requests=size.requests, grants=size.grants, refreshes=size.grants)
    return counts


async def storm_with_kills(town: PostgresTown, seed: int, rounds: int, size: Size) -> Counts:
    """
    The same while a node is killed and another started every second: nothing is lost but what cannot be.

    An answer that the issuer gave to a node killed before its commit costs one refresh more; where the
    issuer rotates its tokens it costs the user a consent, and each of them is told why.
    """
    counts: Counts = Counter()
    nodes = await away(town.at_least, NODES)
    grants = await sign_in_many(town, nodes, seed, size.grants)
    for turn in range(rounds):
        dice = random.Random(seed + turn)
        await away(town.google.advance, HOUR)
        before, place = await away(town.count, "refresh_token"), await away(town.newest_event)
        async with Calls(town.caller_key, together=TOGETHER) as calls:
            blown = Storm(town, calls, dice)
            blown.nodes = list(await away(town.at_least, NODES))
            killing = asyncio.ensure_future(_kill_every_second(town, blown, counts))
            try:
                await blown.blow(grants, size.requests)
            finally:
                killing.cancel()
                with suppress(asyncio.CancelledError):
                    await killing
        after = await away(town.count, "refresh_token")
        stored = await away(town.events, "grant.refreshed", place)
        doubted = await away(town.events, "grant.doubted", place)
        answered = after.get("ok", 0) - before.get("ok", 0)
        lost = answered - sum(stored.values())
        refused = {
            code: count for code, count in after.items() if code != "ok" and count > before.get(code, 0)
        }

        errors = set(blown.answers) - {"ok", "cut_connections", "cut_again", "consent_required"}
        assert not errors, blown.answers
        assert 0 <= lost <= sum(doubted.values()), (lost, doubted)
        assert {1} >= set(stored.values()), "a grant was refreshed more than once"
        if town.rotating:
            assert {"answer_lost"} >= set(blown.lost.values()), blown.lost
            assert len(blown.lost) <= lost, "more users must consent again than answers were lost"
            assert set(grants) - set(stored) == set(blown.lost)
            grants = [grant for grant in grants if grant not in blown.lost]
        else:
            assert {} == blown.lost
            assert set(grants) == set(stored)
            assert {} == refused
        counts.update(
            requests=size.requests,
            grants=len(stored) + len(blown.lost),
            refreshes=answered,
            answers_lost_with_a_node=lost,
            users_who_consent_again=len(blown.lost),
            cut_connections=blown.answers["cut_connections"],
            cut_again_when_asked_again=blown.answers["cut_again"],
            doubted=sum(doubted.values()),
        )
    return counts


async def _kill_every_second(town: PostgresTown, blown: Storm, counts: Counts) -> None:
    while True:
        await asyncio.sleep(1.0)
        victim = some(blown.dice, blown.nodes)
        blown.nodes.remove(victim)
        victim.kill()
        counts.update(kills=1)
        # Its heir is up some time later; the others are asked meanwhile.
        (heir,) = await away(town.start, 1)
        blown.nodes.append(heir)
