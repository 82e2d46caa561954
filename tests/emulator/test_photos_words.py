"""`GoogleEmulator`'s words for photos: what a test says instead of HTTP."""

import pytest

from grantkeeper.emulator.photos_samples import sample
from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.testing.google import GoogleEmulator
from tests.emulator.photos_kit import PhotoApp


def test_photos_are_put_in_picked_and_looked_at(emulator: EmulatorServer) -> None:
    """
    By id, by file name, by count, in the latest session or a named one.
    """
    google = GoogleEmulator(emulator.url)
    app = PhotoApp(emulator, email="ada+photos@example.com")
    ids = [google.add_photo(app.email, sample(number), f"{number}.png") for number in range(3)]
    first, second = app.session()["id"], app.session()["id"]

    assert [ids[0], ids[2]] == google.pick(app.email, session=first, ids=[ids[0], "2.png"])
    assert [ids[2]] == google.pick(app.email, session=second, count=1)
    app.session()
    assert ids[::-1] == google.pick(app.email)
    item = app.made(1, albumId=app.album("Enhanced"))[0]["id"]
    there = google.photos(app.email)
    assert ids[::-1] == [photo["id"] for photo in there["photos"]]
    assert [(item, ["Enhanced"])] == [(each["id"], each["albums"]) for each in there["created"]]
    assert [("Enhanced", [item])] == [(each["title"], each["items"]) for each in there["albums"]]
    with pytest.raises(ValueError, match="neither a photo nor a video"):
        google.add_photo(app.email, b"a letter", "letter.txt")
    app.close()
