"""google-api-python-client against the emulator, unpatched: it is the judge."""

import io
import json
from collections.abc import Iterator
from typing import Any

import google.auth.exceptions
import google.oauth2.credentials
import pytest
from googleapiclient.errors import HttpError
from googleapiclient.http import (
    MediaInMemoryUpload,
    MediaIoBaseDownload,
    MediaIoBaseUpload,
)

from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.drive_kit import FILE
from tests.emulator.google_kit import document_url, drive, signed_in

CHUNK = 262_144


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module; every test signs in a user of its own."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def credentials(server: EmulatorServer) -> google.oauth2.credentials.Credentials:
    return signed_in(server)


@pytest.fixture
def service(server: EmulatorServer, credentials: google.oauth2.credentials.Credentials) -> Iterator[Any]:
    with drive(server, credentials=credentials) as service:
        yield service


class Bytes(MediaIoBaseUpload):
    """
    Media that is sent as bytes.

    Sent as a stream, a chunk is not rewound when the library sends it again: it promises a length, sends
    nothing and waits for an answer that cannot come.
    """

    def has_stream(self) -> bool:
        return False


def expire(emulator: EmulatorServer, credentials: google.oauth2.credentials.Credentials) -> None:
    """Let the access token die at Google without the client knowing."""
    emulator.world.access_tokens[str(credentials.token)].dead = True


def read(service: Any, file_id: str) -> bytes:
    return service.files().get_media(fileId=file_id).execute()


def test_the_guides_folder_is_read(service: Any) -> None:
    """
    files().get(fileId="appfolder"), the one API call of the guide.
    """
    folder = service.files().get(fileId="appfolder").execute()

    assert ("drive#file", "application/vnd.google-apps.folder") == (folder["kind"], folder["mimeType"])


@pytest.mark.parametrize("content", [b"", b"hello", b"line\r\n--===============\r\n\r\nline\r"])
def test_a_simple_upload(service: Any, content: bytes) -> None:
    """
    A media body without metadata goes as uploadType=media.
    """
    media = MediaInMemoryUpload(content, "text/plain")
    made = service.files().create(media_body=media, fields="id,size,mimeType").execute()

    assert (str(len(content)), "text/plain") == (made["size"], made["mimeType"])
    assert content == read(service, made["id"])


