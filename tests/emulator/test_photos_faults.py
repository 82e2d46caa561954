"""What can go wrong at Google Photos, by name; for one kind of call, and for one user."""

from collections.abc import Iterator

import pytest
import requests

from grantkeeper.emulator.photos_kinds import kind_of
from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.photos_kit import ITEMS, PICKED, PhotoApp, reason


@pytest.fixture
def app(emulator: EmulatorServer) -> Iterator[PhotoApp]:
    app = PhotoApp(emulator)
    yield app
    app.close()


def plan(app: PhotoApp, endpoint: str, name: str, **options: object) -> None:
    """Plan a fault as a test outside of this process would."""
    app.control("fault", endpoint=endpoint, name=name, **options)


def test_one_user_is_told_to_wait(app: PhotoApp) -> None:
    """
    429 with Retry-After for one address; everybody else goes on at full speed.
    """
    other = PhotoApp(app.emulator)
    plan(app, "photos", "api_429", email=app.email.upper(), retry_after=7)

    refused = app.call("GET", ITEMS)
    assert (429, "RESOURCE_EXHAUSTED") == reason(refused)
    assert "7" == refused.headers["Retry-After"]
    assert 200 == other.call("GET", ITEMS).status_code
    shown = app.good("GET", "/emulator/fault", token=False)
    assert (app.email.upper(), 7) == (shown[0]["email"], shown[0]["retry_after"])
    other.close()


def test_a_user_is_known_by_the_token_of_a_refresh_too(app: PhotoApp) -> None:
    """
    At the token endpoint: by the refresh token or the code in the form.
    """
    world = app.emulator.world
    client, user = world.web_client, world.user(app.email)
    grant = world.consent(client, user, frozenset(app.scopes))
    token = world.new_refresh_token(client, grant, frozenset(app.scopes))
    plan(app, "token", "status_503", email=app.email)
    form = {"grant_type": "refresh_token", "client_id": client.id, "client_secret": client.secrets[0]}

    mine = requests.post(app.emulator.url + "/token", data={**form, "refresh_token": token.value}, timeout=10)
    nobodys = requests.post(app.emulator.url + "/token", data={**form, "refresh_token": "x"}, timeout=10)
    assert (503, 400) == (mine.status_code, nobodys.status_code)


def test_an_answer_of_batch_create_is_lost(app: PhotoApp) -> None:
    """
    The items are there, and found again by their description; the upload before was not struck.
    """
    plan(app, "photos", "lost", kind="mediaItems.batchCreate", count=1)
    token = app.upload()

    with pytest.raises(requests.ConnectionError):
        app.create(token)
    assert ["number 0"] == [item["description"] for item in app.good("GET", ITEMS)["mediaItems"]]


def test_a_call_is_cut_before_it_takes_effect(app: PhotoApp) -> None:
    """
    Nothing was made, and the upload token is good still.
    """
    plan(app, "photos", "cut_before", kind="mediaItems.batchCreate", count=1)
    token = app.upload()

    with pytest.raises(requests.ConnectionError):
        app.create(token)
    assert {} == app.good("GET", ITEMS)
    assert 200 == app.create(token).status_code
    counted = app.good("GET", "/emulator/stats", token=False)["photos"]["mediaItems.batchCreate"]
    assert {"cut_before": 1, "ok": 1} == counted


@pytest.mark.parametrize("options, failed", [({}, 2), ({"items": 1, "code": 14}, 1), ({"items": 9}, 4)])
def test_part_of_a_batch_fails(app: PhotoApp, options: dict[str, int], failed: int) -> None:
    """
    207, the last half or as many as are told; their upload tokens are good still.
    """
    plan(app, "photos", "batch_partial", count=1, **options)
    tokens = [app.upload() for _ in range(4)]
    response = app.create(*tokens)
    codes = [each["status"].get("code") for each in response.json()["newMediaItemResults"]]

    assert 207 == response.status_code
    assert [None] * (4 - failed) + [options.get("code", 13)] * failed == codes
    assert 200 == app.create(*tokens[4 - failed :]).status_code
    totals = app.good("GET", "/emulator/stats", token=False)["totals"]["photos"]
    assert (4, failed) == (totals["items_created"], totals["items_refused"])


