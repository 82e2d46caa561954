"""Drive at the emulator: uploads that go on after whatever cut them, and files that are made once."""

import hashlib
import io
import json

import pytest

from grantkeeper.errors import ApiRefused, ApiUnavailable
from grantkeeper.google.drive import Drive
from grantkeeper.google.drive_upload import DriveUpload, FileExists
from grantkeeper.google.uploading import GRANULARITY

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 4096
"""A mebibyte: four chunks."""

TWO_AND_A_BIT = CONTENT[: 2 * GRANULARITY + 7]


@pytest.fixture
def drive(drive_session, server):
    return Drive(drive_session, base=server.url)


async def content_of(drive_session, server, file_id):
    response = await drive_session.request("GET", f"{server.url}/drive/v3/files/{file_id}?alt=media")
    return response.body


def sent_bytes(session):
    return sum(len(sent.body) for sent in session.sent if sent.method == "PUT")


@pytest.mark.parametrize("size", [0, 1, GRANULARITY - 1, GRANULARITY, GRANULARITY + 1, 2 * GRANULARITY + 7])
@pytest.mark.parametrize("source", [bytes, io.BytesIO])
async def test_an_upload_arrives_whole(drive, drive_session, server, size, source):
    """
    Nothing, a chunk, and both sides of a chunk's end, from bytes and from a file.
    """
    upload = await drive.begin_upload("a.bin", size, "application/octet-stream")
    file = await drive.send_upload(upload, source(CONTENT[:size]), chunk=GRANULARITY)

    assert (size, hashlib.md5(CONTENT[:size]).hexdigest()) == (file.size, file.md5)
    assert CONTENT[:size] == await content_of(drive_session, server, file.id)


async def test_an_upload_goes_on_in_another_process(drive, drive_session, server, control):
    """
    Its record is JSON; whoever reads it again asks Drive and sends only what is missing.
    """
    record = json.loads(json.dumps((await drive.begin_upload("a", len(CONTENT), "text/plain")).as_record()))
    control.fault("upload", "status_503", after=2)
    with pytest.raises(ApiUnavailable):
        await drive.send_upload(record, CONTENT, chunk=GRANULARITY)
    control.heal()
    drive_session.sent.clear()

    file = await drive.send_upload(record, CONTENT, chunk=GRANULARITY)

    assert CONTENT == await content_of(drive_session, server, file.id)
    assert len(CONTENT) - GRANULARITY == sent_bytes(drive_session)


@pytest.mark.parametrize(
    "fault", ["status_503", "lost", "cut_before", "cut", "html", "empty", "upload_short", "upload_cut"]
)
@pytest.mark.parametrize("after", range(5))
async def test_a_fault_at_any_chunk_costs_no_byte_that_arrived(
    drive, drive_session, server, control, fault, after
):
    """
    An outage, a lost answer, a chunk that arrives in part: Drive is asked, and the rest is sent.
    """
    upload = await drive.begin_upload("a", len(CONTENT), "text/plain")
    control.fault("upload", fault, count=1, after=after)

    file = await drive.send_upload(upload, CONTENT, chunk=2 * GRANULARITY)

    assert CONTENT == await content_of(drive_session, server, file.id)
    assert [file.id] == [found.id async for found in drive.files()]


async def test_a_session_that_is_gone_begins_anew(drive, drive_session, server, control):
    """
    410 in the middle: another session, from the first byte, and one file.
    """
    upload = await drive.begin_upload("a", len(CONTENT), "text/plain")
    control.fault("upload", "upload_gone", count=1, after=3)

    file = await drive.send_upload(upload, CONTENT, chunk=GRANULARITY)

    assert CONTENT == await content_of(drive_session, server, file.id)
    assert 2 == sum(sent.method == "POST" for sent in drive_session.sent)


async def test_sessions_that_are_always_gone_are_left_for_later(drive, control):
    """
    An API that forgets every session is out of order, and not to be asked for ever.
    """
    upload = await drive.begin_upload("a", 5, "text/plain")
    control.fault("upload", "upload_gone")

    with pytest.raises(ApiUnavailable):
        await drive.send_upload(upload, b"12345")


async def test_a_session_of_last_week_begins_anew(drive, control):
    """
    A session lives a week; the job that kept it may be older.
    """
    upload = await drive.begin_upload("a", 5, "text/plain")
    control.advance(8 * 24 * 3600)

    assert 5 == (await drive.send_upload(upload, b"12345")).size


async def test_two_hours_cross_two_tokens(drive, drive_session, server, control):
    """
    Each chunk has the token of its moment: an upload outlives every one.
    """

    async def slow(done, of):
        control.advance(1800)

    upload = await drive.begin_upload("a", len(CONTENT), "text/plain")
    file = await drive.send_upload(upload, CONTENT, chunk=GRANULARITY, told=slow)

    assert CONTENT == await content_of(drive_session, server, file.id)
    assert drive_session.tokens >= 3


async def test_progress_is_told_in_bytes(drive):
    """
    What is told has arrived, and the last of it is all.
    """
    told = []

    async def tell(done, of):
        told.append((done, of))

    upload = await drive.begin_upload("a", len(TWO_AND_A_BIT), "text/plain")
    await drive.send_upload(upload, TWO_AND_A_BIT, chunk=GRANULARITY, told=tell)

    size = len(TWO_AND_A_BIT)
    assert [(0, size), (GRANULARITY, size), (2 * GRANULARITY, size), (size, size)] == told


