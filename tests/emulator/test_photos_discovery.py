"""Google's own Python client, built from the emulator's documents of the two Photos APIs, unpatched."""

import contextlib
from collections.abc import Iterator
from typing import Any

import google.oauth2.credentials
import googleapiclient.discovery
import pytest
import requests
from googleapiclient.errors import HttpError

from grantkeeper.emulator.photos_samples import sample
from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.google_kit import document_url, signed_in
from tests.emulator.photos_kit import EVERYTHING, UPLOADS, PhotoApp


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def app(server: EmulatorServer) -> Iterator[PhotoApp]:
    app = PhotoApp(server)
    yield app
    app.close()


@pytest.fixture
def credentials(server: EmulatorServer, app: PhotoApp) -> google.oauth2.credentials.Credentials:
    """Stock credentials of the app's user."""
    return signed_in(server, *EVERYTHING, email=app.email)


@contextlib.contextmanager
def built(server: EmulatorServer, name: str, credentials: Any) -> Iterator[Any]:
    """A client of the API of that name."""
    service = googleapiclient.discovery.build(
        name,
        "v1",
        discoveryServiceUrl=document_url(server),
        static_discovery=False,
        credentials=credentials,
    )
    with service:
        yield service


def test_googles_client_fills_an_album(server: EmulatorServer, app: PhotoApp, credentials: Any) -> None:
    """
    albums, mediaItems, paging and a patch; the bytes go by a request of one's own, as at Google.
    """
    # First, so that the client's connection does not lie idle until the server closes it.
    headers = {"Authorization": f"Bearer {credentials.token}", "X-Goog-Upload-Protocol": "raw"}
    tokens = [
        requests.post(server.url + UPLOADS, data=sample(number), headers=headers, timeout=10).text
        for number in range(3)
    ]
    with built(server, "photoslibrary", credentials) as library:
        album = library.albums().create(body={"album": {"title": "Enhanced"}}).execute()
        items = [{"simpleMediaItem": {"uploadToken": token}, "description": token[-8:]} for token in tokens]
        body = {"albumId": album["id"], "newMediaItems": items}
        made = library.mediaItems().batchCreate(body=body).execute()["newMediaItemResults"]
        ids = [each["mediaItem"]["id"] for each in made]

        found = library.mediaItems().search(body={"albumId": album["id"]}).execute()["mediaItems"]
        assert ids == [item["id"] for item in found]
        assert 3 == len(library.mediaItems().batchGet(mediaItemIds=ids).execute()["mediaItemResults"])
        assert "3" == library.albums().get(albumId=album["id"]).execute()["mediaItemsCount"]
        changed = (
            library.mediaItems()
            .patch(id=ids[0], updateMask="description", body={"description": "new"})
            .execute()
        )
        assert "new" == changed["description"]
        seen: list[str] = []
        request = library.mediaItems().list(pageSize=2)
        while request is not None:
            page = request.execute()
            seen += [item["id"] for item in page["mediaItems"]]
            request = library.mediaItems().list_next(request, page)
        assert ids[::-1] == seen
        out = {"mediaItemIds": ids[:1]}
        library.albums().batchRemoveMediaItems(albumId=album["id"], body=out).execute()
        assert "2" == library.albums().list().execute()["albums"][0]["mediaItemsCount"]


def test_googles_client_reads_what_was_picked(
    server: EmulatorServer, app: PhotoApp, credentials: Any
) -> None:
    """
    sessions and mediaItems of the Picker.
    """
    app.own(2)
    with built(server, "photospicker", credentials) as picker:
        session = picker.sessions().create(body={"pickingConfig": {"maxItemCount": "5"}}).execute()
        with pytest.raises(HttpError) as caught:
            picker.mediaItems().list(sessionId=session["id"]).execute()
        assert (400, "PENDING_USER_ACTION") == (
            caught.value.status_code,
            caught.value.error_details[0]["reason"],
        )
        app.pick(session["id"])
        assert picker.sessions().get(sessionId=session["id"]).execute()["mediaItemsSet"] is True
        first = picker.mediaItems().list(sessionId=session["id"], pageSize=1)
        rest = picker.mediaItems().list_next(first, first.execute())
        assert 1 == len(rest.execute()["mediaItems"])
        assert {} == picker.sessions().delete(sessionId=session["id"]).execute()


def test_calls_can_be_batched(server: EmulatorServer, app: PhotoApp, credentials: Any) -> None:
    """
    At the batch address of the document, which only takes calls of the same API.
    """
    answers: dict[str, Any] = {}
    with built(server, "photoslibrary", credentials) as library:
        batch = library.new_batch_http_request(
            callback=lambda name, answer, error: answers.update({name: error or answer})
        )
        batch.add(library.albums().create(body={"album": {"title": "one"}}), request_id="one")
        batch.add(library.albums().create(body={"album": {"title": ""}}), request_id="two")
        batch.execute()

    assert "one" == answers["one"]["title"]
    assert 400 == answers["two"].status_code


@pytest.mark.parametrize("name", ["photoslibrary", "photospicker"])
def test_a_document_stays_with_the_emulator(server: EmulatorServer, name: str) -> None:
    """
    The root is the emulator with a folder for Google's host, and paths are Google's own.
    """
    document = requests.get(f"{server.url}/discovery/v1/apis/{name}/v1/rest", timeout=10).json()
    methods = [each for resource in document["resources"].values() for each in resource["methods"].values()]

    assert (f"{server.url}/{name}/", "") == (document["rootUrl"], document["servicePath"])
    assert all(method["path"].startswith("v1/") for method in methods)
    named = {method[side]["$ref"] for method in methods for side in ("request", "response") if side in method}
    assert named <= document["schemas"].keys()