def test_bytes_come_late_or_not_at_all(app: PhotoApp) -> None:
    """
    Downloads are a kind of their own, at both APIs.
    """
    app.own(1)
    session = app.session()["id"]
    app.pick(session)
    plan(app, "picker", "cut", kind="media", count=1)
    url = app.good("GET", PICKED, params={"sessionId": session})["mediaItems"][0]["mediaFile"]["baseUrl"]

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        app.call("GET", url + "=d")
    plan(app, "picker", "slow", kind="media", count=1, seconds=0.01)
    assert 200 == app.call("GET", url + "=d").status_code


def test_videos_are_still_being_processed(app: PhotoApp) -> None:
    """
    picker_processing waits for a list that has a video in it.
    """
    plan(app, "picker", "picker_processing", count=1)
    app.own(1)
    query = {"email": app.email, "filename": "walk.mp4"}
    app.call("POST", "/emulator/photos", token=False, params=query, data=b"\x00\x00\x00\x18ftypmp42")

    def statuses(**what: object) -> list[str]:
        session = app.session()["id"]
        app.pick(session, **what)
        items = app.good("GET", PICKED, params={"sessionId": session})["mediaItems"]
        metadata = [item["mediaFile"]["mediaFileMetadata"] for item in items]
        return [each.get("videoMetadata", {}).get("processingStatus", "none") for each in metadata]

    assert ["none"] == statuses(ids=["IMG_0001.png"])
    assert ["PROCESSING", "none"] == statuses()
    assert ["READY", "none"] == statuses()


@pytest.mark.parametrize(
    "verb, path, headers, kind",
    [
        ("POST", "/photoslibrary/v1/mediaItems:batchCreate", {}, "mediaItems.batchCreate"),
        ("GET", "/photoslibrary/v1/mediaItems/some", {}, "mediaItems.get"),
        ("PATCH", "/photoslibrary/v1/mediaItems/some", {}, "mediaItems.patch"),
        ("POST", "/photoslibrary/v1/albums/some:addEnrichment", {}, "albums.addEnrichment"),
        ("POST", "/photoslibrary/v1/mediaItems", {"x-http-method-override": "GET"}, "mediaItems.list"),
        ("GET", "/photoslibrary/media/key=d", {}, "media"),
        ("GET", "/photospicker/media/key=d", {}, "media"),
        ("GET", "/photospicker/v1/mediaItems", {}, "mediaItems.list"),
        ("DELETE", "/photospicker/v1/sessions/some", {}, "sessions.delete"),
        ("GET", "/photospicker/v1/elsewhere", {}, "get"),
        ("POST", "/photoslibrary/v1/uploads", {}, "uploads.raw"),
        ("POST", "/photoslibrary/v1/uploads", {"x-goog-upload-protocol": "resumable"}, "uploads.unknown"),
        ("POST", "/photoslibrary/v1/uploads", {"x-goog-upload-command": "start"}, "uploads.start"),
        ("POST", "/photoslibrary/v1/uploads", {"x-goog-upload-command": "upload"}, "uploads.upload"),
        (
            "POST",
            "/photoslibrary/v1/uploads",
            {"x-goog-upload-command": "upload,finalize"},
            "uploads.finalize",
        ),
        ("POST", "/photoslibrary/v1/uploads", {"x-goog-upload-command": "query"}, "uploads.query"),
        ("POST", "/photoslibrary/v1/uploads", {"x-goog-upload-command": "sing"}, "uploads.unknown"),
    ],
)
def test_every_request_has_a_name(verb: str, path: str, headers: dict[str, str], kind: str) -> None:
    """
    The one under which it is counted.
    """
    assert kind == kind_of(verb, path, headers)
