"""Health, numbers, keys, the description and the pages."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from grantkeeper.errors import StoreUnavailable
from grantkeeper.server import wire
from grantkeeper.server.app import App, create_app
from grantkeeper.server.metrics import Board, Numbers, Tally, exposition, total
from grantkeeper.server.routes import ROUTES
from tests.server.asking import FROM_APP, KEYED, ask
from tests.server.conftest import Recorder
from tests.server.fake_core import GRANT, FakeCore

pytestmark = pytest.mark.anyio


def samples(body: bytes) -> dict[tuple[str, frozenset[Any]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def count(body: bytes, name: str, **labels: str) -> float:
    return samples(body).get((name, frozenset(labels.items())), 0.0)


async def test_the_process_says_that_it_is_there(app: App, core: FakeCore) -> None:
    """
    Without asking the core, and to a probe that comes in the clear.
    """
    said = await ask(app, "GET", "/healthz", peer=("192.0.2.1", 1))

    assert (200, {"status": "ok"}) == (said.status, said.json)
    assert [] == core.calls


async def test_it_is_ready_when_every_check_is_ok(app: App) -> None:
    """
    And lists them.
    """
    said = await ask(app, "GET", "/readyz", peer=("192.0.2.1", 1))

    assert (200, "ok", "ok") == (said.status, said.json["status"], said.json["checks"]["database"])


async def test_it_is_not_ready_when_one_is_not(app: App, core: FakeCore) -> None:
    """
    503, and the check says why.
    """
    core.answers["ready"] = {"database": "ok", "keys": "the key file is gone"}
    said = await ask(app, "GET", "/readyz")

    assert (503, "unavailable", "the key file is gone") == (
        said.status,
        said.json["status"],
        said.json["checks"]["keys"],
    )


async def test_a_silent_feed_does_not_take_it_out(app: App, core: FakeCore) -> None:
    """
    It reads the store on each request then, and is right.
    """
    core.answers["ready"] = {"database": "ok", "feed": "silent"}

    assert 200 == (await ask(app, "GET", "/readyz")).status


@pytest.mark.parametrize(
    "said, status",
    [("holds 3 answers since 2026-01-01T12:00:00+00:00", 200), ("the journal cannot be written (…)", 503)],
)
async def test_a_journal_that_does_its_work_is_ready(
    app: App, core: FakeCore, said: str, status: int
) -> None:
    """
    One that holds something is told of; one that cannot be written would lose the next sign-in.
    """
    core.answers["ready"] = {"database": "ok", "journal": said}

    assert status == (await ask(app, "GET", "/readyz")).status


async def test_numbers_are_prometheus_text(app: App) -> None:
    """
    By route and not by path, with the core's events.
    """
    for path in ("/v1/grants/a", "/v1/grants/b", "/nowhere/1", "/nowhere/2"):
        await ask(app, "GET", path, None, KEYED)
    await ask(app, "BREW", "/v1/redeem")
    body = (await ask(app, "GET", "/metrics")).body

    name = "grantkeeper_requests_total"
    assert 2.0 == count(body, name, route="/v1/grants/{id}", method="GET", status="200")
    assert 2.0 == count(body, name, route="(unknown)", method="GET", status="404")
    assert 1.0 == count(body, name, route="/v1/redeem", method="OTHER", status="405")
    assert 2.0 == count(body, "grantkeeper_events_total", event="refresh", outcome="ok")
    assert 2.0 == count(body, "grantkeeper_request_seconds_count", route="/v1/grants/{id}")
    assert 1.0 == count(body, "grantkeeper_workers")
    assert count(body, "grantkeeper_resident_memory_bytes") > 1e6
    assert 2 == count(body, "grantkeeper_journal_entries")


async def test_buckets_add_up() -> None:
    """
    Each holds those before it, and the last holds all.
    """
    tally = Tally({})
    for seconds in (0.0005, 0.0006, 3.0, 99.0):
        tally.answered("/x", "GET", 200, seconds)
    body = exposition(tally.numbers())

    assert [1.0, 2.0, 4.0] == [
        count(body, "grantkeeper_request_seconds_bucket", route="/x", le=bound)
        for bound in ("0.0005", "0.001", "+Inf")
    ]
    assert 102.0011 == pytest.approx(count(body, "grantkeeper_request_seconds_sum", route="/x"))


async def test_workers_are_summed_and_the_dead_still_count(
    core: FakeCore, log: Recorder, tmp_path: Path
) -> None:
    """
    Counters never fall; gauges are the living's.
    """
    board = Board(tmp_path)
    other = Numbers({"/x GET 200": 5}, {"/x": [1.0] * 16}, {"refresh ok": 3}, {"workers": 1.0})
    board.put(other, pid=1)
    board.put(other, pid=2)
    board.bury(1)
    app = create_app(core, log=log, board=board)  # type: ignore[arg-type]
    body = (await ask(app, "GET", "/metrics")).body

    assert 10.0 == count(body, "grantkeeper_requests_total", route="/x", method="GET", status="200")
    assert 8.0 == count(body, "grantkeeper_events_total", event="refresh", outcome="ok")
    assert 2.0 == count(body, "grantkeeper_workers")

    board.bury(2)
    body = (await ask(app, "GET", "/metrics")).body
    assert 10.0 == count(body, "grantkeeper_requests_total", route="/x", method="GET", status="200")
    assert 1.0 == count(body, "grantkeeper_workers")


async def test_a_damaged_file_of_a_dead_worker_is_passed_over(tmp_path: Path) -> None:
    """
    It died while it wrote, in a file system that has no atomic rename.
    """
    (tmp_path / "3.numbers").write_bytes(b'{"requ')

    assert Numbers() == total(Board(tmp_path).others())


async def test_a_worker_posts_its_numbers_and_hits_by_itself(
    core: FakeCore, log: Recorder, tmp_path: Path
) -> None:
    """
    While it is watched, and once more at the end.
    """
    app = create_app(core, log=log, board=Board(tmp_path))  # type: ignore[arg-type]
    async with app.service.watch():
        await asyncio.sleep(0)
        for _ in range(3):
            await ask(app, "POST", "/v1/token", {"grant": GRANT}, KEYED)
    (path,) = tmp_path.glob("*.numbers")

    assert 3 == msgspec.json.decode(path.read_bytes(), type=Numbers).requests["/v1/token POST 200"]
    assert [{"source": "memory", "count": 2}] == log.named("token.served")


async def test_session_keys_may_be_kept_for_minutes(app: App) -> None:
    """
    By anybody.
    """
    said = await ask(app, "GET", "/.well-known/jwks.json")

    assert "k1" == said.json["keys"][0]["kid"]
    assert "public, max-age=300" == said.headers["cache-control"]


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_load_nothing_from_elsewhere(app: App, path: str) -> None:
    """
    Their own style, no script, a language and a title.
    """
    said = await ask(app, "GET", path)
    page = said.body.decode()

    assert (200, "text/html; charset=utf-8") == (said.status, said.headers["content-type"])
    assert '<html lang="en">' in page
    assert "<title>" in page
    assert "<script" not in page
    assert [] == re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert 200 == (await ask(app, "GET", "/assets/grantkeeper.css")).status


async def test_the_docs_page_has_every_route_and_every_code(app: App) -> None:
    """
    It is made from the tables.
    """
    page = (await ask(app, "GET", "/docs")).body.decode()

    assert [] == [one.path for one in ROUTES if f"{one.method} {one.path}" not in page]
    assert [] == [kind.code for kind in wire.STATUS if f"{wire.STATUS[kind]} {kind.code}" not in page]
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert set() == targets - set(re.findall(r'id="([^"]+)"', page))


async def test_the_description_names_every_route_and_refusal(app: App, core: FakeCore) -> None:
    """
    OpenAPI 3.1, made from the same rows.
    """
    core.settings.public_url = "https://keeper.example"
    described = (await ask(app, "GET", "/openapi.json")).json

    assert ("3.1.0", "https://keeper.example") == (described["openapi"], described["servers"][0]["url"])
    for operation in ROUTES:
        told = described["paths"][operation.path][operation.method.lower()]
        statuses = {str(wire.STATUS[error]) for error in operation.refusals()} | {str(operation.status)}
        assert statuses <= set(told["responses"])


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/token/", "/V1/token", "//v1/token", "/v1/grants/a/b", ""]
)
async def test_nothing_is_404_in_json(app: App, path: str) -> None:
    """
    With a request id like everything else.
    """
    said = await ask(app, "GET", path, None, {"X-Request-Id": "r-9"})

    assert ((404, "not_found"), "r-9") == (said.error, said.headers["x-request-id"])


async def test_nothing_is_still_behind_https(app: App) -> None:
    """
    The key that came with it is lost all the same.
    """
    assert (403, "https_required") == (await ask(app, "GET", "/v1/nothing", peer=("192.0.2.1", 1))).error


async def test_an_embedded_app_has_the_routes_for_apps_alone(core: FakeCore) -> None:
    """
    The host program has its own ways to tokens.
    """
    app = create_app(core, apps_only=True)  # type: ignore[arg-type]

    assert 200 == (await ask(app, "POST", "/v1/redeem", {"code": "c"}, FROM_APP)).status
    for method, path in (("POST", "/v1/token"), ("GET", "/v1/grants"), ("GET", "/metrics"), ("GET", "/")):
        assert (404, "not_found") == (await ask(app, method, path, None, KEYED)).error


async def test_a_core_that_does_not_answer_is_not_ready(app: App, core: FakeCore) -> None:
    """
    An error of the store becomes the answer 503 as well.
    """
    core.answers["ready"] = StoreUnavailable("away")

    assert 503 == (await ask(app, "GET", "/readyz")).status
