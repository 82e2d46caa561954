"""Redeeming: policies by source, exactly one send, whose grant it is, and no refresh token lost."""

import asyncio
import base64
import dataclasses
import hashlib
from typing import Any

import pytest

from grantkeeper.errors import (
    ClientMisconfigured,
    CodeAlreadyRedeemed,
    CodeRefused,
    GrantkeeperError,
    IdempotencyMismatch,
    IdentityUnknown,
    IdTokenRejected,
    InvalidRequest,
    IssuerUnavailable,
    OutcomeUnknown,
    WrongAccount,
)
from grantkeeper.issuer import PAUSE
from grantkeeper.keeper.plan import RedeemRequest
from grantkeeper.library.core import KeeperCore
from grantkeeper.model import GrantState, IdentitySource, Reason, RedeemedGrant
from grantkeeper.protocol.scopes import EMAIL, OPENID, PROFILE
from grantkeeper.testing.google import GoogleEmulator
from tests.keeper.conftest import DRIVE, FILES, SCOPES, Opener
from tests.keeper.delivery_kit import fails_at
from tests.waiting import eventually, struck

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"
KEY = "idempotency-key-0123456789"
VERIFIER = "v" * 43


def redeem(core: KeeperCore, code: object, **fields: Any) -> "asyncio.Task[RedeemedGrant]":
    return asyncio.ensure_future(core.redeem(RedeemRequest(code=code, **fields)))


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


async def refused(core: KeeperCore, code: object, **fields: Any) -> GrantkeeperError:
    with pytest.raises(GrantkeeperError) as caught:
        await redeem(core, code, **fields)
    return caught.value


