"""What a person does at a `pickerUri`: look at the photos, pick by mouse or keyboard, and be done."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from grantkeeper.emulator.runner import EmulatorServer
from tests.browser.conftest import picture
from tests.emulator.photos_kit import PICKED, SESSIONS, PhotoApp

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorServer]:
    """One emulator for the module; every test has a user of its own."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def app(emulator: EmulatorServer) -> Iterator[PhotoApp]:
    """An app whose user has twelve photos."""
    app = PhotoApp(emulator)
    app.own(12)
    yield app
    app.close()


def open_picker(page: Page, app: PhotoApp, ending: str = "", **config: str) -> str:
    """The page, the user having signed in; the session's id."""
    session = app.session(**config)
    page.goto(session["pickerUri"] + ending)
    page.get_by_label("E-mail address").fill(app.email)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="Pick photos")).to_be_visible()
    return str(session["id"])


def picked(app: PhotoApp, session: str) -> list[str]:
    """The file names that the app is told."""
    found = app.good("GET", PICKED, params={"sessionId": session})
    return [item["mediaFile"]["filename"] for item in found["mediaItems"]]


def test_photos_are_picked_with_the_mouse(page: Page, app: PhotoApp) -> None:
    """
    The pictures are seen, the count follows, and after Done the app learns of these and no others.
    """
    session = open_picker(page, app)
    expect(page.get_by_role("checkbox")).to_have_count(12)
    seen = page.locator(".photos img").first
    seen.evaluate("image => image.decode()")
    assert 240 == seen.evaluate("image => image.naturalWidth")
    done = page.get_by_role("button", name="Done")
    expect(done).to_be_disabled()
    for name in ("IMG_0012.png", "IMG_0003.png"):
        page.get_by_role("checkbox", name=name).check()
    expect(page.get_by_role("status")).to_have_text("2 picked")
    picture(page, "photo-picker")
    done.click()

    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    expect(page.locator("main")).to_contain_text("2 photos are picked")
    picture(page, "photo-picker-done")
    assert ["IMG_0012.png", "IMG_0003.png"] == picked(app, session)


def test_the_keyboard_is_enough(page: Page, app: PhotoApp) -> None:
    """
    Arrow keys move, the space bar picks, Shift takes all in between, Enter is Done.
    """
    session = open_picker(page, app)
    page.get_by_role("checkbox").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Space")
    expect(page.get_by_role("status")).to_have_text("3 picked")
    page.keyboard.press("End")
    expect(page.get_by_role("checkbox").last).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert ["IMG_0011.png", "IMG_0010.png", "IMG_0009.png"] == picked(app, session)


def test_no_more_are_picked_than_the_app_asked_for(page: Page, app: PhotoApp) -> None:
    """
    maxItemCount: the page says so and keeps to it.
    """
    session = open_picker(page, app, maxItemCount="2")
    expect(page.locator("#help")).to_contain_text("Pick up to 2")
    boxes = page.get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.get_by_role("status")).to_have_text("At most 2 can be picked.")
    page.get_by_role("button", name="Done").click()

    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert 2 == len(picked(app, session))


def test_everything_can_be_picked_at_once(page: Page, app: PhotoApp) -> None:
    """
    And dropped again.
    """
    open_picker(page, app)
    page.get_by_role("button", name="Select all").click()
    expect(page.get_by_role("status")).to_have_text("12 picked")
    page.get_by_role("button", name="Select none").click()
    expect(page.get_by_role("status")).to_have_text("0 picked")


def test_the_window_closes_by_itself(page: Page, app: PhotoApp) -> None:
    """
    `/autoclose`, where the app opened the window; the session tells the app that it is over.
    """
    session = app.session()
    page.goto(app.emulator.url)
    with page.expect_popup() as opened:
        page.evaluate("address => { window.open(address); }", session["pickerUri"] + "/autoclose")
    popup = opened.value
    popup.get_by_label("E-mail address").fill(app.email)
    popup.get_by_role("button", name="Next").click()
    popup.get_by_role("checkbox").first.check()
    with popup.expect_event("close"):
        popup.get_by_role("button", name="Done").click()

    assert app.good("GET", f"{SESSIONS}/{session['id']}")["mediaItemsSet"] is True


def test_another_account_sees_nothing(page: Page, app: PhotoApp) -> None:
    """
    The session is for the user whose token opened it; anybody else is asked to sign in as that one.
    """
    page.goto(app.session()["pickerUri"])
    page.get_by_label("E-mail address").fill("somebody.else@example.com")
    page.get_by_role("button", name="Next").click()

    expect(page.get_by_role("alert")).to_contain_text("another account")
    expect(page.get_by_role("checkbox")).to_have_count(0)
    assert app.email not in page.content()


def test_a_session_that_is_over_says_so(page: Page, app: PhotoApp) -> None:
    """
    Deleted by the app, or its time is up.
    """
    session = app.session()
    app.good("DELETE", f"{SESSIONS}/{session['id']}")
    answer = page.goto(session["pickerUri"])

    assert answer is not None
    assert 404 == answer.status
    expect(page.get_by_role("heading")).to_have_text("This picking session is over")


def test_an_album_can_be_looked_at(page: Page, app: PhotoApp) -> None:
    """
    At its productUrl, with the bytes that the app uploaded.
    """
    album = app.good("POST", "/photoslibrary/v1/albums", json={"album": {"title": "Enhanced"}})
    app.made(3, albumId=album["id"])
    page.goto(album["productUrl"])

    expect(page.get_by_role("heading", name="Enhanced")).to_be_visible()
    expect(page.get_by_role("img", name="number")).to_have_count(3)
    picture(page, "photo-album")
