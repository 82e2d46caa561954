"""The fault layer: planning, striking, and the faults below the meaning."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from grantkeeper.emulator.faults import ENDPOINTS, FaultPlan
from grantkeeper.emulator.menu import MENU
from tests.emulator.oauth_kit import ADA, Backend, refused
from tests.waiting import wait_for

DISCOVERY = "/.well-known/openid-configuration"
BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def plan(backend: Backend, endpoint: str, name: str, **options: Any) -> None:
    backend.control("fault", endpoint=endpoint, name=name, **options)


# Planning


def test_the_menu_names_every_fault_and_where_it_strikes(backend: Backend) -> None:
    """
    With a sentence, and whether the request takes effect.
    """
    menu = backend.get("/emulator/faults").json()

    assert list(MENU) == [entry["name"] for entry in menu]
    assert all(entry["endpoints"] and set(entry["endpoints"]) <= set(ENDPOINTS) for entry in menu)
    assert all(entry["does"].endswith(".") and isinstance(entry["processed"], bool) for entry in menu)


def test_a_fault_strikes_as_often_as_it_is_told(backend: Backend) -> None:
    """
    Afterwards it is gone.
    """
    plan(backend, "discovery", "status_503", count=2)

    assert [503, 503, 200] == [backend.get(DISCOVERY).status_code for _ in range(3)]
    assert [] == backend.get("/emulator/fault").json()


def test_a_fault_without_a_count_strikes_until_it_is_deleted(backend: Backend) -> None:
    """
    By name, by endpoint, or all.
    """
    plan(backend, "discovery", "status_503")
    plan(backend, "certs", "status_500")
    struck = [backend.get(DISCOVERY).status_code for _ in range(3)]
    backend.http.delete(backend.url + "/emulator/fault", json={"endpoint": "discovery"})
    after = backend.get(DISCOVERY).status_code, backend.get("/oauth2/v3/certs").status_code
    deleted = backend.http.delete(backend.url + "/emulator/fault").json()

    assert [503, 503, 503] == struck
    assert (200, 500) == after
    assert {"deleted": 1} == deleted
    assert 200 == backend.get("/oauth2/v3/certs").status_code


def test_a_fault_can_be_deleted_by_name_in_the_query(backend: Backend) -> None:
    """
    A misspelt filter deletes nothing.
    """
    plan(backend, "discovery", "status_503")
    url = backend.url + "/emulator/fault"

    assert {"deleted": 0} == backend.http.delete(url, params={"name": "lost"}).json()
    assert 400 == backend.http.delete(url, params={"names": "status_503"}).status_code
    assert {"deleted": 1} == backend.http.delete(url, params={"name": "status_503"}).json()


def test_the_oldest_fault_strikes_first(backend: Backend) -> None:
    """
    So a test can write a sequence.
    """
    plan(backend, "discovery", "status_500", count=1)
    plan(backend, "discovery", "status_429", count=1)

    assert [500, 429, 200] == [backend.get(DISCOVERY).status_code for _ in range(3)]


def test_a_fault_can_let_requests_pass_before(backend: Backend) -> None:
    """
    ``after`` counts them.
    """
    plan(backend, "discovery", "status_500", after=2, count=1)

    assert [200, 200, 500, 200] == [backend.get(DISCOVERY).status_code for _ in range(4)]


def test_a_fault_can_strike_one_kind_of_token_request(backend: Backend) -> None:
    """
    Refreshes fail while codes are redeemed.
    """
    plan(backend, "token", "status_503", grant_type="refresh_token")
    answer = backend.sign_in()

    assert 503 == backend.refresh(answer["refresh_token"]).status_code


def test_a_fault_that_finds_nothing_to_spoil_waits(backend: Backend) -> None:
    """
    An error answer has no ID token; the next good one does.
    """
    plan(backend, "token", "id_token_absent", count=1)
    first = refused(backend.redeem("garbage"))
    answer = backend.sign_in()

    assert (400, "invalid_grant") == first
    assert "id_token" not in answer
    assert "id_token" in backend.sign_in()
    assert {"token": {"id_token_absent": 1}} == backend.stats()["faults"]


def test_what_struck_is_counted_beside_the_requests(backend: Backend) -> None:
    """
    A request that took effect counts as what it was, one that did not as what was answered.
    """
    token = backend.sign_in()["refresh_token"]
    plan(backend, "token", "status_503", count=1)
    backend.refresh(token)
    plan(backend, "token", "invalid_rapt", count=1)
    backend.refresh(token)
    plan(backend, "token", "status_503", count=1, processed=True)
    backend.refresh(token)

    stats = backend.stats()

    assert {"ok": 1, "status_503": 1, "invalid_grant": 1} == stats["token"]["refresh_token"]
    assert {"token": {"status_503": 2, "invalid_rapt": 1}} == stats["faults"]


def test_a_fault_is_refused_where_it_makes_no_sense() -> None:
    """
    Nothing is planned then.
    """
    faults = FaultPlan(MENU)

    with pytest.raises(ValueError, match="certs"):
        faults.add("token", "no_keys")
    with pytest.raises(ValueError, match="galaxy"):
        faults.add("token", "galaxy")

    assert [] == faults.active


# Lost, cut and slow


def live(backend: Backend) -> int:
    return int(backend.get("/emulator/refresh_tokens", params={"email": ADA}).json()["live"])


def test_lost_takes_effect_and_answers_nothing(backend: Backend) -> None:
    """
    The refresh token was minted, and nobody knows it.
    """
    code = backend.code()
    plan(backend, "token", "lost", count=1)

    with pytest.raises(requests.ConnectionError):
        backend.redeem(code)

    assert 1 == live(backend)
    assert (400, "invalid_grant") == refused(backend.redeem(code))


def test_cut_before_has_no_effect(backend: Backend) -> None:
    """
    The code is as good as new.
    """
    code = backend.code()
    plan(backend, "token", "cut_before", count=1)

    with pytest.raises(requests.ConnectionError):
        backend.redeem(code)

    assert 0 == live(backend)
    assert 200 == backend.redeem(code).status_code
    assert {"cut_before": 1, "ok": 1} == backend.stats()["token"]["authorization_code"]


def test_cut_breaks_off_in_the_middle(backend: Backend) -> None:
    """
    The head promises more than arrives, and the request took effect.
    """
    code = backend.code()
    plan(backend, "token", "cut", count=1)

    with pytest.raises(BROKEN):
        backend.redeem(code)

    assert 1 == live(backend)


def test_slow_holds_the_head_back(backend: Backend) -> None:
    """
    For as long as it is told.
    """
    plan(backend, "discovery", "slow", seconds=0.3, count=1)
    began = time.monotonic()
    answer = backend.get(DISCOVERY)

    assert time.monotonic() - began >= 0.3
    assert backend.url == answer.json()["issuer"]


def test_slow_takes_effect_before_the_client_gives_up(backend: Backend) -> None:
    """
    A time-out is a lost answer.
    """
    code = backend.code()
    plan(backend, "token", "slow", seconds=5, count=1)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": ""}
    form |= {"client_id": backend.client.id, "client_secret": backend.client.secrets[0]}

    with pytest.raises(requests.Timeout):
        requests.post(backend.url + "/token", data=form, timeout=0.3)

    wait_for(lambda: live(backend) == 1)


def test_drip_sends_the_head_at_once_and_the_body_slowly(backend: Backend) -> None:
    """
    A limit on the time to the first byte does not help against it.
    """
    plan(backend, "discovery", "drip", seconds=2, count=1)
    response = requests.get(backend.url + DISCOVERY, stream=True, timeout=30)
    head = time.monotonic()
    document = response.json()

    assert time.monotonic() - head >= 0.4
    assert backend.url == document["issuer"]


# Bodies and statuses


def _raises(error: type[Exception], call: Callable[[], Any]) -> bool:
    try:
        call()
    except error:
        return True
    return False


BODIES: list[tuple[str, Callable[[requests.Response], bool]]] = [
    ("empty", lambda r: r.content == b""),
    ("html", lambda r: r.text.startswith("<!doctype html>") and "text/html" in r.headers["Content-Type"]),
    ("not_json", lambda r: _raises(ValueError, r.json) and "json" in r.headers["Content-Type"]),
    ("truncated_json", lambda r: _raises(ValueError, r.json) and r.text.startswith('{"issuer"')),
    ("invalid_utf8", lambda r: _raises(UnicodeDecodeError, lambda: r.content.decode("utf-8"))),
    ("wrong_charset", lambda r: '"issuer"' in r.content.decode("utf-16")),
    ("wrong_content_type", lambda r: r.headers["Content-Type"] == "text/plain" and "issuer" in r.json()),
    ("list_body", lambda r: isinstance(r.json(), list) and "issuer" in r.json()[0]),
    ("null_body", lambda r: r.json() is None),
    ("huge", lambda r: len(r.content) > 32 << 20 and "issuer" in r.json()),
    ("deep_json", lambda r: r.text.startswith('{"deep":' + "[" * 100_000)),
]


@pytest.mark.parametrize("name, is_so", BODIES, ids=[name for name, _ in BODIES])
def test_a_body_is_spoilt_as_the_menu_says(
    backend: Backend, name: str, is_so: Callable[[requests.Response], bool]
) -> None:
    """
    With status 200; the next answer is whole again.
    """
    plan(backend, "discovery", name, count=1)
    response = backend.get(DISCOVERY)

    assert 200 == response.status_code
    assert is_so(response)
    assert backend.url == backend.get(DISCOVERY).json()["issuer"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_of_a_broken_server(backend: Backend, status: int) -> None:
    """
    With ``Retry-After`` where it is asked for, and without effect.
    """
    code = backend.code()
    plan(backend, "token", f"status_{status}", count=1, retry_after=7)
    response = backend.redeem(code)

    assert status == response.status_code
    assert "7" == response.headers["Retry-After"]
    assert isinstance(response.json()["error"], str)
    assert 200 == backend.redeem(code).status_code


def test_a_status_may_come_after_the_effect(backend: Backend) -> None:
    """
    The worst of all: 503, and the code is gone.
    """
    code = backend.code()
    plan(backend, "token", "status_503", count=1, processed=True)
    response = backend.redeem(code)

    assert 503 == response.status_code
    assert "Retry-After" not in response.headers
    assert (400, "invalid_grant") == refused(backend.redeem(code))


def test_a_redirect_leads_elsewhere(backend: Backend) -> None:
    """
    To where it is told; a client that follows it carries its secrets there.
    """
    plan(backend, "token", "redirect", count=1)
    plan(backend, "token", "redirect", count=1, to="https://evil.example/token", status=307)
    first, second = backend.redeem("x"), backend.redeem("x")

    assert (302, backend.url + "/emulator/elsewhere") == (first.status_code, first.headers["Location"])
    assert (307, "https://evil.example/token") == (second.status_code, second.headers["Location"])


@pytest.mark.parametrize(
    "name, status, reason",
    [
        ("api_401", 401, "authError"),
        ("api_403_rate", 403, "userRateLimitExceeded"),
        ("api_429", 429, "rateLimitExceeded"),
        ("api_500", 500, "backendError"),
    ],
)
def test_an_api_fails_in_its_own_envelope(backend: Backend, name: str, status: int, reason: str) -> None:
    """
    The classic one for userinfo and Drive.
    """
    plan(backend, "userinfo", name, count=1, retry_after=3)
    response = backend.get("/oauth2/v3/userinfo")

    assert status == response.status_code
    assert reason == response.json()["error"]["errors"][0]["reason"]
    assert "3" == response.headers["Retry-After"]
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


@pytest.mark.parametrize("endpoint", ["people", "photos", "picker"])
def test_the_newer_apis_fail_in_the_newer_envelope(backend: Backend, endpoint: str) -> None:
    """
    With a status name and details.
    """
    path = {
        "people": "/v1/people/me",
        "photos": "/photoslibrary/v1/albums",
        "picker": "/photospicker/v1/sessions/some",
    }[endpoint]
    plan(backend, endpoint, "api_429", count=1)

    error = backend.get(path).json()["error"]

    assert ("RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED") == (error["status"], error["details"][0]["reason"])


@pytest.mark.parametrize(
    "endpoint, path",
    [
        ("revoke", "/revoke"),
        ("certs", "/oauth2/v1/certs"),
        ("discovery", DISCOVERY),
        ("userinfo", "/v1/userinfo"),
        ("tokeninfo", "/tokeninfo"),
        ("drive", "/drive/v3/files"),
        ("upload", "/upload/drive/v3/files"),
        ("batch", "/batch/drive/v3"),
        ("people", "/v1/people/me"),
        ("photos", "/photoslibrary/v1/mediaItems"),
        ("picker", "/photospicker/v1/sessions/some"),
        ("auth", "/o/oauth2/v2/auth"),
    ],
)
def test_every_endpoint_can_be_struck(backend: Backend, endpoint: str, path: str) -> None:
    """
    By the name under which it is counted.
    """
    plan(backend, endpoint, "cut_before", count=1)

    with pytest.raises(requests.ConnectionError):
        backend.post(path) if endpoint in ("revoke", "upload", "batch") else backend.get(path)

    assert 1 == backend.emulator.world.counted(endpoint, outcome="cut_before")


def test_the_control_side_is_never_struck(backend: Backend) -> None:
    """
    Whatever is planned, it can be undone.
    """
    for endpoint in ENDPOINTS:
        plan(backend, endpoint, "cut_before")

    assert {"deleted": len(ENDPOINTS)} == backend.http.delete(backend.url + "/emulator/fault").json()
