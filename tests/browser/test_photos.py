"""The photo app as a person uses it, from sign-in to the pictures side by side."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jobs import enhance
from places import ADDING, PICKING, READING, Folder
from playwright.sync_api import Page, expect

from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.model import Job
from grantkeeper.testing.google import GoogleEmulator
from tests.browser.conftest import picture
from tests.examples.conftest import (  # noqa: F401 - fixtures
    ADA,
    PICTURES,
    clock_file,
    dull_pictures,
    folder,
    google,
    server,
)
from tests.examples.desk import Context, Hands
from tests.examples.site import Site, serving
from tests.google.kit import EmulatorSession

pytestmark = pytest.mark.browser


@pytest.fixture
def site(
    google: GoogleEmulator,  # noqa: F811
    server: EmulatorServer,  # noqa: F811
    folder: Folder,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    """The app, and one who does its jobs."""

    async def run(job: Job, told: Callable[[int, int, str], None]) -> Any:
        session = EmulatorSession(server, ADA, PICKING, ADDING, READING)
        context = Context(session, [], job_id=job.id, grant_id=job.grant_id, told=told)
        try:
            return await enhance(context, json.loads(job.parameters)["session"])
        finally:
            await session.close()

    with serving(google, tmp_path, monkeypatch) as site, Hands(site.desk, run):
        yield site


def test_from_sign_in_to_before_and_after(site: Site, page: Page) -> None:
    """
    Sign in, pick in Google's window, watch, compare; the console stays empty.
    """
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type == "error" and message.location["url"].startswith(site.url)
            else None
        ),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(site.url)
    picture(page, "photos-welcome")
    page.get_by_role("link", name="Sign in with Google").click()
    page.get_by_label("E-mail address").fill(ADA)
    page.get_by_role("button", name="Next").click()
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Continue").click()
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
    for image in page.locator("figure img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    for path in PICTURES:
        expect(page.get_by_role("img", name=f"{path.name}, after")).to_be_visible()
    picture(page, "photos-before-and-after")
    assert [] == complaints

    made = site.google.get(f"photos?email={ADA}")["created"]
    assert [["Enhanced"]] * len(PICTURES) == [item["albums"] for item in made]
