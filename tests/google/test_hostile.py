"""Answers that Google would not give: none ends in an error of ours, a loop, or a token that went astray."""

import io

import pytest

from grantkeeper.errors import ApiMisbehaved, ApiUnavailable, GrantkeeperError
from grantkeeper.google.content import StreamContent, as_content
from grantkeeper.google.drive import Drive
from grantkeeper.google.drive_upload import DriveUpload
from grantkeeper.google.photos import NewMedia, Photos
from grantkeeper.google.photos_once import OnceItem, create_once
from grantkeeper.google.photos_upload import PhotosUpload
from grantkeeper.google.picker import PICKER, Picker
from grantkeeper.google.places import trusted
from grantkeeper.google.uploading import GRANULARITY, MOST_TROUBLES
from tests.google.kit import ScriptedSession, cut, said

pytestmark = pytest.mark.anyio

SIZE = 3 * GRANULARITY
CONTENT = bytes(SIZE)
UPLOAD = "https://www.googleapis.com/upload/drive/v3/files?upload_id=1"
PHOTOS_UPLOAD = "https://photoslibrary.googleapis.com/v1/uploads?upload_id=1"


def always(response):
    """A session that knows one answer."""
    return ScriptedSession(lambda sent: response)


def in_turn(*answers):
    """A session with these answers, the last one for ever; what is an error is raised."""
    left = list(answers)

    def answer(sent):
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    return ScriptedSession(answer)


# -- uploads ------------------------------------------------------------------------------------

RANGES = [
    "bytes=0-",
    "bytes=1-5",
    "bytes 0-5",
    "0-5",
    "bytes=0-5,7-9",
    "bytes=0--5",
    "x" * 99,
    "bytes=0-" + "9" * 30,
]


@pytest.mark.parametrize("header", [*RANGES, f"bytes=0-{SIZE}", "bytes=0-9999999999999999999"])
async def test_a_range_that_cannot_be_is_left_for_later(header):
    """
    Unreadable, or beyond what there is: the upload ends, bounded, and no byte is skipped.
    """
    session = always(said(308, range=header))
    with pytest.raises(ApiMisbehaved):
        await Drive(session).send_upload(DriveUpload(UPLOAD, SIZE, "a/b"), CONTENT, chunk=GRANULARITY)

    assert len(session.sent) <= MOST_TROUBLES + 1


async def test_bytes_that_were_not_sent_yet_do_not_count():
    """
    After the first chunk Drive says that it has two.
    """
    session = in_turn(said(308), said(308, range=f"bytes=0-{2 * GRANULARITY - 1}"))
    with pytest.raises(ApiMisbehaved, match="not sent"):
        await Drive(session).send_upload(DriveUpload(UPLOAD, SIZE, "a/b"), CONTENT, chunk=GRANULARITY)


@pytest.mark.parametrize("header", [None, f"bytes=0-{GRANULARITY - 1}", f"bytes=0-{SIZE - 1}"])
async def test_an_upload_that_does_not_get_on_ends(header):
    """
    Drive always has nothing, or as much as before, or all of it and does not say done.
    """
    session = always(said(308, **({} if header is None else {"range": header})))
    with pytest.raises(ApiUnavailable, match="does not get on"):
        await Drive(session).send_upload(DriveUpload(UPLOAD, SIZE, "a/b"), CONTENT, chunk=GRANULARITY)

    assert len(session.sent) <= 2 * MOST_TROUBLES + 3
    assert session.pauses == sorted(session.pauses) != []


async def test_what_was_lost_on_the_other_side_is_sent_again():
    """
    Drive has less than it had: it is believed, and the file is whole.
    """
    session = in_turn(
        said(308),
        said(308, range=f"bytes=0-{2 * GRANULARITY - 1}"),
        said(308, range=f"bytes=0-{GRANULARITY - 1}"),
        said(200, {"id": "f", "size": str(SIZE)}),
    )
    await Drive(session).send_upload(DriveUpload(UPLOAD, SIZE, "a/b"), CONTENT, chunk=2 * GRANULARITY)

    assert [f"bytes */{SIZE}", *(f"bytes {a}-{b}/{SIZE}" for a, b in [
        (0, 2 * GRANULARITY - 1), (2 * GRANULARITY, SIZE - 1), (GRANULARITY, SIZE - 1)
    ])] == [sent.headers["content-range"] for sent in session.sent]  # fmt: skip


