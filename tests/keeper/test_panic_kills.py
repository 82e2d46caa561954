"""A panic that is killed at every write, before and after it, and resumed: nothing is skipped or lost."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from grantkeeper.adapters.dice import SystemDice
from grantkeeper.adapters.memory import MemoryStore
from grantkeeper.adapters.sealing import generate_keys, load_keys
from grantkeeper.issuer import Issuer
from grantkeeper.keeper.cache import Cache
from grantkeeper.keeper.means import Means
from grantkeeper.keeper.panic import Panic
from grantkeeper.keeper.panic_choice import Choice
from grantkeeper.keeper.panic_report import verified
from grantkeeper.keeper.panic_run import Runs
from grantkeeper.keeper.revocation import Revoker
from grantkeeper.keeper.seals import Seals
from grantkeeper.keeper.sessions import Sessions
from grantkeeper.model import GrantState
from grantkeeper.ports import Insert, Sealer
from grantkeeper.protocol.message import HttpRequest
from grantkeeper.protocol.session import public_jwks
from grantkeeper.secret import RefreshToken
from grantkeeper.testing.clock import ManualClock
from grantkeeper.testing.records import a_grant
from tests.keeper.fake_issuer import REVOKE, client, obliging

pytestmark = pytest.mark.anyio

GRANTS = 5
WRITES = {"commit", "set_mark", "append", "take", "renew"}


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """A store whose process dies at one of its writes, before or after it is done; dead, it does nothing."""

    def __init__(self, store: MemoryStore, at: int, *, after: bool) -> None:
        self._store = store
        self._left = at
        self._after = after
        self.dead = False

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        inner = getattr(self._store, name)

        async def call(*given: Any, **named: Any) -> Any:
            if self.dead:
                raise Killed
            dies = False
            if name in WRITES:
                self._left -= 1
                dies = self.dead = self._left == 0
            if dies and not self._after:
                raise Killed
            done = await inner(*given, **named)
            if dies:
                raise Killed
            return done

        return call


class Place:
    """A database of some grants with an issuer that listens, and processes on it that come and go."""

    def __init__(self, sealer: Sealer) -> None:
        self.clock = ManualClock()
        self.sealer = sealer
        self.store = MemoryStore(monotonic=self.clock.monotonic)
        self.http = obliging()
        self.told: Counter[str] = Counter()
        self.http.before = self._count

    async def _count(self, request: HttpRequest) -> None:
        if request.url == REVOKE:
            self.told[self.http.sent[-1].form["token"]] += 1

    def process(self, store: Any) -> Panic:
        means = Means(
            store=store,
            sealer=self.sealer,
            clock=self.clock,
            dice=SystemDice(),
            clients={"default": client()},
            issuer=Issuer(self.http, self.clock),
        )
        revoker = Revoker(means, Cache(), Seals(self.sealer))
        return Panic(means, revoker, Sessions(means, None), page=2)

    async def fill(self) -> None:
        seals = Seals(self.sealer)
        for number in range(1, GRANTS + 1):
            made = replace(
                a_grant(number),
                client_id=client().client_id,
                state=GrantState.ACTIVE,
                created_at=self.clock.now() - timedelta(days=1),
                consented_at=None,
                revocation_due=None,
                waiting=None,
                profile=None,
            )
            made = replace(made, data_key=seals.new_key(made))
            sealed = seals.seal_refresh_token(made, RefreshToken(f"token-{number}"), 1)
            await self.store.commit(Insert(replace(made, refresh_token=sealed)))


@pytest.fixture(scope="module")
def sealer(tmp_path_factory: pytest.TempPathFactory) -> Sealer:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    generate_keys(path)
    return load_keys(path)


async def killed_at(place: Place, run: str, report: Path, at: int, *, after: bool) -> bool:
    """Work on a run until the process dies at a write; whether it did."""
    mortal = Mortal(place.store, at, after=after)
    try:
        await place.process(mortal).work(run, report)
    except Killed:
        # Long enough for every lease of the dead to lapse.
        place.clock.tick(60)
        return True
    return False


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after it"])
async def test_a_run_killed_at_any_write_goes_on(sealer: Sealer, tmp_path: Path, after: bool) -> None:
    """
    For every write of a run: killed there and resumed, each token is told, the report is whole, and no answer
    that was written down is asked for again.
    """
    at = 0
    while True:
        at += 1
        place = Place(sealer)
        await place.fill()
        run = await place.process(place.store).begin(Choice(everything=True), by="test", rate=1000)
        report = tmp_path / f"{at}-{after}.jsonl"
        died = await killed_at(place, run.id, report, at, after=after)
        ended = await place.process(place.store).work(run.id, report)
        found = verified(report, public_jwks(await place.store.signing_keys()))

        assert {f"token-{number}" for number in range(1, GRANTS + 1)} == set(place.told)
        # The one whose answer was on the wire when the process died may be told again.
        assert sum(place.told.values()) <= GRANTS + (2 if died else 0)
        assert (GRANTS, {"revoked": GRANTS}) == (found["grants"], found["answers"])
        assert ended.finished_at is not None
        assert [] == await Runs(place.store).unfinished()
        if not died:
            break
    assert at > 20


async def test_a_run_killed_again_and_again_ends(sealer: Sealer, tmp_path: Path) -> None:
    """
    Every process lives for nine writes only; together they do it all.
    """
    place = Place(sealer)
    await place.fill()
    run = await place.process(place.store).begin(Choice(everything=True), by="test", rate=1000)
    lives = 1
    while await killed_at(place, run.id, tmp_path / "report.jsonl", 9, after=True):
        lives += 1
    found = verified(tmp_path / "report.jsonl", public_jwks(await place.store.signing_keys()))

    assert lives > 3
    assert (GRANTS, {"revoked": GRANTS}) == (found["grants"], found["answers"])
