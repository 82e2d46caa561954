"""Every fault of the menu, against redeeming, refreshing and revoking: only a true refusal costs a grant."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from grantkeeper.adapters.clock import FileClock
from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.errors import ConsentRequired, GrantkeeperError, IdTokenRejected
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.keeper.revocation import Revoker
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import Grant, GrantState, Provider, Reason, RedeemedGrant, Token
from grantkeeper.settings import Settings
from grantkeeper.testing.google import Code, GoogleEmulator
from tests.keeper.conftest import DRIVE, SCOPES
from tests.keeper.fault_kit import (
    ImpatientHttp,
    Node,
    OpenNode,
    QuickDice,
    SkippingClock,
    subject_at_google,
    told,
)
from tests.keeper.fault_table import CERTS, DISCOVERY, REVOKE, TOKEN, Document, Row

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TABLES = {"token": TOKEN, "certs": CERTS, "discovery": DISCOVERY, "revoke": REVOKE}
KEY = "idempotency-key-0123456789"
NONCE = "n-0S6_WzA2Mj"
WIDER = "https://www.googleapis.com/auth/drive"
HOUR, DAY = 3700, 90_000


@pytest.fixture(scope="module")
def google_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleEmulator]:
    """One for the whole module: every test has a person of its own."""
    place = tmp_path_factory.mktemp("google-emulator")
    with EmulatorServer(clock_file=place / "clock") as server:
        yield GoogleEmulator(
            server.url, client_secret=place / "client_secret.json", clock_file=place / "clock"
        )


@pytest.fixture
async def open_node(
    settings: Settings, google_emulator: GoogleEmulator, anyio_backend: str
) -> AsyncIterator[OpenNode]:
    """Opens keepers that are impatient with struck endpoints."""
    opened: list[KeeperCore] = []
    google_emulator.heal()
    assert settings.clock_file is not None
    file_clock = FileClock(settings.clock_file)

    async def open_one() -> Node:
        http, clock = ImpatientHttp(), SkippingClock(file_clock)
        core = await KeeperCore.open(settings, http=http, clock=clock, dice=QuickDice())
        opened.append(core)
        return Node(core, http, clock, google_emulator)

    yield open_one
    google_emulator.heal()
    for core in opened:
        await core.close()
    file_clock.close()


@pytest.fixture
async def node(open_node: OpenNode) -> Node:
    """One keeper."""
    return await open_node()


def request(code: Code, **fields: Any) -> RedeemRequest:
    return RedeemRequest(code=code, idempotency_key=KEY, scopes=list(SCOPES), **fields)


def sent(google: GoogleEmulator, kind: str) -> int:
    """How often Google got such a request, whatever came of it."""
    return sum(google.stats()["token"].get(kind, {}).values())


async def signed_in(node: Node, email: str) -> Grant:
    """A good grant whose access token has run out."""
    found = await node.core.redeem(RedeemRequest(code=node.google.code(email, SCOPES, force=True)))
    node.google.advance(HOUR)
    return await node.core.grant(found.id)


async def stored_of(core: KeeperCore) -> list[tuple[GrantState, bool]]:
    return [(grant.state, grant.refreshable) for grant in (await core.grants())[0]]


def test_every_fault_has_a_row(google_emulator: GoogleEmulator) -> None:
    """
    What the menu lists for these endpoints and what the tables expect are the same names.
    """
    menu = google_emulator.get("faults")

    for endpoint, table in TABLES.items():
        listed = {fault["name"] for fault in menu if endpoint in fault["endpoints"]}
        assert listed == set(table), endpoint


# -- the token endpoint ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "row"), TOKEN.items(), ids=TOKEN.keys())
async def test_a_code_meets_a_fault(node: Node, name: str, row: Row) -> None:
    """
    It is sent once, what can be kept is kept, a repeat is told the same, and the next sign-in works.
    """
    email = f"{name}@redeem.example"
    nonce = {"nonce": NONCE} if name.startswith("nonce") else {}
    code = node.google.code(email, SCOPES, nonce=NONCE)
    before = sent(node.google, "authorization_code")
    node.strike("token", name, **row.options)

    outcome, result = await told(node.core.redeem(request(code, **nonce)))
    node.heal()
    again, repeated = await told(node.core.redeem(request(code, **nonce)))

    assert row.redeem == outcome
    assert row.claim == (result.claim if isinstance(result, IdTokenRejected) else None)
    assert ([] if row.stored is None else [row.stored]) == await stored_of(node.core)
    assert before + 1 == sent(node.google, "authorization_code")
    assert outcome == again
    if isinstance(result, GrantkeeperError):
        assert str(result) == str(repeated)
    next_code = node.google.code(email, SCOPES, force=True)
    grant = await node.core.redeem(RedeemRequest(code=next_code))
    assert (GrantState.ACTIVE, True) == (grant.state, grant.refreshable)


@pytest.mark.parametrize(("name", "row"), TOKEN.items(), ids=TOKEN.keys())
async def test_a_refresh_meets_a_fault(node: Node, name: str, row: Row) -> None:
    """
    The caller hears what is wrong; only a true refusal changes the state, and nothing changes the token.
    """
    email = f"{name}@refresh.example"
    before = await signed_in(node, email)
    node.strike("token", name, grant_type="refresh_token", **row.options)

    outcome, result = await told(node.core.access_token(before.id))
    node.heal()

    after = await node.core.grant(before.id)
    assert row.refresh == outcome
    assert row.state == (after.state, after.reason)
    assert (before.refresh_token, before.data_key) == (after.refresh_token, after.data_key)
    assert {
        "same": before.granted,
        "narrower": before.granted - {DRIVE},
        "wider": before.granted | {WIDER},
    }[row.scopes] == after.granted
    if isinstance(result, Token):
        assert subject_at_google(node.google, result.reveal()) == before.subject.sub
    if "retry_after" in row.options:
        assert isinstance(result, GrantkeeperError)
        assert row.options["retry_after"] <= (result.retry_after or 0)
    await works_again(node, email, before, after)


async def works_again(node: Node, email: str, before: Grant, after: Grant) -> None:
    """The refresh token that was stored before the fault is the one that works after it."""
    if after.state is GrantState.BLOCKED:
        asked = sent(node.google, "refresh_token")
        assert "grant_blocked" == (await told(node.core.access_token(before.id)))[0]
        assert asked == sent(node.google, "refresh_token")
        node.google.advance(DAY)  # It is probed daily.
    elif after.state is GrantState.NEEDS_CONSENT:
        asked = sent(node.google, "refresh_token")
        outcome, result = await told(node.core.access_token(before.id))
        assert isinstance(result, ConsentRequired)
        assert (after.reason, "consent_required") == (result.reason, outcome)
        assert asked == sent(node.google, "refresh_token")
        await node.core.redeem(RedeemRequest(code=node.google.code(email, SCOPES, access_type="online")))
    node.google.advance(HOUR)

    token = await node.core.access_token(before.id)

    grant = await node.core.grant(before.id)
    assert (GrantState.ACTIVE, None) == (grant.state, grant.reason)
    assert before.refresh_token == grant.refresh_token
    assert before.subject.sub == subject_at_google(node.google, token.reveal())
    assert before.granted == token.scopes


@pytest.mark.parametrize("name", ["lost", "cut_before", "status_503", "rate_limit_exceeded"])
async def test_what_passes_is_tried_again_within_the_call(node: Node, name: str) -> None:
    """
    Two failures and a success are a success, for a refresh may be sent again.
    """
    grant = await signed_in(node, f"{name}@again.example")
    before = sent(node.google, "refresh_token")
    node.strike("token", name, grant_type="refresh_token", count=2)

    token = await node.core.access_token(grant.id)

    assert grant.subject.sub == subject_at_google(node.google, token.reveal())
    assert before + 3 == sent(node.google, "refresh_token")


@pytest.mark.parametrize("name", ["status_503", "html", "invalid_client", "lost"])
async def test_a_valid_token_is_served_through_trouble(node: Node, name: str) -> None:
    """
    Stale, the token lives a while yet: who asks for one gets it while Google is out of order.
    """
    found = await node.core.redeem(RedeemRequest(code=node.google.code(f"{name}@stale.example", SCOPES)))
    first = await node.core.access_token(found.id)
    node.google.advance(first.expires_in - 200)
    node.strike("token", name, grant_type="refresh_token")

    token = await node.core.access_token(found.id)
    short = await node.core.access_token(found.id, min_ttl=600)

    assert first.access_token == token.access_token == short.access_token
    assert (None, "min_ttl_not_met") == (token.warning, short.warning)


# -- an issuer that rotates -----------------------------------------------------------------------


@pytest.fixture
def rotating(settings: Settings, google_emulator: GoogleEmulator) -> Iterator[Settings]:
    """The client's issuer is not Google, and every refresh spends its token."""
    client = settings.clients["default"]
    google_emulator.call("PATCH", "clients", {"client_id": client.client_id, "rotation": True})
    yield dataclasses.replace(
        settings, clients={"default": dataclasses.replace(client, provider=Provider.OIDC)}
    )
    google_emulator.call("PATCH", "clients", {"client_id": client.client_id, "rotation": False})


