"""A hostile or failing issuer: the answers, and what they cost (nothing but a true `invalid_grant`)."""

import json
from collections.abc import Iterator

import pytest

from tests.contract.stage import Google, Stage

GONE = (502, "issuer_misbehaved")


@pytest.fixture(scope="module")
def stage(google_process: Google, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A service of its own: its circuits may open."""
    stage = Stage(tmp_path_factory.mktemp("issuer"), google_process)
    try:
        yield stage.serve()
    finally:
        stage.stop()


@pytest.mark.parametrize(
    "fault, error",
    [
        ("lost", (504, "outcome_unknown")),
        ("cut", (504, "outcome_unknown")),
        ("status_500", (504, "outcome_unknown")),
        ("empty", GONE),
        ("html", GONE),
        ("not_json", GONE),
        ("truncated_json", GONE),
        ("invalid_utf8", GONE),
        ("list_body", GONE),
        ("null_body", GONE),
        ("deep_json", GONE),
        ("alg_none", (502, "id_token_rejected")),
        ("bad_signature", (502, "id_token_rejected")),
        ("kid_unknown", (502, "id_token_rejected")),
        ("invalid_iss", (502, "id_token_rejected")),
        ("invalid_aud", (502, "id_token_rejected")),
        ("invalid_azp", (502, "id_token_rejected")),
        ("expired_id_token", (502, "id_token_rejected")),
        ("iat_future", (502, "id_token_rejected")),
        ("missing_sub", (502, "id_token_rejected")),
        ("at_hash_different", (502, "id_token_rejected")),
    ],
)
def test_a_broken_answer_to_a_code(stage: Stage, google: Google, fault: str, error: tuple[int, str]) -> None:
    """
    A clear answer, the code sent once, no grant that works, and nothing of Google's in the answer.
    """
    code, sub = google.sign_in(f"{fault}@example.com")
    before = google.sent("authorization_code")
    google.fault("token", fault, count=1)

    answer = stage.redeem({"code": code})

    assert error == answer.error
    assert b"GKMARK" not in answer.body
    assert google.sent("authorization_code") <= before + 1
    held = stage.ask("GET", f"/v1/grants?subject={sub}&state=active", key=stage.key).json["grants"]
    assert [] == held


@pytest.mark.parametrize(
    "fault",
    ["lost", "cut", "status_500", "empty", "html", "truncated_json", "list_body", "access_token_absent"],
)
def test_a_broken_answer_to_a_refresh_costs_no_grant(stage: Stage, google: Google, fault: str) -> None:
    """
    Whatever is said meanwhile, the grant works when the issuer does.
    """
    grant = stage.grant(f"refresh-{fault}@example.com")
    google.advance(3700)
    google.fault("token", fault, count=1)

    answer = stage.token({"grant": grant})

    assert answer.error in ((200, "ok"), GONE, (503, "issuer_unavailable"))
    assert answer.status != 503 or int(str(answer.header("Retry-After"))) >= 1
    assert "active" == stage.describe(grant)["state"]
    google.heal()
    assert (200, "ok") == stage.token({"grant": grant}).error


def test_a_stale_token_is_served_while_the_issuer_is_down(stage: Stage, google: Google) -> None:
    """
    Only transient failures keep serving.
    """
    grant = stage.grant("stale@example.com")
    first = stage.token({"grant": grant}).json["access_token"]
    google.advance(3600 - 200)
    google.fault("token", "status_503")

    assert first == stage.token({"grant": grant}).json["access_token"]


def test_an_expired_token_and_an_issuer_that_is_down_is_503(stage: Stage, google: Google) -> None:
    """
    With `Retry-After`; the state is unchanged.
    """
    grant = stage.grant("down@example.com")
    google.advance(3700)
    google.fault("token", "status_503", retry_after=1)

    answer = stage.token({"grant": grant})

    assert (503, "issuer_unavailable") == answer.error
    assert int(str(answer.header("Retry-After"))) >= 1
    assert "active" == stage.describe(grant)["state"]


def test_a_refused_client_condemns_no_grant(stage: Stage, google: Google) -> None:
    """
    `invalid_client` is the operator's: 503 `client_misconfigured`.
    """
    grant = stage.grant("config@example.com")
    google.advance(3700)
    google.fault("token", "invalid_client")

    answer = stage.token({"grant": grant})

    assert answer.error in ((503, "client_misconfigured"), (503, "issuer_unavailable"))
    assert answer.header("Retry-After")
    assert "active" == stage.describe(grant)["state"]
    assert stage.service is not None
    assert "GKMARK" not in stage.service.log.read_text(errors="replace")
    assert json.loads(answer.body)["hint"]
