"""Content on its way in: media, multipart and resumable uploads."""

from collections.abc import Iterator

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from grantkeeper.emulator.apis_multipart import MultipartInvalid, parse_parts
from grantkeeper.emulator.drive_uploads import ContentRange, RangeInvalid, parse_content_range
from grantkeeper.emulator.runner import EmulatorServer
from tests.emulator.drive_kit import APPDATA, FILE, METADATA_READONLY, App, mint, reason

CHUNK = 262_144
UPLOAD = "/upload/drive/v3/files"


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One emulator for the module; every test has users of its own."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def app(server: EmulatorServer) -> Iterator[App]:
    app = App(server, APPDATA, FILE)
    yield app
    app.close()


def content_of(app: App, file_id: str) -> bytes:
    return app.call("GET", f"/drive/v3/files/{file_id}?alt=media").content


class TestSimple:
    def test_makes_a_file_of_the_body(self, app: App) -> None:
        """
        uploadType=media: no metadata, so it is untitled.
        """
        params = {"uploadType": "media", "fields": "id,name,mimeType,size"}
        made = app.call(
            "POST", UPLOAD, params=params, data=b"png", headers={"Content-Type": "image/png"}
        ).json()

        assert ("Untitled", "image/png", "3") == (made["name"], made["mimeType"], made["size"])
        assert b"png" == content_of(app, made["id"])

    def test_replaces_the_content_of_a_file(self, app: App) -> None:
        """
        PATCH: the id stays, the revision does not.
        """
        made = app.put(b"old", name="a.txt")
        params = {"uploadType": "media", "fields": "*"}
        headers = {"Content-Type": "application/octet-stream"}
        changed = app.call(
            "PATCH", f"{UPLOAD}/{made['id']}", params=params, data=b"new", headers=headers
        ).json()

        assert (made["id"], "a.txt", "text/plain") == (changed["id"], changed["name"], changed["mimeType"])
        assert made["headRevisionId"] != changed["headRevisionId"]
        assert b"new" == content_of(app, made["id"])

    def test_needs_to_say_which_kind_it_is(self, app: App) -> None:
        """
        A missing or unknown uploadType is refused.
        """
        assert (400, "invalidParameter") == reason(app.call("POST", UPLOAD, data=b"x"))
        assert (400, "invalidParameter") == reason(app.call("POST", UPLOAD, params={"uploadType": "x"}))
        assert (404, "notFound") == reason(app.call("GET", UPLOAD))

    def test_needs_a_scope_that_writes(self, server: EmulatorServer) -> None:
        """
        As any other write.
        """
        app = App(server, METADATA_READONLY)

        refused = app.call("POST", UPLOAD, params={"uploadType": "media"}, data=b"x")
        assert (403, "insufficientPermissions") == reason(refused)
        app.close()