async def test_a_phones_code_becomes_a_grant(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Who signed in and what was granted come back; the row is stored before that.
    """
    code = google_emulator.code(ADA, SCOPES)

    grant = await redeem(core, code, scopes=list(SCOPES))

    assert (code.sub, GrantState.ACTIVE, True) == (grant.subject, grant.state, grant.refreshable)
    assert {OPENID, EMAIL, PROFILE, DRIVE} == grant.scopes
    assert frozenset() == grant.missing_scopes
    assert grant.profile is not None
    assert ADA == grant.profile.email
    stored = await core.grant(grant.id)
    assert (1, IdentitySource.ANSWER) == (stored.version, stored.identity_source)


async def test_an_empty_redirect_uri_is_really_transmitted(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    For a phone's code the parameter is there and empty; left out, Google may refuse it.
    """
    await redeem(core, google_emulator.code(ADA, SCOPES, source="ios"))
    await redeem(core, google_emulator.code(ADA, SCOPES, source="android"), source="android")

    assert {"ios": {"empty": 1}, "android": {"empty": 1}} == google_emulator.stats()["redirect_uri"]


async def test_a_popups_code_is_sent_with_postmessage(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The popup's value is the settings' own.
    """
    code = google_emulator.code(ADA, SCOPES, source="web-popup")

    grant = await redeem(core, code, source="web-popup")

    assert GrantState.ACTIVE == grant.state


async def test_a_code_from_another_source_is_the_operators_to_mend(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    A popup's code posted as a phone's is spent, and the hint says where to look; other codes still work.
    """
    error = await refused(core, google_emulator.code(ADA, SCOPES, source="web-popup"), source="ios")
    after = await redeem(core, google_emulator.code("bob@example.com", SCOPES))

    assert isinstance(error, ClientMisconfigured)
    assert "redirect.<source>" in error.hint
    assert GrantState.ACTIVE == after.state


async def test_a_web_code_needs_its_verifier_and_selects_its_redirect(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Without a caller key the verifier is a must; the redirect_uri only chooses what the settings list.
    """
    uri = google_emulator.url + "/emulator/callback"
    options = {"source": "web", "redirect_uri": uri}
    code = google_emulator.code(ADA, SCOPES, code_challenge=challenge(VERIFIER), **options)

    without = await refused(core, code, **options)
    elsewhere = await refused(
        core, code, source="web", redirect_uri="https://evil.example/cb", code_verifier=VERIFIER
    )
    grant = await redeem(core, code, code_verifier=VERIFIER, **options)

    assert isinstance(without, InvalidRequest)
    assert isinstance(elsewhere, InvalidRequest)
    assert GrantState.ACTIVE == grant.state


async def test_a_nonce_must_come_back(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    The same nonce passes; absent is as wrong as different.
    """
    good = await redeem(core, google_emulator.code(ADA, SCOPES, nonce="n-1"), nonce="n-1")
    absent = await refused(core, google_emulator.code(ADA, SCOPES), nonce="n-1")
    different = await refused(core, google_emulator.code(ADA, SCOPES, nonce="n-2"), nonce="n-1")

    assert GrantState.ACTIVE == good.state
    for error in (absent, different):
        assert isinstance(error, IdTokenRejected)
        assert "nonce" == error.claim


async def test_the_same_code_fifty_times_at_once_is_sent_once(
    open_core: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    One wins, over two keepers on one file; all others are told that it was posted before.
    """
    cores = [await open_core(), await open_core()]
    code = google_emulator.code(ADA, SCOPES)

    results = await asyncio.gather(
        *[redeem(cores[turn % 2], code) for turn in range(50)], return_exceptions=True
    )

    assert 1 == sum(isinstance(one, RedeemedGrant) for one in results)
    assert 49 == sum(isinstance(one, CodeAlreadyRedeemed) for one in results)
    assert 1 == google_emulator.count("token", "authorization_code")


async def test_a_repeat_with_the_same_key_gets_the_same_answer(
    open_core: Opener, google_emulator: GoogleEmulator
) -> None:
    """
    At once, later, and at another node; Google sees the code once.
    """
    cores = [await open_core(), await open_core()]
    code = google_emulator.code(ADA, SCOPES)

    first = await asyncio.gather(*[redeem(cores[turn % 2], code, idempotency_key=KEY) for turn in range(8)])
    later = await redeem(cores[1], code, idempotency_key=KEY)

    assert {later.id} == {grant.id for grant in first}
    assert later.session is not None
    assert 1 == google_emulator.count("token", "authorization_code")


async def test_a_late_repeat_gets_no_session(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    After ten minutes the answer is still told, but nobody is signed in by it.
    """
    code = google_emulator.code(ADA, SCOPES)
    first = await redeem(core, code, idempotency_key=KEY)

    google_emulator.advance(601)
    later = await redeem(core, code, idempotency_key=KEY)

    assert first.session is not None
    assert (first.id, None) == (later.id, later.session)


async def test_a_failure_is_replayed(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    A refused code is refused again, by us.
    """
    first = await refused(core, "4/0never-issued", idempotency_key=KEY)
    again = await refused(core, "4/0never-issued", idempotency_key=KEY)

    assert isinstance(first, CodeRefused)
    assert (first.code, first.text) == (again.code, again.text)
    assert 1 == google_emulator.count("token", "authorization_code", "invalid_grant")


async def test_a_key_is_for_one_code(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    The same key with another code is a mistake, and the other code is not spent by it.
    """
    await redeem(core, google_emulator.code(ADA, SCOPES), idempotency_key=KEY)
    other = google_emulator.code(ADA, SCOPES)

    error = await refused(core, other, idempotency_key=KEY)

    assert isinstance(error, IdempotencyMismatch)
    assert GrantState.ACTIVE == (await redeem(core, other)).state


async def test_the_same_key_from_another_source_is_another_request(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    A repeat must be equal in all that decides; else it is a second post of the code, and noted.
    """
    code = google_emulator.code(ADA, SCOPES)
    grant = await redeem(core, code, idempotency_key=KEY)

    error = await refused(core, code, idempotency_key=KEY, source="android")

    assert isinstance(error, CodeAlreadyRedeemed)
    events = [event for _, event in await core.store.events(limit=1000)]
    assert [grant.id] == [event.grant_id for event in events if event.name == "code.repeated"]


async def test_nothing_is_spent_when_nothing_was_sent(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    If discovery or keys cannot be had, the code stays good and any retry starts anew.
    """
    code = google_emulator.code(ADA, SCOPES)
    google_emulator.fault("discovery", "status_503")
    error = await refused(core, code, idempotency_key=KEY)
    google_emulator.heal()
    await asyncio.sleep(PAUSE)

    grant = await redeem(core, code, idempotency_key=KEY)

    assert isinstance(error, IssuerUnavailable)
    assert GrantState.ACTIVE == grant.state


async def test_a_lost_answer_is_an_unknown_outcome(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    The code is never sent again, and a repeat is told the same.
    """
    google_emulator.fault("token", "lost", count=1)
    code = google_emulator.code(ADA, SCOPES)

    first = await refused(core, code, idempotency_key=KEY)
    again = await refused(core, code, idempotency_key=KEY)

    assert isinstance(first, OutcomeUnknown)
    assert isinstance(again, OutcomeUnknown)
    counts = google_emulator.stats()["token"]["authorization_code"]
    assert 1 == sum(counts.values())


async def test_an_answer_without_refresh_token_keeps_the_old_one(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    A second sign-in without consent brings none; the grant works as before.
    """
    first = await redeem(core, google_emulator.code(ADA, SCOPES))
    before = await core.grant(first.id)

    second = await redeem(core, google_emulator.code(ADA, SCOPES))
    after = await core.grant(first.id)

    assert first.id == second.id
    assert (GrantState.ACTIVE, True) == (second.state, second.refreshable)
    assert before.refresh_token == after.refresh_token
    google_emulator.advance(3700)
    assert DRIVE in (await core.access_token(first.id)).scopes


async def test_no_refresh_token_at_all_says_what_to_do(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The user had consented before we knew them: 200, but not refreshable, with reason and hint.
    """
    google_emulator.code(ADA, SCOPES)
    grant = await redeem(core, google_emulator.code(ADA, SCOPES, access_type="online"))

    assert (GrantState.NEEDS_CONSENT, Reason.NO_REFRESH_TOKEN) == (grant.state, grant.reason)
    assert not grant.refreshable
    assert grant.hint
    assert grant.session is None


async def test_a_broken_grant_revives_on_proof_alone(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    A sign-in without refresh token mends a broken grant only if one refresh with the old one works.
    """
    grant = await redeem(core, google_emulator.code(ADA, SCOPES))
    google_emulator.advance(3700)
    google_emulator.fault("token", "invalid_grant", count=1)
    with pytest.raises(GrantkeeperError):
        await core.access_token(grant.id)
    assert GrantState.NEEDS_CONSENT == (await core.grant(grant.id)).state

    again = await redeem(core, google_emulator.code(ADA, SCOPES, access_type="online"))

    assert (grant.id, GrantState.ACTIVE) == (again.id, again.state)
    assert 1 == google_emulator.count("token", "refresh_token")


async def test_a_repeat_is_told_what_the_proof_came_to(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The outcome was written before the refresh that revived the grant; a repeat gets what that brought.
    """
    grant = await redeem(core, google_emulator.code(ADA, SCOPES))
    google_emulator.advance(3700)
    google_emulator.fault("token", "invalid_grant", count=1)
    with pytest.raises(GrantkeeperError):
        await core.access_token(grant.id)
    code = google_emulator.code(ADA, SCOPES, access_type="online")

    first = await redeem(core, code, idempotency_key=KEY)
    again = await redeem(core, code, idempotency_key=KEY)

    assert first.session is not None and again.session is not None
    assert dataclasses.replace(first, session=None) == dataclasses.replace(again, session=None)
    assert GrantState.ACTIVE == again.state
    assert 1 == google_emulator.count("token", "refresh_token"), "the repeat found nothing left to prove"


async def test_a_narrower_new_token_waits_until_the_stored_is_tried(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The stored token opens more and works: the new one is dropped, and never revoked at Google.
    """
    grant = await redeem(core, google_emulator.code(ADA, [*SCOPES, FILES]))
    narrow = google_emulator.code(ADA, SCOPES, force=True, include_granted_scopes=False)

    again = await redeem(core, narrow)

    stored = await core.grant(grant.id)
    assert stored.waiting is None
    assert FILES in stored.granted
    assert GrantState.ACTIVE == again.state
    assert {} == google_emulator.stats()["revoke"]


async def test_a_narrower_new_token_replaces_a_dead_one(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The stored token is refused: the new one takes its place, with its scopes, and a repeat is told the same.
    """
    grant = await redeem(core, google_emulator.code(ADA, [*SCOPES, FILES]))
    narrow = google_emulator.code(ADA, SCOPES, force=True, include_granted_scopes=False)
    google_emulator.fault("token", "invalid_grant", count=1, grant_type="refresh_token")

    first = await redeem(core, narrow, idempotency_key=KEY)
    again = await redeem(core, narrow, idempotency_key=KEY)

    stored = await core.grant(grant.id)
    assert (GrantState.ACTIVE, None, None) == (stored.state, stored.waiting, stored.uncertain_since)
    assert FILES not in stored.granted
    assert stored.granted == first.scopes == again.scopes


async def test_undecided_both_tokens_stay(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    Google does not answer: nothing is thrown away.
    """
    grant = await redeem(core, google_emulator.code(ADA, [*SCOPES, FILES]))
    narrow = google_emulator.code(ADA, SCOPES, force=True, include_granted_scopes=False)
    google_emulator.fault("token", "status_503", grant_type="refresh_token")

    await redeem(core, narrow)

    stored = await core.grant(grant.id)
    assert stored.waiting is not None
    assert stored.refresh_token is not None
    assert stored.waiting.token != stored.refresh_token


async def test_consenting_again_revives_a_revoked_grant_in_place(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Same id, active again, under a new data key.
    """
    grant = await redeem(core, google_emulator.code(ADA, SCOPES))
    before = await core.grant(grant.id)
    await core.revoke(grant.id)
    assert (await core.grant(grant.id)).data_key is None

    again = await redeem(core, google_emulator.code(ADA, SCOPES))

    after = await core.grant(grant.id)
    assert (grant.id, GrantState.ACTIVE) == (again.id, again.state)
    assert after.data_key not in (None, before.data_key)


async def test_a_scope_that_was_not_ticked_is_missing(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Granted is what the answer says, not what was asked.
    """
    code = google_emulator.code(ADA, ["openid", "email", "profile"])

    grant = await redeem(core, code, scopes=" ".join(SCOPES))

    assert {DRIVE} == grant.missing_scopes
    assert {DRIVE} == (await core.access_token(grant.id)).missing_scopes


async def test_another_account_than_expected_is_stored_and_refused(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The answer is kept under its true subject; no link moves.
    """
    code = google_emulator.code("bob@example.com", SCOPES)

    error = await refused(core, code, trusted=True, user="u-1", expect_subject="somebody else")

    assert isinstance(error, WrongAccount)
    grants, _ = await core.grants(subject=code.sub)
    assert [None] == [grant.user for grant in grants]


async def test_a_grant_of_another_user_is_not_taken_over(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Ada's grant belongs to user u-1; a sign-in of hers as u-2 moves nothing.
    """
    grant = await redeem(core, google_emulator.code(ADA, SCOPES), trusted=True, user="u-1")

    error = await refused(core, google_emulator.code(ADA, SCOPES), trusted=True, user="u-2")

    assert isinstance(error, WrongAccount)
    assert "u-1" == (await core.grant(grant.id)).user


async def test_the_phones_id_token_must_be_of_the_same_account(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    A code injected into another's session is found out by the ID token that came with it.
    """
    good = await redeem(core, google_emulator.code(ADA, SCOPES), id_token=google_emulator.id_token(ADA))
    error = await refused(
        core, google_emulator.code("eve@example.com", SCOPES), id_token=google_emulator.id_token(ADA)
    )

    assert GrantState.ACTIVE == good.state
    assert isinstance(error, WrongAccount)


async def test_only_a_trusted_caller_may_name_a_user(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    An app cannot attach itself to anybody.
    """
    error = await refused(core, google_emulator.code(ADA, SCOPES), user="u-1")

    assert isinstance(error, InvalidRequest)


async def test_an_answer_without_identity_waits_for_better_proof(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The answer stays sealed for ten minutes; the same code and key with proof claim it, without a second send.
    """
    code = google_emulator.code(ADA, [DRIVE], source="android")
    fields = {"source": "android", "idempotency_key": KEY}

    first = await refused(core, code, **fields)
    grant = await redeem(core, code, **fields, trusted=True, id_token=google_emulator.id_token(ADA))

    assert isinstance(first, IdentityUnknown)
    assert (code.sub, GrantState.ACTIVE, None) == (grant.subject, grant.state, grant.session)
    assert IdentitySource.REQUEST == (await core.grant(grant.id)).identity_source
    assert 1 == google_emulator.count("token", "authorization_code")


async def test_a_waiting_answer_is_one_requests_at_a_time(
    core: KeeperCore, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A retry beside the request whose proof is being used is told to come again, and takes nothing from it.
    """
    code = google_emulator.code(ADA, [DRIVE], source="android")
    fields: dict[str, Any] = {"source": "android", "idempotency_key": KEY}
    await refused(core, code, **fields)
    fields |= {"trusted": True, "id_token": google_emulator.id_token(ADA)}
    put_once, beside = core.store.put_once, []

    async def put_and_retry(*value: Any, **until: Any) -> bool:
        monkeypatch.undo()
        put = await put_once(*value, **until)
        beside.append(await refused(core, code, **fields))
        return put

    monkeypatch.setattr(core.store, "put_once", put_and_retry)

    first = await redeem(core, code, **fields)
    after = await redeem(core, code, **fields)

    assert ["issuer_unavailable"] == [error.code for error in beside]
    assert first == after
    assert GrantState.ACTIVE == first.state


async def test_a_waiting_answer_is_gone_after_ten_minutes(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Then only a new sign-in helps.
    """
    code = google_emulator.code(ADA, [DRIVE], source="android")
    fields = {"source": "android", "idempotency_key": KEY}
    await refused(core, code, **fields)

    google_emulator.advance(601)
    error = await refused(core, code, **fields, trusted=True, id_token=google_emulator.id_token(ADA))

    assert isinstance(error, IdentityUnknown)
    assert "Sign in again" in error.hint


async def test_an_id_token_is_proof_once(core: KeeperCore, google_emulator: GoogleEmulator) -> None:
    """
    A phone's ID token that vouched for one code vouches for no other.
    """
    proof = google_emulator.id_token(ADA)
    fields = {"source": "android", "trusted": True, "id_token": proof}
    await redeem(core, google_emulator.code(ADA, [DRIVE], source="android"), **fields)

    error = await refused(core, google_emulator.code(ADA, [DRIVE], source="android", force=True), **fields)

    assert isinstance(error, IdentityUnknown)


async def test_an_id_token_stays_proof_of_its_code(
    core: KeeperCore, google_emulator: GoogleEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The store kept that it was used and said that it failed: the sign-in is not refused for its own proof.
    """
    code = google_emulator.code(ADA, [DRIVE], source="android")
    proof = google_emulator.id_token(ADA)
    monkeypatch.setattr(core.store, "put_once", fails_at(1, core.store.put_once, done=True))

    grant = await redeem(core, code, source="android", trusted=True, id_token=proof)

    assert GrantState.ACTIVE == grant.state


async def test_the_word_of_a_caller_never_replaces_the_issuers(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    A grant that Google identified is not touched by an answer that only a caller vouches for.
    """
    grant = await redeem(core, google_emulator.code(ADA, SCOPES), trusted=True, user="u-1")
    before = await core.grant(grant.id)

    code = google_emulator.code(ADA, [DRIVE], source="android", force=True, include_granted_scopes=False)
    error = await refused(core, code, source="android", trusted=True, user="u-1")

    assert isinstance(error, IdentityUnknown)
    assert before.refresh_token == (await core.grant(grant.id)).refresh_token


async def test_a_refresh_token_in_a_broken_answer_is_kept(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The app is told that the issuer misbehaved; the grant is there all the same, and works.
    """
    google_emulator.fault("token", "expires_in_text", count=1)

    error = await refused(core, google_emulator.code(ADA, SCOPES))

    assert "issuer_misbehaved" == error.code
    grants, _ = await core.grants()
    assert [GrantState.ACTIVE] == [grant.state for grant in grants]
    assert DRIVE in (await core.access_token(grants[0].id)).scopes


async def test_who_leaves_does_not_stop_a_redemption(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    The request is cancelled while Google thinks; the grant is stored, and a repeat gets it.
    """
    google_emulator.fault("token", "slow", count=1, seconds=0.5)
    code = google_emulator.code(ADA, SCOPES)
    leaving = redeem(core, code, idempotency_key=KEY)
    await eventually(struck(google_emulator))
    leaving.cancel()

    grant = await redeem(core, code, idempotency_key=KEY)

    assert GrantState.ACTIVE == grant.state
    assert 1 == google_emulator.count("token", "authorization_code")


async def test_a_shut_gate_leaves_the_code_as_good_as_before(
    core: KeeperCore, google_emulator: GoogleEmulator
) -> None:
    """
    Our client was refused a moment ago: the next code is not sent, not claimed, and works when all is mended.
    """
    google_emulator.fault("token", "invalid_client", count=1)
    await refused(core, google_emulator.code("bob@example.com", SCOPES))
    code = google_emulator.code(ADA, SCOPES)

    errors = [await refused(core, code, idempotency_key=KEY) for _ in range(3)]
    await asyncio.sleep(errors[0].retry_after or 0)
    grant = await redeem(core, code, idempotency_key=KEY)

    assert {"client_misconfigured"} == {error.code for error in errors}
    assert GrantState.ACTIVE == grant.state
    assert 1 == google_emulator.count("token", "authorization_code")
