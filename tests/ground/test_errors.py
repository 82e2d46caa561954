"""Every public error: a code of its own, advice, a line without secrets, and a record to come back from."""

import copy
import json
import pickle
import re

import pytest

from grantkeeper import errors
from grantkeeper.errors import (
    ERRORS,
    AnswerTooLarge,
    ApiError,
    ApiUnavailable,
    AppIdTokenRejected,
    ConsentRequired,
    GrantAmbiguous,
    GrantkeeperError,
    HttpFailed,
    IdTokenRejected,
    IssuerUnavailable,
    Quota,
    QuotaExceeded,
    ScopeInsufficient,
    SettingsInvalid,
    StoreConflict,
    Who,
    from_record,
)

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, GrantkeeperError)
    and kind not in (GrantkeeperError, ApiError)
]


def made(kind):
    """One of *kind*, with everything it can carry."""
    if kind is GrantAmbiguous:
        return kind("two grants fit", grants=["a", "b"])
    if kind is ConsentRequired:
        return kind("gone", reason="revoked", missing_scopes=["b", "a"], grant="g")
    if kind is SettingsInvalid:
        return kind(["first is wrong", "second is absent"])
    if issubclass(kind, IdTokenRejected):
        return kind("aud", "is not this client")
    if kind is QuotaExceeded:
        return kind("used up", whose=Quota.PROJECT, reason="rateLimitExceeded", retry_after=2.5)
    if kind is ScopeInsufficient:
        return kind("no", missing_scopes=["b", "a"], reason="insufficientPermissions")
    if issubclass(kind, ApiError) and kind.__init__ is not GrantkeeperError.__init__:
        return kind("a line", status=401, reason="authError")
    return kind("a line", hint="do this", retry_after=2.5, details={"field": "code"})


CODES = {
    "InvalidRequest": ("invalid_request", Who.CALLER, False),
    "TooLarge": ("too_large", Who.CALLER, False),
    "UnsupportedMediaType": ("unsupported_media_type", Who.CALLER, False),
    "TooSlow": ("too_slow", Who.CALLER, True),
    "CallerUnknown": ("caller_unknown", Who.CALLER, False),
    "CallerNotAllowed": ("caller_not_allowed", Who.CALLER, False),
    "ForgedRequest": ("forged_request", Who.CALLER, False),
    "OriginNotAllowed": ("origin_not_allowed", Who.CALLER, False),
    "HttpsRequired": ("https_required", Who.OPERATOR, False),
    "TooManyRequests": ("too_many_requests", Who.CALLER, True),
    "ClientUnknown": ("client_unknown", Who.CALLER, False),
    "GrantNotFound": ("grant_not_found", Who.CALLER, False),
    "GrantAmbiguous": ("grant_ambiguous", Who.CALLER, False),
    "JobUnknown": ("job_unknown", Who.CALLER, False),
    "JobNotFound": ("job_not_found", Who.CALLER, False),
    "JobEnded": ("job_ended", Who.CALLER, False),
    "CodeAlreadyRedeemed": ("code_already_redeemed", Who.CALLER, False),
    "IdempotencyMismatch": ("idempotency_mismatch", Who.CALLER, False),
    "WrongAccount": ("wrong_account", Who.CALLER, False),
    "IdentityUnknown": ("identity_unknown", Who.CALLER, False),
    "DestinationNotAllowed": ("destination_not_allowed", Who.CALLER, False),
    "ConsentRequired": ("consent_required", Who.USER, False),
    "CodeRefused": ("code_refused", Who.USER, False),
    "ClientMisconfigured": ("client_misconfigured", Who.OPERATOR, True),
    "GrantBlocked": ("grant_blocked", Who.OPERATOR, False),
    "SealBroken": ("seal_broken", Who.OPERATOR, True),
    "SettingsInvalid": ("settings_invalid", Who.OPERATOR, False),
    "BackupRefused": ("backup_refused", Who.OPERATOR, False),
    "IssuerUnavailable": ("issuer_unavailable", Who.NOBODY, True),
    "StoreUnavailable": ("store_unavailable", Who.NOBODY, True),
    "OutcomeUnknown": ("outcome_unknown", Who.USER, False),
    "IssuerMisbehaved": ("issuer_misbehaved", Who.ISSUER, False),
    "QuotaExceeded": ("quota_exceeded", Who.NOBODY, True),
    "ApiUnavailable": ("api_unavailable", Who.NOBODY, True),
    "ApiMisbehaved": ("api_misbehaved", Who.ISSUER, True),
    "TokenRefused": ("token_refused", Who.USER, False),
    "ScopeInsufficient": ("scope_insufficient", Who.USER, False),
    "ApiRefused": ("api_refused", Who.CALLER, False),
    "IdTokenRejected": ("id_token_rejected", Who.ISSUER, False),
    "AppIdTokenRejected": ("id_token_rejected", Who.CALLER, False),
}
"""Written by hand: a code that changes breaks every program that branches on it."""


