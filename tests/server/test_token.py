"""``POST /v1/token``: which grant, which scopes, how long; from memory and not."""

from dataclasses import replace
from typing import Any

import pytest

from grantkeeper.errors import (
    CallerNotAllowed,
    ConsentRequired,
    GrantAmbiguous,
    GrantBlocked,
    GrantkeeperError,
    GrantNotFound,
    IssuerMisbehaved,
    IssuerUnavailable,
    SealBroken,
)
from grantkeeper.server import wire
from grantkeeper.server.app import App
from tests.server.asking import KEY, KEYED, Said, ask
from tests.server.conftest import Recorder
from tests.server.fake_core import GRANT, HANDED_OUT, OTHER, SCOPES, TOKEN, FakeCore

pytestmark = pytest.mark.anyio


async def token(app: App, body: Any, headers: Any = KEYED) -> Said:
    return await ask(app, "POST", "/v1/token", body, headers)


@pytest.mark.parametrize("fresh", [True, False])
async def test_the_answer_has_the_fields_of_the_design(app: App, core: FakeCore, fresh: bool) -> None:
    """
    From either lane, byte for byte the same.
    """
    if not fresh:
        core.answers["fresh_token"] = None
    first = await token(app, {"grant": GRANT})
    second = await token(app, {"grant": GRANT})

    assert {
        "access_token": TOKEN,
        "token_type": "Bearer",
        "expires_in": 3599,
        "expires_at": "2026-11-22T12:59:59Z",
        "scopes": sorted(SCOPES),
        "missing_scopes": [],
        "grant": GRANT,
    } == second.json
    assert first.body == second.body


async def test_a_fresh_token_takes_the_raw_lane(app: App, core: FakeCore, log: Recorder) -> None:
    """
    No store, no router, no log line of its own; but it is counted.
    """
    await token(app, {"grant": GRANT})
    core.calls.clear()
    log.lines.clear()
    reads = core.store.reads
    await token(app, {"grant": GRANT})

    assert ["fresh_token"] == [name for name, _ in core.calls]
    assert (reads, []) == (core.store.reads, log.lines)
    numbers = app.service.tally.numbers()
    assert (2, 1) == (numbers.requests["/v1/token POST 200"], numbers.events["token memory"])


@pytest.mark.parametrize("fresh", [True, False])
async def test_what_is_asked_reaches_the_core(app: App, core: FakeCore, fresh: bool) -> None:
    """
    Scopes as a set, the rule and the id of the caller beside it.
    """
    core.admit(KEY, scopes=SCOPES)
    await token(app, {"grant": GRANT})
    if not fresh:
        core.answers["fresh_token"] = None
    core.calls.clear()
    digest = "A" * 43
    body = {"grant": GRANT, "scopes": ["openid"], "min_ttl": 600, "rejected": digest + "="}
    await token(app, body)
    asked = core.asked("fresh_token" if fresh else "access_token")[0]

    assert {
        "grant_id": GRANT,
        "scopes": frozenset({"openid"}),
        "min_ttl": 600,
        "rejected": digest,
        "rule": SCOPES,
        "caller": "caller-1",
    } == asked


async def test_left_out_parameters_have_their_defaults(app: App, core: FakeCore) -> None:
    """
    A minute, and all scopes.
    """
    await token(app, {"grant": GRANT, "scopes": None, "min_ttl": None, "rejected": None})
    asked = core.asked("access_token")[0]

    assert (60, None, None) == (asked["min_ttl"], asked["scopes"], asked["rejected"])


async def test_a_form_is_as_good_as_json(app: App, core: FakeCore) -> None:
    """
    By the other lane.
    """
    headers = {**KEYED, "Content-Type": "application/x-www-form-urlencoded"}
    said = await token(app, f"grant={GRANT}&scopes=openid+email&min_ttl=0".encode(), headers)

    assert 200 == said.status
    assert 0 == core.asked("access_token")[0]["min_ttl"]


async def test_a_warning_is_passed_on(app: App, core: FakeCore) -> None:
    """
    And is not there otherwise.
    """
    core.answers["fresh_token"] = None
    core.answers["access_token"] = replace(HANDED_OUT, warning="min_ttl_not_met", expires_in=30)
    said = (await token(app, {"grant": GRANT})).json

    assert ("min_ttl_not_met", 30) == (said["warning"], said["expires_in"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"grant": GRANT, "subject": "1"},
        {"grant": GRANT, "user": "u"},
        {"subject": "1", "user": "u"},
        {"grant": GRANT, "subject": "1", "user": "u"},
        {"grant": GRANT, "client": "default"},
    ],
)
async def test_a_grant_is_named_in_exactly_one_way(app: App, core: FakeCore, body: Any) -> None:
    """
    More or less is a mistake of the caller's; a warm raw lane does not guess either.
    """
    await token(app, {"grant": GRANT})
    core.calls.clear()

    assert (400, "invalid_request") == (await token(app, body)).error
    assert [] == core.calls


@pytest.mark.parametrize(
    "body", [{"subject": "1001"}, {"subject": "1001", "client": "default"}, {"user": "u-1"}]
)
async def test_other_names_are_looked_up_once(app: App, core: FakeCore, body: Any) -> None:
    """
    And then remembered until anything changes.
    """
    for _ in range(3):
        assert 200 == (await token(app, body)).status
    assert 1 == len(core.asked("resolve"))
    assert 2 == len(core.asked("fresh_token"))

    core.tell("grant", OTHER)
    await token(app, body)
    assert 2 == len(core.asked("resolve"))


