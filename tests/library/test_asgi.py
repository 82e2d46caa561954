"""`keeper.asgi()` mounted in somebody else's application, whose server has a loop of its own."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from grantkeeper import Keeper
from grantkeeper.library.asgi import AppFacing
from tests.waiting import struck, wait_for

FORGERY = {"X-Requested-With": "app"}


@pytest.fixture
def host(options: dict[str, Any]) -> Iterator[str]:
    """The address of an application that has a route of its own and ours under /auth."""
    keeper = Keeper.open(**options, public_url="https://app.example.com/auth")

    async def own(request: Any) -> PlainTextResponse:
        return PlainTextResponse("own")

    app = Starlette(routes=[Route("/own", own), Mount("/auth", keeper.asgi())])
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=lambda: server.run([listener]))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()
    keeper.close()


def test_an_app_signs_in_at_the_mounted_route(host, google_emulator):
    """The answer of POST /v1/redeem, with a session in the host's name."""
    body = {"code": google_emulator.code("mia@example.com")}
    answer = httpx.post(f"{host}/auth/v1/redeem", json=body, headers=FORGERY).json()

    assert "mia@example.com" == answer["profile"]["email"]
    assert 3 == len(answer["session"]["token"].split("."))


def test_a_forged_post_is_refused_and_nothing_happens(host, google_emulator):
    """The guard stands before the mounted routes as well."""
    response = httpx.post(f"{host}/auth/v1/redeem", json={"code": google_emulator.code("mia@example.com")})

    assert (403, "forged_request") == (response.status_code, response.json()["error"])
    assert 0 == google_emulator.count("token", "authorization_code")


@pytest.mark.parametrize("path", ["/v1/token", "/v1/grants", "/metrics"])
def test_routes_for_backends_are_not_mounted(host, path):
    """They are for callers of a service; the host has the keeper itself."""
    assert 404 == httpx.post(f"{host}/auth{path}", json={}, headers=FORGERY).status_code


def test_the_hosts_own_routes_go_on_while_google_is_slow(host, google_emulator):
    """A sign-in does not hold up the host's loop."""
    google_emulator.fault("token", "slow", count=1, seconds=3)
    body = {"code": google_emulator.code("mia@example.com")}
    statuses: list[int] = []

    def sign_in() -> None:
        response = httpx.post(f"{host}/auth/v1/redeem", json=body, headers=FORGERY, timeout=20)
        statuses.append(response.status_code)

    thread = threading.Thread(target=sign_in)
    thread.start()
    wait_for(struck(google_emulator))
    own = [httpx.get(f"{host}/own", timeout=20).text for _ in range(3)]
    pending = thread.is_alive()
    thread.join()

    assert ["own"] * 3 == own
    assert pending
    assert [200] == statuses


def test_a_body_that_does_not_end_is_cut_off(host):
    """Limits hold across the hop."""
    response = httpx.post(f"{host}/auth/v1/redeem", content=b"x" * 200_000, headers=FORGERY)

    assert 413 == response.status_code


@pytest.mark.anyio
async def test_lifespan_events_are_answered(options):
    """For hosts that pass them on; the keeper has a life of its own."""
    keeper = Keeper.open_sync(**options)
    app = keeper.asgi()
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return next(events)

    async def send(event: Any) -> None:
        sent.append(event["type"])

    await app({"type": "lifespan"}, receive, send)
    keeper.close()

    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == sent


@pytest.mark.anyio
async def test_events_cross_to_the_hosts_loop(options):
    """receive and send run where the host's server expects them."""
    keeper = Keeper.open(**options)
    loops: list[asyncio.AbstractEventLoop] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start"})

    async def event(*_: Any) -> Any:
        loops.append(asyncio.get_running_loop())

    await AppFacing(keeper._home, lambda core: inner)({"type": "http"}, event, event)
    await keeper.aclose()

    assert [asyncio.get_running_loop()] * 2 == loops
