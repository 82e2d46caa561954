"""A code is sent once: the redemption's claim, and what a repeat gets (section 3)."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.contract.stage import Answer, Google, Stage


def key(value: str) -> dict[str, str]:
    return {"Idempotency-Key": value}


@pytest.fixture
def mine() -> dict[str, str]:
    """A key as an app makes one for each sign-in."""
    return key(str(uuid4()))


def test_a_repeat_with_its_key_gets_the_first_outcome(
    stage: Stage, google: Google, mine: dict[str, str]
) -> None:
    """
    The phone lost the answer and asks again: the same answer, and Google was asked once.
    """
    body, before = {"code": google.code("ida@example.com")}, google.sent("authorization_code")

    first, second = stage.redeem(body, mine), stage.redeem(body, mine)

    assert (200, 200) == (first.status, second.status)
    assert first.json["grant"] == second.json["grant"]
    assert first.json["profile"] == second.json["profile"]
    assert second.json["session"] is not None
    assert before + 1 == google.sent("authorization_code")


def test_the_session_of_a_repeat_is_only_given_for_ten_minutes(
    stage: Stage, google: Google, mine: dict[str, str]
) -> None:
    """
    Later the outcome is still told, without a session.
    """
    body = {"code": google.code("late@example.com")}
    grant = stage.redeem(body, mine).json["grant"]
    google.advance(601)

    answer = stage.redeem(body, mine)

    assert 200 == answer.status
    assert grant == answer.json["grant"]
    assert answer.json["session"] is None


def test_a_failure_is_replayed(stage: Stage, google: Google, mine: dict[str, str]) -> None:
    """
    A refused code stays refused, and is not sent again to hear it.
    """
    body, before = {"code": "4/refused-once"}, google.sent("authorization_code")

    answers = [stage.redeem(body, mine).error for _ in range(2)]

    assert [(422, "code_refused")] * 2 == answers
    assert before + 1 == google.sent("authorization_code")


def test_without_a_key_a_repeat_is_409_at_once(stage: Stage, google: Google, mine: dict[str, str]) -> None:
    """
    Whoever posts a code again without proof that it is the same request learns nothing.
    """
    body = {"code": google.code("plain@example.com")}
    stage.redeem(body)
    before = google.sent("authorization_code")

    assert (409, "code_already_redeemed") == stage.redeem(body).error
    assert (409, "code_already_redeemed") == stage.redeem(body, mine).error
    assert before == google.sent("authorization_code")


def test_the_same_code_with_another_key_is_409(stage: Stage, google: Google, mine: dict[str, str]) -> None:
    """
    Another request may not have the first one's answer.
    """
    body = {"code": google.code("other-key@example.com")}
    stage.redeem(body, mine)

    assert (409, "code_already_redeemed") == stage.redeem(body, key("another-key-of-the-same-app")).error
    assert (409, "code_already_redeemed") == stage.redeem(body).error


def test_the_same_key_with_another_code_is_a_mismatch(
    stage: Stage, google: Google, mine: dict[str, str]
) -> None:
    """
    422, and the other code is not spent by it.
    """
    code = google.code("mismatch@example.com", force=True)
    stage.redeem({"code": google.code("mismatch@example.com")}, mine)
    before = google.sent("authorization_code")

    assert (422, "idempotency_mismatch") == stage.redeem({"code": code}, mine).error
    assert before == google.sent("authorization_code")
    assert (200, "ok") == stage.redeem({"code": code}).error


@pytest.mark.parametrize(
    "change",
    [
        {"source": "android"},
        {"id_token": "another"},
    ],
)
def test_a_repeat_that_differs_is_not_a_repeat(
    stage: Stage, google: Google, mine: dict[str, str], change: dict[str, str]
) -> None:
    """
    Same caller, user, source, redirect and id_token, or 409.
    """
    body = {"code": google.code("differs@example.com")}
    if "id_token" in change:
        change = {"id_token": google.id_token("differs@example.com")}
    assert 200 == stage.redeem(body, mine).status

    answer = stage.redeem(body | change, mine)

    assert (409, "code_already_redeemed") == answer.error


def test_a_repeat_by_another_caller_or_user_is_not_a_repeat(
    stage: Stage, google: Google, mine: dict[str, str]
) -> None:
    """
    The outcome belongs to the caller, and to the user that it named.
    """
    body = {"code": google.code("caller@example.com"), "user": "u-caller"}
    assert 200 == stage.redeem(body, mine, key=stage.key).status

    assert (409, "code_already_redeemed") == stage.redeem({"code": body["code"]}, mine).error
    assert (409, "code_already_redeemed") == stage.redeem(body | {"user": "v"}, mine, key=stage.key).error
    assert (200, "ok") == stage.redeem(body, mine, key=stage.key).error


@pytest.mark.parametrize("value", ["", "x" * 21, "x" * 256, "with a blank in its middle"])
def test_a_key_is_22_to_255_characters(stage: Stage, google: Google, value: str) -> None:
    """
    A key that could be guessed is refused before anything is sent.
    """
    code, before = google.code("short@example.com"), google.sent("authorization_code")

    assert (400, "invalid_request") == stage.redeem({"code": code}, key(value)).error
    assert before == google.sent("authorization_code")


@pytest.mark.parametrize("length", [22, 255])
def test_both_ends_of_a_keys_length_are_good(stage: Stage, google: Google, length: int) -> None:
    """
    22 and 255 characters are accepted.
    """
    code = google.code("length@example.com")

    assert (200, "ok") == stage.redeem({"code": code}, key("k" * length)).error


def test_the_same_code_posted_at_once_is_redeemed_once(stage: Stage, google: Google) -> None:
    """
    Fifty posts without a key: one 200, the others 409, one request to Google.
    """
    body, before = {"code": google.code("fifty@example.com")}, google.sent("authorization_code")

    with ThreadPoolExecutor(50) as pool:
        answers = [answer.error for answer in pool.map(lambda _: stage.redeem(body), range(50))]

    assert [(200, "ok")] + [(409, "code_already_redeemed")] * 49 == sorted(answers)
    assert before + 1 == google.sent("authorization_code")


def test_repeats_at_once_wait_for_the_first(stage: Stage, google: Google, mine: dict[str, str]) -> None:
    """
    With one key they all get the outcome of the one that was sent.
    """
    body, before = {"code": google.code("twenty@example.com")}, google.sent("authorization_code")
    google.fault("token", "slow", count=1, seconds=1)

    def post(_: int) -> Answer:
        return stage.redeem(body, mine)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))

    assert {200} == {answer.status for answer in answers}
    assert 1 == len({answer.json["grant"]["id"] for answer in answers})
    assert before + 1 == google.sent("authorization_code")


def test_a_lost_answer_is_an_unknown_outcome_and_never_sent_again(
    stage: Stage, google: Google, mine: dict[str, str]
) -> None:
    """
    504 says to sign in again; the same request hears the same, another hears 409.
    """
    body, before = {"code": google.code("lost@example.com")}, google.sent("authorization_code")
    google.fault("token", "lost", count=1)

    first, again = stage.redeem(body, mine), stage.redeem(body, mine)

    assert [(504, "outcome_unknown")] * 2 == [first.error, again.error]
    assert (409, "code_already_redeemed") == stage.redeem(body).error
    assert before + 1 == google.sent("authorization_code")
