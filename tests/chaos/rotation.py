"""
The wrapping key is changed under a hundred thousand grants while four nodes serve.

The grants in the way have true data keys and nothing else that opens; the few that are asked for all
the while signed in like anybody.
"""

import asyncio
import json
import random
import secrets
import subprocess
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
"""Seconds in which every node must have said that it has the new key."""


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
    """A new wrapping key under 100,000 grants while four nodes serve: no failed request, nothing under the old key."""
    counts: Counts = Counter()
    nodes = await away(town.at_least, NODES)
    grants = await sign_in_many(town, nodes, seed, BUSY_GRANTS)
    await crowd(town, size.rewrapped)
    async with Calls(town.caller_key, together=16) as calls:
        for turn in range(rounds):
            dice = random.Random(seed + turn)
            backends = Backends(calls, nodes, grants, dice)
            asking = [asyncio.ensure_future(backends.ask_on()) for _ in range(4)]
            old = await away(_primary, town)
            await away(town.run, "keys", "rotate", "--json")
            new = await _until_another_is_primary(town, old)
            began = time.monotonic()
            for _ in range(2):
                await _begin_and_kill(town, dice.uniform(1.0, 3.0))
                # Refreshes write the rows that are rewrapped.
                await away(town.google.advance, HOUR)
                counts.update(kills=1)
            await away(town.run, "keys", "rewrap", "--rate", "0", "--json")
            counts["seconds"] += round(time.monotonic() - began)
            proof = json.loads(await away(town.run, "keys", "prove", "--key", str(old), "--json"))
            backends.ending = True
            await asyncio.gather(*asking)

            assert {"ok"} == set(backends.answers), backends.answers
            assert old != new
            counts.update(
                rewrapped=size.rewrapped + BUSY_GRANTS, requests=backends.answers["ok"], proofs=bool(proof)
            )
    return counts
