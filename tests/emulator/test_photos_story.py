"""The guide's own example, as an app does it: pick, download, upload, create."""

import requests

from grantkeeper.emulator.photos_samples import sample
from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.photos_kit import ITEMS, PICKED, SESSIONS, PhotoApp


def test_a_photo_is_picked_improved_and_put_into_an_album(emulator: EmulatorServer) -> None:
    """
    Every step over HTTP; at the end Google's own side counts what there is.
    """
    app = PhotoApp(emulator)
    app.own(3)
    session = app.session()
    assert session["mediaItemsSet"] is False
    app.pick(session["id"], count=2)
    assert app.good("GET", f"{SESSIONS}/{session['id']}")["mediaItemsSet"] is True
    picked = app.good("GET", PICKED, params={"sessionId": session["id"]})["mediaItems"]
    photo = app.call("GET", picked[0]["mediaFile"]["baseUrl"] + "=d").content
    assert sample(2) == photo
    album = app.album("Enhanced")

    improved = sample(7)
    url = app.begin(len(improved))
    token = app.command(url, "upload, finalize", improved, 0).text
    answer = app.create(token, albumId=album).json()["newMediaItemResults"]
    assert ["Success"] == [result["status"]["message"] for result in answer]
    assert app.good("DELETE", f"{SESSIONS}/{session['id']}") == {}

    item = app.good("GET", f"{ITEMS}/{answer[0]['mediaItem']['id']}")
    assert improved == requests.get(item["baseUrl"] + "=d", timeout=10).content
    there = app.good("GET", "/emulator/photos", token=False, params={"email": app.email})
    assert [("number 0", ["Enhanced"])] == [
        (each["description"], each["albums"]) for each in there["created"]
    ]
    totals = app.good("GET", "/emulator/stats", token=False)["totals"]
    assert {
        "uploads_begun": 1,
        "uploads_finished": 1,
        "bytes_received": len(improved),
        "batch_creates": 1,
        "items_created": 1,
        "items_refused": 0,
        "albums_created": 1,
        "downloads": 1,
        "bytes_sent": len(improved),
    } == totals["photos"]
    assert (1, 1, 1) == tuple(
        totals["picker"][name] for name in ("sessions_created", "sessions_picked", "downloads")
    )
    app.close()
