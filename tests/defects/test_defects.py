"""
D1 to D9: what nearly every system that refreshes tokens does wrong, shown not to happen here.

Each proof is played a second time by `tests.defects.test_mutants`, against a product that has the defect.
"""

import asyncio

import pytest

from grantkeeper.errors import ConsentRequired
from grantkeeper.model import GrantState, Lease, Reason
from grantkeeper.protocol.message import HttpResponse
from tests.chaos.calls import away
from tests.defects.services import Services
from tests.defects.stage import OLD, REFUSED, Stage, token_answer, until
from tests.keeper.fake_issuer import answers

pytestmark = pytest.mark.anyio

BUSY = answers(503, {"error": "temporarily_unavailable"}, retry_after="60")
"""With a rest long enough that nobody tries again before the caller is told."""


@pytest.mark.processes
async def test_d1_processes_share_one_refresh(services: Services) -> None:
    """
    Two services on one database are asked at once for a token that has run out: Google is asked once.
    """
    await services.start(2)
    grant = await services.sign_in("ada@example.com")
    await away(services.google.advance, 3700)
    # Long enough that the second process has begun while the first is at Google.
    await away(services.google.fault, "token", "slow", seconds=5.0)

    tokens = await services.ask_all(grant, 20)

    assert 1 == await services.refreshes()
    assert 1 == len(set(tokens))
    assert tokens[0].startswith("ya29.")


async def test_d2_a_lease_outlasts_the_call(stage: Stage) -> None:
    """
    When a call has taken all the time it may, the lease under which it was sent still stands.
    """
    grant = await stage.grant()
    first, second = await stage.node(), await stage.node()
    asking = first.ask(grant)
    call = await stage.issuer.refresh(1)
    await stage.database.age_leases(call.seconds)

    waiting = second.ask(grant)
    await until(lambda: second.store.refusals > 0 or len(stage.issuer.asked) > 1, "a second asker")

    assert 1 == len(stage.issuer.asked)
    assert call.lease_left > call.seconds
    call.answered(token_answer(1))
    assert {"access-token-1"} == {*await asyncio.gather(asking, waiting)}


async def test_d2_a_lease_is_renewed_before_another_try(stage: Stage) -> None:
    """
    A slow failure is tried again under a lease that again outlasts the call.
    """
    grant = await stage.grant()
    asking = (await stage.node()).ask(grant)
    first = await stage.issuer.refresh(1)
    await stage.database.age_leases(first.seconds)
    first.answered(answers(503, {"error": "temporarily_unavailable"}))

    second = await stage.issuer.refresh(2)

    assert second.lease_left > second.seconds
    second.answered(token_answer(2))
    assert "access-token-2" == await asking


async def test_d3_a_late_owner_frees_nobody_elses_lease(stage: Stage) -> None:
    """
    One stalls past its lease, another takes it over, the first fails and cleans up: a third still waits.
    """
    grant = await stage.grant()
    late, owner, third = await stage.node(), await stage.node(), await stage.node()
    failing = late.ask(grant)
    stalled = await stage.issuer.refresh(1)
    await stage.database.age_leases(3600)
    asking = owner.ask(grant)
    call = await stage.issuer.refresh(2)

    stalled.answered(BUSY)
    assert "issuer_unavailable" == await failing
    waiting = third.ask(grant)
    await until(lambda: third.store.refusals > 0 or len(stage.issuer.asked) > 2, "a third asker")

    assert 2 == len(stage.issuer.asked)
    call.answered(token_answer(2))
    assert {"access-token-2"} == {*await asyncio.gather(asking, waiting)}


async def test_d3_a_refresh_overwrites_nothing_of_others(stage: Stage) -> None:
    """
    Somebody changes the grant between the reading of its row and the saving of the answer: both stay.
    """
    grant = await stage.grant()
    refreshing, other = await stage.node(), await stage.node()
    asking = refreshing.ask(grant)
    call = await stage.issuer.refresh(1)

    async def attach() -> None:
        await other.core.attach(grant, "user-7")

    refreshing.store.after_get = attach
    call.answered(token_answer(1, rotated=True))

    assert "access-token-1" == await asking
    assert refreshing.store.after_get is None, "nobody has read the row before saving"
    row = await other.core.grant(grant)
    assert ("user-7", 2) == (row.user, row.generation)


async def test_d4_without_the_lease_nothing_is_sent(stage: Stage) -> None:
    """
    Who cannot have the lease in time tells the caller to come back; that it was not had stays true.
    """
    grant = await stage.grant()
    node = await stage.node()
    claim = await node.core.store.take(f"refresh:{grant}", "somebody", seconds=3600.0)
    assert isinstance(claim, Lease)
    stage.issuer.usual = token_answer(1)
    asking = node.ask(grant)
    await until(lambda: node.store.refusals > 0, "a refused lease")

    # Past every patience; polls and notifications go on in real time.
    stage.clock.tick(600.0)

    assert "issuer_unavailable" == await asking
    assert 0 == len(stage.issuer.asked)
    assert await node.core.store.check(claim) > 3000.0
    assert GrantState.ACTIVE == (await node.core.grant(grant)).state


