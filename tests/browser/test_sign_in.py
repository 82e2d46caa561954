"""What a person does in a browser: both ways to sign in, partial consent, and what another site cannot do."""

import uuid
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from grantkeeper.demo.stage import Stage
from tests.browser.conftest import picture

pytestmark = pytest.mark.browser


def someone() -> str:
    """An address that has never signed in."""
    return f"{uuid.uuid4().hex[:8]}@example.com"


def open_popup(page: Page, stage: Stage, email: str) -> Page:
    """Google's popup over the app's page, at the consent."""
    page.goto(stage.app)
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Sign in with a popup").click()
    popup = opened.value
    picture(popup, "google-sign-in")
    popup.get_by_label("E-mail address").fill(email)
    popup.get_by_role("button", name="Next").click()
    return popup


def asked_google(stage: Stage) -> int:
    return sum(stage.google.stats()["token"]["authorization_code"].values())


def test_a_popup_with_everything_allowed(page: Page, stage: Stage) -> None:
    """
    The page shows who it is; the backend works at once, and still after an hour.
    """
    email = someone()
    popup = open_popup(page, stage, email)
    picture(popup, "google-consent")
    for box in popup.get_by_role("checkbox").all():
        box.check()
    popup.get_by_role("button", name="Continue").click()

    expect(page.locator("#outcome")).to_have_text("Signed in. The backend has what it needs.")
    expect(page.locator("#email")).to_have_text(email)
    expect(page.locator("#missing")).to_have_text("nothing")
    page.get_by_role("button", name="Let an hour pass").click()
    expect(page.locator("#result")).to_contain_text("An hour has passed")
    page.get_by_role("button", name="Let the backend work for me").click()
    expect(page.locator("#result li")).to_have_count(1)
    picture(page, "app-signed-in")


def test_a_permission_left_unticked_is_missing(page: Page, stage: Stage) -> None:
    """
    Granular consent: the app is told which scope it did not get, and so is the backend.
    """
    popup = open_popup(page, stage, someone())
    popup.get_by_role("checkbox", name="configuration data").check()
    files = popup.get_by_role("checkbox", name="drive.file")
    files.uncheck()
    popup.get_by_role("button", name="Continue").click()

    expect(page.locator("#outcome")).to_contain_text("drive.file is missing")
    expect(page.locator("#missing")).to_have_text("drive.file")
    picture(page, "app-missing-scope")
    grant = page.locator("#grant").inner_text()
    described = requests.get(
        f"{stage.service}/v1/grants/{grant}",
        headers={"Authorization": f"Bearer {stage.caller_key}"},
        timeout=30,
    ).json()
    assert ["https://www.googleapis.com/auth/drive.file"] == described["missing_scopes"]


def test_closing_the_popup_is_told(page: Page, stage: Stage) -> None:
    """
    Nothing was sent; the page says so.
    """
    before = asked_google(stage)
    popup = open_popup(page, stage, someone())
    expect(popup.get_by_role("button", name="Continue")).to_be_visible()
    # Not waited for: the browser once never told of its end, and what counts is what the page says.
    popup.close(run_before_unload=True)

    expect(page.locator("#outcome")).to_contain_text("popup was closed")
    assert before == asked_google(stage)


def test_a_sign_in_by_redirect(page: Page, stage: Stage) -> None:
    """
    Through our own pages to Google's and back; the app's backend fetches what came of it.
    """
    email = someone()
    page.goto(stage.app)
    page.get_by_role("link", name="Sign in by redirect").click()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Next").click()
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Continue").click()

    expect(page.locator("#outcome")).to_have_text("Signed in by redirect.")
    expect(page.locator("#email")).to_have_text(email)
    assert page.url.startswith(stage.app)
    assert "result=" not in page.url


def test_saying_no_returns_to_the_app(page: Page, stage: Stage) -> None:
    """
    The app learns access_denied, and its user that nothing was kept.
    """
    page.goto(stage.app)
    page.get_by_role("link", name="Sign in by redirect").click()
    page.get_by_label("E-mail address").fill(someone())
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Cancel").click()

    expect(page.locator("#outcome")).to_have_text("You did not sign in, and nothing was kept.")


