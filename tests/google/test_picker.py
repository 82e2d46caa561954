"""The Picker at the emulator: what the user picked, read while the user is away."""

import base64

import pytest

from grantkeeper.emulator.photos_samples import sample
from grantkeeper.errors import ApiMisbehaved, ApiRefused, ApiUnavailable
from grantkeeper.google.picker import POLL_INTERVAL, Picker, PickingSession

pytestmark = pytest.mark.anyio

EMAIL = "ada@example.com"
VIDEO = b"\x00\x00\x00\x18ftypmp42 a video"


@pytest.fixture
def picker(photos_session, server):
    return Picker(photos_session, base=f"{server.url}/photospicker/v1")


def photographed(control, count=3):
    control.post("photos", {"email": EMAIL, "samples": count})


async def picked(picker, control, count=3):
    """A session in which Ada has picked."""
    photographed(control, count)
    session = await picker.create()
    control.post("pick", {"email": EMAIL, "session": session.id, "count": count})
    return session.id


async def test_what_was_picked_is_read_and_the_session_closed(picker, control):
    """
    The whole visit: a place to send the user to, what was picked, its bytes, the end.
    """
    photographed(control)
    session = await picker.create(most=3)
    assert (False, session.id) == (session.picked, session.uri.rsplit("/", 1)[1])
    control.post("pick", {"email": EMAIL, "session": session.id, "count": 3})

    assert (await picker.wait(session)).picked
    items = await picker.items(session.id)
    assert {sample(n) for n in range(3)} == {await picker.download(item, session.id) for item in items}
    assert ["image/png"] * 3 == [item.mime_type for item in items]
    assert 240 == int.from_bytes((await picker.download(items[0], session.id, suffix="=w2048"))[16:20], "big")

    await picker.delete(session.id)
    await picker.delete(session.id)
    with pytest.raises(ApiRefused):
        await picker.get(session.id)


async def test_nobody_asks_more_often_than_google_says(picker, photos_session, control):
    """
    Each pause is the interval of the answer before it.
    """
    control.post("photos/limits", {"poll_seconds": 3.5})
    session = await picker.create()
    control.post("photos/limits", {"poll_seconds": 7.0})
    photographed(control)

    pause = photos_session.pause

    async def then_pick(seconds):
        await pause(seconds)
        if len(photos_session.pauses) == 3:
            control.post("pick", {"email": EMAIL, "session": session.id, "count": 1})

    photos_session.pause = then_pick
    assert (await picker.wait(session)).picked
    assert [3.5, 7.0, 7.0] == photos_session.pauses


@pytest.mark.parametrize("later", [1800, 1801])
async def test_waiting_ends_when_google_says_so(picker, photos_session, control, later):
    """
    A `timeoutIn` of 0s: the session is given back as it is, and is still there.
    """
    session = await picker.create()
    control.advance(later)
    over = await picker.wait(session)

    assert (False, 0.0, 1) == (over.picked, over.time_left, len(photos_session.pauses))


async def test_a_session_whose_life_is_over_is_not_asked_after(picker, control):
    """
    It expires while somebody waits.
    """
    session = await picker.create()
    control.advance(24 * 3600)

    assert session == await picker.wait(session)


async def test_before_the_user_is_done_there_is_nothing(picker):
    """
    Google refuses to list; what it says is passed on.
    """
    session = await picker.create()
    with pytest.raises(ApiRefused) as caught:
        await picker.items(session.id)

    assert 400 == caught.value.status


@pytest.mark.parametrize(("minutes", "listed"), [(0, 0), (54, 0), (55, 1), (60, 1), (180, 1)])
async def test_an_address_of_an_hour_ago_is_listed_again(picker, control, minutes, listed):
    """
    A job that comes late to an item asks for its address anew, in time and only then.
    """
    session_id = await picked(picker, control)
    item = (await picker.items(session_id))[1]
    before = control.count("picker", "mediaItems.list")
    control.advance(minutes * 60)

    assert sample(1) == await picker.download(item, session_id)
    assert listed == control.count("picker", "mediaItems.list") - before


async def test_an_address_that_google_calls_over_is_listed_again(picker, control):
    """
    Whatever our clock says.
    """
    session_id = await picked(picker, control)
    [item] = [item for item in await picker.items(session_id) if item.filename == "IMG_0001.png"]
    base, _, signature = item.base_url.rpartition("~")
    forged = type(item)(item.id, f"{base}~x{signature[1:]}", item.listed_at)

    assert sample(0) == await picker.download(forged, session_id)


async def test_an_item_that_is_no_longer_listed_is_said_to_be_gone(picker, control):
    """
    Nothing else is read in its place.
    """
    session_id = await picked(picker, control)
    item = (await picker.items(session_id))[0]
    stranger = type(item)("nobody", item.base_url, item.listed_at.replace(year=2020))

    with pytest.raises(ApiMisbehaved, match="no longer"):
        await picker.download(stranger, session_id)


async def test_a_video_is_read_once_google_has_finished_with_it(picker, control, server):
    """
    Before that it is an outage that time cures; then it is listed again by itself.
    """
    control.post(
        "photos",
        {"email": EMAIL, "content": base64.b64encode(VIDEO).decode(), "processing_seconds": 600},
    )
    session = await picker.create()
    control.post("pick", {"email": EMAIL, "session": session.id, "count": 1})
    [item] = await picker.items(session.id)
    assert (True, False) == (item.video, item.ready)

    with pytest.raises(ApiUnavailable) as caught:
        await picker.download(item, session.id)
    assert not caught.value.may_have_arrived
    control.advance(601)

    assert VIDEO == await picker.download(item, session.id)


async def test_an_item_larger_than_asked_for_is_not_read(picker, control):
    """
    It stays outside of memory.
    """
    session_id = await picked(picker, control, 1)
    [item] = await picker.items(session_id)

    with pytest.raises(ApiMisbehaved):
        await picker.download(item, session_id, largest=len(sample(0)) - 1)
    assert sample(0) == await picker.download(item, session_id, largest=len(sample(0)))


@pytest.mark.parametrize("most", [0, 2001])
async def test_a_number_that_google_would_not_take_is_refused(picker, most):
    """
    Both ends.
    """
    with pytest.raises(ValueError, match="1 to 2000"):
        await picker.create(most=most)


def test_without_an_interval_there_is_a_rest():
    """
    A session that says nothing about polling is not asked in a loop without one.
    """
    assert POLL_INTERVAL == PickingSession("id").poll_after
