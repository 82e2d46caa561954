"""
The parts of a race. Each signs in people of its own and returns counts and verdicts.

What overlaps is made to overlap by holding the issuer's answers, not by luck: a part knows that a
refresh is at the issuer before it lets the next thing happen.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from grantkeeper.testing.race.field import LIFE, Field, Person, Tally, away, refuses
from grantkeeper.testing.race.issuer import overlapping, repeated
from grantkeeper.testing.race.line import open_line
from grantkeeper.testing.race.outcome import Result, Verdict

EXPIRED = LIFE + 100
NEARLY = LIFE - 120
"""After this long every service thinks of refreshing, and the token works for two minutes more."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """
    How much of it.

    Attributes:
        grants: That expire together.
        requests: For them, over all nodes.
        rounds: With kills.
        slow: Seconds that the issuer takes where it is slow.
        lease: Seconds after which the service gives up a stalled node, with some more; without it,
            what only a stalled node shows is not tried.
    """

    grants: int = 20
    requests: int = 200
    rounds: int = 5
    slow: float = 4.0
    lease: float | None = None


Part = Callable[[Field, Sizes], Awaitable[Result]]
Verdicts = dict[str, tuple[Verdict, str]]


async def storm(field: Field, sizes: Sizes) -> Result:
    """All grants expire together and are asked for at once, over all nodes: one refresh for each?"""
    return await _storm(field, sizes, "storm")


async def rotation(field: Field, sizes: Sizes) -> Result:
    """The same at an issuer that rotates refresh tokens and ends a grant whose spent token comes again."""
    await away(field.issuer.rotate, True)
    try:
        return await _storm(field, sizes, "rotation")
    finally:
        await away(field.issuer.rotate, False)


async def _storm(field: Field, sizes: Sizes, name: str) -> Result:
    people = await field.sign_in(sizes.grants)
    await field.pass_time(EXPIRED)
    mark = await field.mark()
    await away(field.issuer.hold)
    asking = asyncio.ensure_future(field.ask_all(field.spread(people, sizes.requests)))
    # Each of them must be refreshed once, whatever the service does.
    await field.quiet(mark, len(people))
    await away(field.issuer.release)
    tally = await asking
    seen = await field.since(mark)
    wrong, dead = await field.strangers(tally)
    lost = await field.lost(people)
    at_once, again = overlapping(seen), repeated(seen)
    if field.guarded is None:
        field.guarded = not at_once
    verdicts: Verdicts = {
        "D1": (Verdict.SHOWN, f"{at_once} refreshes were sent while another of the same grant was under way")
        if at_once
        else (Verdict.NOT_SHOWN, "no grant was refreshed twice at once")
    }
    if not at_once:
        verdicts["D6"] = (
            (Verdict.SHOWN, f"{again} refreshes followed one of the same grant that had just ended")
            if again
            else (Verdict.NOT_SHOWN, "who waited took what was brought")
        )
    if name == "rotation" and at_once:
        alive = [person for person in lost if await _alive(field, person)]
        if alive:
            verdicts["D5"] = (Verdict.SHOWN, f"{len(alive)} grants live at the issuer and not at the service")
    return Result(
        name,
        {
            "grants": len(people),
            "requests": len(tally.replies),
            "refreshes": len(seen),
            "refreshes at once": at_once,
            "errors": tally.errors,
            "tokens of others": wrong,
            "dead tokens": dead,
            "grants lost": len(lost),
            "seconds, median": tally.latency(0.5),
            "seconds, slowest": tally.latency(1.0),
        },
        verdicts,
    )


async def _alive(field: Field, person: Person) -> bool:
    live = await away(field.place.google.get, f"refresh_tokens?email={person.email}")
    return bool(live["live"])


async def kills(field: Field, sizes: Sizes) -> Result:
    """
    Kill -9 of a node in the middle of a storm, again and again, mostly while answers are on their way to it.

    A caller whose connection was cut asks once more, at a node that lives.
    """
    return await _kills(field, sizes, "kills")


async def rotation_kills(field: Field, sizes: Sizes) -> Result:
    """
    The same at an issuer that rotates: an answer that died with its node takes its grant along.

    Nobody can prevent that; how many were on their way at a kill bounds how many grants may be lost.
    """
    await away(field.issuer.rotate, True)
    try:
        return await _kills(field, sizes, "rotation-kills")
    finally:
        await away(field.issuer.rotate, False)


async def _kills(field: Field, sizes: Sizes, name: str) -> Result:
    everybody: list[Person] = []
    replies = refreshes = at_once = on_the_way = cut = 0
    failed: set[str] = set()
    for _ in range(sizes.rounds):
        people = await field.sign_in(sizes.grants)
        everybody += people
        await field.pass_time(EXPIRED)
        mark = await field.mark()
        await away(field.issuer.hold)
        asking = asyncio.ensure_future(field.ask_all(field.spread(people, sizes.requests)))
        await field.arrived(mark, field.dice.randrange(1, sizes.grants))
        if field.dice.random() < 0.3:
            # While answers come home and are stored.
            await away(field.issuer.release)
            await asyncio.sleep(field.dice.uniform(0.0, 0.1))
        on_the_way += sum(one.ended is None for one in await field.since(mark))
        await field.kill(field.dice.choice(field.nodes))
        await away(field.issuer.release)
        first = await asking
        again = await field.ask_all(
            [(person, field.any_url()) for person, reply in first.replies if reply.status == 0]
        )
        replies += len(first.replies)
        cut += len(again.replies)
        for person, reply in [*first.replies, *again.replies]:
            if reply.status != 200 and (reply.status or (person, reply) in again.replies):
                failed.add(person.grant)
        seen = await field.since(mark)
        refreshes += len(seen)
        at_once += overlapping(seen)
        await field.start(1)
    lost = {person.grant for person in await field.lost(everybody)}
    return Result(
        name,
        {
            "grants": len(everybody),
            "kills": sizes.rounds,
            "requests": replies,
            "connections cut": cut,
            "refreshes": refreshes,
            "refreshes at once": at_once,
            "answers on their way at a kill": on_the_way,
            "grants lost": len(lost),
            "others with an error after one retry": len(failed - lost),
        },
    )


async def slow(field: Field, sizes: Sizes) -> Result:
    """The issuer takes seconds, and all the while callers ask at every node: a lock must outlast the call."""
    people = await field.sign_in(3)
    await field.pass_time(EXPIRED)
    mark = await field.mark()
    await away(field.issuer.hold)
    until = time.monotonic() + sizes.slow
    asking = []
    while time.monotonic() < until:
        asking += [
            asyncio.create_task(field.ask(person, node.url)) for person in people for node in field.nodes
        ]
        await asyncio.sleep(sizes.slow / 10)
    await away(field.issuer.release)
    tally = Tally([(people[0], reply) for reply in await asyncio.gather(*asking)])
    at_once = overlapping(await field.since(mark))
    refused = sum(refuses(reply) for _, reply in tally.replies)
    verdicts: Verdicts = {}
    if field.guarded is False:
        verdicts["D2"] = verdicts["D4"] = (Verdict.CANNOT_TELL, "there is no lock that could end too early")
    elif at_once:
        why = f"{at_once} refreshes were sent beside one that took {sizes.slow:g} seconds"
        verdicts["D2"] = (Verdict.SHOWN, why + ": a lock that ends, or a wait that ends without it")
        verdicts["D4"] = (Verdict.CANNOT_TELL, "from outside it looks like D2")
    else:
        verdicts["D2"] = (Verdict.NOT_SHOWN, f"one refresh each, for {sizes.slow:g} seconds")
        verdicts["D4"] = (Verdict.NOT_SHOWN, "who waited waited, or was told to come back")
    if refused:
        verdicts["D4"] = (Verdict.SHOWN, f"{refused} who waited were told that asking again is no use")
    return Result(
        "slow",
        {
            "requests": len(tally.replies),
            "refreshes at once": at_once,
            "told to come back": tally.errors - refused,
            "refused": refused,
        },
        verdicts,
    )


TROUBLES = {"status_503": {}, "status_429": {"retry_after": 1}, "cut_before": {}}
"""Faults of the emulator's menu that pass."""


