"""What every answer has, who may send from where, and what bad input gets (section 3)."""

import json
import re

import pytest

from tests.contract.stage import FROM_APP, Google, Stage, raw

JSON = FROM_APP | {"Content-Type": "application/json"}
FORM = FROM_APP | {"Content-Type": "application/x-www-form-urlencoded"}
EVIL = "https://evil.example"


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs", 200),
        ("GET", "/.well-known/jwks.json", 200),
        ("POST", "/v1/redeem", 403),
        ("POST", "/v1/preflight", 403),
        ("POST", "/v1/token", 401),
        ("GET", "/v1/grants", 401),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/redeem", 405),
        ("PUT", "/v1/token", 405),
        ("HEAD", "/healthz", 200),
    ],
)
def test_every_answer_carries_a_request_id(stage: Stage, method: str, path: str, status: int) -> None:
    """
    Good or bad, known path or not.
    """
    answer = stage.ask(method, path)

    assert status == answer.status
    assert answer.header("X-Request-Id")


def test_request_ids_differ(stage: Stage) -> None:
    """
    Each names one request.
    """
    assert 5 == len({stage.ask("GET", "/healthz").header("X-Request-Id") for _ in range(5)})


@pytest.mark.parametrize(
    "method, path",
    [("GET", "/nowhere"), ("GET", "/v1/redeem"), ("POST", "/v1/redeem"), ("POST", "/v1/token")],
)
def test_an_error_is_a_code_a_sentence_and_a_hint(stage: Stage, method: str, path: str) -> None:
    """
    JSON, with words that say what to do.
    """
    answer = stage.ask(method, path)

    assert "application/json" == answer.header("Content-Type")
    assert re.fullmatch("[a-z_]+", answer.json["error"])
    assert answer.json["error_description"] and answer.json["hint"]


def test_a_wrong_method_says_which_are_right(stage: Stage) -> None:
    """
    405 with `Allow` (RFC 9110 15.5.6).
    """
    assert "POST" in str(stage.ask("GET", "/v1/token").header("Allow"))


def test_health_readiness_and_metrics(stage: Stage) -> None:
    """
    Ready says what it looked at; metrics are Prometheus's text.
    """
    stage.ask("GET", "/healthz")

    assert {"database", "keys", "clock"} <= stage.ask("GET", "/readyz").json["checks"].keys()
    answer = stage.ask("GET", "/metrics")
    assert str(answer.header("Content-Type")).startswith("text/plain")
    assert re.search(rb"(?m)^grantkeeper_\w+(\{[^}]*\})? [0-9.e+-]+$", answer.body)
    assert b"GKMARK" not in answer.body


def test_openapi_tells_of_every_call(stage: Stage) -> None:
    """
    The paths of the contract that this release has.
    """
    paths = stage.ask("GET", "/openapi.json").json["paths"]

    assert {
        "/v1/redeem": {"post"},
        "/v1/preflight": {"post"},
        "/connect/{client}": {"get"},
        "/connect/callback": {"get"},
        "/v1/connect/tickets": {"post"},
        "/v1/connect/results": {"post"},
        "/v1/token": {"post"},
        "/v1/grants": {"get"},
        "/v1/grants/{id}": {"get", "patch", "delete"},
        "/v1/grants/{id}/revoke": {"post"},
    }.items() <= {path: set(methods) - {"parameters"} for path, methods in paths.items()}.items()


# -- origins --------------------------------------------------------------------------------------


def test_a_preflight_request_of_a_configured_origin_is_answered(stage: Stage, google: Google) -> None:
    """
    With the headers that the app sends, and never with credentials.
    """
    answer = stage.ask(
        "OPTIONS",
        "/v1/redeem",
        headers={
            "Origin": google.issuer,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-requested-with,content-type,idempotency-key",
        },
    )

    assert answer.status in (200, 204)
    assert google.issuer == answer.header("Access-Control-Allow-Origin")
    allowed = {name.strip().lower() for name in str(answer.header("Access-Control-Allow-Headers")).split(",")}
    assert {"x-requested-with", "content-type", "idempotency-key"} <= allowed
    assert answer.header("Access-Control-Allow-Credentials") is None
    assert "Origin" in str(answer.header("Vary"))


@pytest.mark.parametrize("origin", [EVIL, "null", "http://127.0.0.1", "{own}/", "{own}.evil.example"])
def test_a_foreign_origin_is_refused(stage: Stage, google: Google, origin: str) -> None:
    """
    403, no permission to read it, and the code is not sent; `null` is foreign.
    """
    origin, before = origin.replace("{own}", google.issuer), google.sent("authorization_code")

    posted = stage.redeem({"code": "4/x"}, {"Origin": origin})
    preflight = stage.ask(
        "OPTIONS", "/v1/redeem", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
    )

    assert (403, "origin_not_allowed") == posted.error
    for answer in (posted, preflight):
        assert answer.header("Access-Control-Allow-Origin") is None
        assert "Origin" in str(answer.header("Vary"))
    assert before == google.sent("authorization_code")


