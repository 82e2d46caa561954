"""The Library API at the emulator: both ways to upload, items with their own fates, albums."""

import asyncio
import hashlib
import io
import json
from datetime import timedelta

import pytest

from grantkeeper.emulator.photos_samples import sample
from grantkeeper.errors import ApiError, ApiRefused, ApiUnavailable, HttpFailed
from grantkeeper.google.photos import MOST_PER_CALL, MediaItem, NewMedia, Photos
from grantkeeper.google.photos_upload import PhotosUpload
from grantkeeper.google.uploading import GRANULARITY
from tests.google.kit import ScriptedSession, said

pytestmark = pytest.mark.anyio

EMAIL = "ada@example.com"
PHOTO = sample(0) + bytes(range(256)) * 4096
"""Four chunks and a bit."""


@pytest.fixture
def photos(photos_session, server):
    return Photos(photos_session, base=f"{server.url}/photoslibrary/v1")


def created(control):
    """What apps made for Ada, as the emulator knows it."""
    return control.get(f"photos?email={EMAIL}")["created"]


def sent_bytes(session):
    return sum(len(sent.body) for sent in session.sent)


@pytest.mark.parametrize("source", [bytes, io.BytesIO])
async def test_a_photo_goes_into_an_album(photos, control, source):
    """
    Bytes, token, item: what arrives is what was sent, with its name and description.
    """
    album = await photos.album("Enhanced")
    token = await photos.upload(source(PHOTO), "image/png")
    [item] = await photos.batch_create([NewMedia(token, "a.png", "better")], album_id=album.id)

    [made] = created(control)
    assert isinstance(item, MediaItem)
    assert (item.id, "a.png", "better", ["Enhanced"], hashlib.sha256(PHOTO).hexdigest()) == (
        made["id"],
        made["filename"],
        made["description"],
        made["albums"],
        made["sha256"],
    )
    assert "better" == (await photos.item(item.id)).description


async def test_an_upload_goes_on_in_another_process(photos, photos_session, control):
    """
    Its record is JSON; whoever reads it again asks Google and sends only what is missing.
    """
    record = json.loads(json.dumps((await photos.begin_upload(len(PHOTO), "image/png")).as_record()))
    control.fault("photos", "status_503", after=2)
    with pytest.raises(ApiUnavailable):
        await photos.send_upload(record, PHOTO, chunk=GRANULARITY)
    control.heal()
    photos_session.sent.clear()

    token = await photos.send_upload(record, PHOTO, chunk=GRANULARITY)

    assert len(PHOTO) - GRANULARITY == sent_bytes(photos_session)
    await photos.batch_create([NewMedia(token)])
    assert [hashlib.sha256(PHOTO).hexdigest()] == [made["sha256"] for made in created(control)]


@pytest.mark.parametrize(
    "fault",
    [
        "status_503", "lost", "cut_before", "html", "upload_short", "upload_cut", "upload_gone",
        "upload_forgotten",
    ],
)  # fmt: skip
@pytest.mark.parametrize("after", range(5))
async def test_a_fault_at_any_chunk_leaves_the_photo_whole(photos, control, fault, after):
    """
    Whatever meets a query or a chunk, the upload ends with the bytes that were sent.
    """
    upload = await photos.begin_upload(len(PHOTO), "image/png")
    control.fault("photos", fault, count=1, after=after)

    token = await photos.send_upload(upload, PHOTO, chunk=2 * GRANULARITY)
    control.heal()
    await photos.batch_create([NewMedia(token)])

    assert [hashlib.sha256(PHOTO).hexdigest()] == [made["sha256"] for made in created(control)]


async def test_two_hours_cross_two_tokens(photos, photos_session, control):
    """
    Each chunk has the token of its moment: an upload outlives every one.
    """

    async def slow(done, of):
        control.advance(1800)

    upload = await photos.begin_upload(len(PHOTO), "image/png")
    await photos.send_upload(upload, PHOTO, chunk=GRANULARITY, told=slow)

    assert photos_session.tokens >= 3


async def test_another_size_than_announced_is_our_bug(photos):
    """
    Bytes that do not fit the upload are not sent.
    """
    upload = await photos.begin_upload(4, "image/png")

    with pytest.raises(ValueError, match="4 bytes"):
        await photos.send_upload(upload, b"12345")


def test_an_upload_s_address_is_not_shown():
    """
    A log that prints the record does not print it.
    """
    upload = PhotosUpload("https://photoslibrary.googleapis.com/v1/uploads?upload_id=hush", 5, "image/png")

    assert "hush" not in repr(upload)
    assert upload == PhotosUpload.from_record(upload.as_record())