async def trouble(field: Field, sizes: Sizes) -> Result:
    """The issuer fails for a while: valid tokens are served, and only a refusal is final."""
    valid = denied = condemned = 0
    for fault, options in TROUBLES.items():
        early, late = await field.sign_in(2)
        await field.ask(late)
        await field.pass_time(NEARLY)
        await away(field.place.google.fault, "token", fault, grant_type="refresh_token", **options)
        token = field.target.token(await field.ask(early))
        if token is not None and await field.owner(token) == early.sub:
            valid += 1
        else:
            denied += 1
        await field.pass_time(EXPIRED - NEARLY)
        hopeless = refuses(await field.ask(late))
        await away(field.place.google.heal)
        condemned += hopeless or field.target.token(await field.patiently(late)) is None
    gone = (await field.sign_in(1))[0]
    await away(field.place.google.revoke, gone.email)
    await field.pass_time(EXPIRED)
    final = refuses(await field.patiently(gone, seconds=2.0))
    mixed = []
    if condemned:
        mixed.append(f"{condemned} of {len(TROUBLES)} troubles that pass ended a grant, or said so")
    if not final:
        mixed.append("a grant that the user has taken back is answered like a fault that passes")
    return Result(
        "trouble",
        {
            "troubles": len(TROUBLES),
            "valid tokens served": valid,
            "valid tokens refused": denied,
            "taken for final": condemned,
            "a refusal is final": int(final),
        },
        {
            "D8": (Verdict.SHOWN, f"{denied} of {len(TROUBLES)} who could have been served were not")
            if denied
            else (Verdict.NOT_SHOWN, "valid tokens were served through every trouble"),
            "D9": (Verdict.SHOWN, "; ".join(mixed))
            if mixed
            else (Verdict.NOT_SHOWN, "what passes passed, and a refusal was final"),
        },
    )


