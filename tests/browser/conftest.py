"""Debian's Chromium, the demo's stage, and the demo's own web page."""

import shutil
import socketserver
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from grantkeeper.demo.stage import Stage
from grantkeeper.demo.web import create_app

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A browser on a busy machine; the default of five seconds is for an idle one.
expect.set_options(timeout=30_000)
PICTURES = Path(__file__).parents[2] / ".build" / "screenshots"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, started once for a module."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Emulator, service and the demo's page, all answering."""
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        port = int(stage.app.rsplit(":", 1)[1])
        server = uvicorn.Server(
            uvicorn.Config(create_app(stage), host="127.0.0.1", port=port, log_level="warning")
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.01)
        yield stage
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A new browser, so to speak: no cookies, no history."""
    context = chromium.new_context(viewport={"width": 900, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture
def foreign_site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that another site serves, and the site's address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *args: None  # type: ignore[attr-defined]
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def picture(page: Page, name: str) -> None:
    """Keep how it looks, for a person to look at."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
