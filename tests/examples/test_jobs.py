"""The photo example's job: killed at every step, it leaves each photo in the album once."""

import io
from typing import Any

import jobs
import pytest
from improve import improve
from jobs import ALBUM, enhance
from PIL import Image
from places import LEAVING, Folder
from previews import put

from grantkeeper.google.picker import Picker
from grantkeeper.testing.google import GoogleEmulator
from tests.examples.conftest import ADA, PICTURES, add
from tests.examples.desk import Context, Killed
from tests.google.kit import EmulatorSession

pytestmark = pytest.mark.anyio


async def picked(session: EmulatorSession, google: GoogleEmulator, **what: Any) -> str:
    """A visit to the picker that is over; its id."""
    visit = await Picker(session, base=f"{google.url}/photospicker/v1").create()
    google.post("pick", {"email": ADA, "session": visit.id, **what})
    return visit.id


def library(google: GoogleEmulator) -> list[dict[str, Any]]:
    """What Google has that the app made."""
    return list(google.get(f"photos?email={ADA}")["created"])


async def test_what_was_picked_is_in_the_album_and_better(
    ada: EmulatorSession, google: GoogleEmulator, folder: Folder
):
    """
    As many as were picked, under their names, with previews for the page and nothing left of the work.
    """
    visit = await picked(ada, google)
    progress: list[tuple[int, int, str]] = []

    result = await enhance(Context(ada, [], told=lambda *now: progress.append(now)).as_job(), visit)

    made = library(google)
    assert sorted(path.name for path in PICTURES) == sorted(item["filename"] for item in made)
    assert {(ALBUM,)} == {tuple(item["albums"]) for item in made}
    assert [None] * 4 == [photo["trouble"] for photo in result["photos"]]
    assert (4, 4, "Done") == progress[-1]
    assert 8 == len(list(folder.previews("grant-0", "job-0").iterdir()))
    assert not folder.work("grant-0", "job-0").exists()
    assert 0 == google.stats()["totals"]["picker"].get("sessions_open", 0)


async def test_killed_before_and_after_every_step_each_photo_is_there_once(
    ada: EmulatorSession, google: GoogleEmulator, folder: Folder
):
    """
    Twice for each step: before it, and when it is done and nobody knows.
    """
    visit = await picked(ada, google, count=2)
    records: list[tuple[str, str]] = []
    struck: set[tuple[str, str]] = set()

    def killed(step: str, when: str) -> bool:
        fresh = (step, when) not in struck
        struck.add((step, when))
        return fresh

    result, deaths = None, 0
    while result is None:
        try:
            result = await enhance(Context(ada, records, killed=killed).as_job(), visit)
        except Killed:
            deaths += 1

    assert 2 * len(records) == deaths
    assert 2 == len(library(google))
    assert 2 == len({item["sha256"] for item in library(google)})


@pytest.mark.parametrize("forgotten", [False, True])
async def test_nothing_is_left_of_who_leaves_while_a_picture_is_improved(
    ada: EmulatorSession,
    google: GoogleEmulator,
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    forgotten: bool,
):
    """
    The step that is under way fails; also where the app dies before it has deleted what it moved away.
    """
    visit = await picked(ada, google, count=1)
    whole = improve

    def leaves(original: bytes) -> bytes:
        folder.close("grant-0")
        if forgotten:
            folder.forget("grant-0")
        return whole(original)

    monkeypatch.setattr(jobs, "improve", leaves)
    with pytest.raises(FileNotFoundError):
        await enhance(Context(ada, []).as_job(), visit)
    if not forgotten:
        assert ["grant-0"] == folder.leaving()
        folder.forget("grant-0")

    assert [] == [path for path in folder.root.rglob("*") if path.name != LEAVING]


def test_who_leaves_again_while_an_earlier_leave_is_forgotten_has_left(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    """
    The place to move to is taken away between being made and being moved to.
    """
    names = iter(["first", "second"])

    def named(size: int) -> str:
        name = next(names)
        if name == "first":
            folder.forget("grant-0")
        return name

    monkeypatch.setattr("places.secrets.token_hex", named)
    folder.close("grant-0")

    assert ["second"] == [path.name for path in (folder.root / LEAVING / "grant-0").iterdir()]
    assert [LEAVING] == [path.name for path in folder.root.iterdir()]


async def test_another_machine_makes_the_picture_again(
    ada: EmulatorSession, google: GoogleEmulator, folder: Folder
):
    """
    The step is recorded, and its file is on a machine that is gone: the bytes that come are the same.
    """
    visit = await picked(ada, google, count=1)
    records: list[tuple[str, str]] = []
    with pytest.raises(Killed):
        await enhance(Context(ada, records, killed=lambda step, when: step == "upload 0").as_job(), visit)
    put(folder.work("grant-0", "job-0"), {})

    await enhance(Context(ada, records).as_job(), visit)

    (made,) = library(google)
    assert f'"sha256": "{made["sha256"]}"' in dict(records)["improve 0"]


async def test_what_cannot_be_improved_is_told_and_the_rest_goes_on(
    ada: EmulatorSession, google: GoogleEmulator, folder: Folder
):
    """
    One odd file among the picked ones costs nobody anything.
    """
    out = io.BytesIO()
    Image.new("P", (20, 20)).save(out, "GIF")
    add(google, "dance.gif", out.getvalue())
    visit = await picked(ada, google, ids=["dance.gif", "cat.jpg"])

    result = await enhance(Context(ada, []).as_job(), visit)

    assert ["cat.jpg"] == [item["filename"] for item in library(google)]
    troubles = {photo["name"]: photo["trouble"] for photo in result["photos"]}
    assert None is troubles["cat.jpg"]
    assert "JPEG" in str(troubles["dance.gif"])


async def test_an_hour_later_the_addresses_are_asked_for_again(
    ada: EmulatorSession, google: GoogleEmulator, folder: Folder
):
    """
    A picker's address lives 60 minutes; the job may have been parked for longer.
    """
    visit = await picked(ada, google, count=1)
    records: list[tuple[str, str]] = []
    with pytest.raises(Killed):
        await enhance(Context(ada, records, killed=lambda step, when: step == "improve 0").as_job(), visit)
    google.advance(3 * 3600)

    await enhance(Context(ada, records).as_job(), visit)

    assert 1 == len(library(google))