class TestMultipart:
    @pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
    @pytest.mark.parametrize("quoted", [True, False])
    def test_reads_both_kinds_of_lines(self, app: App, newline: bytes, quoted: bool) -> None:
        """
        The standard's CRLF, and the bare LF of Python's client; a CR at the content's end is content.
        """
        content = b"\r\n--not the end\r\nline\r"
        body = newline.join(
            [
                b"--a b" if quoted else b"--ab",
                b"Content-Type: application/json; charset=UTF-8",
                b"MIME-Version: 1.0",
                b"",
                b'{"name": "n", "parents": ["appDataFolder"]}',
                b"--a b" if quoted else b"--ab",
                b"Content-Type: text/x-note",
                b"Content-Transfer-Encoding: binary",
                b"",
                content,
                b"--a b--" if quoted else b"--ab--",
                b"",
            ]
        )
        boundary = '"a b"' if quoted else "ab"
        response = app.call(
            "POST",
            UPLOAD,
            params={"uploadType": "multipart", "fields": "id,name,mimeType,spaces"},
            data=body,
            headers={"Content-Type": f"multipart/related; boundary={boundary}"},
        )
        made = response.json()

        assert {
            "id": made["id"],
            "name": "n",
            "mimeType": "text/x-note",
            "spaces": ["appDataFolder"],
        } == made
        assert content == content_of(app, made["id"])

    def test_the_metadata_decide_the_type(self, app: App) -> None:
        """
        Over what the part says; without either, the name does.
        """
        assert "a/b" == app.put(b"", "text/plain", name="x", mimeType="a/b")["mimeType"]
        assert "image/png" == app.put(b"", "application/octet-stream", name="x.png")["mimeType"]

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", "badRequest"),
            (b"--cut\r\n\r\n{}\r\n--cut--", "badRequest"),
            (b"--cut\r\n\r\n{}\r\n--cut\r\n\r\nx", "badRequest"),
            (b"--cut\r\n\r\n{\r\n--cut\r\n\r\nx\r\n--cut--", "parseError"),
            (b"--cut\r\nno colon\r\n\r\n{}\r\n--cut\r\n\r\nx\r\n--cut--", "badRequest"),
        ],
    )
    def test_a_malformed_body_makes_no_file(self, app: App, body: bytes, expected: str) -> None:
        """
        One part, no end, broken JSON, broken headers.
        """
        headers = {"Content-Type": "multipart/related; boundary=cut"}
        response = app.call("POST", UPLOAD, params={"uploadType": "multipart"}, data=body, headers=headers)

        assert (400, expected) == reason(response)
        assert [] == app.names()

    def test_a_boundary_is_needed(self, app: App) -> None:
        """
        Without it there are no parts.
        """
        headers = {"Content-Type": "multipart/related"}
        response = app.call("POST", UPLOAD, params={"uploadType": "multipart"}, data=b"x", headers=headers)

        assert (400, "badRequest") == reason(response)

    @given(st.binary(max_size=60), st.sampled_from([b"\r\n", b"\n"]))
    def test_any_content_survives(self, content: bytes, newline: bytes) -> None:
        """
        Whatever bytes are framed come out again.
        """
        framed = newline.join([b"--cut", b"A: 1", b"", content, b"--cut--", b""])

        if newline + b"--cut" not in content and not content.startswith(b"--cut"):
            assert [content] == [part.body for part in parse_parts(framed, "multipart/mixed; boundary=cut")]

    @given(st.binary(max_size=80))
    def test_no_body_breaks_the_reader(self, body: bytes) -> None:
        """
        Garbage is refused by name.
        """
        try:
            parse_parts(b"--cut\r\n" + body, "multipart/mixed; boundary=cut")
        except MultipartInvalid:
            return


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("bytes 0-9/10", ContentRange(0, 9, 10)),
        ("bytes 5-9/*", ContentRange(5, 9, None)),
        ("bytes */10", ContentRange(None, None, 10)),
        ("bytes */*", ContentRange(None, None, None)),
    ],
)
def test_content_range_is_read(header: str, read: ContentRange) -> None:
    """
    A chunk with or without a total, and the status query.
    """
    assert read == parse_content_range(header)


@pytest.mark.parametrize(
    "header", ["", "bytes", "bytes 0-9", "bytes 9-0/10", "bytes 0-10/10", "bytes -1-2/3", "items 0-1/2"]
)
def test_a_content_range_that_contradicts_itself_is_refused(header: str) -> None:
    """
    Malformed, backwards, or beyond its own total.
    """
    with pytest.raises(RangeInvalid):
        parse_content_range(header)


class Upload:
    """A resumable upload under way."""

    def __init__(self, app: App, verb: str = "POST", path: str = UPLOAD, **options: object) -> None:
        self.app = app
        metadata = options.pop("metadata", {"name": "big"})
        headers = {"X-Upload-Content-Type": "text/plain", **options.pop("headers", {})}  # type: ignore[dict-item]
        self.begun = app.call(
            verb, path, params={"uploadType": "resumable", **options}, json=metadata, headers=headers
        )
        self.url = self.begun.headers.get("location", "")

    def send(self, content: bytes, content_range: str | None, *, token: bool = True) -> requests.Response:
        headers = {"Content-Range": content_range} if content_range is not None else {}
        if token:
            return self.app.call("PUT", self.url, data=content, headers=headers)
        return requests.put(self.url, data=content, headers=headers, timeout=10, allow_redirects=False)

    def status(self) -> requests.Response:
        return self.send(b"", "bytes */*")


