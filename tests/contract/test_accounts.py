"""Whose grant it is: the ID token of the answer, the phone's, and what a caller vouches for (section 2)."""

import json
from typing import Any

import pytest

from tests.contract.stage import Google, Stage, ask

KEY = {"Idempotency-Key": "0123456789abcdef012345"}


@pytest.fixture(scope="module")
def config(google_process: Google) -> str:
    """The iPhone's own client id may stand in an ID token's `azp`."""
    clients = ask(google_process.port, "GET", "/emulator/clients").json
    ids = [client["client_id"] for client in clients if client["kind"] in ("ios", "android")]
    return f"\n[clients.default]\napp_client_ids = {json.dumps(ids)}\n"


def grants(stage: Stage, sub: str) -> Any:
    return stage.ask("GET", f"/v1/grants?subject={sub}", key=stage.key).json["grants"]


def test_the_phones_id_token_of_the_same_account_is_welcome(stage: Stage, google: Google) -> None:
    """
    It agrees with the answer's.
    """
    body = {"code": google.code("eve@example.com"), "id_token": google.id_token("eve@example.com")}

    assert (200, "ok") == stage.redeem(body).error


def test_the_phones_id_token_of_another_account_is_the_wrong_account(stage: Stage, google: Google) -> None:
    """
    409; the answer is stored under its true `sub` all the same.
    """
    code, sub = google.sign_in("true@example.com")

    answer = stage.redeem({"code": code, "id_token": google.id_token("other@example.com")})

    assert (409, "wrong_account") == answer.error
    assert [(sub, "active")] == [(grant["subject"], grant["state"]) for grant in grants(stage, sub)]


@pytest.mark.parametrize(
    "fault",
    [
        "bad_signature",
        "kid_unknown",
        "alg_none",
        "alg_hs256",
        "invalid_aud",
        "expired_id_token",
        "invalid_iss",
    ],
)
def test_the_phones_id_token_must_be_good(stage: Stage, google: Google, fault: str) -> None:
    """
    422 `id_token_rejected`: it is the app's own, and the code was not sent for it.
    """
    code, before = google.code("spoilt@example.com", force=True), google.sent("authorization_code")
    proof = google.id_token("spoilt@example.com", fault=fault)

    assert (422, "id_token_rejected") == stage.redeem({"code": code, "id_token": proof}).error
    assert before == google.sent("authorization_code")
    assert (200, "ok") == stage.redeem({"code": code}).error


def test_expect_subject_of_another_account_is_the_wrong_account(stage: Stage, google: Google) -> None:
    """
    409; the grant belongs to whom the answer says, and is attached to no user.
    """
    code, sub = google.sign_in("expected@example.com")
    body = {"code": code, "expect_subject": "1" * 21, "user": "u-expected"}

    assert (409, "wrong_account") == stage.redeem(body, key=stage.key).error
    assert [(sub, None)] == [(grant["subject"], grant["user"]) for grant in grants(stage, sub)]


def test_expect_subject_of_the_same_account_is_good(stage: Stage, google: Google) -> None:
    """
    And the user is attached.
    """
    code, sub = google.sign_in("expected2@example.com")

    answer = stage.redeem({"code": code, "expect_subject": sub, "user": "u-same"}, key=stage.key)

    assert (200, "ok") == answer.error
    assert "u-same" == stage.describe(answer.json["grant"]["id"])["user"]


def test_a_grant_of_another_user_is_the_wrong_account_and_no_link_moves(stage: Stage, google: Google) -> None:
    """
    One Google account cannot be taken over by a second user of the app.
    """
    grant = stage.grant("link@example.com", user="first")
    body = {"code": google.code("link@example.com", force=True), "user": "second"}

    assert (409, "wrong_account") == stage.redeem(body, key=stage.key).error
    assert "first" == stage.describe(grant)["user"]
    assert "active" == stage.describe(grant)["state"]


def test_one_user_may_hold_several_grants(stage: Stage, google: Google) -> None:
    """
    Two Google accounts of one person.
    """
    ids = {stage.grant("private@example.com", user="two"), stage.grant("work@example.com", user="two")}

    listed = stage.ask("GET", "/v1/grants?user=two", key=stage.key).json["grants"]

    assert ids == {grant["id"] for grant in listed}
    assert 2 == len(ids)


def test_without_any_proof_the_identity_is_unknown(stage: Stage, google: Google) -> None:
    """
    422; nothing is stored for anybody.
    """
    code, sub = google.sign_in("nobody@example.com")
    google.fault("token", "id_token_absent", count=1)

    assert (422, "identity_unknown") == stage.redeem({"code": code}).error
    assert [] == grants(stage, sub)


