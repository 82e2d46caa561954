"""Bytes on their way into the Library: the raw and the resumable protocol, and what the tokens are worth."""

from collections.abc import Iterator

import pytest
import requests

from grantkeeper.emulator.photos_uploads import ChunkInvalid, Upload
from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.scopes import PHOTOS_EDIT, PHOTOS_READ
from tests.emulator.drive_kit import other_app
from tests.emulator.photos_kit import CHUNK, UPLOADS, PhotoApp, info, reason

BIG = b"\x89PNG\r\n\x1a\n" + b"p" * (3 * CHUNK)
"""A picture of more than three chunks, as far as its first bytes say."""


@pytest.fixture
def app(emulator: EmulatorServer) -> Iterator[PhotoApp]:
    app = PhotoApp(emulator)
    yield app
    app.close()


def bytes_of(app: PhotoApp, token: str) -> bytes:
    """What an item made of *token* holds."""
    item = app.create(token).json()["newMediaItemResults"][0]["mediaItem"]
    return requests.get(f"{app.emulator.url}/emulator/photos/{item['id']}", timeout=10).content


def statuses(response: requests.Response) -> list[str]:
    """The message of each item."""
    return [result["status"]["message"] for result in response.json()["newMediaItemResults"]]


class TestRaw:
    def test_an_upload_token_comes_as_plain_text(self, app: PhotoApp) -> None:
        """
        No JSON around it; the bytes are kept as they are.
        """
        headers = {"X-Goog-Upload-Protocol": "raw", "Content-Type": "application/octet-stream"}
        response = app.call("POST", UPLOADS, data=BIG, headers=headers)

        assert response.headers["content-type"].startswith("text/plain")
        assert BIG == bytes_of(app, response.text)

    def test_some_bytes_are_needed(self, app: PhotoApp) -> None:
        """
        An empty body is refused, as is a protocol that there is not.
        """
        assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", UPLOADS))
        headers = {"X-Goog-Upload-Protocol": "multipart"}
        assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", UPLOADS, headers=headers, data=b"x"))

    def test_the_scope_must_be_the_one_that_adds(self, emulator: EmulatorServer) -> None:
        """
        Reading and editing what is there does not upload.
        """
        app = PhotoApp(emulator, PHOTOS_READ, PHOTOS_EDIT)
        response = app.call("POST", UPLOADS, data=BIG)

        assert (403, "PERMISSION_DENIED") == reason(response)
        assert "ACCESS_TOKEN_SCOPE_INSUFFICIENT" == info(response)
        assert (401, "UNAUTHENTICATED") == reason(app.call("POST", UPLOADS, data=BIG, token=False))
        app.close()

    def test_a_photo_may_be_too_large(self, app: PhotoApp) -> None:
        """
        200 MB at Google; a video may be larger.
        """
        app.limits(photo_bytes=100, video_bytes=200)
        film = b"\x00\x00\x00\x18ftypmp42" + b"f" * 150
        headers = {"X-Goog-Upload-Protocol": "raw"}

        assert 413 == app.call("POST", UPLOADS, data=BIG, headers=headers).status_code
        assert 200 == app.call("POST", UPLOADS, data=film, headers=headers).status_code


class TestTokens:
    def test_a_token_makes_one_item(self, app: PhotoApp) -> None:
        """
        Used again, also in the same call, it is invalid; the call is 207 then.
        """
        token = app.upload()
        both = app.create(token, token)
        assert (207, ["Success", "Invalid upload token."]) == (both.status_code, statuses(both))
        assert ["Invalid upload token."] == statuses(app.create(token))

    def test_a_token_lives_one_day(self, app: PhotoApp) -> None:
        """
        Until the last minute it works.
        """
        early, late = app.upload(), app.upload()
        app.emulator.world.advance(86_400 - 60)
        app.new_token()
        assert ["Success"] == statuses(app.create(early))
        app.emulator.world.advance(60)

        assert ["Invalid upload token."] == statuses(app.create(late))

    def test_a_token_is_of_no_use_to_others(self, app: PhotoApp) -> None:
        """
        Neither to another user nor to another project.
        """
        token = app.upload()
        for other in (
            PhotoApp(app.emulator),
            PhotoApp(app.emulator, email=app.email, client=other_app(app.emulator)),
        ):
            assert ["Invalid upload token."] == statuses(other.create(token))
            other.close()
        assert ["Success"] == statuses(app.create(token))