class TestResumable:
    def test_begins_with_an_address(self, app: App) -> None:
        """
        200, no body, and a Location on the host that was called.
        """
        upload = Upload(app)

        assert (200, b"") == (upload.begun.status_code, upload.begun.content)
        assert upload.url.startswith(app.emulator.url + UPLOAD)
        assert "upload_id=" in upload.url
        assert "uploadType=resumable" in upload.url
        assert upload.begun.headers["x-guploader-uploadid"] in upload.url

    def test_takes_chunks_until_the_total(self, app: App) -> None:
        """
        308 with Range while something is missing, then 200 with the file and the fields asked for at first.
        """
        content = bytes(range(256)) * 1024 * 2 + b"rest"
        upload = Upload(app, fields="id,size")
        total = len(content)

        first = upload.send(content[:CHUNK], f"bytes 0-{CHUNK - 1}/{total}")
        assert (308, f"bytes=0-{CHUNK - 1}") == (first.status_code, first.headers["range"])
        second = upload.send(content[CHUNK : 2 * CHUNK], f"bytes {CHUNK}-{2 * CHUNK - 1}/{total}")
        assert (308, f"bytes=0-{2 * CHUNK - 1}") == (second.status_code, second.headers["range"])
        assert [] == app.names()
        last = upload.send(content[2 * CHUNK :], f"bytes {2 * CHUNK}-{total - 1}/{total}")
        assert (200, {"id", "size"}) == (last.status_code, last.json().keys())
        assert content == content_of(app, last.json()["id"])

    def test_learns_an_unknown_total_at_the_end(self, app: App) -> None:
        """
        A stream sends `*` until it knows.
        """
        upload = Upload(app)
        body = b"a" * CHUNK

        assert 308 == upload.send(body, f"bytes 0-{CHUNK - 1}/*").status_code
        last = upload.send(b"b", f"bytes {CHUNK}-{CHUNK}/{CHUNK + 1}")
        assert 200 == last.status_code
        assert body + b"b" == content_of(app, last.json()["id"])

    def test_a_stream_that_ends_on_a_chunk_is_finished_by_a_query(self, app: App) -> None:
        """
        `bytes */total` with the total that has arrived completes the upload.
        """
        upload = Upload(app)
        upload.send(b"a" * CHUNK, f"bytes 0-{CHUNK - 1}/*")

        assert 200 == upload.send(b"", f"bytes */{CHUNK}").status_code

    def test_can_be_asked_where_it_stands(self, app: App) -> None:
        """
        No Range while nothing has arrived; the file itself once all has.
        """
        upload = Upload(app)
        nothing = upload.status()
        assert (308, None) == (nothing.status_code, nothing.headers.get("range"))
        upload.send(b"a" * CHUNK, f"bytes 0-{CHUNK - 1}/{CHUNK + 1}")
        assert f"bytes=0-{CHUNK - 1}" == upload.status().headers["range"]
        done = upload.send(b"b", f"bytes {CHUNK}-{CHUNK}/{CHUNK + 1}").json()
        again = upload.status()
        assert (200, done) == (again.status_code, again.json())

    @pytest.mark.parametrize("content", [b"", b"all at once"])
    def test_takes_everything_in_one_put_without_a_range(self, app: App, content: bytes) -> None:
        """
        Also how an empty file is sent.
        """
        response = Upload(app, fields="id,size,mimeType").send(content, None)

        assert (str(len(content)), "text/plain") == (response.json()["size"], response.json()["mimeType"])
        assert content == content_of(app, response.json()["id"])

    def test_keeps_whole_multiples_of_a_chunk(self, app: App) -> None:
        """
        A chunk of another size is accepted in part, and Range says how far.
        """
        upload = Upload(app)
        ragged = b"a" * (CHUNK + 5)

        response = upload.send(ragged, f"bytes 0-{CHUNK + 4}/{CHUNK + 9}")
        assert f"bytes=0-{CHUNK - 1}" == response.headers["range"]
        rest = upload.send(b"b" * 9, f"bytes {CHUNK}-{CHUNK + 8}/{CHUNK + 9}")
        assert b"a" * CHUNK + b"b" * 9 == content_of(app, rest.json()["id"])

    def test_skips_what_it_has_already(self, app: App) -> None:
        """
        A client that lost an answer may send a chunk again.
        """
        upload = Upload(app)
        chunk = b"a" * CHUNK
        upload.send(chunk, f"bytes 0-{CHUNK - 1}/{2 * CHUNK}")
        both = upload.send(chunk + b"b" * CHUNK, f"bytes 0-{2 * CHUNK - 1}/{2 * CHUNK}")

        assert chunk + b"b" * CHUNK == content_of(app, both.json()["id"])

    @pytest.mark.parametrize(
        ("content", "content_range"),
        [
            (b"a" * 10, "bytes 0-9/20"),
            (b"a" * 10, "bytes 0-10/11"),
            (b"a" * CHUNK, f"bytes {CHUNK}-{2 * CHUNK - 1}/{3 * CHUNK}"),
            (b"a", "bytes 0-0"),
        ],
    )
    def test_refuses_a_chunk_that_does_not_fit(self, app: App, content: bytes, content_range: str) -> None:
        """
        Too small, not as long as it says, beyond a gap, malformed: nothing of it is kept.
        """
        upload = Upload(app)

        assert (400, "badRequest") == reason(upload.send(content, content_range))
        assert "range" not in upload.status().headers

    def test_holds_the_sender_to_the_announced_length(self, app: App) -> None:
        """
        X-Upload-Content-Length.
        """
        upload = Upload(app, headers={"X-Upload-Content-Length": "3"})

        assert (400, "badRequest") == reason(upload.send(b"four", None))
        assert (400, "badRequest") == reason(upload.send(b"four", "bytes 0-3/4"))
        assert 200 == upload.send(b"abc", "bytes 0-2/3").status_code
        broken = Upload(app, headers={"X-Upload-Content-Length": "many"})
        assert (400, "invalid") == reason(broken.begun)
        huge = Upload(app, headers={"X-Upload-Content-Length": "5497558138881"})
        assert (413, "uploadTooLarge") == reason(huge.begun)

    def test_replaces_the_content_of_a_file(self, app: App) -> None:
        """
        Begun with PATCH, it changes metadata and content together.
        """
        made = app.put(b"old", name="old.txt")
        upload = Upload(app, "PATCH", f"{UPLOAD}/{made['id']}", metadata={"name": "new.txt"})

        assert made["id"] == upload.send(b"new", None).json()["id"]
        assert (["new.txt"], b"new") == (app.names(), content_of(app, made["id"]))

    def test_is_refused_before_any_content_is_sent(self, app: App) -> None:
        """
        What the metadata make impossible is said at once.
        """
        assert (404, "notFound") == reason(Upload(app, metadata={"parents": ["nowhere"]}).begun)
        assert (404, "notFound") == reason(Upload(app, "PATCH", f"{UPLOAD}/nothing").begun)
        assert (400, "parseError") == reason(Upload(app, metadata=[]).begun)
        assert (400, "invalidParameter") == reason(Upload(app, fields="idd").begun)

    def test_the_address_is_enough_but_a_dead_token_is_not_ignored(self, app: App) -> None:
        """
        A client whose token ran out in the middle finds out by 401 and goes on with a new one.
        """
        upload = Upload(app)
        assert 308 == upload.send(b"a" * CHUNK, f"bytes 0-{CHUNK - 1}/{CHUNK + 1}", token=False).status_code
        app.emulator.world.access_tokens[app.token].dead = True

        assert (401, "authError") == reason(upload.send(b"b", f"bytes {CHUNK}-{CHUNK}/{CHUNK + 1}"))
        assert 200 == upload.send(b"b", f"bytes {CHUNK}-{CHUNK}/{CHUNK + 1}", token=False).status_code

    def test_can_be_cancelled(self, app: App) -> None:
        """
        DELETE answers 499, and the address is gone.
        """
        upload = Upload(app)

        assert 499 == app.call("DELETE", upload.url).status_code
        assert (404, "notFound") == reason(upload.send(b"abc", None))

    def test_works_under_the_path_of_the_discovery_document(self, app: App) -> None:
        """
        `/resumable/upload/…` is the same door.
        """
        upload = Upload(app, path=f"/resumable{UPLOAD}")

        assert upload.url.startswith(f"{app.emulator.url}/resumable{UPLOAD}")
        assert 200 == upload.send(b"abc", None).status_code