@pytest.mark.parametrize(
    "body", [None, {}, [], {"id": 7}, {"id": "f", "size": "x"}, {"id": "f", "size": "5"}]
)
async def test_a_file_that_is_not_what_was_sent_is_not_believed(body):
    """
    Without an id, or of another size.
    """
    session = always(said(200, body))
    with pytest.raises(ApiMisbehaved):
        await Drive(session).send_upload(DriveUpload(UPLOAD, SIZE, "a/b"), CONTENT)


async def test_an_outage_that_lasts_is_left_for_later():
    """
    Pauses grow, and the upload is what it was.
    """
    session = in_turn(cut())
    with pytest.raises(ApiUnavailable):
        await Drive(session).send_upload(DriveUpload(UPLOAD, SIZE, "a/b"), CONTENT)

    assert MOST_TROUBLES == len(session.pauses)
    assert {True} == {sent.idempotent for sent in session.sent}


async def test_a_retry_after_is_never_undercut():
    """
    What a busy server asks for is waited.
    """
    session = in_turn(said(503, retry_after="40"), said(200, {"id": "f", "size": str(SIZE)}))
    await Drive(session).send_upload(DriveUpload(UPLOAD, SIZE, "a/b"), CONTENT)

    assert [40.0] == session.pauses


async def test_a_chunk_that_is_out_of_step_is_asked_after():
    """
    Another process, thought dead, has sent the same chunk.
    """
    session = in_turn(
        said(308),
        said(400),
        said(308, range=f"bytes=0-{GRANULARITY - 1}"),
        said(200, {"id": "f", "size": str(SIZE)}),
    )
    await Drive(session).send_upload(DriveUpload(UPLOAD, SIZE, "a/b"), CONTENT)

    assert f"bytes {GRANULARITY}-{SIZE - 1}/{SIZE}" == session.sent[-1].headers["content-range"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_goog_upload_status": "odd"},
        {"x_goog_upload_status": "active"},
        {"x_goog_upload_status": "active", "x_goog_upload_size_received": "-1"},
        {"x_goog_upload_status": "active", "x_goog_upload_size_received": str(SIZE + 1)},
        {"x_goog_upload_status": "active", "x_goog_upload_size_received": "many"},
    ],
)
async def test_a_state_of_photos_that_cannot_be_is_left_for_later(headers):
    """
    Unreadable, or beyond what there is.
    """
    session = always(said(200, **headers))
    with pytest.raises(ApiMisbehaved):
        await Photos(session).send_upload(PhotosUpload(PHOTOS_UPLOAD, SIZE, "image/png"), CONTENT)


@pytest.mark.parametrize("body", [b"", b" ", b"two words", b"<html>\n</html>", b"\xff", b"x" * 20_000])
async def test_what_is_no_upload_token_is_not_taken_for_one(body):
    """
    A page of a proxy's would be sent to Google as a token.
    """
    with pytest.raises(ApiMisbehaved):
        await Photos(always(said(200, body))).upload(b"photo", "image/png")


async def test_an_upload_whose_token_was_lost_is_asked_for_it():
    """
    A server that answers a query with the token saves the bytes.
    """
    session = in_turn(said(200, b"token", x_goog_upload_status="final"))
    upload = PhotosUpload(PHOTOS_UPLOAD, SIZE, "image/png")

    assert "token" == await Photos(session).send_upload(upload, CONTENT)
    assert ["query"] == [sent.headers["x-goog-upload-command"] for sent in session.sent]


# -- addresses ----------------------------------------------------------------------------------

ASTRAY = [
    None,
    7,
    "",
    "/upload?upload_id=1",
    "http://www.googleapis.com/upload",
    "https://evil.test/upload",
    "https://googleapis.com.evil.test/upload",
    "https://evilgoogleapis.com/upload",
    "https://user@www.googleapis.com/upload",
    "https://www.googleapis.com\\@evil.test/upload",
    "http://127.0.0.1:1/upload",
    "https://www.googleapis.com/" + "x" * 9000,
]