def test_the_clients_own_origin_may_read_the_answer(stage: Stage, google: Google) -> None:
    """
    Also an error's.
    """
    for body in ({"code": google.code("origin@example.com")}, {}):
        answer = stage.redeem(body, {"Origin": google.issuer})
        assert google.issuer == answer.header("Access-Control-Allow-Origin")
        assert answer.header("Access-Control-Allow-Credentials") is None


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "Forwarded: for=1.2.3.4;proto=https"]
)
def test_forwarding_headers_need_a_trusted_proxy(stage: Stage, header: str) -> None:
    """
    Anybody can write them: without `GRANTKEEPER_TRUSTED_PROXIES` it is 403 `https_required`.
    """
    name, _, value = header.partition(": ")

    assert (403, "https_required") == stage.redeem({"code": "4/x"}, {name: value}).error
    assert (403, "https_required") == stage.ask(
        "POST", "/v1/token", {"grant": "x"}, {name: value}, key=stage.key
    ).error


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, headers, error",
    [
        (b"x" * 2_000_000, JSON, (413, "too_large")),
        (b'{"code":' + b"[" * 20_000, JSON, (400, "invalid_request")),
        (b'{"code":"a","code":"b"}', JSON, (400, "invalid_request")),
        (b'{"code":"a\\u0000b"}', JSON, (400, "invalid_request")),
        (b'{"code":"\\ud800"}', JSON, (400, "invalid_request")),
        (b'{"code":"\xe9"}', JSON, (400, "invalid_request")),
        (b'{"code":"a"', JSON, (400, "invalid_request")),
        (b"", JSON, (400, "invalid_request")),
        (b"code=a&code=b", FORM, (400, "invalid_request")),
        (b"code=%ff", FORM, (400, "invalid_request")),
        (b"code=", FORM, (400, "invalid_request")),
        (b"code", FROM_APP | {"Content-Type": "text/plain"}, (415, "unsupported_media_type")),
        (b"code", FROM_APP | {"Content-Type": "multipart/form-data"}, (415, "unsupported_media_type")),
        (b'{"code":"a"}', FROM_APP, (415, "unsupported_media_type")),
        (b"\x1f\x8b", JSON | {"Content-Encoding": "gzip"}, (415, "unsupported_media_type")),
        ('{"code":"a"}'.encode("utf-16"), JSON, (400, "invalid_request")),
    ],
)
def test_a_hostile_body_gets_a_clear_answer(
    stage: Stage, google: Google, body: bytes, headers: dict[str, str], error: tuple[int, str]
) -> None:
    """
    And Google is not asked.
    """
    before = google.sent("authorization_code")

    assert error == stage.ask("POST", "/v1/redeem", body, headers).error
    assert before == google.sent("authorization_code")


@pytest.mark.parametrize(
    "message, status",
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 200_000 + b"\r\n\r\n", 431),
        (b"POST /v1/redeem HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (
            b"POST /v1/redeem HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Null: \x00\r\n\r\n", 400),
    ],
)
def test_what_is_not_http_gets_a_clear_answer(stage: Stage, message: bytes, status: int) -> None:
    """
    With a code and a request id, like any other.
    """
    head, _, body = raw(stage.port, message).partition(b"\r\n\r\n")

    assert f"HTTP/1.1 {status} ".encode() == head[:13]
    assert b"x-request-id:" in head.lower()
    assert json.loads(body)["error"] in ("invalid_request", "too_large")


def test_a_body_that_does_not_come_is_too_slow(stage: Stage) -> None:
    """
    408, after some seconds.
    """
    message = b"POST /v1/redeem HTTP/1.1\r\nHost: x\r\nX-Requested-With: a\r\n"
    said = raw(stage.port, message + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{")

    assert b"HTTP/1.1 408 " == said[:13]
    assert b'"too_slow"' in said


def test_paths_may_hold_anything(stage: Stage) -> None:
    """
    A grant of that name is not there.
    """
    for name in ("a%00b", "%ff%fe", "..%5c..%5cetc", "x" * 5000):
        assert (404, "grant_not_found") == stage.ask("GET", f"/v1/grants/{name}", key=stage.key).error


def test_after_all_that_it_is_well(stage: Stage) -> None:
    """
    A healthy process, and no traceback in its log.
    """
    assert 200 == stage.ask("GET", "/readyz").status
    assert stage.service is not None
    assert "Traceback" not in stage.service.log.read_text(errors="replace")