@pytest.mark.parametrize("kind", ["media", "multipart", "resumable"])
def test_every_kind_reaches_the_application_data_folder(server: EmulatorServer, kind: str) -> None:
    """
    With the folder's scope alone; a media upload has no metadata, so it replaces a file that is there.
    """
    app = App(server, APPDATA)
    if kind == "media":
        file_id = app.create(name="a", parents=["appDataFolder"])["id"]
        app.call("PATCH", f"{UPLOAD}/{file_id}", params={"uploadType": kind}, data=b"abc")
    elif kind == "multipart":
        file_id = app.put(b"abc", name="a", parents=["appDataFolder"])["id"]
    else:
        upload = Upload(app, metadata={"name": "a", "parents": ["appDataFolder"]})
        file_id = upload.send(b"abc", None).json()["id"]

    assert b"abc" == content_of(app, file_id)
    assert ["a"] == app.names(spaces="appDataFolder")
    app.close()


def test_an_upload_session_outlives_the_token_that_began_it() -> None:
    """
    By the clock: the old token is 401 after its hour, and a new one goes on where the old one was.
    """
    with EmulatorServer() as emulator:
        app = App(emulator, APPDATA)
        upload = Upload(app, metadata={"name": "long", "parents": ["appDataFolder"]})
        total = 2 * CHUNK
        upload.send(b"a" * CHUNK, f"bytes 0-{CHUNK - 1}/{total}")
        emulator.world.advance(3601)
        assert (401, "authError") == reason(upload.status())
        app.http.headers["Authorization"] = f"Bearer {mint(emulator, app.email, (APPDATA,))}"
        assert f"bytes=0-{CHUNK - 1}" == upload.status().headers["range"]
        last = upload.send(b"b" * CHUNK, f"bytes {CHUNK}-{total - 1}/{total}")

        assert b"a" * CHUNK + b"b" * CHUNK == content_of(app, last.json()["id"])
        totals = requests.get(emulator.url + "/emulator/stats", timeout=10).json()["totals"]["drive"]
        assert {
            "uploads_begun": 1,
            "uploads_finished": 1,
            "bytes_received": total,
            "downloads": 1,
            "bytes_sent": total,
        } == totals
        app.close()


