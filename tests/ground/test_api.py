"""What an API of Google's answers: three envelopes, one sorting, and JSON that may be hostile."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.errors import (
    ApiMisbehaved,
    ApiRefused,
    ApiUnavailable,
    HttpFailed,
    Quota,
    QuotaExceeded,
    ScopeInsufficient,
    TokenRefused,
)
from grantkeeper.protocol import api
from grantkeeper.protocol.api import api_failure, item_failure, unanswered
from tests.ground.support import NOW, answer

PHOTOS = "https://www.googleapis.com/auth/photoslibrary.appendonly"


def classic(status, reason, **other):
    """The envelope of Drive."""
    error = {
        "code": status,
        "message": "ada@example.com",
        "errors": [{"domain": "usageLimits", "reason": reason}],
    }
    return answer({"error": error}, status, **other)


def newer(status, word, *details, **other):
    """The envelope of Photos and People."""
    error = {"code": status, "message": "ada@example.com", "status": word, "details": list(details)}
    return answer({"error": error}, status, **other)


def info(reason, **metadata):
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata}


def failure(response, **other):
    return api_failure(response, now=NOW, **other)


@pytest.mark.parametrize("status", [200, 201, 204, 207, 299])
def test_a_success_is_no_failure(status):
    """
    Whatever a good answer holds is its reader's business.
    """
    assert failure(answer("<html>", status)) is None


def test_a_status_that_is_expected_is_no_failure():
    """
    308 is an answer of an upload, and an error everywhere else.
    """
    assert failure(answer(b"", 308), accept={308}) is None
    assert ApiRefused is type(failure(answer(b"", 308)))


@pytest.mark.parametrize(
    ("response", "kind", "reason"),
    [
        (classic(401, "authError"), TokenRefused, "authError"),
        (newer(401, "UNAUTHENTICATED"), TokenRefused, "UNAUTHENTICATED"),
        (classic(403, "insufficientPermissions"), ScopeInsufficient, "insufficientPermissions"),
        (classic(403, "insufficientFilePermissions"), ApiRefused, "insufficientFilePermissions"),
        (
            newer(403, "PERMISSION_DENIED", info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")),
            ScopeInsufficient,
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        ),
        (newer(403, "PERMISSION_DENIED"), ApiRefused, "PERMISSION_DENIED"),
        (newer(403, "PERMISSION_DENIED", info("SERVICE_DISABLED")), ApiRefused, "SERVICE_DISABLED"),
        (classic(403, "storageQuotaExceeded"), ApiRefused, "storageQuotaExceeded"),
        (classic(403, "dailyLimitExceeded"), ApiRefused, "dailyLimitExceeded"),
        (classic(403, "sharingRateLimitExceeded"), ApiRefused, "sharingRateLimitExceeded"),
        (classic(403, "rateLimitExceeded"), QuotaExceeded, "rateLimitExceeded"),
        (classic(403, "userRateLimitExceeded"), QuotaExceeded, "userRateLimitExceeded"),
        (newer(429, "RESOURCE_EXHAUSTED"), QuotaExceeded, "RESOURCE_EXHAUSTED"),
        (classic(404, "notFound"), ApiRefused, "notFound"),
        (newer(400, "INVALID_ARGUMENT"), ApiRefused, "INVALID_ARGUMENT"),
        (answer(b"", 408), ApiUnavailable, ""),
        (classic(500, "backendError"), ApiUnavailable, "backendError"),
        (answer("<html>502</html>", 502), ApiUnavailable, ""),
        (newer(503, "UNAVAILABLE"), ApiUnavailable, "UNAVAILABLE"),
        (answer(b"", 302), ApiRefused, ""),
        (answer(b"", 199), ApiRefused, ""),
    ],
)
def test_each_refusal_is_sorted_by_what_helps(response, kind, reason):
    """
    The table of google-facts 9.1, in both envelopes: status and reason are kept, nothing else is.
    """
    error = failure(response)

    assert (kind, response.status, reason) == (type(error), error.status, error.reason)
    assert "ada@" not in str(error.as_record())


def test_an_error_in_a_list_is_read_like_one_alone():
    """
    Some APIs put the envelope into a list.
    """
    body = [{"error": {"code": 403, "status": "RESOURCE_EXHAUSTED"}}]

    assert QuotaExceeded is type(failure(answer(body, 403)))
    assert ApiRefused is type(failure(answer([], 403)))


@pytest.mark.parametrize(
    ("response", "whose"),
    [
        (classic(403, "userRateLimitExceeded"), Quota.USER),
        (classic(403, "rateLimitExceeded"), Quota.PROJECT),
        (newer(429, "RESOURCE_EXHAUSTED"), Quota.USER),
        (answer(b"", 429), Quota.USER),
        (classic(429, "somethingElse"), Quota.USER),
        (
            newer(
                429,
                "RESOURCE_EXHAUSTED",
                info("RATE_LIMIT_EXCEEDED", quota_limit="WritesPerMinutePerProject", consumer="projects/7"),
            ),
            Quota.PROJECT,
        ),
        (
            newer(
                429,
                "RESOURCE_EXHAUSTED",
                info("RATE_LIMIT_EXCEEDED", quota_limit="Odd", quota_unit="1/min/{project}/{user}"),
            ),
            Quota.USER,
        ),
        (newer(429, "RESOURCE_EXHAUSTED", {"violations": [{"subject": "project:7"}, 8]}), Quota.PROJECT),
        (newer(429, "RESOURCE_EXHAUSTED", info("RATE_LIMIT_EXCEEDED", quota_limit=["user"])), Quota.USER),
    ],
)
def test_a_quota_is_the_user_s_or_the_project_s(response, whose):
    """
    The limit that is named decides; where nothing does, only the one user waits.
    """
    assert whose == failure(response).whose


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:01:30 GMT"}, 90.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_seconds_or_a_date(status, header, wait):
    """
    Both of a quota and of an outage; nonsense counts as absent.
    """
    assert wait == failure(answer(b"", status, header)).retry_after


@pytest.mark.parametrize(
    ("challenge", "scopes"),
    [
        (f'Bearer realm="x", error="insufficient_scope", scope="{PHOTOS} openid"', (PHOTOS, "openid")),
        ("Bearer error=insufficient_scope, scope=openid", ("openid",)),
        ('Bearer error="insufficient_scope"', ()),
        ('Bearer error="insufficient_scope", scope=""', ()),
        ('Bearer error="insufficient_scope", scope="a \x00b \u00e9 c"', ("a", "c")),
    ],
)
def test_the_scopes_that_are_missing_are_named(challenge, scopes):
    """
    They stand in the challenge of RFC 6750 section 3; what is no scope is left out.
    """
    error = failure(answer(b"", 403, {"www-authenticate": challenge}))

    assert scopes == error.missing_scopes


def test_a_challenge_about_the_token_is_no_want_of_scope():
    """
    A 403 with another error in its challenge is a refusal like others.
    """
    error = failure(answer(b"", 403, {"www-authenticate": 'Bearer error="invalid_token", scope="a"'}))

    assert ApiRefused is type(error)


HOSTILE = [
    b"",
    b"\xff",
    b"null",
    b"[" * 100_000,
    b'{"error": "invalid_grant"}',
    b'{"error": ["rateLimitExceeded"]}',
    b'{"error": {"errors": {"reason": "rateLimitExceeded"}}}',
    b'{"error": {"errors": [["reason"], null, 7]}}',
    b'{"error": {"errors": [{"reason": ["rateLimitExceeded"]}], "details": 7}}',
    b'{"error": {"details": [{"reason": true, "metadata": [], "violations": {}}]}}',
    b'{"error": {"status": "ada@example.com has no rights"}}',
    b'{"error": {"status": {"a": 1}}}',
    ('{"error": {"status": "' + "A" * 81 + '"}}').encode(),
    b'[[{"error": {"status": "RESOURCE_EXHAUSTED"}}]]',
]


@pytest.mark.parametrize("body", HOSTILE)
def test_a_hostile_refusal_is_one_without_a_reason(body):
    """
    Type before value: whatever the body is, the status decides, and nothing of the body is told.
    """
    error = failure(answer(body, 403))

    assert (ApiRefused, "", "Google answered 403") == (type(error), error.reason, error.text)


@given(st.integers(300, 599), st.binary(max_size=200))
def test_no_refusal_raises(status, body):
    """
    Random bytes under any status are sorted.
    """
    assert failure(answer(body, status)).status == status


def test_no_answer_may_have_been_heard():
    """
    What the network said passes on whether the request arrived, and not the address, which may be a secret.
    """
    for arrived in (True, False):
        error = unanswered(
            "photos.test", HttpFailed("PUT https://photos.test/secret: reset", may_have_arrived=arrived)
        )

        assert (arrived, "photos.test gave no whole answer") == (error.may_have_arrived, error.text)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        ({"code": 3, "message": "ada@example.com"}, ApiRefused, "INVALID_ARGUMENT"),
        ({"code": 7}, ApiRefused, "PERMISSION_DENIED"),
        ({"code": 8}, ApiRefused, "RESOURCE_EXHAUSTED"),
        ({"code": 14}, ApiUnavailable, "UNAVAILABLE"),
        ({"code": 13}, ApiUnavailable, "INTERNAL"),
        ({"code": 16}, TokenRefused, "UNAUTHENTICATED"),
        ({"code": 99}, ApiRefused, "UNKNOWN"),
        ({"code": -1}, ApiRefused, "UNKNOWN"),
    ],
)
def test_an_item_of_many_is_sorted_like_an_answer(status, kind, reason):
    """
    Codes of `google.rpc.Status` mean what their statuses mean.
    """
    error = item_failure(status)

    assert (kind, reason) == (type(error), error.reason)
    assert "ada@" not in str(error.as_record())


@pytest.mark.parametrize("status", [None, {}, {"message": "Success"}, {"code": 0, "message": "OK"}])
def test_an_item_is_done_when_its_code_is_absent_or_zero(status):
    """
    The message is not looked at: it has changed before.
    """
    assert item_failure(status) is None


@pytest.mark.parametrize("status", [7, "Success", [], {"code": "0"}, {"code": True}, {"code": None}])
def test_an_item_s_status_of_another_type_is_google_s_fault(status):
    """
    Nobody can tell whether such an item was made.
    """
    with pytest.raises(ApiMisbehaved):
        item_failure(status)


# -- values -------------------------------------------------------------------------------------


def test_an_empty_body_is_an_empty_object():
    """
    Google answers a deletion with nothing, or with {}.
    """
    assert {} == api.api_object(answer(b" \n")) == api.api_object(answer({}))


@pytest.mark.parametrize("body", [b"[]", b"<html>", b'"a"', b"\xff"])
def test_a_body_that_is_no_object_is_google_s_fault(body):
    """
    A success that cannot be read is a kind of its own: what was asked is probably done.
    """
    with pytest.raises(ApiMisbehaved):
        api.api_object(answer(body))


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (api.text, [None, "", 7, [], "a\nb", "a" * 20_000]),
        (api.prose, [None, 7, [], {}, "a" * 20_000]),
        (api.nested, [None, 7, [], "a"]),
        (api.objects, [None, 7, {}, "a", [7], [{}, None]]),
        (
            lambda body, name: api.number(body, name, most=9),
            [None, True, 1.0, "", "-1", "x", -1, 10, "9" * 20, []],
        ),
        (api.duration, [7, True, "", "3", "-3s", "3.s", "1e3s", "3.5s ", "9999999999s", []]),
        (api.moment, [7, True, "", "soon", "2026-11-22T12:00:00", "0001-01-01T00:00:00+14:00", []]),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(read, values):
    """
    Type before value, and the name of the field in the error.
    """
    for value in values:
        with pytest.raises(ApiMisbehaved, match="the answer's field"):
            read({"field": value}, "field")


def test_values_are_read_as_google_writes_them():
    """
    What is empty is left out; numbers may be text; times have a zone.
    """
    assert "a" == api.text({"f": "a"}, "f")
    assert ("", "line\nline") == (api.prose({}, "f"), api.prose({"f": "line\nline"}, "f"))
    assert ({}, {"a": 1}) == (api.nested({}, "f"), api.nested({"f": {"a": 1}}, "f"))
    assert ([], [{}]) == (api.objects({}, "f"), api.objects({"f": [{}]}, "f"))
    assert (0, 9) == (api.number({"f": 0}, "f", most=9), api.number({"f": "9"}, "f", most=9))
    assert (None, 3.5, 0.0) == tuple(api.duration(body, "f") for body in ({}, {"f": "3.5s"}, {"f": "0s"}))
    assert api.moment({}, "f") is None
    assert datetime(2026, 11, 22, 11, 0, 0, 123456, UTC) == api.moment(
        {"f": "2026-11-22T12:00:00.123456789+01:00"}, "f"
    )