# -- items --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, MOST_PER_CALL, MOST_PER_CALL + 1])
async def test_items_are_made_fifty_at_a_time(photos, control, count):
    """
    Both sides of the limit of a call; what comes back is in the order of what went in.
    """
    media = [NewMedia(await photos.upload(sample(0), "image/png"), f"{n}.png") for n in range(count)]

    items = await photos.batch_create(media)

    assert -(-count // MOST_PER_CALL) == control.count("photos", "mediaItems.batchCreate")
    names = {made["id"]: made["filename"] for made in created(control)}
    assert [item.file_name for item in media] == [names[item.id] for item in items]


async def test_each_item_has_its_own_fate(photos, control):
    """
    One that Google cannot read is refused beside one that is made.
    """
    good = NewMedia(await photos.upload(PHOTO, "image/png"))
    bad = NewMedia(await photos.upload(b"no photo", "image/png"))

    one, other, third = await photos.batch_create([bad, good, NewMedia("no token")])

    assert isinstance(other, MediaItem)
    for refused in (one, third):
        assert isinstance(refused, ApiError)
        assert (400, "INVALID_ARGUMENT") == (refused.status, refused.reason)
    assert [other.id] == [made["id"] for made in created(control)]


async def test_calls_for_one_user_wait_for_each_other(photos, control):
    """
    The emulator refuses a second call while one is under way; it sees none.
    """
    control.post("photos/limits", {"batch_create_seconds": 0.1})
    media = [NewMedia(await photos.upload(sample(n), "image/png")) for n in range(4)]

    made = await asyncio.gather(*(photos.batch_create([each]) for each in media))

    assert all(isinstance(item, MediaItem) for [item] in made)


async def test_the_same_upload_twice_is_our_bug(photos):
    """
    A token makes one item.
    """
    with pytest.raises(ValueError, match="one item"):
        await photos.batch_create([NewMedia("t"), NewMedia("t")])


async def test_the_newest_item_comes_first(photos):
    """
    In an album as in the library, over several pages; and no more than were asked for.
    """
    album = await photos.album("Enhanced")
    ids = []
    for number in range(3):
        media = [NewMedia(await photos.upload(sample(0), "image/png"), f"{number}") for _ in range(45)]
        ids.append({item.id for item in await photos.batch_create(media, album_id=album.id)})

    for album_id in (None, album.id):
        found = [item.id async for item in photos.items(album_id=album_id)]
        assert ids[::-1] == [set(found[:45]), set(found[45:90]), set(found[90:])]
        assert found[:50] == [item.id async for item in photos.items(album_id=album_id, most=50)]


# -- albums -------------------------------------------------------------------------------------


async def test_an_album_is_found_before_it_is_made(photos):
    """
    The same title is the same album, whoever asks and how often.
    """
    made = await asyncio.gather(*(photos.album(title) for title in ("A", "B", "A", "A")))

    assert made[0] == made[2] == made[3] != made[1]
    assert {"A", "B"} == {album.title async for album in photos.albums()}


@pytest.mark.parametrize("fault", ["lost", "cut", "html", "empty"])
async def test_an_album_whose_making_was_cut_is_found(photos, control, fault):
    """
    The call had its effect and no answer: there is one album.
    """
    control.fault("photos", fault, count=1, grant_type="albums.create")
    album = await photos.album("Enhanced")

    assert [album] == [found async for found in photos.albums()]


async def test_an_album_whose_making_was_not_heard_is_made_later(photos, control):
    """
    The call had no effect: it is an outage, and a later one makes the album.
    """
    control.fault("photos", "cut_before", count=1, grant_type="albums.create")
    with pytest.raises(ApiUnavailable):
        await photos.album("Enhanced")

    assert "Enhanced" == (await photos.album("Enhanced")).title


async def test_an_album_that_is_made_late_is_found():
    """
    Its effect is there a moment after the call was cut.
    """
    made_at = []

    def answer(sent):
        if sent.method == "POST":
            made_at.append(session.time + timedelta(seconds=2))
            raise HttpFailed("cut", may_have_arrived=True)
        there = [{"id": "a", "title": "Enhanced"} for at in made_at if at <= session.time]
        return said(200, {"albums": there})

    session = ScriptedSession(answer)

    assert "a" == (await Photos(session).album("Enhanced")).id
    assert 1 == len(made_at)


@pytest.mark.parametrize("title", ["", "x" * 501])
async def test_a_title_that_google_would_not_take_is_refused(photos, title):
    """
    Both ends.
    """
    with pytest.raises(ValueError, match="title"):
        await photos.album(title)


async def test_items_are_put_into_an_album_once(photos):
    """
    More than one call takes, and again: each is in it once.
    """
    album = await photos.album("Enhanced")
    media = [NewMedia(await photos.upload(sample(0), "image/png")) for _ in range(MOST_PER_CALL + 1)]
    ids = [item.id for item in await photos.batch_create(media)]
    for _ in range(2):
        await photos.add_to_album(album.id, ids)

    assert sorted(ids) == sorted([item.id async for item in photos.items(album_id=album.id)])


async def test_an_album_of_nobody_is_refused_for_good(photos):
    """
    In the API's own word.
    """
    with pytest.raises(ApiRefused) as caught:
        await photos.add_to_album("nobody's", ["x"])

    assert caught.value.status in (400, 404)
