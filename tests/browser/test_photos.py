"""The photo app as a person uses it, with a real worker: from sign-in to the pictures side by side."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from dull import dull
from playwright.sync_api import Page, expect

from grantkeeper.demo.stage import Stage, photos_example
from tests.browser.conftest import picture

pytestmark = pytest.mark.browser

ADA = "ada@example.com"
PICTURES = sorted((photos_example() / "pictures").glob("*.jpg"))


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Stage]:
    """Emulator, photo app and worker; Ada has four dull photographs."""
    with Stage(tmp_path) as stage:
        for path in PICTURES:
            content = base64.b64encode(dull(path.read_bytes())).decode()
            stage.google.post("photos", {"email": ADA, "filename": path.name, "content": content})
        stage.serve_photos()
        stage.start_worker()
        yield stage


def sign_in(page: Page) -> None:
    """At Google's pages, with everything allowed."""
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("E-mail address").fill(ADA)
    page.get_by_role("button", name="Next").click()
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Continue").click()


def test_from_sign_in_to_before_and_after(photos: Stage, page: Page) -> None:
    """
    Sign in, pick in Google's window, watch, compare, leave; the console stays empty.
    """
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type == "error" and message.location["url"].startswith(photos.photos)
            else None
        ),
    )

    page.goto(photos.photos)
    picture(page, "photos-welcome")
    sign_in(page)
    expect(page.get_by_role("heading", name="Your jobs")).to_be_visible()
    expect(page.get_by_text("Ada Example")).to_be_visible()

    with page.expect_popup() as opened:
        page.get_by_role("button", name="Pick photos").click()
    picker = opened.value
    expect(page.get_by_text("Waiting for your choice")).to_be_visible()
    picker.get_by_role("button", name="Select all").click()
    with picker.expect_event("close"):
        picker.get_by_role("button", name="Done").click()

    # Nobody loads the page again: the server tells it.
    expect(page.get_by_text("Done. 4 in your album “Enhanced”.")).to_be_visible()
    picture(page, "photos-jobs")
    page.get_by_role("link", name="4 photos").click()
    expect(page.locator("figure")).to_have_count(len(PICTURES))
    for path in PICTURES:
        expect(page.get_by_role("img", name=f"{path.name}, after")).to_be_visible()
    for image in page.locator("figure img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    picture(page, "photos-before-and-after")
    made = photos.google.get(f"photos?email={ADA}")["created"]
    assert [["Enhanced"]] * len(PICTURES) == [item["albums"] for item in made]

    page.get_by_role("link", name="Your jobs").click()
    page.get_by_text("Leave", exact=True).click()
    page.get_by_role("button", name="Forget me").click()
    expect(page.get_by_role("link", name="Sign in with Google")).to_be_visible()
    left = [path for path in (photos.folder / "photos").rglob("*") if path.parent != photos.folder / "photos"]
    assert [] == left
    assert [] == complaints