def test_an_upload_session_lives_one_week() -> None:
    """
    On the emulator's clock: until the last second it works, then it is 404.
    """
    with EmulatorServer() as emulator:
        app = App(emulator, FILE)
        early, late = Upload(app), Upload(app)
        emulator.world.advance(7 * 86_400 - 60)
        assert 200 == early.send(b"abc", None, token=False).status_code
        emulator.world.advance(60)
        assert (404, "notFound") == reason(late.send(b"abc", None, token=False))
        app.close()


class TestFaults:
    def test_less_than_was_sent_is_accepted(self, app: App) -> None:
        """
        upload_short: the sender goes on from Range.
        """
        upload = Upload(app)
        app.emulator.world.faults.add("upload", "upload_short", count=1)
        body = b"a" * (2 * CHUNK)
        total = 2 * CHUNK

        response = upload.send(body, f"bytes 0-{total - 1}/{total}")
        assert (308, f"bytes=0-{CHUNK - 1}") == (response.status_code, response.headers["range"])
        last = upload.send(body[CHUNK:], f"bytes {CHUNK}-{total - 1}/{total}")
        assert body == content_of(app, last.json()["id"])

    def test_the_connection_is_cut_in_the_middle(self, app: App) -> None:
        """
        upload_cut: part has arrived, and only a status query tells how much.
        """
        upload = Upload(app)
        app.emulator.world.faults.add("upload", "upload_cut", count=1, bytes=CHUNK)
        body = b"a" * (2 * CHUNK)

        with pytest.raises(requests.ConnectionError):
            upload.send(body, f"bytes 0-{2 * CHUNK - 1}/{2 * CHUNK}")
        assert f"bytes=0-{CHUNK - 1}" == upload.status().headers["range"]

    def test_the_session_is_lost(self, app: App) -> None:
        """
        upload_gone: 410 once, 404 ever after.
        """
        upload = Upload(app)
        app.emulator.world.faults.add("upload", "upload_gone", count=1)

        assert (410, "gone") == reason(upload.status())
        assert (404, "notFound") == reason(upload.status())

    def test_a_lost_answer_leaves_the_file(self, app: App) -> None:
        """
        lost: the upload is complete, the sender does not know, and the query shows it.
        """
        upload = Upload(app)
        app.emulator.world.faults.add("upload", "lost", count=1)

        with pytest.raises(requests.ConnectionError):
            upload.send(b"abc", None)
        assert 200 == upload.status().status_code
        assert ["big"] == app.names()