async def test_a_name_may_mean_another_grant_after_a_change(app: App, core: FakeCore) -> None:
    """
    What is remembered is a hint and no truth.
    """
    await token(app, {"user": "u-1"})
    core.answers["resolve"] = GrantAmbiguous("two", grants=[GRANT, OTHER])
    core.tell("grant", OTHER)
    said = await token(app, {"user": "u-1"})

    assert (409, "grant_ambiguous") == said.error
    assert [GRANT, OTHER] == said.json["grants"]


async def test_a_hint_that_was_overtaken_is_not_kept(app: App, core: FakeCore) -> None:
    """
    The change came between the look-up's beginning and its end.
    """

    def overtaken(**_: Any) -> str:
        core.tell("grant", GRANT)
        return GRANT

    core.answers["resolve"] = overtaken
    await token(app, {"user": "u-1"})
    await token(app, {"user": "u-1"})

    assert 2 == len(core.asked("resolve"))


async def test_with_a_silent_feed_names_are_looked_up(app: App, core: FakeCore) -> None:
    """
    A node that hears nothing reads the store on each request.
    """
    await token(app, {"user": "u-1"})
    core.feed_silent = True
    await token(app, {"user": "u-1"})

    assert 2 == len(core.asked("resolve"))


async def test_a_client_outside_the_rule_is_403_before_any_look_up(app: App, core: FakeCore) -> None:
    """
    Even one that does not exist.
    """
    core.admit(KEY, clients=frozenset({"default"}))
    for client in ("second", "nobody"):
        assert (403, "caller_not_allowed") == (await token(app, {"subject": "1", "client": client})).error
    assert [] == core.asked("resolve")


async def test_a_grant_outside_the_rule_is_404(app: App, core: FakeCore) -> None:
    """
    By id too, and on a warm lane; the rule goes into the look-up.
    """
    core.admit(KEY, clients=frozenset({"default"}))
    core.answers["resolve"] = GrantNotFound("there is no such grant")
    for _ in range(2):
        assert (404, "grant_not_found") == (await token(app, {"grant": GRANT})).error

    assert frozenset({"default"}) == core.asked("resolve")[0]["clients"]
    assert [] == core.asked("fresh_token")


async def test_two_callers_do_not_share_what_was_looked_up(app: App, core: FakeCore) -> None:
    """
    What one may see, another may not.
    """
    other = "gk_" + "C" * 43
    core.admit(other, id="caller-2", clients=frozenset({"second"}))
    await token(app, {"user": "u-1"})
    core.answers["resolve"] = GrantNotFound("there is no such grant")

    assert (404, "grant_not_found") == (
        await token(app, {"user": "u-1"}, {"Authorization": f"Bearer {other}"})
    ).error


@pytest.mark.parametrize(
    "error",
    [
        GrantNotFound("no"),
        ConsentRequired("gone", reason="missing_scopes", missing_scopes=["a"]),
        ConsentRequired("gone", reason="revoked"),
        GrantBlocked("no"),
        CallerNotAllowed("rule"),
        IssuerUnavailable("later", retry_after=7),
        IssuerMisbehaved("odd"),
        SealBroken("key"),
    ],
    ids=lambda error: error.code,
)
async def test_what_the_core_refuses_is_told(app: App, core: FakeCore, error: GrantkeeperError) -> None:
    """
    The same on a cold lane and on a warm one, whose short cut meets the error first.
    """
    core.answers["access_token"] = core.answers["fresh_token"] = error
    cold, warm = await token(app, {"grant": GRANT}), await token(app, {"grant": GRANT})

    assert (wire.STATUS[type(error)], error.code) == cold.error == warm.error
    assert cold.json == warm.json


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b'{"grant": 1}', b"\xff"])
async def test_a_bad_body_is_400_on_a_warm_lane_too(app: App, body: bytes) -> None:
    """
    The raw lane leaves it to the other, body and all.
    """
    await token(app, {"grant": GRANT})

    assert (400, "invalid_request") == (await token(app, body)).error


async def test_a_large_body_is_413_on_a_warm_lane_too(app: App) -> None:
    """
    64 KiB are enough for everybody.
    """
    await token(app, {"grant": GRANT})
    body = b'{"grant":"' + b"x" * 65_536 + b'"}'

    assert (413, "too_large") == (await token(app, body)).error


async def test_another_media_type_is_415_on_a_warm_lane_too(app: App) -> None:
    """
    It is the other lane's business.
    """
    await token(app, {"grant": GRANT})

    assert (415, "unsupported_media_type") == (
        await token(app, {"grant": GRANT}, {**KEYED, "Content-Type": "text/plain"})
    ).error


@pytest.mark.parametrize("grant", ["\x00", "line\nfeed", "no-such-grant", "ä"])
async def test_an_odd_grant_id_is_looked_for_and_not_found(app: App, core: FakeCore, grant: str) -> None:
    """
    It is 404 and never a 500.
    """
    core.answers["fresh_token"] = None
    core.answers["access_token"] = GrantNotFound("there is no such grant")

    assert (404, "grant_not_found") == (await token(app, {"grant": grant})).error