@pytest.mark.parametrize("url", ASTRAY)
async def test_a_token_goes_to_google_alone(url):
    """
    An address that an answer names is not followed elsewhere, wherever it stands.
    """
    headers = {} if not isinstance(url, str) else {"location": url, "x_goog_upload_url": url}
    session = always(said(200, {"id": "s", "pickerUri": url, "mediaItems": [{"id": "i", "mediaFile": {"baseUrl": url}}]}, **headers))  # fmt: skip  # noqa: E501

    for call in (
        lambda: Drive(session).begin_upload("a", 5, "a/b"),
        lambda: Photos(session).begin_upload(5, "image/png"),
        lambda: Picker(session).create(),
        lambda: Picker(session).items("s"),
    ):
        with pytest.raises(ApiMisbehaved, match="Google's"):
            await call()


def test_an_emulator_s_addresses_are_its_own():
    """
    Under another base only that origin is followed, and not Google's.
    """
    base = "http://127.0.0.1:8000/v1"

    assert "http://127.0.0.1:8000/x" == trusted("http://127.0.0.1:8000/x", base=base)
    assert "https://lh3.googleusercontent.com/x" == trusted(
        "https://lh3.googleusercontent.com/x", base=PICKER
    )
    for url in ("http://127.0.0.1:8001/x", "https://127.0.0.1:8000/x", "https://www.googleapis.com/x"):
        with pytest.raises(ApiMisbehaved):
            trusted(url, base=base)


def test_a_machine_that_anybody_can_have_is_not_googles():
    """
    It has a name below Google's, and is somebody's virtual machine or notebook.
    """
    for host in ("34.1.2.3.bc.googleusercontent.com", "x-8000-colab.googleusercontent.com"):
        with pytest.raises(ApiMisbehaved):
            trusted(f"https://{host}/x", base=PICKER)


# -- listings -----------------------------------------------------------------------------------


def endless(name, item):
    """Pages without end, each with another token."""
    number = 0

    def answer(sent):
        nonlocal number
        number += 1
        return said(200, {name: [item] if item else [], "nextPageToken": f"t{number}"})

    return ScriptedSession(answer)


async def read_all(listing):
    return [item async for item in listing]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("mediaItems", lambda session: read_all(Photos(session).items())),
        ("mediaItems", lambda session: read_all(Photos(session).items(album_id="a"))),
        ("albums", lambda session: read_all(Photos(session).albums())),
        ("mediaItems", lambda session: Picker(session).items("s")),
        ("files", lambda session: read_all(Drive(session).files())),
    ],
)
async def test_pages_without_end_end(name, call):
    """
    Empty ones for ever, or one that leads back to itself.
    """
    with pytest.raises(ApiMisbehaved, match="do not end"):
        await call(endless(name, None))
    back = always(said(200, {"nextPageToken": "t"}))
    with pytest.raises(ApiMisbehaved, match="do not end"):
        await call(back)
    assert 2 == len(back.sent)


BAD = [
    b"<html>",
    [],
    {"mediaItems": {}, "albums": {}, "files": {}, "newMediaItemResults": {}, "ids": {}},
    {"mediaItems": [7], "albums": [7], "files": [7], "newMediaItemResults": [7], "ids": [7]},
    {"mediaItems": [{}], "albums": [{}], "files": [{}], "newMediaItemResults": [{}], "ids": []},
    {
        "mediaItems": [{"id": ["x"], "mediaFile": []}],
        "albums": [{"id": "x", "title": 7}],
        "files": [{"id": "x", "appProperties": {"a": 7}}],
        "newMediaItemResults": [{"uploadToken": "t", "mediaItem": {"id": 7}}],
        "ids": ["a", "b"],
    },
    {
        "mediaItems": [{"id": "x", "description": 7}],
        "albums": [{"id": "x", "mediaItemsCount": -1}],
        "files": [{"id": "x", "modifiedTime": "soon"}],
        "newMediaItemResults": [{"uploadToken": "other", "mediaItem": {"id": "x"}}],
        "ids": [""],
        "id": "x",
        "pollingConfig": {"pollInterval": 3},
    },
    {
        "mediaItems": [{"id": "x", "mediaFile": {"mediaFileMetadata": 7}, "filename": []}],
        "albums": [{"id": "x", "productUrl": 7}],
        "files": [{"id": "x", "size": True}],
        "newMediaItemResults": [{"uploadToken": "t", "status": 7}],
        "nextPageToken": 7,
        "ids": 7,
        "id": "x",
        "mediaItemsSet": "yes",
    },
]


