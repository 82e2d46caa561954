"""What holds on every route that needs a caller key, on the raw lane and behind the router alike."""

from datetime import timedelta
from typing import Any

import pytest

from grantkeeper.errors import StoreUnavailable
from grantkeeper.model import Permission
from grantkeeper.server.app import App, create_app
from tests.server.asking import KEY, KEYED, OTHER_KEY, Said, ask
from tests.server.conftest import Recorder
from tests.server.fake_core import GRANT, NOW, TOKEN, FakeCore

pytestmark = pytest.mark.anyio

TOKENS = ("POST", "/v1/token", {"grant": GRANT})
LANES = [
    pytest.param(*TOKENS, True, id="raw"),
    pytest.param(*TOKENS, False, id="token-behind-router"),
    pytest.param("GET", f"/v1/grants/{GRANT}", None, True, id="routed"),
    pytest.param("PATCH", f"/v1/grants/{GRANT}", {"user": "u"}, True, id="routed-body"),
]
lanes = pytest.mark.parametrize(("method", "path", "body", "fresh"), LANES)


class Lane:
    """One way in; after the first request the caller is in memory, so that the raw lane is open."""

    def __init__(self, core: FakeCore, app: App, method: str, path: str, body: Any, fresh: bool) -> None:
        self.core, self.app, self._request = core, app, (method, path, body)
        if not fresh:
            core.answers["fresh_token"] = None

    async def ask(self, headers: Any = KEYED, **given: Any) -> Said:
        return await ask(self.app, *self._request, headers, **given)

    async def warm(self) -> None:
        assert 200 == (await self.ask()).status


@pytest.fixture
async def lane(core: FakeCore, app: App, method: str, path: str, body: Any, fresh: bool) -> Lane:
    lane = Lane(core, app, method, path, body, fresh)
    await lane.warm()
    return lane


@lanes
async def test_a_good_key_is_let_in_from_memory(lane: Lane) -> None:
    """
    The store is read for the first request only.
    """
    assert 200 == (await lane.ask()).status
    assert 1 == lane.core.store.reads


@lanes
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {OTHER_KEY}"},
        {"Authorization": "Bearer gk_short"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": KEY},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \xff\xfe"},
        [("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")],
    ],
    ids=["none", "unknown", "short", "long", "basic", "no-scheme", "empty", "bytes", "twice"],
)
async def test_anything_else_is_401(lane: Lane, headers: Any) -> None:
    """
    With the scheme that is wanted, and before anything is looked up.
    """
    lane.core.calls.clear()
    said = await lane.ask(headers)

    assert (401, "caller_unknown") == said.error
    assert said.headers["www-authenticate"].startswith("Bearer")
    assert [] == lane.core.calls


@lanes
async def test_the_scheme_is_read_without_case(lane: Lane) -> None:
    """
    RFC 9110 section 11.1.
    """
    assert 200 == (await lane.ask({"Authorization": f"bearer {KEY}"})).status


@lanes
async def test_a_revoked_key_is_out_as_soon_as_the_feed_says_so(lane: Lane) -> None:
    """
    Memory is dropped on a change of kind caller.
    """
    lane.core.admit(KEY, revoked_at=NOW)
    lane.core.tell("caller", "caller-1")

    assert (401, "caller_unknown") == (await lane.ask()).error


@lanes
async def test_changes_of_grants_leave_callers_in_memory(lane: Lane) -> None:
    """
    A busy service would otherwise read them all the time.
    """
    lane.core.tell("grant", GRANT)
    await lane.ask()

    assert 1 == lane.core.store.reads


@lanes
async def test_with_a_silent_feed_memory_is_not_believed(lane: Lane) -> None:
    """
    The store is read on each request, and a key revoked meanwhile is out.
    """
    lane.core.feed_silent = True
    assert 200 == (await lane.ask()).status
    lane.core.admit(KEY, revoked_at=NOW)

    assert (401, "caller_unknown") == (await lane.ask()).error


@lanes
async def test_a_store_that_is_away_is_503(lane: Lane) -> None:
    """
    And not 401: the key may be good.
    """
    lane.core.tell("all")
    lane.core.store.error = StoreUnavailable("the database is away")
    said = await lane.ask()

    assert (503, "store_unavailable") == said.error
    assert "1" == said.headers["retry-after"]