HEALED = {
    name: row
    for name, row in TOKEN.items()
    # Not the true refusals, and not what is only about an ID token that no refresh looks at.
    if row.state == (GrantState.ACTIVE, None) and (row.claim is None or row.refresh != "ok")
}


@pytest.mark.parametrize(("name", "row"), HEALED.items(), ids=HEALED.keys())
async def test_a_rotating_issuer_meets_a_fault(
    rotating: Settings, google_emulator: GoogleEmulator, name: str, row: Row
) -> None:
    """
    The new refresh token in an answer that is broken elsewhere is kept. Where it is lost, it is said so.
    """
    google_emulator.heal()
    assert rotating.clock_file is not None
    http, clock = ImpatientHttp(), SkippingClock(FileClock(rotating.clock_file))
    core = await KeeperCore.open(rotating, http=http, clock=clock, dice=QuickDice())
    node = Node(core, http, clock, google_emulator)
    try:
        before = await signed_in(node, f"{name}@rotation.example")
        node.strike("token", name, grant_type="refresh_token", **row.options)
        outcome, _ = await told(core.access_token(before.id))
        node.heal()
        during = await core.grant(before.id)
        node.google.advance(HOUR)

        later, result = await told(core.access_token(before.id))
    finally:
        await core.close()

    assert (row.refresh, GrantState.ACTIVE) == (outcome, during.state)
    if row.rotated == "ok":
        assert "ok" == later, result
    else:
        assert isinstance(result, ConsentRequired)
        assert row.rotated == result.reason
        assert (row.rotated == Reason.ANSWER_LOST) == (during.uncertain_since is not None)


