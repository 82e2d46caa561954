"""The Picker API: sessions, what was picked, and bytes that need the bearer; the pages without a script."""

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest
import requests

from grantkeeper.emulator.photos_samples import sample
from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.scopes import PHOTOS_READ
from tests.emulator.drive_kit import other_app
from tests.emulator.photos_kit import PICKED, SESSIONS, PhotoApp, info, reason

FILM = b"\x00\x00\x00\x18ftypmp42 a film"


@pytest.fixture
def app(emulator: EmulatorServer) -> Iterator[PhotoApp]:
    """An app whose user has three photos."""
    app = PhotoApp(emulator)
    app.own(3)
    yield app
    app.close()


def picked(app: PhotoApp, session: str, **params: object) -> requests.Response:
    return app.call("GET", PICKED, params={"sessionId": session, **params})


class TestSessions:
    def test_a_session_says_where_to_pick_and_how_to_wait(self, app: PhotoApp) -> None:
        """
        Durations are text; how to poll is told only while there is something to wait for.
        """
        session = app.session(maxItemCount="2")
        assert f"{app.emulator.url}/picker/{session['id']}" == session["pickerUri"]
        assert ("5s", "1800s") == tuple(session["pollingConfig"].values())
        assert (False, {"maxItemCount": "2"}) == (session["mediaItemsSet"], session["pickingConfig"])
        app.pick(session["id"], count=1)
        done = app.good("GET", f"{SESSIONS}/{session['id']}")

        assert (True, False) == (done["mediaItemsSet"], "pollingConfig" in done)

    def test_a_new_session_has_all_its_time_before_it(
        self, app: PhotoApp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The answer is of one instant, however long it takes to make.
        """
        world, looks = app.emulator.world, count()
        began = world.now()
        monkeypatch.setattr(world.clock, "now", lambda: began + timedelta(seconds=next(looks)))

        assert "1800s" == app.session()["pollingConfig"]["timeoutIn"]

    def test_waiting_comes_to_an_end(self, app: PhotoApp) -> None:
        """
        timeoutIn goes down to 0s, and later the session is gone; the interval may be a fraction.
        """
        app.limits(poll_seconds=0.25, poll_timeout_seconds=60, session_seconds=3600)
        session = app.session()
        assert "0.25s" == session["pollingConfig"]["pollInterval"]
        app.emulator.world.advance(61)
        assert "0s" == app.good("GET", f"{SESSIONS}/{session['id']}")["pollingConfig"]["timeoutIn"]
        app.emulator.world.advance(3600)
        app.new_token()

        assert (404, "NOT_FOUND") == reason(app.call("GET", f"{SESSIONS}/{session['id']}"))

    @pytest.mark.parametrize("most", ["0", "2001", "many", "-1"])
    def test_two_thousand_are_the_most(self, app: PhotoApp, most: str) -> None:
        """
        maxItemCount, a number of 64 bits in text.
        """
        refused = app.call("POST", SESSIONS, json={"pickingConfig": {"maxItemCount": most}})

        assert (400, "INVALID_ARGUMENT") == reason(refused)
        assert 200 == app.call("POST", SESSIONS, json={"pickingConfig": {"maxItemCount": 2000}}).status_code

    def test_a_user_has_only_so_many_open(self, app: PhotoApp) -> None:
        """
        Deleting one makes room.
        """
        app.limits(open_sessions=1)
        session = app.session()
        assert (429, "RESOURCE_EXHAUSTED") == reason(app.call("POST", SESSIONS))
        assert {} == app.good("DELETE", f"{SESSIONS}/{session['id']}")

        assert 200 == app.call("POST", SESSIONS).status_code

    def test_a_session_is_of_one_user_and_one_app(self, app: PhotoApp) -> None:
        """
        Nobody else finds it; and the scope must be the Picker's.
        """
        session = app.session()["id"]
        for other in (
            PhotoApp(app.emulator),
            PhotoApp(app.emulator, email=app.email, client=other_app(app.emulator)),
        ):
            assert (404, "NOT_FOUND") == reason(other.call("GET", f"{SESSIONS}/{session}"))
            assert (404, "NOT_FOUND") == reason(picked(other, session))
            other.close()
        library = PhotoApp(app.emulator, PHOTOS_READ, email=app.email)
        assert (403, "PERMISSION_DENIED") == reason(library.call("POST", SESSIONS))
        library.close()


class TestPicked:
    def test_nothing_is_listed_before_the_user_is_done(self, app: PhotoApp) -> None:
        """
        FAILED_PRECONDITION, and why.
        """
        refused = picked(app, app.session()["id"])

        assert (400, "FAILED_PRECONDITION") == reason(refused)
        assert "PENDING_USER_ACTION" == info(refused)

    def test_what_was_picked_is_paged(self, app: PhotoApp) -> None:
        """
        In the order of picking.
        """
        session = app.session()["id"]
        ids = app.pick(session, ids=["IMG_0001.png", "IMG_0003.png", "IMG_0002.png"])
        first = picked(app, session, pageSize=2).json()
        rest = picked(app, session, pageSize=2, pageToken=first["nextPageToken"]).json()

        assert ids == [item["id"] for item in first["mediaItems"] + rest["mediaItems"]]
        assert "nextPageToken" not in rest
        item = first["mediaItems"][0]
        assert ("PHOTO", "image/png", "IMG_0001.png") == (
            item["type"],
            item["mediaFile"]["mimeType"],
            item["mediaFile"]["filename"],
        )
        metadata = {"width": 240, "height": 160, "photoMetadata": {}}
        assert metadata == item["mediaFile"]["mediaFileMetadata"]

    def test_bytes_need_the_bearer(self, app: PhotoApp) -> None:
        """
        The user's own, of the app that picked, for sixty minutes, with a suffix.
        """
        session = app.session()["id"]
        app.pick(session, ids=["IMG_0001.png"])
        url = picked(app, session).json()["mediaItems"][0]["mediaFile"]["baseUrl"]
        assert sample(0) == app.call("GET", url + "=d").content
        assert (401, "UNAUTHENTICATED") == reason(app.call("GET", url + "=d", token=False))
        assert (400, "INVALID_ARGUMENT") == reason(app.call("GET", url))
        for other in (
            PhotoApp(app.emulator),
            PhotoApp(app.emulator, email=app.email, client=other_app(app.emulator)),
        ):
            assert (403, "PERMISSION_DENIED") == reason(other.call("GET", url + "=d"))
            other.close()
        app.emulator.world.advance(3600)
        app.new_token()

        assert (403, "PERMISSION_DENIED") == reason(app.call("GET", url + "=d"))

    def test_a_video_must_be_ready(self, app: PhotoApp) -> None:
        """
        PROCESSING until its time has come, then =dv.
        """
        query = {"email": app.email, "filename": "walk.mp4", "processing_seconds": "120"}
        added = app.call("POST", "/emulator/photos", token=False, params=query, data=FILM)
        assert ["walk.mp4"] == [photo["filename"] for photo in added.json()["photos"]]
        session = app.session()["id"]
        app.pick(session, count=1)

        def video() -> tuple[str, requests.Response]:
            item = picked(app, session).json()["mediaItems"][0]
            status = item["mediaFile"]["mediaFileMetadata"]["videoMetadata"]["processingStatus"]
            return status, app.call("GET", item["mediaFile"]["baseUrl"] + "=dv")

        status, early = video()
        assert ("PROCESSING", (400, "FAILED_PRECONDITION")) == (status, reason(early))
        app.emulator.world.advance(120)
        status, late = video()
        assert ("READY", FILM) == (status, late.content)


class TestControl:
    def test_photos_are_put_in(self, app: PhotoApp) -> None:
        """
        As base64 in JSON; the list of them tells bytes by hash.
        """
        added = app.control("photos", email=app.email, filename="a.jpg", content="/9j/4A==")["photos"]
        shown = app.good("GET", "/emulator/photos", token=False, params={"email": app.email})

        assert added == shown["photos"][:1]
        assert ("a.jpg", "image/jpeg", 4) == tuple(
            added[0][name] for name in ("filename", "mime_type", "bytes")
        )

    def test_curl_puts_them_in_both_ways(self, app: PhotoApp) -> None:
        """
        ``-d`` with JSON, and ``--data-binary`` with a picture, both without a type of their own.
        """
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = json.dumps({"email": app.email, "samples": 2})
        drawn = app.good("POST", "/emulator/photos", token=False, data=body, headers=form)
        query = {"email": app.email, "filename": "a.jpg"}
        own = app.good(
            "POST", "/emulator/photos", token=False, data=b"\xff\xd8\xff\xe0", headers=form, params=query
        )

        assert 2 == len(drawn["photos"])
        assert "a.jpg" == own["photos"][0]["filename"]

    @pytest.mark.parametrize(
        "body",
        [
            {"samples": 1},
            {"email": "", "samples": 1},
            {"email": "a@example.com"},
            {"email": "a@example.com", "samples": 1, "content": "/9j/"},
            {"email": "a@example.com", "content": "no base64"},
            {"email": "a@example.com", "content": "bGV0dGVy"},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, app: PhotoApp, body: dict[str, object]) -> None:
        """
        Nobody, nothing, two things, no base64, no picture.
        """
        assert 400 == app.call("POST", "/emulator/photos", token=False, json=body).status_code

    @pytest.mark.parametrize(
        "body, status",
        [
            ({"count": 4}, 404),
            ({"count": 0}, 409),
            ({"ids": ["nothing"]}, 404),
            ({"session": "nowhere", "count": 1}, 404),
            ({"email": "somebody@example.com"}, 404),
        ],
    )
    def test_a_pick_that_cannot_be_is_refused(
        self, app: PhotoApp, body: dict[str, object], status: int
    ) -> None:
        """
        More than there are, none, no such photo, no such session, nobody who was asked to pick.
        """
        app.session()
        answer = app.call("POST", "/emulator/pick", token=False, json={"email": app.email, **body})

        assert status == answer.status_code

    def test_a_session_is_picked_once_and_by_its_own_user(self, app: PhotoApp) -> None:
        """
        Without a name it is the latest that waits; all photos, unless told.
        """
        first, second = app.session()["id"], app.session(maxItemCount="3")["id"]
        picked = app.control("pick", email=app.email)
        assert (second, 3) == (picked["session"], len(picked["picked"]))
        again = {"email": app.email, "session": second, "count": 1}
        assert 409 == app.call("POST", "/emulator/pick", token=False, json=again).status_code
        stranger = {"email": "stranger@example.com", "session": first, "count": 1}

        assert 409 == app.call("POST", "/emulator/pick", token=False, json=stranger).status_code

    def test_limits_are_shown_and_come_back(self, app: PhotoApp) -> None:
        """
        Google's own after a reset; a misspelt one is refused.
        """
        app.limits(album_items=3)
        shown = app.good("GET", "/emulator/photos/limits", token=False)
        assert (3, 10_000) == (shown["album_items"], shown["requests_per_day"])
        wrong = app.call("POST", "/emulator/photos/limits", token=False, json={"album_item": 3})
        assert 400 == wrong.status_code
        app.control("reset")

        assert 20_000 == app.good("GET", "/emulator/photos/limits", token=False)["album_items"]


class TestPages:
    def test_a_form_is_enough(self, app: PhotoApp) -> None:
        """
        Sign in, pick, done: without any script, and never more than the app asked for.
        """
        session = app.session(maxItemCount="1")
        browser = requests.Session()
        assert "Sign in" in browser.get(session["pickerUri"], timeout=10).text
        wrong = browser.post(session["pickerUri"], data={"step": "account", "email": "nobody"}, timeout=10)
        assert 400 == wrong.status_code
        page = browser.post(session["pickerUri"], data={"step": "account", "email": app.email}, timeout=10)
        assert "Pick up to 1" in page.text
        ids = [
            photo["id"]
            for photo in app.good("GET", "/emulator/photos", token=False, params={"email": app.email})[
                "photos"
            ]
        ]
        picture = browser.get(f"{session['pickerUri']}/photos/{ids[0]}", timeout=10)
        assert sample(2) == picture.content
        too_many = browser.post(session["pickerUri"], data={"photo": ids}, timeout=10)
        assert (400, True) == (too_many.status_code, "At most 1 can be picked" in too_many.text)
        none = browser.post(session["pickerUri"], data={}, timeout=10)
        assert (400, True) == (none.status_code, "Pick at least one photo." in none.text)
        done = browser.post(session["pickerUri"], data={"photo": ids[:1]}, timeout=10)

        assert "One photo is picked" in done.text
        assert "One photo is picked" in browser.get(session["pickerUri"], timeout=10).text
        browser.close()

    def test_pictures_are_shown_to_their_owner_only(self, app: PhotoApp) -> None:
        """
        Nobody who is not signed in, and no session that is not there.
        """
        session = app.session()
        photo = app.own(1)[0]

        assert 404 == requests.get(f"{session['pickerUri']}/photos/{photo}", timeout=10).status_code
        nowhere = f"{app.emulator.url}/picker/nowhere"
        assert 404 == requests.get(f"{nowhere}/photos/{photo}", timeout=10).status_code
        assert 404 == requests.get(nowhere, timeout=10).status_code
        assert 404 == requests.get(f"{app.emulator.url}/emulator/albums/nowhere", timeout=10).status_code
        assert 404 == requests.get(f"{app.emulator.url}/emulator/photos/nowhere", timeout=10).status_code

    def test_an_empty_library_says_how_to_fill_it(self, emulator: EmulatorServer) -> None:
        """
        The control call, with the user's address in it.
        """
        app = PhotoApp(emulator)
        account = {"step": "account", "email": app.email}
        page = requests.post(app.session()["pickerUri"], data=account, timeout=10)

        assert "There are no photos in this account" in page.text
        app.close()