class TestResumable:
    def test_chunks_become_a_token(self, app: PhotoApp) -> None:
        """
        upload, upload, then upload and finalize in one; the token comes with the last.
        """
        url = app.begin(len(BIG))
        for number in range(3):
            chunk = BIG[number * CHUNK : (number + 1) * CHUNK]
            answer = app.command(url, "upload", chunk, number * CHUNK)
            assert (200, "active", b"") == (
                answer.status_code,
                answer.headers["x-goog-upload-status"],
                answer.content,
            )
        last = app.command(url, "upload, finalize", BIG[3 * CHUNK :], 3 * CHUNK)

        assert (200, "final") == (last.status_code, last.headers["x-goog-upload-status"])
        assert BIG == bytes_of(app, last.text)

    def test_finalize_may_come_alone(self, app: PhotoApp) -> None:
        """
        All bytes first, the end afterwards.
        """
        content = BIG[:CHUNK]
        url = app.begin(CHUNK)
        app.command(url, "upload", content, 0)

        assert content == bytes_of(app, app.command(url, "finalize").text)

    def test_the_start_says_how_to_go_on(self, app: PhotoApp) -> None:
        """
        The address, and the granularity of the chunks; the access token is not in the address.
        """
        headers = {
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Raw-Size": "10",
        }
        answer = app.call("POST", f"{UPLOADS}?access_token={app.token}", token=False, headers=headers)

        assert str(CHUNK) == answer.headers["x-goog-upload-chunk-granularity"]
        assert app.token not in answer.headers["x-goog-upload-url"]

    @pytest.mark.parametrize("size", ["", "many", "0", "-1"])
    def test_the_size_must_be_announced(self, app: PhotoApp, size: str) -> None:
        """
        X-Goog-Upload-Raw-Size.
        """
        headers = {
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Raw-Size": size,
        }

        assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", UPLOADS, headers=headers))

    def test_a_query_tells_where_it_stands(self, app: PhotoApp) -> None:
        """
        active with what has arrived, then final; what became of it is not told a second time.
        """
        url = app.begin(len(BIG))
        assert 0 == app.received(url)
        app.command(url, "upload", BIG[:CHUNK], 0)
        assert CHUNK == app.received(url)
        app.command(url, "upload, finalize", BIG[CHUNK:], CHUNK)
        done = app.command(url, "query")

        assert ("final", b"") == (done.headers["x-goog-upload-status"], done.content)
        assert (400, "INVALID_ARGUMENT") == reason(app.command(url, "upload, finalize", b"", len(BIG)))

    @pytest.mark.parametrize(
        "command, length, offset",
        [
            ("upload", CHUNK - 1, 0),
            ("upload", CHUNK, CHUNK),
            ("upload", 4 * CHUNK, 0),
            ("upload, finalize", CHUNK, 0),
            ("upload", CHUNK, None),
            ("sing", CHUNK, 0),
        ],
    )
    def test_a_chunk_that_does_not_fit_is_refused(
        self, app: PhotoApp, command: str, length: int, offset: int | None
    ) -> None:
        """
        Ragged, beyond a gap, too much, not all yet, without an offset, or an unknown command.
        """
        url = app.begin(len(BIG))
        refused = app.command(url, command, b"c" * length, offset)

        assert (400, "INVALID_ARGUMENT") == reason(refused)
        assert "active" == refused.headers["x-goog-upload-status"]
        assert 0 == app.received(url)

    def test_it_can_be_cancelled(self, app: PhotoApp) -> None:
        """
        And is cancelled for good.
        """
        url = app.begin(len(BIG))
        assert "cancelled" == app.command(url, "cancel").headers["x-goog-upload-status"]

        assert "cancelled" == app.command(url, "query").headers["x-goog-upload-status"]
        assert (400, "INVALID_ARGUMENT") == reason(app.command(url, "upload", BIG[:CHUNK], 0))

    def test_it_outlives_the_token_that_began_it(self, app: PhotoApp) -> None:
        """
        After an hour the old token is refused, a new one goes on, and so does none.
        """
        url = app.begin(len(BIG))
        app.command(url, "upload", BIG[:CHUNK], 0)
        app.emulator.world.advance(3601)
        assert (401, "UNAUTHENTICATED") == reason(app.command(url, "upload", BIG[CHUNK : 2 * CHUNK], CHUNK))
        app.new_token()
        app.command(url, "upload", BIG[CHUNK : 2 * CHUNK], CHUNK)
        last = app.command(url, "upload, finalize", BIG[2 * CHUNK :], 2 * CHUNK, token=False)

        assert BIG == bytes_of(app, last.text)

    def test_it_lives_one_week(self, app: PhotoApp) -> None:
        """
        Then its address is 404, and the upload starts again.
        """
        url = app.begin(len(BIG))
        app.emulator.world.advance(7 * 86_400)
        app.new_token()

        assert (404, "NOT_FOUND") == reason(app.command(url, "query"))

    def test_too_large_is_refused_at_the_start(self, app: PhotoApp) -> None:
        """
        Before any bytes are sent.
        """
        app.limits(photo_bytes=100)
        headers = {
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Raw-Size": "101",
        }

        assert 413 == app.call("POST", UPLOADS, headers=headers).status_code