def test_every_error_stands_in_the_table():
    """
    No error is public without a line in the table of this test.
    """
    assert set(CODES) == {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_code_actor_and_retry_are_as_promised(kind):
    """
    The code, who can mend it and whether a later try helps never change.
    """
    assert CODES[kind.__name__] == (kind.code, kind.who, kind.retry)


def test_a_code_belongs_to_one_error():
    """
    `ERRORS` finds one error for each code; only the app's own ID token shares its elder's.
    """
    own = [kind for kind in KINDS if kind is not AppIdTokenRejected]

    assert {kind.code: kind for kind in own} == dict(ERRORS)
    assert len(own) == len(ERRORS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_tells_the_person_what_to_do(kind):
    """
    Each has advice of one sentence or two, and its own hint wins over it.
    """
    assert re.fullmatch(r"[A-Z`].*\.", kind.advice)
    assert kind.__doc__


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_back_from_its_record(kind):
    """
    Written down as JSON and read again, an error is the same kind with the same text, hint and fields.
    """
    error = made(kind)
    again = from_record(json.loads(json.dumps(error.as_record())))

    assert type(error) is type(again)
    assert error.as_record() == again.as_record()
    assert str(error) == str(again) == error.text
    assert vars(error) == vars(again)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_survives_copying_and_pickling(kind, way):
    """
    Test runners and process pools move errors about; none of ours breaks on the way.
    """
    error = made(kind)
    again = way(error)

    assert type(error) is type(again)
    assert error.as_record() == again.as_record()


def test_the_advice_is_the_hint_unless_something_better_is_known():
    """
    Without a hint of its own an error gives the advice of its kind.
    """
    assert IssuerUnavailable.advice == IssuerUnavailable("x").hint
    assert "ask Ada" == IssuerUnavailable("x", hint="ask Ada").hint


def test_a_record_is_a_copy():
    """
    Changing a record does not change the error it was made from.
    """
    error = made(GrantAmbiguous)
    error.as_record()["details"]["grants"] = []

    assert {"grants": ["a", "b"]} == error.details


def test_a_kind_from_another_release_comes_back_as_the_general_one():
    """
    A record of an unknown kind keeps its code; one of an unknown code is a KeyError.
    """
    record = made(AppIdTokenRejected).as_record()

    assert IdTokenRejected is type(from_record({**record, "kind": "OfTomorrow"}))
    assert IdTokenRejected is type(from_record({name: record[name] for name in record if name != "kind"}))
    assert IdTokenRejected is type(from_record({**record, "kind": "SealBroken"}))
    assert IdTokenRejected is type(from_record({**record, "kind": ["SealBroken"]}))
    with pytest.raises(KeyError):
        from_record({**record, "error": "of_tomorrow"})


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_another_release_may_lack_fields(kind):
    """
    Reading what a record did not bring gives nothing, not an exception.
    """
    error = from_record({"error": kind.code, "kind": kind.__name__, "error_description": "x"})

    for field in ("reason", "claim", "missing_scopes", "problems", "status"):
        assert not getattr(error, field, None)


def test_a_subclass_made_elsewhere_is_written_down_as_its_public_parent():
    """
    A keeper's private refinement of an error is told to others by the name they know.
    """

    class Refined(IssuerUnavailable):
        pass

    assert IssuerUnavailable is type(from_record(Refined("busy").as_record()))


def test_consent_required_says_why_and_what_is_missing():
    """
    The reason is text, the missing scopes are sorted.
    """
    error = made(ConsentRequired)

    assert "revoked" == error.reason
    assert ("a", "b") == error.missing_scopes
    assert {"reason": "revoked", "missing_scopes": ["a", "b"], "grant": "g"} == error.details


def test_a_rejected_id_token_names_claim_and_reason():
    """
    The log line is a sentence made of both.
    """
    error = IdTokenRejected("aud", "is not this client")

    assert ("aud", "is not this client") == (error.claim, error.reason)
    assert "the ID token's aud is not this client" == str(error)


def test_settings_tell_every_problem_at_once():
    """
    All sentences are kept, in order.
    """
    error = SettingsInvalid(["a is absent", "b is no number"])

    assert ("a is absent", "b is no number") == error.problems
    assert "a is absent; b is no number" == error.text


def test_a_failed_request_says_whether_it_may_have_arrived():
    """
    What surely never left may be sent again; an answer cut off for its size did arrive.
    """
    assert HttpFailed("refused", may_have_arrived=False).may_have_arrived is False
    assert AnswerTooLarge("cut").may_have_arrived is True


@pytest.mark.parametrize("kind", [StoreConflict, HttpFailed, AnswerTooLarge])
def test_what_stays_inside_is_no_public_error(kind):
    """
    Conflicts and failed requests are for keepers, which turn them into something public.
    """
    assert not issubclass(kind, GrantkeeperError)


def test_an_api_error_says_what_google_said():
    """
    Status and reason are at hand, and what each kind adds; without them nothing is claimed.
    """
    quota = made(QuotaExceeded)
    scope = made(ScopeInsufficient)

    assert (429, "rateLimitExceeded", Quota.PROJECT, 2.5) == (
        quota.status,
        quota.reason,
        quota.whose,
        quota.retry_after,
    )
    assert (403, ("a", "b")) == (scope.status, scope.missing_scopes)
    assert (None, "") == (ApiUnavailable("x").status, ApiUnavailable("x").reason)


def test_an_unavailable_api_may_have_done_it_unless_it_surely_did_not():
    """
    A request is taken for done where nobody can tell; a quota of nobody in particular is the user's.
    """
    record = {"error": "api_unavailable", "error_description": "x"}
    told, quota = from_record(record), from_record({**record, "error": "quota_exceeded"})
    assert isinstance(told, ApiUnavailable)
    assert isinstance(quota, QuotaExceeded)

    assert ApiUnavailable("x").may_have_arrived
    assert told.may_have_arrived
    assert not ApiUnavailable("x", may_have_arrived=False).may_have_arrived
    assert Quota.USER == quota.whose