@pytest.mark.parametrize(
    "content", [b"", b"hello", bytes(range(256)), b"line\r\n--===============\r\n\r\nl\r"]
)
def test_a_multipart_upload(service: Any, content: bytes) -> None:
    """
    Metadata and media in one request, framed by Python with bare LF.
    """
    media = MediaInMemoryUpload(content, "application/x-thing")
    body = {"name": "thing", "parents": ["appDataFolder"]}
    made = service.files().create(body=body, media_body=media, fields="id,name,spaces,mimeType").execute()

    assert ("thing", ["appDataFolder"], "application/x-thing") == (
        made["name"],
        made["spaces"],
        made["mimeType"],
    )
    assert content == read(service, made["id"])


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_a_resumable_upload(service: Any, size: int) -> None:
    """
    In chunks, with progress, for sizes on both sides of each boundary.
    """
    content = bytes(number % 251 for number in range(size))
    media = MediaIoBaseUpload(io.BytesIO(content), "text/plain", chunksize=CHUNK, resumable=True)
    request = service.files().create(body={"name": "big"}, media_body=media, fields="id,size")
    made, steps = None, 0
    while made is None:
        _, made = request.next_chunk()
        steps += 1

    assert str(size) == made["size"]
    assert max(1, -(-size // CHUNK)) == steps
    assert content == read(service, made["id"])


def test_a_resumable_upload_of_unknown_length(service: Any) -> None:
    """
    A stream sends `*` for the total until its last chunk.
    """

    class Stream(Bytes):
        def size(self) -> None:
            return None

    content = b"s" * (CHUNK + 10)
    media = Stream(io.BytesIO(content), "text/plain", chunksize=CHUNK, resumable=True)
    made = service.files().create(body={"name": "stream"}, media_body=media).execute()

    assert content == read(service, made["id"])


def test_a_resumable_upload_goes_on_after_trouble(server: EmulatorServer, service: Any) -> None:
    """
    Less accepted than sent, a 503, and a 401: the same bytes arrive in the end.
    """
    faults = server.world.faults
    content = bytes(number % 251 for number in range(4 * CHUNK + 3))
    media = Bytes(io.BytesIO(content), "text/plain", chunksize=2 * CHUNK, resumable=True)
    request = service.files().create(body={"name": "big"}, media_body=media)
    faults.add("upload", "upload_short", count=1, after=1)
    faults.add("upload", "status_503", count=1, after=1)
    faults.add("upload", "api_401", count=1, after=1)
    made = None
    while made is None:
        _, made = request.next_chunk(num_retries=2)

    assert [] == faults.active
    assert content == read(service, made["id"])


@pytest.mark.parametrize("resumable", [False, True])
def test_an_update_replaces_content(service: Any, resumable: bool) -> None:
    """
    files().update with a media body, either way.
    """
    made = service.files().create(body={"name": "a"}, media_body=MediaInMemoryUpload(b"old")).execute()
    media = MediaInMemoryUpload(b"new", "text/plain", resumable=resumable)
    service.files().update(fileId=made["id"], body={"name": "b"}, media_body=media).execute()

    assert "b" == service.files().get(fileId=made["id"]).execute()["name"]
    assert b"new" == read(service, made["id"])


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_download_in_chunks(service: Any, size: int) -> None:
    """
    MediaIoBaseDownload asks for ranges, and for an empty file reads the total from a 416.
    """
    content = bytes(number % 251 for number in range(size))
    made = service.files().create(media_body=MediaInMemoryUpload(content, "text/plain")).execute()
    target = io.BytesIO()
    download = MediaIoBaseDownload(target, service.files().get_media(fileId=made["id"]), chunksize=300)
    done = False
    while not done:
        _, done = download.next_chunk()

    assert content == target.getvalue()


def test_lists_are_paged(service: Any) -> None:
    """
    list and list_next.
    """
    for number in range(5):
        service.files().create(body={"name": f"{number}", "parents": ["appDataFolder"]}).execute()
    names = []
    request = service.files().list(
        spaces="appDataFolder", pageSize=2, orderBy="name", fields="nextPageToken,files(name)"
    )
    while request is not None:
        page = request.execute()
        names += [file["name"] for file in page["files"]]
        request = service.files().list_next(request, page)

    assert ["0", "1", "2", "3", "4"] == names


def test_a_search_longer_than_an_address(service: Any) -> None:
    """
    The client posts it with X-HTTP-Method-Override.
    """
    service.files().create(body={"name": "needle"}).execute()
    search = " or ".join(["name = 'needle'"] * 200)

    assert ["needle"] == [file["name"] for file in service.files().list(q=search).execute()["files"]]


def test_ids_copies_about_and_delete(service: Any) -> None:
    """
    The smaller methods.
    """
    ids = service.files().generateIds(count=2, space="appDataFolder").execute()["ids"]
    made = service.files().create(body={"id": ids[0], "parents": ["appDataFolder"]}).execute()
    copied = service.files().copy(fileId=made["id"], body={"id": ids[1], "name": "copy"}).execute()
    assert ids == [made["id"], copied["id"]]
    assert "@example.com" in service.about().get(fields="user").execute()["user"]["emailAddress"]
    assert "" == service.files().delete(fileId=made["id"]).execute()

    with pytest.raises(HttpError) as caught:
        service.files().get(fileId=made["id"]).execute()

    assert (404, f"File not found: {made['id']}.") == (caught.value.status_code, caught.value.reason)
    assert "notFound" == caught.value.error_details[0]["reason"]


def test_a_dead_access_token_is_refreshed_once(
    server: EmulatorServer, service: Any, credentials: google.oauth2.credentials.Credentials
) -> None:
    """
    401, refresh at the emulator's token endpoint, and the call is sent again.
    """
    world = server.world
    before = world.counted("token", "refresh_token", "ok")
    old = credentials.token
    expire(server, credentials)

    service.files().get(fileId="appfolder").execute()

    assert old != credentials.token
    assert before + 1 == world.counted("token", "refresh_token", "ok")


def test_a_revoked_grant_is_a_refresh_error(server: EmulatorServer) -> None:
    """
    When the user takes access back, the library says invalid_grant.
    """
    email = "leaver@example.com"
    credentials = signed_in(server, email=email)
    world = server.world
    for grant in world.grants_of(world.user(email).sub):
        world.revoke(grant)

    with (
        drive(server, credentials=credentials) as service,
        pytest.raises(google.auth.exceptions.RefreshError, match="invalid_grant"),
    ):
        service.files().list().execute()


@pytest.mark.parametrize(
    ("fault", "options"), [("api_403_rate", {}), ("api_429", {"retry_after": 1}), ("api_500", {})]
)
def test_trouble_that_the_client_retries(
    server: EmulatorServer, service: Any, fault: str, options: dict[str, Any]
) -> None:
    """
    num_retries covers 403 rate limits, 429 and 5xx; without it the reason is raised.
    """
    server.world.faults.add("drive", fault, count=2, **options)

    with pytest.raises(HttpError):
        service.files().list().execute()
    service.files().list().execute(num_retries=1)
    assert [] == server.world.faults.active


def test_a_scope_that_is_missing_is_not_retried(server: EmulatorServer) -> None:
    """
    403 with a challenge that names the scope (RFC 6750 3).
    """
    with drive(server, credentials=signed_in(server, FILE)) as service:
        with pytest.raises(HttpError) as caught:
            service.files().get(fileId="appDataFolder").execute()

        assert 403 == caught.value.status_code
        assert "insufficient_scope" in caught.value.resp["www-authenticate"]
        assert "insufficientPermissions" == caught.value.error_details[0]["reason"]


# The library refreshes on a connection of its own and leaves it open.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
class TestBatch:
    def test_answers_reach_their_callbacks(self, service: Any) -> None:
        """
        Successes and a 404, each under its own id.
        """
        made = service.files().create(body={"name": "a"}).execute()
        answers: dict[str, Any] = {}
        batch = service.new_batch_http_request(
            callback=lambda request_id, answer, error: answers.update({request_id: error or answer})
        )
        batch.add(service.files().get(fileId=made["id"], fields="name"), request_id="found")
        batch.add(service.files().get(fileId="nothing"), request_id="missing")
        batch.add(
            service.files().update(fileId=made["id"], body={"name": "b"}, fields="name"), request_id="new"
        )
        batch.execute()

        assert {"name": "a"} == answers["found"]
        assert {"name": "b"} == answers["new"]
        assert 404 == answers["missing"].status_code

    def test_an_item_refused_with_401_is_sent_again(self, server: EmulatorServer, service: Any) -> None:
        """
        The client refreshes once and repeats only that call.
        """
        world = server.world
        server.world.faults.add("drive", "api_401", count=1)
        refreshed = world.counted("token", "refresh_token", "ok")
        sent = world.counted("batch", "batch", "ok")
        answers: list[Any] = []
        batch = service.new_batch_http_request(callback=lambda *answer: answers.append(answer[1:]))
        batch.add(service.files().list(fields="files(name)"))
        batch.add(service.files().list(fields="kind"))
        batch.execute()

        assert [({"files": []}, None), ({"kind": "drive#fileList"}, None)] == sorted(answers, key=str)
        assert refreshed + 1 == world.counted("token", "refresh_token", "ok")
        assert sent + 2 == world.counted("batch", "batch", "ok")

    def test_every_item_may_be_a_dead_token(
        self,
        server: EmulatorServer,
        service: Any,
        credentials: google.oauth2.credentials.Credentials,
    ) -> None:
        """
        All items answer 401 inside a 200; all are repeated with a new token.
        """
        service.files().list().execute()
        expire(server, credentials)
        errors: list[Any] = []
        batch = service.new_batch_http_request(callback=lambda *answer: errors.append(answer[2]))
        for _ in range(3):
            batch.add(service.files().list())
        batch.execute()

        assert [None, None, None] == errors


def test_a_document_kept_in_a_file_works_as_well(
    server: EmulatorServer, credentials: google.oauth2.credentials.Credentials
) -> None:
    """
    build_from_document, for code that must not fetch one at start.
    """
    import requests
    from googleapiclient.discovery import build_from_document

    url = document_url(server).format(api="drive", apiVersion="v3")
    document = json.dumps(requests.get(url, timeout=10).json())

    with build_from_document(document, credentials=credentials) as service:
        assert [] == service.files().list().execute()["files"]


def test_an_endpoint_alone_is_enough_for_calls_without_content(
    server: EmulatorServer, credentials: google.oauth2.credentials.Credentials
) -> None:
    """
    With Google's own document and `api_endpoint`: reading, writing metadata and downloading stay here.
    """
    from googleapiclient.discovery import build

    with drive(server, credentials=credentials) as service:
        made = service.files().create(media_body=MediaInMemoryUpload(b"content")).execute()
    endpoint = {"api_endpoint": f"{server.url}/drive/v3/"}
    with build("drive", "v3", credentials=credentials, client_options=endpoint) as service:
        assert "Application Data" == service.files().get(fileId="appfolder").execute()["name"]
        service.files().update(fileId=made["id"], body={"name": "named"}).execute()
        assert ["named"] == [file["name"] for file in service.files().list().execute()["files"]]
        assert b"content" == read(service, made["id"])


def test_people_me(server: EmulatorServer) -> None:
    """
    The caller's profile through the People API's own document.
    """
    from googleapiclient.discovery import build

    credentials = signed_in(server, "profile", "email", email="ada.lovelace@example.com")
    with build(
        "people",
        "v1",
        discoveryServiceUrl=document_url(server),
        static_discovery=False,
        credentials=credentials,
    ) as service:
        me = service.people().get(resourceName="people/me", personFields="names,emailAddresses").execute()

        assert ("Ada Lovelace", "ada.lovelace@example.com") == (
            me["names"][0]["displayName"],
            me["emailAddresses"][0]["value"],
        )
        with pytest.raises(HttpError) as caught:
            service.people().get(resourceName="people/me").execute()
        assert 400 == caught.value.status_code
