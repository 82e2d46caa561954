"""
The wrapping key is changed under a hundred thousand grants while four nodes serve.

The grants in the way have true data keys and nothing else that opens; the few that are asked for all
the while signed in like anybody.
"""

import asyncio
import json
import random
import secrets
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg

from grantkeeper.adapters.records import GRANT, grant_row
from grantkeeper.adapters.sealing import load_keys
from grantkeeper.ids import uuid7
from grantkeeper.model import Grant, GrantState, IdentitySource, Sealed, Subject
from tests.chaos.calls import Calls, away
from tests.chaos.parts import HOUR, Counts
from tests.chaos.postgres_town import PostgresTown
from tests.chaos.sizes import Size
from tests.chaos.storms import NODES, sign_in_many
from tests.chaos.town import Node, some

BUSY_GRANTS = 100
REPORT_LIMIT = 60.0
"""Seconds in which every node must have said that it has the new key, and the work begun."""


async def crowd(town: PostgresTown, count: int) -> None:
    """*count* grants of nobody, whose data keys are as true as any."""
    sealer = load_keys(town.folder / "keys.json")
    client = json.loads((town.folder / "client_secret.json").read_text(encoding="utf-8"))["web"]
    now = datetime.now(UTC)
    model = Grant(
        id="",
        client_id=client["client_id"],
        subject=Subject(town.google.issuer, ""),
        state=GrantState.ACTIVE,
        identity_source=IdentitySource.ANSWER,
        created_at=now,
        refresh_token=Sealed(b"", 1),
        generation=1,
    )
    connection = await asyncpg.connect(town.url)
    try:
        for first in range(0, count, 5_000):
            rows = []
            for number in range(first, min(first + 5_000, count)):
                grant_id = uuid7(now, secrets.token_bytes(10))
                grant = replace(
                    model,
                    id=grant_id,
                    subject=Subject(town.google.issuer, f"crowd-{number}"),
                    data_key=sealer.new_key(model.client_id, grant_id),
                    refresh_token=Sealed(secrets.token_bytes(120), 1),
                )
                rows.append(grant_row(grant, 1))
            await connection.copy_records_to_table("grants", records=rows, columns=GRANT)
    finally:
        await connection.close()


class Backends:
    """Ask for the same grants' tokens all the while, and count what they are told."""

    def __init__(self, calls: Calls, nodes: list[Node], grants: list[str], dice: random.Random) -> None:
        self.calls = calls
        self.nodes = nodes
        self.grants = grants
        self.dice = dice
        self.answers: Counts = Counter()
        self.ending = False

    async def ask_on(self) -> None:
        """Until told to end."""
        while not self.ending:
            answer = await self.calls.token(some(self.dice, self.nodes).url, self.dice.choice(self.grants))
            self.answers[answer.error] += 1
            await asyncio.sleep(0.01)


async def key_rotation(town: PostgresTown, seed: int, rounds: int, size: Size) -> Counts:
    """A new wrapping key under 100,000 grants while four nodes serve: nothing fails, nothing is left."""
    counts: Counts = Counter()
    nodes = await away(town.at_least, NODES)
    grants = await sign_in_many(town, nodes, seed, BUSY_GRANTS)
    await crowd(town, size.rewrapped)
    async with Calls(town.caller_key, together=16) as calls:
        for turn in range(rounds):
            dice = random.Random(seed + turn)
            backends = Backends(calls, nodes, grants, dice)
            asking = [asyncio.ensure_future(backends.ask_on()) for _ in range(4)]
            old = json.loads(await away(town.run, "keys", "list", "--json"))["keys"][0]["id"]
            new = json.loads(await away(town.run, "keys", "rotate", "--json"))["id"]
            began = time.monotonic()
            counts["rewrapped_when_first_killed"] += await _rewrap_and_kill(town, old, dice)
            # Meanwhile refreshes write the rows that are rewrapped.
            await away(town.google.advance, HOUR)
            counts["rewrapped_when_killed_again"] += await _rewrap_and_kill(town, old, dice)
            left, resumed = await away(_under, town, old), time.monotonic()
            await away(town.run, "keys", "rewrap", "--rate", "0", "--json")
            counts["rewrapped_without_a_limit"] += left
            counts["seconds_of_that"] += round(time.monotonic() - resumed)
            counts["seconds_with_the_waiting"] += round(time.monotonic() - began)
            proof = json.loads(await away(town.run, "keys", "prove", "--key", str(old), "--json"))
            backends.ending = True
            await asyncio.gather(*asking)

            assert {"ok"} == set(backends.answers), backends.answers
            assert 0 == await away(_under, town, old), "something is left under the old key"
            assert size.rewrapped + BUSY_GRANTS <= await away(_under, town, new)
            counts.update(
                grants=size.rewrapped + BUSY_GRANTS,
                requests=backends.answers["ok"],
                refreshes=(await away(town.count, "refresh_token")).get("ok", 0),
                proofs=1 if proof else 0,
                kills=2,
            )
    return counts


def _under(town: PostgresTown, key: int) -> int:
    """How many grants' data keys are wrapped under that key: its id follows the first byte (tink)."""
    wrapped = key.to_bytes(4, "big")
    return int(town.ask("SELECT count(*) FROM grants WHERE substr(data_key, 2, 4) = $1", wrapped)[0][0])


async def _rewrap_and_kill(town: PostgresTown, old: int, dice: random.Random) -> int:
    """Begin (or go on) to rewrap, kill it in the middle; how many it had done."""
    before = await away(_under, town, old)
    # Slowly enough to be there when it is killed.
    process = await away(town.begin, "keys", "rewrap", "--rate", str(before // 10), "--json")
    try:
        until = time.monotonic() + REPORT_LIMIT
        while before == (left := await away(_under, town, old)):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until, "it does not begin"
            await asyncio.sleep(0.05)
        await asyncio.sleep(dice.uniform(0.0, 1.0))
    finally:
        process.kill()
        await away(process.wait)
    left = await away(_under, town, old)
    assert 0 < left < before, "it was not killed in the middle"
    return before - left