@pytest.mark.parametrize("body", BAD)
async def test_a_hostile_answer_is_google_s_fault(body):
    """
    Whatever the call, a success that cannot be read is `ApiMisbehaved` and no error of ours.
    """
    session = always(said(200, body))
    for call in (
        lambda: read_all(Photos(session).items()),
        lambda: read_all(Photos(session).albums()),
        lambda: Photos(session).batch_create([NewMedia("t")]),
        lambda: Photos(session).album("x"),
        lambda: Picker(session).items("s"),
        lambda: Picker(session).get("s"),
        lambda: read_all(Drive(session).files()),
        lambda: Drive(session).new_id(),
    ):
        with pytest.raises(ApiMisbehaved):
            await call()


async def test_a_photo_is_not_made_while_the_look_is_unreadable():
    """
    `create_once` that cannot read what is there makes nothing.
    """
    session = always(said(200, {"mediaItems": 7}))
    with pytest.raises(GrantkeeperError):
        await create_once(Photos(session), [OnceItem("m", "t")], album_id="a")

    assert ["/v1/mediaItems:search"] == [sent.path for sent in session.sent]


async def test_a_creation_is_never_called_idempotent():
    """
    The session must not repeat by itself what would be there twice.
    """
    session = in_turn(
        said(200, {}),
        cut(),
        said(200, {}),
        said(200, {"newMediaItemResults": [{"uploadToken": "t", "mediaItem": {"id": "i"}}]}),
    )
    assert ["i"] == await create_once(Photos(session), [OnceItem("m", "t")], album_id="a")

    made = [sent for sent in session.sent if sent.path.endswith("batchCreate")]
    assert [False, False] == [sent.idempotent for sent in made]
    assert 1 == len(session.pauses)
    assert session.pauses[0] >= 3.0


# -- content ------------------------------------------------------------------------------------


class Slow:
    """A stream that gives three bytes at a time."""

    def __init__(self, value):
        self._file = io.BytesIO(value)

    async def read(self, n):
        return self._file.read(min(n, 3))


async def test_content_is_read_from_anywhere():
    """
    Bytes and files give any part, as often as asked.
    """
    for source in (b"0123456789", io.BytesIO(b"0123456789")):
        content = as_content(source)
        parts = [await content.read(*span) for span in ((4, 3), (0, 2), (8, 5), (10, 1))]
        assert (10, [b"456", b"01", b"89", b""]) == (content.size, parts)
        assert content is as_content(content)


async def test_a_stream_goes_on_and_back_within_its_last_part():
    """
    It skips what has arrived already, and reads no further back than the last part.
    """
    content = as_content(StreamContent(Slow(b"0123456789"), 10))

    assert 10 == content.size
    assert [b"4567", b"56", b"5678", b"9", b""] == [
        await content.read(*span) for span in ((4, 4), (5, 2), (5, 4), (9, 4), (10, 1))
    ]
    with pytest.raises(ValueError, match="passed"):
        await content.read(4, 1)
    assert b"" == await StreamContent(Slow(b"01"), 10).read(5, 1)


async def test_content_that_ends_early_is_said_to():
    """
    A file that was cut meanwhile makes no file of the wrong length.
    """
    with pytest.raises(ValueError, match="fewer bytes"):
        await Drive(always(said(308))).send_upload(
            DriveUpload(UPLOAD, SIZE, "a/b"), StreamContent(Slow(b"01"), SIZE)
        )
