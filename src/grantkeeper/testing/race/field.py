"""The field of a race: nodes that run, people who are signed in, and what both sides say."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from grantkeeper.testing.processes import Process
from grantkeeper.testing.race.issuer import Issuer, Seen
from grantkeeper.testing.race.line import send
from grantkeeper.testing.race.target import Place, Reply, Target

Kind = TypeVar("Kind")

LIFE = 3600.0
"""Seconds that the issuer's access tokens live."""

QUIET = 0.6
"""Seconds without a new refresh after which all that will come has come."""

PATIENCE = 20.0

HELD = 5.0
"""Seconds for which an answer may be held back, and no service gives up on the issuer."""

AT_ONCE = 200


async def away(work: Callable[..., Kind], *arguments: Any, **options: Any) -> Kind:
    """A blocking call, beside the loop."""
    return await asyncio.to_thread(work, *arguments, **options)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in: what the service calls the grant, and who it is at the issuer."""

    email: str
    sub: str
    grant: str


@dataclass(slots=True)
class Tally:
    """What callers were told."""

    replies: list[tuple[Person, Reply]] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        """How often which status came; 0 for no answer."""
        return Counter(reply.status for _, reply in self.replies)

    @property
    def errors(self) -> int:
        """How many got no token."""
        return sum(reply.status != 200 for _, reply in self.replies)

    def latency(self, share: float) -> float:
        """Seconds within which that share of the answers came."""
        ranked = sorted(reply.seconds for _, reply in self.replies)
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))] if ranked else 0.0


class Field:
    """Everything a part works with."""

    def __init__(self, target: Target, place: Place, issuer: Issuer, dice: random.Random) -> None:
        self.target = target
        self.place = place
        self.issuer = issuer
        self.dice = dice
        self.nodes: list[Process] = []
        self.guarded: bool | None = None
        self._started = self._people = 0
        self._at_once = asyncio.Semaphore(AT_ONCE)

    # -- processes ------------------------------------------------------------------------------

    async def start(self, count: int) -> None:
        """*count* more nodes, all ready."""
        started = []
        for _ in range(count):
            self._started += 1
            started.append(
                Process(
                    self.target.command(self.place),
                    folder=self.place.folder,
                    environment=self.target.environment(self.place),
                    log=self.place.folder / f"node-{self._started}.log",
                )
            )
            self.nodes.append(started[-1])
        for node in started:
            await away(node.ready)

    async def kill(self, node: Process) -> None:
        """Kill a node and put another in its place, which is not awaited to be ready."""
        await away(node.kill)
        self.nodes.remove(node)

    def close(self) -> None:
        """End every node; one that is stuck is killed, for here it is not what is judged."""
        for node in self.nodes:
            if node.alive:
                node.signal()
                node.resume()
        until = time.monotonic() + 10.0
        for node in self.nodes:
            while node.alive and time.monotonic() < until:
                time.sleep(0.02)
            if node.alive:
                node.kill()

    def any_url(self) -> str:
        """Where some node answers."""
        return self.dice.choice(self.nodes).url

    # -- people ---------------------------------------------------------------------------------

    async def sign_in(self, count: int) -> list[Person]:
        """*count* new people."""
        people = []
        for _ in range(count):
            self._people += 1
            email = f"runner.{self._people}@race.example"
            code = await away(self.place.google.code, email)
            grant = await away(self.target.sign_in, self.place, self.nodes[0].url, code)
            people.append(Person(email, code.sub, grant))
        return people

    async def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        await away(self.target.pass_time, self.place, seconds)

    async def ask(self, person: Person, url: str | None = None) -> Reply:
        """A backend asks for a token."""
        async with self._at_once:
            return await send(url or self.any_url(), self.target.ask(person.grant))

    async def ask_all(self, asks: Sequence[tuple[Person, str]]) -> Tally:
        """Many at once."""
        replies = await asyncio.gather(*(self.ask(*ask) for ask in asks))
        return Tally([(person, reply) for (person, _), reply in zip(asks, replies, strict=True)])

    def spread(self, people: Sequence[Person], requests: int) -> list[tuple[Person, str]]:
        """*requests* for the grants of *people*, over all nodes, in any order."""
        asks = [
            (people[n % len(people)], self.nodes[n // len(people) % len(self.nodes)].url)
            for n in range(requests)
        ]
        self.dice.shuffle(asks)
        return asks

    # -- the issuer -----------------------------------------------------------------------------

    async def mark(self) -> int:
        """How many refreshes there were so far."""
        return len(await away(self.issuer.seen))

    async def since(self, mark: int) -> list[Seen]:
        """The refreshes after *mark*."""
        return (await away(self.issuer.seen))[mark:]

    async def arrived(self, mark: int, count: int, seconds: float = PATIENCE) -> bool:
        """Wait until *count* refreshes came after *mark*; whether they did."""
        until = time.monotonic() + seconds
        while len(await self.since(mark)) < count:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.03)
        return True

    async def quiet(self, mark: int, least: int) -> None:
        """
        Wait until no more refreshes come, once *least* came after *mark*.

        For those no longer than answers may be held back: a service may send fewer at once.
        """
        await self.arrived(mark, least, HELD)
        before, now = -1, len(await self.since(mark))
        while before != now:
            await asyncio.sleep(QUIET)
            before, now = now, len(await self.since(mark))

    async def strangers(self, tally: Tally) -> tuple[int, int]:
        """Of the tokens handed out, how many are another person's, and how many the issuer does not take."""
        given = {
            (person.sub, token)
            for person, reply in tally.replies
            if (token := self.target.token(reply)) is not None
        }
        owners = await asyncio.gather(*(self.owner(token) for _, token in given))
        wrong = sum(owner not in (None, sub) for (sub, _), owner in zip(given, owners, strict=True))
        return wrong, owners.count(None)

    async def owner(self, token: str) -> str | None:
        """Whose a token is, if the issuer takes it."""
        google = self.place.google
        try:
            found = await away(_userinfo, google.url, token)
        except OSError:
            return None
        return str(found["sub"])

    async def lost(self, people: Iterable[Person]) -> list[Person]:
        """An hour later, whose grant gives no token any more."""
        await self.pass_time(LIFE + 100)
        asked = list(people)
        replies = await asyncio.gather(*(self.patiently(person) for person in asked))
        return [
            person for person, reply in zip(asked, replies, strict=True) if self.target.token(reply) is None
        ]

    async def patiently(self, person: Person, seconds: float = 8.0) -> Reply:
        """Ask until there is a token, or an answer that says that coming back is no use."""
        until = time.monotonic() + seconds
        while True:
            reply = await self.ask(person)
            if self.target.token(reply) is not None or refuses(reply) or time.monotonic() > until:
                return reply
            await asyncio.sleep(0.3)


def refuses(reply: Reply) -> bool:
    """Whether an answer tells the caller that asking again is no use."""
    return 400 <= reply.status < 500 and reply.status not in (408, 425, 429)


def _userinfo(url: str, token: str) -> Any:
    import json
    from urllib.request import ProxyHandler, Request, build_opener

    request = Request(f"{url}/oauth2/v3/userinfo", headers={"authorization": f"Bearer {token}"})  # noqa: S310
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        return json.loads(answer.read())