async def test_d5_a_loser_takes_over_what_the_winner_stored(stage: Stage) -> None:
    """
    A late refusal of a token that was rotated meanwhile changes nothing; its caller gets the new token.
    """
    grant = await stage.grant()
    loser, winner = await stage.node(), await stage.node()
    losing = loser.ask(grant)
    late = await stage.issuer.refresh(1)
    await stage.database.age_leases(3600)
    winning = winner.ask(grant)
    (await stage.issuer.refresh(2)).answered(token_answer(2, rotated=True))
    assert "access-token-2" == await winning

    late.answered(REFUSED)

    assert "access-token-2" == await losing
    row = await loser.core.grant(grant)
    assert (GrantState.ACTIVE, None, 2) == (row.state, row.reason, row.generation)
    assert 2 == len(stage.issuer.asked)


async def test_d6_who_waited_takes_what_was_brought(stage: Stage) -> None:
    """
    When the lease is free, the one who waited for it reads the row again and does not refresh.
    """
    grant = await stage.grant()
    first, second = await stage.node(), await stage.node()
    asking = first.ask(grant)
    call = await stage.issuer.refresh(1)
    waiting = second.ask(grant)
    await until(lambda: second.store.refusals > 0, "a refused lease")

    stage.issuer.usual = token_answer(2)
    call.answered(token_answer(1))

    assert {"access-token-1"} == {*await asyncio.gather(asking, waiting)}
    assert 1 == len(stage.issuer.asked)


async def test_d7_a_refresh_outlives_its_caller(stage: Stage) -> None:
    """
    The only caller leaves while the issuer thinks: the answer is stored, and serves everybody after.
    """
    grant = await stage.grant()
    node, other = await stage.node(), await stage.node()
    leaving = node.ask(grant)
    call = await stage.issuer.refresh(1)
    leaving.cancel()
    await asyncio.wait([leaving])

    stage.issuer.usual = token_answer(2)
    call.answered(token_answer(1))
    await node.landed()

    assert "access-token-1" == await other.ask(grant)
    assert "access-token-1" == await node.ask(grant)
    assert 1 == len(stage.issuer.asked)


async def test_d8_a_valid_token_is_served_through_trouble(stage: Stage) -> None:
    """
    A refresh before the end fails: the token at hand is good for half an hour and is handed out.
    """
    grant = await stage.grant(expires_in=1800)
    node = await stage.node()
    stage.issuer.usual = BUSY

    token = await node.ask(grant, min_ttl=3000)

    assert OLD == token
    assert 1 == len(stage.issuer.asked)
    assert GrantState.ACTIVE == (await node.core.grant(grant)).state


TROUBLES: dict[str, tuple[HttpResponse, str]] = {
    "busy": (BUSY, "issuer_unavailable"),
    "too many requests": (
        answers(429, {"error": "rate_limit_exceeded"}, retry_after="60"),
        "issuer_unavailable",
    ),
    "a page instead of an answer": (
        HttpResponse(502, b"<html>", {"retry-after": "60"}),
        "issuer_unavailable",
    ),
    "our client is refused": (answers(401, {"error": "invalid_client"}), "client_misconfigured"),
}


async def test_d9_trouble_costs_no_grant(stage: Stage) -> None:
    """
    Whatever goes wrong at the issuer or with our client, the grant is as before and works when it is over.
    """
    for number, (trouble, (answer, told)) in enumerate(TROUBLES.items(), 1):
        grant = await stage.grant(number=number)
        node = await stage.node()
        stage.issuer.usual = answer

        assert told == await node.ask(grant), trouble
        row = await node.core.grant(grant)
        assert (GrantState.ACTIVE, None) == (row.state, row.reason), trouble
        stage.issuer.usual = token_answer(number)
        # Past every rest of a circuit.
        stage.clock.tick(3600.0)
        assert f"access-token-{number}" == await node.ask(grant), trouble


async def test_d9_a_refusal_is_final(stage: Stage) -> None:
    """
    A grant that is gone is told as such, with its reason, and the issuer is not asked for it again.
    """
    grant = await stage.grant()
    node, other = await stage.node(), await stage.node()
    stage.issuer.usual = REFUSED

    assert "consent_required" == await node.ask(grant)
    assert "consent_required" == await other.ask(grant)
    assert 1 == len(stage.issuer.asked)
    with pytest.raises(ConsentRequired) as caught:
        await node.core.access_token(grant)
    assert Reason.REVOKED == caught.value.reason