class TestFaults:
    def test_less_is_kept_than_was_sent(self, app: PhotoApp) -> None:
        """
        upload_short: the server says 200 and has a part; who does not ask sends beyond a gap.
        """
        url = app.begin(len(BIG))
        app.emulator.world.faults.add("photos", "upload_short", count=1)
        assert 200 == app.command(url, "upload", BIG[: 2 * CHUNK], 0).status_code
        assert (400, "INVALID_ARGUMENT") == reason(
            app.command(url, "upload, finalize", BIG[2 * CHUNK :], 2 * CHUNK)
        )
        assert CHUNK == app.received(url)

        assert BIG == bytes_of(app, app.command(url, "upload, finalize", BIG[CHUNK:], CHUNK).text)

    def test_a_last_chunk_kept_in_part_is_no_end(self, app: PhotoApp) -> None:
        """
        upload_short at finalize: active, and no token.
        """
        url = app.begin(len(BIG))
        app.emulator.world.faults.add("photos", "upload_short", count=1, bytes=10)
        answer = app.command(url, "upload, finalize", BIG, 0)

        assert ("active", b"", 10) == (
            answer.headers["x-goog-upload-status"],
            answer.content,
            app.received(url),
        )

    def test_what_had_arrived_is_forgotten(self, app: PhotoApp) -> None:
        """
        upload_forgotten: the offset goes back, and only a query tells.
        """
        url = app.begin(len(BIG))
        app.command(url, "upload", BIG[: 2 * CHUNK], 0)
        app.emulator.world.faults.add("photos", "upload_forgotten", count=1, bytes=CHUNK)

        assert 400 == app.command(url, "upload", BIG[2 * CHUNK : 3 * CHUNK], 2 * CHUNK).status_code
        assert CHUNK == app.received(url)

    def test_the_connection_is_cut_in_the_middle(self, app: PhotoApp) -> None:
        """
        upload_cut: a part has arrived.
        """
        url = app.begin(len(BIG))
        app.emulator.world.faults.add("photos", "upload_cut", count=1)

        with pytest.raises(requests.ConnectionError):
            app.command(url, "upload", BIG[: 2 * CHUNK], 0)
        assert CHUNK == app.received(url)

    def test_the_session_is_lost(self, app: PhotoApp) -> None:
        """
        upload_gone: 410 once, 404 ever after; the start of another is not struck.
        """
        url = app.begin(len(BIG))
        app.emulator.world.faults.add("photos", "upload_gone", count=1)
        app.begin(len(BIG))

        assert 410 == app.command(url, "query").status_code
        assert 404 == app.command(url, "query").status_code

    @pytest.mark.parametrize("kind, finished", [("lost", 1), ("cut_before", 0)])
    def test_an_answer_is_lost(self, app: PhotoApp, kind: str, finished: int) -> None:
        """
        Before or after the effect; Google's side knows which.
        """
        app.emulator.world.faults.add("photos", kind, count=1, kind="uploads.raw")

        with pytest.raises(requests.ConnectionError):
            app.upload(BIG)
        assert finished == app.emulator.world.counted("totals", "photos", "uploads_finished")
        app.upload(BIG)


def test_an_upload_that_ends_early_is_not_complete(emulator: EmulatorServer) -> None:
    """
    All that was announced must come.
    """
    upload = Upload("id", "sub", "project", 10, emulator.world.now())

    assert not upload.take(0, b"", last=False)
    with pytest.raises(ChunkInvalid, match="10 bytes were announced, but 3 have come"):
        upload.take(0, b"abc", last=True)
    assert upload.take(0, b"a" * 10, last=True)