def test_a_phones_id_token_without_a_caller_key_proves_nothing(stage: Stage, google: Google) -> None:
    """
    An ID token can be stolen; a caller has to vouch for where it came from.
    """
    code = google.code("android@example.com", source="android")
    google.fault("token", "id_token_absent", count=1)
    body = {"code": code, "source": "android", "id_token": google.id_token("android@example.com")}

    assert (422, "identity_unknown") == stage.redeem(body).error


def test_a_phones_id_token_with_a_caller_key_proves_whose_it_is(stage: Stage, google: Google) -> None:
    """
    Such a grant gets no session.
    """
    code, sub = google.sign_in("android2@example.com", source="android")
    google.fault("token", "id_token_absent", count=1)
    body = {"code": code, "source": "android", "id_token": google.id_token("android2@example.com")}

    answer = stage.redeem(body, key=stage.key)

    assert (200, "ok") == answer.error
    assert (sub, None) == (answer.json["grant"]["subject"], answer.json["session"])
    assert "request" == stage.describe(answer.json["grant"]["id"])["identity_source"]


def test_a_phones_id_token_proves_only_once(stage: Stage, google: Google) -> None:
    """
    First use: the same token with a second code is no proof.
    """
    proof = google.id_token("twice@example.com")
    seen = []
    for _ in range(2):
        code = google.code("twice@example.com", source="android", force=True)
        google.fault("token", "id_token_absent", count=1)
        body = {"code": code, "source": "android", "id_token": proof}
        seen.append(stage.redeem(body, key=stage.key).error)

    assert (200, "ok") == seen[0]
    assert seen[1] in ((422, "identity_unknown"), (422, "id_token_rejected"))


def test_a_phones_id_token_proves_only_for_ten_minutes(stage: Stage, google: Google) -> None:
    """
    Issued within 10 minutes.
    """
    proof = google.id_token("old@example.com")
    google.advance(660)
    code = google.code("old@example.com", source="android")
    google.fault("token", "id_token_absent", count=1)

    answer = stage.redeem({"code": code, "source": "android", "id_token": proof}, key=stage.key)

    assert answer.error in ((422, "identity_unknown"), (422, "id_token_rejected"))


def test_a_callers_user_says_whose_it_is(stage: Stage, google: Google) -> None:
    """
    Without an ID token, the caller's `user` who holds a grant already names the account.
    """
    grant = stage.grant("known@example.com", user="u-known")
    code = google.code("known@example.com", source="android", force=True)
    google.fault("token", "id_token_absent", count=1)

    answer = stage.redeem({"code": code, "source": "android", "user": "u-known"}, key=stage.key)

    assert answer.status in (200, 422), answer
    assert "active" == stage.describe(grant)["state"]
    assert "answer" == stage.describe(grant)["identity_source"]
    assert answer.status == 422 or answer.json["session"] is None


def test_better_proof_claims_the_answer_that_waits(stage: Stage, google: Google) -> None:
    """
    Same code, same Idempotency-Key, now with a caller key and the phone's ID token: 200, and Google
    was asked once.
    """
    code, sub = google.sign_in("claims@example.com", source="android")
    before = google.sent("authorization_code")
    google.fault("token", "id_token_absent", count=1)
    body = {"code": code, "source": "android"}
    assert (422, "identity_unknown") == stage.redeem(body, KEY).error

    answer = stage.redeem(body | {"id_token": google.id_token("claims@example.com")}, KEY, key=stage.key)

    assert (200, "ok") == answer.error
    assert sub == answer.json["grant"]["subject"]
    assert before + 1 == google.sent("authorization_code")
    assert (200, "ok") == stage.token({"grant": answer.json["grant"]["id"]}).error


def test_the_answer_waits_for_ten_minutes_only(stage: Stage, google: Google) -> None:
    """
    Then even the best proof finds nothing.
    """
    mine = {"Idempotency-Key": "z" * 30}
    code, sub = google.sign_in("too-late@example.com", source="android")
    google.fault("token", "id_token_absent", count=1)
    body = {"code": code, "source": "android"}
    assert (422, "identity_unknown") == stage.redeem(body, mine).error
    google.advance(601)

    answer = stage.redeem(body | {"id_token": google.id_token("too-late@example.com")}, mine, key=stage.key)

    assert answer.status in (409, 422), answer
    assert [] == grants(stage, sub)
