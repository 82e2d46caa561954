"""The script for the web page, in a real browser: a popup, its answer, and what can go wrong."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.oauth_kit import ADA, APPDATA, FILE, Backend, scopes

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

HTML = """<!doctype html><title>App</title><button id="ask">Ask</button>
<script src="{emulator}/gsi/client"></script>
<script>
  window.answers = [];
  window.errors = [];
  window.config = {config};
  document.getElementById("ask").onclick = () => google.accounts.oauth2.initCodeClient({{
    ...window.config,
    callback: (answer) => window.answers.push(answer),
    error_callback: (error) => window.errors.push(error.type),
  }}).requestCode();
</script>"""


@dataclass
class Site:
    """The app's own web page, at an origin that is not the emulator's."""

    origin: str
    emulator: str
    config: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def site(emulator: EmulatorServer) -> Iterator[Site]:
    site = Site("", emulator.url)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            import json

            body = HTML.format(emulator=site.emulator, config=json.dumps(site.config)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    site.origin = f"http://127.0.0.1:{server.server_port}"
    client = emulator.world.web_client
    client.javascript_origins.append(site.origin)
    site.config = {"client_id": client.id, "scope": f"openid email {APPDATA} {FILE}", "state": "s-1"}
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(chromium: Browser, site: Site) -> Iterator[Page]:
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(site.origin)
    yield page
    context.close()


def popup(page: Page) -> Page:
    """Press the app's button; the popup that opens."""
    with page.expect_popup() as opened:
        page.click("#ask")
    opened.value.wait_for_load_state()
    return opened.value


def sign_in(window: Page, *boxes: str, decision: str = "Continue") -> None:
    """Go through the pages of the emulator as a person does."""
    window.get_by_label("E-mail address").fill(ADA)
    window.get_by_role("button", name="Next").click()
    for box in boxes:
        window.locator(f'input[value="{box}"]').check()
    window.get_by_role("button", name=decision).click()


def heard(page: Page, what: str) -> Any:
    """The first answer or error the page was called back with."""
    page.wait_for_function(f"window.{what}.length > 0")
    return page.evaluate(f"window.{what}[0]")


@pytest.mark.parametrize("redirect_uri", ["postmessage", "origin"])
def test_the_popup_hands_a_code_to_the_page(
    backend: Backend, site: Site, page: Page, redirect_uri: str
) -> None:
    """
    The code goes with ``postmessage`` or the page's origin, and covers what was ticked.
    """
    window = popup(page)
    sign_in(window, FILE)
    answer = heard(page, "answers")
    sent = site.origin if redirect_uri == "origin" else redirect_uri
    redeemed = backend.redeem(answer["code"], sent)

    assert "s-1" == answer["state"]
    assert 200 == redeemed.status_code
    assert FILE in scopes(redeemed.json())
    assert APPDATA not in scopes(redeemed.json())
    assert "refresh_token" in redeemed.json()
    if not window.is_closed():
        window.wait_for_event("close", timeout=30_000)


def test_saying_no_reaches_the_callback(page: Page) -> None:
    """
    As an error, not as silence.
    """
    sign_in(popup(page), decision="Cancel")

    assert "access_denied" == heard(page, "answers")["error"]


def test_closing_the_popup_reaches_the_error_callback(page: Page) -> None:
    """
    The user thought better of it.
    """
    popup(page).close()

    assert "popup_closed" == heard(page, "errors")
    assert [] == page.evaluate("window.answers")


def test_a_popup_that_the_browser_blocks_reaches_the_error_callback(page: Page) -> None:
    """
    Blocked, ``window.open`` gives null.
    """
    page.evaluate("window.open = () => null")
    page.click("#ask")

    assert "popup_failed_to_open" == heard(page, "errors")


def test_an_origin_that_is_not_registered_gets_no_answer(backend: Backend, page: Page) -> None:
    """
    The popup says why.
    """
    backend.client.javascript_origins.clear()

    assert "origin_mismatch" in popup(page).inner_text("main")
    assert [] == page.evaluate("window.answers")


def test_only_the_emulators_own_messages_are_heard(page: Page) -> None:
    """
    Another window cannot slip a code in.
    """
    window = popup(page)
    page.evaluate(
        "window.postMessage({type: 'emulator-authorization', id: 'x', answer: {code: 'evil'}}, '*')"
    )
    sign_in(window)

    assert "evil" != heard(page, "answers")["code"]
    assert 1 == page.evaluate("window.answers.length")


def test_select_account_offers_a_choice_the_second_time(site: Site, page: Page) -> None:
    """
    Without it, the one account of the browser is taken.
    """
    sign_in(popup(page))
    heard(page, "answers")
    page.evaluate("window.config.select_account = true")

    assert ADA in popup(page).inner_text("main")


def test_redirect_mode_leaves_the_page(backend: Backend, site: Site, page: Page) -> None:
    """
    The code comes back on the registered URI and goes with it.
    """
    uri = f"{site.origin}/back"
    backend.client.redirect_uris.append(uri)
    page.evaluate("uri => Object.assign(window.config, {ux_mode: 'redirect', redirect_uri: uri})", uri)
    page.click("#ask")
    page.get_by_label("E-mail address").wait_for()
    sign_in(page, FILE)
    page.wait_for_url("**/back?**")
    answer = dict(parse_qsl(urlsplit(page.url).query))

    assert "s-1" == answer["state"]
    assert 200 == backend.redeem(answer["code"], uri).status_code


@pytest.mark.parametrize("broken", ["client_id", "scope"])
def test_a_config_without_what_is_required_is_an_error_at_once(page: Page, broken: str) -> None:
    """
    For the developer, in the console.
    """
    message = page.evaluate(
        """name => {
            const config = {...window.config, [name]: undefined};
            try { google.accounts.oauth2.initCodeClient(config); return ""; }
            catch (error) { return String(error); }
        }""",
        broken,
    )

    assert broken in message


def test_the_pages_work_without_scripts(backend: Backend, chromium: Browser) -> None:
    """
    Signing in and consenting need none.
    """
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    query = f"client_id={backend.client.id}&redirect_uri={backend.client.redirect_uris[0]}"
    page.goto(f"{backend.url}/o/oauth2/v2/auth?{query}&response_type=code&scope=openid+email&state=s")
    sign_in(page)

    assert "The answer has arrived" in page.inner_text("h1")
    context.close()