def test_without_scripts_the_demos_page_says_so(chromium: Browser, stage: Stage) -> None:
    """
    And offers no button that does nothing.
    """
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(stage.app)
    picture(page, "app-without-scripts")

    expect(page.get_by_text("This page needs JavaScript.")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("link")).to_have_count(0)
    context.close()


def test_a_callback_without_its_browser_is_a_page_that_helps(page: Page, stage: Stage) -> None:
    """
    Somebody was sent a link that belongs to another sign-in: nothing happens, and the page says what to do.
    """
    before = asked_google(stage)
    answer = page.goto(f"{stage.service}/connect/callback?state=another&code=4/0stolen")

    assert answer is not None
    assert 400 == answer.status
    expect(page.locator("body")).to_contain_text("start the sign-in again")
    picture(page, "connect-error")
    assert before == asked_google(stage)


def test_a_form_on_another_site_is_forged(page: Page, stage: Stage, foreign_site: tuple[Path, str]) -> None:
    """
    A form can be posted across sites, but without X-Requested-With: 403, and Google is not asked.
    """
    folder, site = foreign_site
    code = stage.google.code(someone(), source="web-popup")
    (folder / "index.html").write_text(
        f'<form method="post" action="{stage.service}/v1/redeem"><input name="code" value="{code}">'
        '<input name="source" value="web-popup"><button>Win a prize</button></form>'
    )
    before = asked_google(stage)

    page.goto(site)
    with page.expect_navigation() as navigation:
        page.get_by_role("button", name="Win a prize").click()

    assert navigation.value is not None
    assert 403 == navigation.value.status
    assert "forged_request" == navigation.value.json()["error"]
    assert before == asked_google(stage)


def test_a_script_on_another_site_cannot_send_the_header(
    page: Page, stage: Stage, foreign_site: tuple[Path, str]
) -> None:
    """
    The browser asks first, and is told no; the code stays good for the app it was made for.
    """
    folder, site = foreign_site
    code = stage.google.code(someone(), source="web-popup")
    (folder / "index.html").write_text("<title>evil</title>")
    before = asked_google(stage)

    page.goto(site)
    outcome = page.evaluate(
        """async ([url, code]) => {
            try {
                const answer = await fetch(url, {method: "POST",
                    body: JSON.stringify({code, source: "web-popup"}),
                    headers: {"Content-Type": "application/json", "X-Requested-With": "XmlHttpRequest"}});
                return answer.status;
            } catch (error) { return error.name; }
        }""",
        [stage.service + "/v1/redeem", str(code)],
    )

    assert "TypeError" == outcome
    assert before == asked_google(stage)
    good = requests.post(
        stage.service + "/v1/redeem",
        json={"code": str(code), "source": "web-popup"},
        headers={"X-Requested-With": "XmlHttpRequest", "Origin": stage.app},
        timeout=30,
    )
    assert 200 == good.status_code


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_our_own_pages_load_without_a_complaint(page: Page, stage: Stage, path: str) -> None:
    """
    Nothing is fetched from elsewhere, and the console stays empty.
    """
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda request: complaints.append(request.url) if stage.service not in request.url else None,
    )

    answer = page.goto(stage.service + path)

    assert answer is not None
    assert 200 == answer.status
    picture(page, "service-" + (path.strip("/") or "home"))
    assert [] == [one for one in complaints if not one.startswith("data:")]


def test_the_emulators_tables_can_be_read_on_a_phone(page: Page, stage: Stage) -> None:
    """
    A path stays on its line, and nobody scrolls sideways.
    """
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(stage.google.url)
    picture(page, "emulator-home-phone")

    path = page.get_by_text("/.well-known/openid-configuration", exact=True).bounding_box()
    assert path is not None
    assert path["height"] < 30
    assert 390 == page.evaluate("document.documentElement.scrollWidth")