async def test_a_file_s_content_is_replaced(drive, drive_session, server):
    """
    An upload for a file that is there changes it and makes no other.
    """
    first = await drive.create_once("day", "a", b"old", "text/plain")
    upload = await drive.begin_upload("b", 3, "text/plain", replaces=first.id)

    file = await drive.send_upload(upload, b"new")

    assert (first.id, "b") == (file.id, file.name)
    assert b"new" == await content_of(drive_session, server, file.id)


async def test_another_size_than_announced_is_our_bug(drive):
    """
    Bytes that do not fit the upload are not sent.
    """
    upload = await drive.begin_upload("a", 4, "text/plain")

    with pytest.raises(ValueError, match="4 bytes"):
        await drive.send_upload(upload, b"12345")


# -- made once ----------------------------------------------------------------------------------


async def test_a_marker_makes_one_file(drive, drive_session):
    """
    Done again, it finds the file and sends nothing.
    """
    first = await drive.create_once("job's \\ 1", "a", b"12345", "text/plain")
    drive_session.sent.clear()
    again = await drive.create_once("job's \\ 1", "a", b"12345", "text/plain")

    assert first == again
    assert {"grantkeeper": "job's \\ 1"} == first.properties
    assert ["GET"] == [sent.method for sent in drive_session.sent]


async def test_other_markers_make_other_files(drive):
    """
    One that only begins like another is another.
    """
    made = [await drive.create_once(marker, "a", b"1", "text/plain") for marker in ("1", "10", "1'")]

    assert 3 == len({file.id for file in made})
    assert made[1] == await drive.find("10")
    assert await drive.find("2") is None


@pytest.mark.parametrize("endpoint", ["drive", "upload"])
@pytest.mark.parametrize("processed", [False, True])
@pytest.mark.parametrize("after", range(3))
async def test_a_cut_before_or_after_the_effect_makes_no_second_file(
    drive, control, endpoint, processed, after
):
    """
    Wherever the call is cut, doing it again ends with one file.
    """
    control.fault(endpoint, "lost", count=1, after=after, processed=processed)
    for _ in range(3):
        try:
            file = await drive.create_once("m", "a", b"12345", "text/plain")
            break
        except ApiUnavailable:
            continue
    control.heal()

    assert [file.id] == [found.id async for found in drive.files()]


async def test_an_id_kept_in_a_step_makes_one_file_even_when_two_try(drive):
    """
    An id that is taken was taken by an earlier try: the file is what that made.
    """
    file_id = await drive.new_id()
    first = await drive.create_once("m", "a", b"12345", "text/plain", file_id=file_id)
    again = await drive.create_once("m", "a", b"12345", "text/plain", file_id=file_id)

    assert file_id == first.id == again.id
    with pytest.raises(FileExists):
        await drive.begin_upload("a", 5, "text/plain", file_id=file_id)


async def test_two_uploads_of_one_id_make_one_file(drive):
    """
    Both were begun before either was done: the later finds what the earlier made.
    """
    file_id = await drive.new_id()
    uploads = [await drive.begin_upload("a", 5, "text/plain", file_id=file_id) for _ in range(2)]
    files = [await drive.send_upload(upload, b"12345") for upload in uploads]

    assert [file_id, file_id] == [file.id for file in files]
    assert 1 == len([found async for found in drive.files()])


@pytest.mark.parametrize("marker", ["", "x" * 114, "é" * 57])
async def test_a_marker_that_drive_would_not_take_is_refused(drive, marker):
    """
    Both sides of the limit on a property: 124 bytes with its key.
    """
    with pytest.raises(ValueError, match="marker"):
        await drive.create_once(marker, "a", b"", "text/plain")


async def test_the_longest_marker_is_taken(drive):
    """
    113 bytes beside the key.
    """
    assert "x" * 113 == (await drive.create_once("x" * 113, "a", b"", "text/plain")).properties["grantkeeper"]


async def test_the_user_s_own_space_is_another(drive, drive_session, server):
    """
    A file in the user's drive is not in the app's folder; the old spelling of the folder is understood.
    """
    own = Drive(drive_session, base=server.url, space="drive")
    file = await own.create_once("m", "a", b"1", "text/plain")

    assert await drive.find("m") is None
    assert file == await own.find("m")
    hidden = await drive.create_once("m", "a", b"2", "text/plain")
    assert hidden == await Drive(drive_session, base=server.url, space="appfolder").find("m")


async def test_what_google_refuses_for_good_is_raised(drive):
    """
    No file of that id, in the API's own word.
    """
    with pytest.raises(ApiRefused) as caught:
        await drive.file("nobody")

    assert (404, "notFound") == (caught.value.status, caught.value.reason)


def test_an_upload_s_address_is_not_shown():
    """
    It is a bearer's: a log that prints the record does not print it.
    """
    upload = DriveUpload("https://www.googleapis.com/upload?upload_id=hush", 5, "text/plain")

    assert "hush" not in repr(upload)
    assert upload == DriveUpload.from_record(upload.as_record())