# -- documents that are only read -----------------------------------------------------------------


DOCUMENTS = [
    pytest.param(endpoint, name, row, id=f"{endpoint}-{name}")
    for endpoint, table in (("certs", CERTS), ("discovery", DISCOVERY))
    for name, row in table.items()
]


@pytest.mark.parametrize(("endpoint", "name", "row"), DOCUMENTS)
async def test_a_code_needs_documents(node: Node, endpoint: str, name: str, row: Document) -> None:
    """
    They are fetched before the code is sent: if they are not to be had, the code is as good as before.
    """
    code = node.google.code(f"{name}@{endpoint}.redeem.example", SCOPES)
    before = sent(node.google, "authorization_code")
    node.strike(endpoint, name, **row.options)

    outcome, result = await told(node.core.redeem(request(code)))
    asked = sent(node.google, "authorization_code") - before
    node.heal()
    later, again = await told(node.core.redeem(request(code)))

    assert row.redeem == outcome
    assert row.claim == (result.claim if isinstance(result, IdTokenRejected) else None)
    assert (0 if outcome == "issuer_unavailable" else 1) == asked
    assert before + 1 == sent(node.google, "authorization_code")
    if row.claim is None:
        assert isinstance(again, RedeemedGrant)
        assert (GrantState.ACTIVE, code.sub) == (again.state, again.subject)
    else:
        assert (outcome, []) == (later, await stored_of(node.core))


@pytest.mark.parametrize(("endpoint", "name", "row"), DOCUMENTS)
async def test_a_refresh_and_documents(open_node: OpenNode, endpoint: str, name: str, row: Document) -> None:
    """
    A new process must read where to send a refresh, but needs no keys; the grant stays as it is.
    """
    before = await signed_in(await open_node(), f"{name}@{endpoint}.refresh.example")
    node = await open_node()
    node.strike(endpoint, name, **row.options)

    outcome, _ = await told(node.core.access_token(before.id))
    node.heal()
    token = await node.core.access_token(before.id)

    assert ("ok" if endpoint == "certs" else row.redeem) == outcome
    after = await node.core.grant(before.id)
    assert (GrantState.ACTIVE, None) == (after.state, after.reason)
    assert before.refresh_token == after.refresh_token
    assert before.subject.sub == subject_at_google(node.google, token.reveal())


# -- revoking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_told", "options"),
    [(name, *row) for name, row in REVOKE.items()],
    ids=REVOKE.keys(),
)
async def test_a_revocation_meets_a_fault(
    node: Node, name: str, is_told: bool, options: dict[str, Any]
) -> None:
    """
    The grant is over here at once; Google is told until it has heard, and then nothing sealed is left.
    """
    email = f"{name}@revoke.example"
    before = await signed_in(node, email)
    node.strike("revoke", name, **options)

    done = await node.core.revoke(before.id)
    node.heal()

    outcome, result = await told(node.core.access_token(before.id))
    during = await node.core.grant(before.id)
    assert (is_told, GrantState.REVOKED) == (done.told, done.state)
    assert isinstance(result, ConsentRequired)
    assert ("consent_required", Reason.REVOKED) == (outcome, result.reason)
    assert (None if is_told else before.refresh_token) == during.refresh_token
    assert is_told == (during.revocation_due is None)

    node.clock.skip()
    node.google.advance(timedelta(hours=7).total_seconds())
    revoker: Revoker = node.core._revoker
    assert (0 if is_told else 1) == await revoker.deliver_due()
    tombstone = await node.core.grant(before.id)
    assert (None, None, None) == (tombstone.refresh_token, tombstone.data_key, tombstone.revocation_due)
    if name != "invalid_token":  # There the fault itself says that the token is unknown.
        assert 0 == node.google.get(f"refresh_tokens?email={email}")["live"]
