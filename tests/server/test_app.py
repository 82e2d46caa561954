"""The application as any ASGI server sees it, beyond plain requests."""

from typing import Any

import pytest

from grantkeeper.errors import SettingsInvalid
from grantkeeper.server.app import App
from tests.server.asking import FROM_APP, KEYED, ask
from tests.server.conftest import Recorder
from tests.server.fake_core import GRANT, PAGE, FakeCore

pytestmark = pytest.mark.anyio


async def drive(app: App, scope: dict[str, Any], received: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the app sends for what it receives."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def test_a_servers_lifespan_is_acknowledged(app: App) -> None:
    """
    The core is opened by whoever made the app; there is nothing else to start.
    """
    sent = await drive(
        app, {"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    )

    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == [one["type"] for one in sent]


async def test_a_websocket_is_turned_away(app: App) -> None:
    """
    By servers that offer one.
    """
    sent = await drive(app, {"type": "websocket", "path": "/"}, [{"type": "websocket.connect"}])

    assert [{"type": "websocket.close", "code": 1002}] == sent


@pytest.mark.parametrize("path", ["/v1/redeem", "/v1/token"])
async def test_a_sender_that_leaves_in_the_middle_gets_no_answer(
    app: App, core: FakeCore, log: Recorder, path: str
) -> None:
    """
    Nothing reaches the core; the log says what happened.
    """
    headers = {**FROM_APP, **KEYED, "content-type": "application/json"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    half = {"type": "http.request", "body": b'{"grant":', "more_body": True}
    for _ in range(2):
        assert [] == await drive(app, dict(scope), [dict(half), {"type": "http.disconnect"}])

    assert [] == core.calls
    assert [(499, "disconnected")] * 2 == [(one["status"], one["error"]) for one in log.named("request")]


async def test_a_body_may_come_in_many_messages(app: App, core: FakeCore) -> None:
    """
    On a warm raw lane too, which leaves what it has read to the other.
    """
    await ask(app, "POST", "/v1/token", {"grant": GRANT}, KEYED)
    body = b'{"grant":"' + GRANT.encode() + b'"}'
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/token",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "client": None,
        "headers": [
            (b"authorization", KEYED["Authorization"].encode()),
            (b"content-type", b"application/json"),
        ],
    }
    parts = [{"type": "http.request", "body": bytes([one]), "more_body": True} for one in body]
    sent = await drive(app, scope, [*parts, {"type": "http.request", "body": b"", "more_body": False}])

    assert 200 == sent[0]["status"]


async def test_an_error_that_has_no_place_here_is_500(app: App, core: FakeCore, log: Recorder) -> None:
    """
    Settings are no business of a caller's.
    """
    core.answers["grants"] = SettingsInvalid(["GRANTKEEPER_KEYS is gone"])
    said = await ask(app, "GET", "/v1/grants", None, KEYED)

    assert (500, "internal_error") == said.error
    assert "GRANTKEEPER_KEYS" not in said.body.decode()
    assert ["settings_invalid"] == [one["error"] for one in log.named("request.failed")]


async def test_a_page_may_read_even_a_500(app: App, core: FakeCore) -> None:
    """
    Else its script sees no more than that the network failed.
    """
    core.answers["redeem"] = RuntimeError("boom")
    said = await ask(app, "POST", "/v1/redeem", {"code": "c"}, {**FROM_APP, "Origin": PAGE})

    assert (500, PAGE) == (said.status, said.headers["access-control-allow-origin"])


async def test_options_without_an_origin_lists_the_methods(app: App) -> None:
    """
    Nobody asks for a page then.
    """
    said = await ask(app, "OPTIONS", "/v1/redeem")

    assert (204, "OPTIONS, POST") == (said.status, said.headers["allow"])
    assert not any(name.startswith("access-control") for name in said.headers)
