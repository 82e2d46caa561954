"""The table from error to answer, row by row."""

import json

import pytest

from grantkeeper.errors import (
    ERRORS,
    ApiError,
    AppIdTokenRejected,
    BackupRefused,
    CallerUnknown,
    ConsentRequired,
    GrantAmbiguous,
    GrantBlocked,
    GrantkeeperError,
    IdTokenRejected,
    IssuerUnavailable,
    SettingsInvalid,
    StoreUnavailable,
)
from grantkeeper.issuer import AnswerLost
from grantkeeper.lifecycle import REMEDIES
from grantkeeper.model import Reason
from grantkeeper.protocol.token_endpoint import RedirectRefused, RequestRefused, ScopeRefused, SecretRefused
from grantkeeper.server import wire

DESIGNED = {
    "invalid_request": 400,
    "too_large": 413,
    "unsupported_media_type": 415,
    "too_slow": 408,
    "caller_unknown": 401,
    "forged_request": 403,
    "origin_not_allowed": 403,
    "https_required": 403,
    "caller_not_allowed": 403,
    "destination_not_allowed": 403,
    "client_unknown": 404,
    "grant_not_found": 404,
    "job_not_found": 404,
    "code_already_redeemed": 409,
    "wrong_account": 409,
    "consent_required": 409,
    "grant_blocked": 409,
    "grant_ambiguous": 409,
    "job_ended": 409,
    "code_refused": 422,
    "idempotency_mismatch": 422,
    "identity_unknown": 422,
    "job_unknown": 422,
    "too_many_requests": 429,
    "issuer_misbehaved": 502,
    "id_token_rejected": 502,
    "outcome_unknown": 504,
    "issuer_unavailable": 503,
    "store_unavailable": 503,
    "client_misconfigured": 503,
    "seal_broken": 503,
}
"""Design section 3, copied by hand."""

SAMPLES = {
    ConsentRequired: lambda: ConsentRequired("gone", reason="revoked"),
    GrantAmbiguous: lambda: GrantAmbiguous("two", grants=["a", "b"]),
    IdTokenRejected: lambda: IdTokenRejected("aud", "is another's"),
    AppIdTokenRejected: lambda: AppIdTokenRejected("aud", "is another's"),
}


def sample(kind: type[GrantkeeperError]) -> GrantkeeperError:
    return SAMPLES.get(kind, lambda: kind("a sentence"))()


def headers(answer: wire.Answer) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in answer.headers}


def test_every_error_but_the_settings_own_has_a_row() -> None:
    """
    An error without a row would become a 500. What Google's APIs say only jobs hear.
    """
    assert set(ERRORS.values()) - {SettingsInvalid, BackupRefused, *ApiError.__subclasses__()} <= set(
        wire.STATUS
    )


@pytest.mark.parametrize(("code", "status"), DESIGNED.items())
def test_each_code_has_the_status_of_the_design(code: str, status: int) -> None:
    """
    The table agrees with the contract.
    """
    assert status == wire.STATUS[ERRORS[code]]


def test_the_tables_have_no_code_that_the_design_lacks() -> None:
    """
    Nothing was added on the quiet.
    """
    assert set(DESIGNED) == {kind.code for kind in wire.STATUS}


def test_an_id_token_of_the_apps_own_is_the_apps_fault() -> None:
    """
    The same code has 422 for the app's token and 502 for the answer's.
    """
    assert (422, 502) == (wire.STATUS[AppIdTokenRejected], wire.STATUS[IdTokenRejected])


@pytest.mark.parametrize("kind", wire.STATUS, ids=lambda kind: kind.__name__)
def test_a_refusal_names_code_sentence_and_hint(kind: type[GrantkeeperError]) -> None:
    """
    Every refusal has the three fields, the error's details, and is stored nowhere.
    """
    error = sample(kind)
    answer = wire.refusal(error)
    body = json.loads(answer.body)

    assert (error.code, error.text, error.hint) == (body["error"], body["error_description"], body["hint"])
    assert {k: v for k, v in error.details.items() if v is not None} == {
        k: body[k] for k in error.details if k in body
    }
    assert "no-store" == headers(answer)["cache-control"]
    assert "application/json" == headers(answer)["content-type"]


@pytest.mark.parametrize("kind", wire.STATUS, ids=lambda kind: kind.__name__)
def test_retry_after_is_there_exactly_where_a_retry_can_help(kind: type[GrantkeeperError]) -> None:
    """
    `retry` and the header go together, and the number is at least 1.
    """
    told = headers(wire.refusal(sample(kind))).get("retry-after")

    assert kind.retry == (told is not None)
    assert told is None or int(told) >= 1


@pytest.mark.parametrize(("seconds", "told"), [(0.01, "1"), (1.0, "1"), (1.2, "2"), (90, "90")])
def test_retry_after_is_rounded_up_to_whole_seconds(seconds: float, told: str) -> None:
    """
    Who waits as told is never too early.
    """
    answer = wire.refusal(IssuerUnavailable("later", retry_after=seconds))

    assert told == headers(answer)["retry-after"]


def test_a_dead_grant_tells_reason_missing_scopes_and_remedy() -> None:
    """
    The three fields of design section 3 are there by name.
    """
    error = ConsentRequired("gone", reason=Reason.REVOKED, missing_scopes=["b", "a"], grant="g-1")
    body = json.loads(wire.refusal(error).body)

    assert "revoked" == body["reason"]
    assert ["a", "b"] == body["missing_scopes"]
    assert REMEDIES[Reason.REVOKED] == body["remedy"]
    assert "g-1" == body["grant"]


def test_a_blocked_grant_tells_the_remedy() -> None:
    """
    The administrator is named.
    """
    body = json.loads(wire.refusal(GrantBlocked("no")).body)

    assert REMEDIES[Reason.ADMIN_POLICY_ENFORCED] == body["remedy"]


def test_an_ambiguous_grant_lists_the_ids() -> None:
    """
    The caller can choose.
    """
    assert ["a", "b"] == json.loads(wire.refusal(sample(GrantAmbiguous)).body)["grants"]


def test_a_missing_key_names_the_scheme() -> None:
    """
    RFC 9110 wants WWW-Authenticate with every 401.
    """
    assert 'Bearer realm="grantkeeper"' == headers(wire.refusal(CallerUnknown("no")))["www-authenticate"]


def test_details_that_are_not_known_are_left_out() -> None:
    """
    A null tells nobody anything.
    """
    error = StoreUnavailable("later", details={"grant": None, "where": "disk"})
    body = json.loads(wire.refusal(error).body)

    assert ("disk", False) == (body["where"], "grant" in body)


FINER = {
    SecretRefused("a secret"): (503, "client_misconfigured"),
    RedirectRefused("a redirect"): (503, "client_misconfigured"),
    RequestRefused("a request"): (503, "client_misconfigured"),
    ScopeRefused("a scope"): (502, "issuer_misbehaved"),
    AnswerLost("an answer"): (503, "issuer_unavailable"),
}


@pytest.mark.parametrize(("error", "told"), FINER.items(), ids=lambda case: type(case).__name__)
def test_a_finer_kind_is_told_as_what_it_is_a_kind_of(error: GrantkeeperError, told: tuple[int, str]) -> None:
    """
    What only keepers tell apart is never the service's own failure.
    """
    answer = wire.refusal(error)

    assert told == (answer.status, json.loads(answer.body)["error"])
    assert error.retry == ("retry-after" in headers(answer))
