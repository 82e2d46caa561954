"""
The five promises that only processes can break, each as a part with rounds.

A part takes a town, a seed and a number of rounds, asserts what must hold and returns what it counted.
Round *i* draws from seed + *i* alone, so a run goes on where another ended. What was sent to Google is
counted by Google: the emulator's own counters.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from grantkeeper.keeper.redeem import CLAIM_SECONDS
from grantkeeper.testing.google import Code
from tests.chaos.calls import Answer, Calls, away
from tests.chaos.town import SCOPES, Node, Town, some

HOUR = 3700
PROMISE = 1.0
"""Seconds after an acknowledged revocation in which the last token may be handed out (design section 9)."""

Counts = Counter[str]
Part = Callable[[Town, int, int], Coroutine[Any, Any, Counts]]


def key_of(code: Code) -> str:
    return f"chaos-{code[-40:]}"


async def _signed_in(town: Town, calls: Calls, url: str, email: str) -> tuple[str, str]:
    """A new grant's id, and its subject."""
    code = await away(town.google.code, email, SCOPES)
    answer = await calls.redeem(url, code)
    assert 200 == answer.status, answer
    return answer.body["grant"]["id"], code.sub


async def one_refresh(town: Town, seed: int, rounds: int) -> Counts:
    """
    200 requests at once, over four processes, for a token that has run out: one refresh per grant.

    The processes are four services on one file, and in the long form one service with four workers, too.
    """
    counts: Counts = Counter()
    async with Calls(town.caller_key) as calls:
        shapes: list[list[Node]] = [await away(town.at_least, 4)]
        if rounds > 2:
            shapes.append(await away(town.start, 1, workers=4))
        for turn in range(rounds):
            dice = random.Random(seed + turn)
            nodes = shapes[turn // 2 % len(shapes)]
            grants = [
                await _signed_in(town, calls, nodes[0].url, f"{seed + turn}-{n}@refresh.example")
                for n in range(5 if turn % 2 else 1)
            ]
            await away(town.google.advance, HOUR)
            before = await away(town.asked, "refresh_token")
            asks = [(nodes[n % len(nodes)].url, grants[n % len(grants)][0]) for n in range(200)]
            dice.shuffle(asks)

            answers = await asyncio.gather(*(calls.token(*ask) for ask in asks))

            assert {"ok"} == {answer.error for answer in answers}, Counter(one.error for one in answers)
            assert before + len(grants) == await away(town.asked, "refresh_token")
            tokens = {(answer.body["grant"], answer.body["access_token"]) for answer in answers}
            assert len(grants) == len(tokens), "a grant was handed out in two tokens"
            for grant, token in tokens:
                assert dict(grants)[grant] == await calls.subject(town.google.url, token)
            counts.update(requests=len(answers), grants=len(grants), refreshes=len(grants))
    return counts


async def one_redemption(town: Town, seed: int, rounds: int) -> Counts:
    """The same code 50 times at once, over four processes: Google sees it once, and one of them wins."""
    counts: Counts = Counter()
    async with Calls(town.caller_key) as calls:
        nodes = await away(town.at_least, 4)
        for turn in range(rounds):
            dice = random.Random(seed + turn)
            for key in (None, f"chaos-{seed + turn:016d}-idempotency"):
                code = await away(town.google.code, f"{seed + turn}@once.example", SCOPES, force=True)
                before = await away(town.asked, "authorization_code")
                urls = [nodes[n % len(nodes)].url for n in range(50)]
                dice.shuffle(urls)

                answers = await asyncio.gather(*(calls.redeem(url, code, key) for url in urls))

                told = Counter(answer.error for answer in answers)
                expected = {"ok": 50} if key else {"ok": 1, "code_already_redeemed": 49}
                assert expected == told
                assert before + 1 == await away(town.asked, "authorization_code")
                assert 1 == len({one.body["grant"]["id"] for one in answers if one.status == 200})
                counts.update(posts=len(answers), codes=1)
    return counts


async def kills(town: Town, seed: int, rounds: int) -> Counts:
    """
    Kill -9 at random moments of redemptions: what was acknowledged is there and works.

    A round is six sign-ins at once. Who got no answer asks again with the same key and is told the truth.
    """
    counts: Counts = Counter()
    acknowledged: dict[str, Code] = {}
    unanswered: list[Code] = []
    async with Calls(town.caller_key) as calls:
        nodes = list(await away(town.at_least, 3))
        span = await _calm_span(town, calls, nodes[0], seed)
        for turn in range(rounds):
            dice = random.Random(seed + turn)
            codes = [
                await away(town.google.code, f"{seed + turn}-{n}@kill.example", SCOPES) for n in range(6)
            ]
            if slow := dice.random() < 0.5:
                # Google has acted and its answer is on the way: the worst moment to die.
                await away(town.google.fault, "token", "slow", seconds=span)
            posts = [
                asyncio.ensure_future(calls.redeem(some(dice, nodes).url, code, key_of(code)))
                for code in codes
            ]
            victims = nodes[:] if dice.random() < 0.25 else [some(dice, nodes)]
            await asyncio.sleep(dice.uniform(0.0, span * (2.2 if slow else 1.2)))
            for victim in victims:
                victim.kill()
            answers = await asyncio.gather(*posts)
            await away(town.google.heal)
            if len(victims) == len(nodes):
                await away(town.check_file)
                counts.update(all_killed=1)
            for code, answer in zip(codes, answers, strict=True):
                counts.update(redemptions=1)
                if answer.status == 200:
                    acknowledged[answer.body["grant"]["id"]] = code
                    counts.update(acknowledged=1)
                else:
                    assert 0 == answer.status, f"a living node refused a good code: {answer}"
                    unanswered.append(code)
                    counts.update(unanswered=1)
            counts.update(kills=len(victims))
            nodes = list(await away(town.at_least, 3))
        if town.patient:
            await asyncio.sleep(CLAIM_SECONDS + 1.0)
        else:
            await away(town.lapse)
        counts += await told_the_truth(calls, nodes, unanswered, acknowledged)
        await all_work(town, calls, nodes, acknowledged)
    assert not (await away(town.count, "authorization_code")).get("invalid_grant"), "a code was sent twice"
    await away(town.stop_nodes)
    await away(town.check_file)
    return counts


async def _calm_span(town: Town, calls: Calls, node: Node, seed: int) -> float:
    """How long six redemptions at once take here and now."""
    codes = [await away(town.google.code, f"{seed}-{n}@calm.example", SCOPES) for n in range(6)]
    began = time.monotonic()
    answers = await asyncio.gather(*(calls.redeem(node.url, code) for code in codes))
    assert {200} == {answer.status for answer in answers}
    return time.monotonic() - began


async def told_the_truth(
    calls: Calls, nodes: Sequence[Node], unanswered: Sequence[Code], acknowledged: dict[str, Code]
) -> Counts:
    """Ask again for every code without an answer; what is told to be stored joins the acknowledged."""
    counts: Counts = Counter()

    async def again(code: Code) -> Answer:
        for _ in range(100):
            answer = await calls.redeem(nodes[0].url, code, key_of(code))
            if answer.error not in ("issuer_unavailable", "store_unavailable"):
                return answer
            await asyncio.sleep(0.5)
        raise AssertionError("the same code and key are told for ever to try again")

    for code, answer in zip(
        unanswered, await asyncio.gather(*(again(code) for code in unanswered)), strict=True
    ):
        assert answer.error in ("ok", "outcome_unknown", "code_already_redeemed"), answer
        counts.update({f"asked_again_{answer.error}": 1})
        if answer.status == 200:
            acknowledged[answer.body["grant"]["id"]] = code
    return counts


async def all_work(town: Town, calls: Calls, nodes: Sequence[Node], acknowledged: dict[str, Code]) -> None:
    """Every acknowledged grant is there, refreshes, and gives a token that Google takes for its person."""
    await away(town.google.advance, HOUR)
    room = asyncio.Semaphore(20)

    async def works(turn: int, grant: str, code: Code) -> None:
        async with room:
            url = nodes[turn % len(nodes)].url
            shown = await calls.describe(url, grant)
            assert (200, "active", code.sub) == (
                shown.status,
                shown.body.get("state"),
                shown.body.get("subject"),
            ), shown
            token = await calls.token(url, grant)
            assert 200 == token.status, token
            assert code.sub == await calls.subject(town.google.url, token.body["access_token"])

    await asyncio.gather(*(works(turn, *each) for turn, each in enumerate(acknowledged.items())))


async def revocations(town: Town, seed: int, rounds: int) -> Counts:
    """Revoke at one process while three others hand out: a second later, none does."""
    counts: Counts = Counter()
    async with Calls(town.caller_key) as calls:
        nodes = await away(town.at_least, 4)
        for turn in range(rounds):
            dice = random.Random(seed + turn)
            first, *others = dice.sample(nodes, len(nodes))
            grant, _ = await _signed_in(town, calls, first.url, f"{seed + turn}@revoke.example")
            warm = await asyncio.gather(*(calls.token(node.url, grant) for node in nodes))
            assert {"ok"} == {answer.error for answer in warm}
            until = [float("inf")]
            asking = [asyncio.ensure_future(_ask_on(calls, node, grant, until)) for node in others]
            await asyncio.sleep(dice.uniform(0.05, 0.3))

            answer = await calls.revoke(first.url, grant)
            acknowledged_at = time.monotonic()
            until[0] = acknowledged_at + PROMISE + 0.5

            assert 200 == answer.status, answer
            seen = [each for one in await asyncio.gather(*asking) for each in one]
            late = [at - acknowledged_at for at, error in seen if error == "ok" and at > acknowledged_at]
            assert not [by for by in late if by > PROMISE], f"handed out {max(late):.3f} s after the revoke"
            after = {error for at, error in seen if at > acknowledged_at + PROMISE}
            assert {"consent_required"} == after, after
            counts.update(revocations=1, requests=len(seen), handed_out_within_the_second=len(late))
    return counts


async def _ask_on(calls: Calls, node: Node, grant: str, until: list[float]) -> list[tuple[float, str]]:
    """Ask for tokens until the time has come, then once more: when each request left, and how it ended."""
    seen, now = [], 0.0
    while now < until[0]:
        now = time.monotonic()
        seen.append((now, (await calls.token(node.url, grant)).error))
        await asyncio.sleep(0.01)
    return seen


async def endings(town: Town, seed: int, rounds: int) -> Counts:
    """SIGTERM, twice, while Google thinks: what is under way is finished, stored and answered."""
    counts: Counts = Counter()
    async with Calls(town.caller_key) as calls:
        for turn in range(rounds):
            dice = random.Random(seed + turn)
            (node,) = await away(town.start, 1, workers=1 + turn % 2)
            expired, _ = await _signed_in(town, calls, node.url, f"{seed + turn}@end.example")
            await away(town.google.advance, 300)
            stale, _ = await _signed_in(town, calls, node.url, f"{seed + turn}-stale@end.example")
            old = await calls.token(node.url, stale)
            await away(town.google.advance, HOUR - 300)
            code = await away(town.google.code, f"{seed + turn}-late@end.example", SCOPES)
            await away(town.google.fault, "token", "slow", seconds=1.5)
            refreshes = 2 + await away(town.asked, "refresh_token")
            codes = 1 + await away(town.asked, "authorization_code")
            under_way = [
                asyncio.ensure_future(calls.token(node.url, expired)),
                asyncio.ensure_future(calls.redeem(node.url, code, key_of(code))),
            ]
            # Served at once, while a refresh that nobody waits for runs beside.
            beside = await calls.token(node.url, stale)
            await _until_asked(town, refresh_token=refreshes, authorization_code=codes)
            await asyncio.sleep(dice.uniform(0.0, 0.3))

            node.signal()
            await asyncio.sleep(dice.uniform(0.0, 1.5))
            status = await away(node.stop)
            refreshed, redeemed = await asyncio.gather(*under_way)
            await away(town.google.heal)

            assert ("ok", "ok", 0) == (refreshed.error, redeemed.error, status)
            assert old.body["access_token"] == beside.body["access_token"]
            (heir,) = await away(town.at_least, 1)
            again = [await calls.token(heir.url, grant) for grant in (expired, stale)]
            assert refreshed.body["access_token"] == again[0].body["access_token"]
            assert old.body["access_token"] != again[1].body["access_token"]
            repeated = await calls.redeem(heir.url, code, key_of(code))
            assert redeemed.body["grant"]["id"] == repeated.body["grant"]["id"]
            assert refreshes == await away(town.asked, "refresh_token")
            counts.update(signals=2, finished_refreshes=2, finished_redemptions=1)
    return counts


async def _until_asked(town: Town, **times: int) -> None:
    """Wait until Google has got so many requests of each kind; it counts before it answers."""
    for _ in range(1000):
        if all([await away(town.asked, kind) >= count for kind, count in times.items()]):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("Google was never asked")


PARTS: dict[str, Part] = {
    "one-refresh": one_refresh,
    "one-redemption": one_redemption,
    "kills": kills,
    "revocations": revocations,
    "endings": endings,
}

ROUNDS = {"one-refresh": 20, "one-redemption": 20, "kills": 60, "revocations": 30, "endings": 8}
"""Of the long form; 60 rounds of kills are 360 redemptions."""