@lanes
async def test_a_key_ends_at_the_very_second(lane: Lane) -> None:
    """
    From memory too, and by the keeper's clock.
    """
    lane.core.admit(KEY, expires_at=NOW + timedelta(seconds=10))
    lane.core.tell("caller")
    lane.core.clock.at = NOW + timedelta(seconds=9)
    assert 200 == (await lane.ask()).status
    lane.core.clock.at = NOW + timedelta(seconds=10)

    assert (401, "caller_unknown") == (await lane.ask()).error


@lanes
async def test_a_missing_permission_is_403_before_any_look_up(lane: Lane) -> None:
    """
    Whether the grant exists stays unsaid.
    """
    lane.core.admit(KEY, permissions=frozenset({Permission.JOBS}))
    lane.core.tell("caller")
    lane.core.calls.clear()

    assert (403, "caller_not_allowed") == (await lane.ask()).error
    assert (403, "caller_not_allowed") == (await lane.ask()).error
    assert [] == lane.core.calls


@lanes
async def test_a_request_id_is_echoed_or_made(lane: Lane) -> None:
    """
    On good answers and on refusals.
    """
    assert "mine-1" == (await lane.ask({**KEYED, "X-Request-Id": "mine-1"})).headers["x-request-id"]
    assert "mine-2" == (await lane.ask({"X-Request-Id": "mine-2"})).headers["x-request-id"]
    assert (await lane.ask()).headers["x-request-id"] != (await lane.ask()).headers["x-request-id"]


@lanes
async def test_plain_http_from_elsewhere_is_refused(lane: Lane) -> None:
    """
    The key has crossed a network in the clear; at least no token follows it.
    """
    assert (403, "https_required") == (await lane.ask(peer=("192.0.2.1", 1))).error


@lanes
async def test_an_unnamed_proxy_is_refused(lane: Lane) -> None:
    """
    On loopback too.
    """
    said = await lane.ask({**KEYED, "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"})

    assert (403, "https_required") == said.error


@pytest.mark.parametrize(("method", "path", "body"), [TOKENS, ("GET", f"/v1/grants/{GRANT}", None)])
async def test_a_named_proxy_is_believed(
    core: FakeCore, log: Recorder, method: str, path: str, body: Any
) -> None:
    """
    Behind TLS everything works as before.
    """
    core.settings.trusted_proxies = ("10.0.0.0/8",)
    app = create_app(core, log=log)  # type: ignore[arg-type]
    headers = {**KEYED, "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}

    for _ in range(2):
        assert 200 == (await ask(app, method, path, body, headers, peer=("10.0.0.7", 1))).status


@lanes
async def test_nobody_stores_the_answer(lane: Lane) -> None:
    """
    RFC 6749 section 5.1.
    """
    said = await lane.ask()

    assert ("no-store", "application/json") == (said.headers["cache-control"], said.headers["content-type"])


@lanes
async def test_guessing_keys_is_slowed_down_and_good_keys_are_not(lane: Lane) -> None:
    """
    Strangers cannot make the store busy; who is known goes on.
    """
    codes = [(await lane.ask({"Authorization": f"Bearer {OTHER_KEY}"})).status for _ in range(601)]

    assert {401, 429} == set(codes)
    assert 200 == (await lane.ask()).status


@lanes
async def test_an_unexpected_exception_is_500_without_detail(lane: Lane, log: Recorder) -> None:
    """
    The answer names the request, the log names the place, and neither what was in it.
    """

    def burst(**_: Any) -> None:
        raise ValueError(f"secret {TOKEN}")

    for name in lane.core.answers:
        lane.core.answers[name] = burst
    said = await lane.ask({**KEYED, "X-Request-Id": "r-1"})

    assert (500, "internal_error") == said.error
    assert "r-1" == said.headers["x-request-id"]
    failures = log.named("request.failed")
    assert "ValueError" == failures[-1]["exception"]
    assert TOKEN not in said.body.decode() + repr(log.lines)


@lanes
async def test_secrets_stay_out_of_the_log(lane: Lane, log: Recorder) -> None:
    """
    Ids and names only, whatever the answer.
    """
    await lane.ask({**KEYED, "X-Requested-With": "marker-header"})
    await lane.ask({"Authorization": f"Bearer {OTHER_KEY}"})

    assert not any(secret in repr(log.lines) for secret in (KEY, OTHER_KEY, TOKEN, "marker-header"))