async def departures(field: Field, sizes: Sizes) -> Result:
    """The only caller hangs up while the issuer, which rotates, thinks: the refresh is stored."""
    await away(field.issuer.rotate, True)
    people = await field.sign_in(3)
    twice = 0
    try:
        await field.pass_time(EXPIRED)
        for person in people:
            mark = await field.mark()
            await away(field.issuer.hold)
            _, writer = await open_line(field.nodes[0].url, field.target.ask(person.grant))
            await writer.drain()
            await field.arrived(mark, 1)
            writer.transport.abort()
            # The service must have noticed, if it cares.
            await asyncio.sleep(0.3)
            await away(field.issuer.release)
            await field.patiently(person, seconds=5.0)
            twice += len(await field.since(mark)) > 1
        lost = await field.lost(people)
    finally:
        await away(field.issuer.rotate, False)
    bad = twice + len(lost)
    return Result(
        "departures",
        {"callers gone": len(people), "refreshed twice": twice, "grants lost": len(lost)},
        {
            "D7": (Verdict.SHOWN, f"of {len(people)} refreshes {bad} were lost with their callers")
            if bad
            else (Verdict.NOT_SHOWN, "every refresh was finished and stored")
        },
    )


async def loser(field: Field, sizes: Sizes) -> Result:
    """
    Two refreshes of one grant, and the first ends last, refused: what the second stored must stay.

    A service with a guard lets this happen only if a node stalls past its lease: with ``lease`` it is
    made to.
    """
    verdicts: Verdicts = {}
    overtaken = kept = 0
    first, second = field.nodes[0], field.nodes[1]
    stalls = bool(field.guarded and sizes.lease)
    (person,) = await field.sign_in(1)
    await field.pass_time(EXPIRED)
    mark = await field.mark()
    await away(field.issuer.hold, "before", 1)
    losing = asyncio.create_task(field.ask(person, first.url))
    await field.arrived(mark, 1)
    if stalls:
        first.stall()
    winning = asyncio.create_task(field.ask(person, second.url))
    if await field.arrived(mark, 2, seconds=(sizes.lease or 0.0) + 2.0):
        await winning
        overtaken = 1
    await away(field.issuer.release, "invalid_grant" if overtaken else None)
    first.resume()
    await asyncio.gather(losing, winning)
    if overtaken:
        # Now, and after the next refresh.
        replies = [await field.ask(person, node.url) for node in field.nodes]
        whole = all(field.target.token(reply) is not None for reply in replies)
        kept = int(whole and not await field.lost([person]))
        verdicts["D5"] = (
            (Verdict.NOT_SHOWN, "a late refusal changed nothing")
            if kept
            else (Verdict.SHOWN, "a late refusal ended a grant that another had just refreshed")
        )
    if "D5" not in verdicts:
        verdicts["D5"] = (Verdict.CANNOT_TELL, "no refresh could be made to overtake another")
    return Result("loser", {"overtaken": overtaken, "kept": kept}, verdicts)


PARTS: dict[str, Part] = {
    "storm": storm,
    "rotation": rotation,
    "kills": kills,
    "rotation-kills": rotation_kills,
    "slow": slow,
    "trouble": trouble,
    "departures": departures,
    "loser": loser,
}
