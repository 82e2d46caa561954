"""Each photo is in the album exactly once, wherever the call was cut and however often it is made again."""

from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from grantkeeper.emulator.photos_samples import sample
from grantkeeper.errors import ApiMisbehaved, ApiRefused, ApiUnavailable, HttpFailed, QuotaExceeded
from grantkeeper.google.photos import MOST_PER_CALL, SETTLE, Photos
from grantkeeper.google.photos_once import OnceItem, create_once, find_created, marker_of
from grantkeeper.protocol.message import HttpResponse
from tests.google.kit import ScriptedSession, Sent, said

pytestmark = pytest.mark.anyio

EMAIL = "ada@example.com"


@pytest.fixture
def photos(photos_session, server):
    return Photos(photos_session, base=f"{server.url}/photoslibrary/v1")


@pytest.fixture
async def album(photos):
    return (await photos.album("Enhanced")).id


async def items_of(photos, count, job="job"):
    return [
        OnceItem(f"{job}/{n}", await photos.upload(sample(0), "image/png"), f"{n}.png", "better")
        for n in range(count)
    ]


def in_album(control):
    """Descriptions of what is in the album, as the emulator knows it."""
    created = control.get(f"photos?email={EMAIL}")["created"]
    return sorted(made["description"] for made in created if made["albums"] == ["Enhanced"])


def wanted(count, job="job"):
    return sorted(f"better [{job}/{n}]" for n in range(count))


async def until_done(photos, items, album):
    """As a job does it that is begun again after each failure."""
    for _ in range(10):
        try:
            return await create_once(photos, items, album_id=album)
        except (ApiUnavailable, ApiMisbehaved, QuotaExceeded):
            continue
    raise AssertionError("never done")


async def test_items_are_made_and_found_again(photos, album, control):
    """
    The second time nothing is made, and the ids are the same.
    """
    items = await items_of(photos, 3)
    ids = await create_once(photos, items, album_id=album)

    assert ids == await create_once(photos, items, album_id=album)
    assert wanted(3) == in_album(control)
    assert 1 == control.count("photos", "mediaItems.batchCreate")
    assert dict(zip(("job/0", "job/1", "job/2"), ids, strict=True)) == await find_created(
        photos, ["job/0", "job/1", "job/2", "job/3"], album_id=album
    )


FAULTS = [
    "lost",
    "cut_before",
    "cut",
    "html",
    "empty",
    "truncated_json",
    "status_503",
    "api_429",
    "batch_partial",
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_cut_call_leaves_each_photo_once(photos, album, control, fault, count, after):
    """
    Cut before the effect or after it, once or five times in a row, at the first call or the second.
    """
    items = await items_of(photos, MOST_PER_CALL + 2)
    control.fault("photos", fault, count=count, after=after, grant_type="mediaItems.batchCreate")

    ids = await until_done(photos, items, album)
    control.heal()

    assert wanted(len(items)) == in_album(control)
    assert ids == await create_once(photos, items, album_id=album)


@pytest.mark.parametrize("processed", [False, True])
async def test_an_outage_after_or_before_the_effect_is_the_same(photos, album, control, processed):
    """
    503 says nothing about what was done.
    """
    items = await items_of(photos, 3)
    control.fault("photos", "status_503", count=1, processed=processed, grant_type="mediaItems.batchCreate")

    await create_once(photos, items, album_id=album)

    assert wanted(3) == in_album(control)


@pytest.mark.parametrize("fault", ["lost", "html", "status_503", "api_429"])
async def test_without_a_look_nothing_is_made(photos, album, control, fault):
    """
    Who cannot see what is there makes nothing.
    """
    items = await items_of(photos, 2)
    control.fault("photos", fault, grant_type="mediaItems.search")

    with pytest.raises((ApiUnavailable, ApiMisbehaved, QuotaExceeded)):
        await create_once(photos, items, album_id=album)

    assert 0 == control.count("photos", "mediaItems.batchCreate")


async def test_a_process_that_died_in_the_call_repeats_nothing(photos, album, server, control):
    """
    Another process, with the same markers and other upload tokens, finds what was made.
    """
    items = await items_of(photos, 3)
    control.fault("photos", "lost", grant_type="mediaItems.batchCreate")
    control.fault("photos", "status_503", after=1, grant_type="mediaItems.search")
    with pytest.raises(ApiUnavailable):
        await create_once(photos, items, album_id=album)
    control.heal()

    again = await items_of(photos, 4)
    ids = await create_once(Photos(photos.session, base=photos.base), again, album_id=album)

    assert 4 == len(set(ids))
    assert wanted(4) == in_album(control)


class LateLibrary:
    """Google, when each call is cut, and the effect of one of them is there two seconds after it."""

    def __init__(self, late: int) -> None:
        self.calls, self.made = 0, list[tuple[datetime, str]]()
        self._late = late
        self.session = ScriptedSession(self._answer)

    def _answer(self, sent: Sent) -> HttpResponse:
        if sent.method == "GET":
            there = [made for at, made in self.made if at <= self.session.time]
            items = [{"id": str(number), "description": made} for number, made in enumerate(there)]
            return said(200, {"mediaItems": items})
        self.calls += 1
        if self.calls == self._late:
            at = self.session.time + timedelta(seconds=2)
            self.made += [(at, item["description"]) for item in sent.json["newMediaItems"]]
        raise HttpFailed("cut", may_have_arrived=True)


@pytest.mark.parametrize("late", [1, 4])
async def test_a_cut_call_that_takes_effect_late_is_not_repeated(late):
    """
    Neither in this try nor in the next: a job that was given up at the fourth cut comes back within a second.
    """
    library = LateLibrary(late)
    photos, items = Photos(library.session), [OnceItem(marker="job/0", upload_token="token")]
    with suppress(ApiUnavailable):
        await create_once(photos, items)

    assert ["0"] == await create_once(photos, items)
    assert late == library.calls


async def test_what_the_dead_one_sent_is_not_sent_again(monkeypatch):
    """
    On PostgreSQL another worker is at the job within a second; it leaves the call the time for its effect.
    """

    class Killed(BaseException):
        pass

    async def killed(*_):
        raise Killed

    library = LateLibrary(1)
    photos, items = Photos(library.session), [OnceItem(marker="job/0", upload_token="token")]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(library.session, "pause", killed)
        await create_once(photos, items)
    library.session.time += timedelta(seconds=0.5)
    library.session.cut_at = library.session.time

    assert ["0"] == await create_once(photos, items)
    assert 1 == library.calls
    assert [SETTLE] == library.session.pauses

    await create_once(photos, items)
    assert [SETTLE] == library.session.pauses, "once is enough"


async def test_an_item_that_is_refused_leaves_the_others_made(photos, album, control):
    """
    The refusal is raised once all that can be made is.
    """
    items = await items_of(photos, 3)
    items[1] = OnceItem("job/1", await photos.upload(b"no photo", "image/png"), "1.png", "better")

    with pytest.raises(ApiRefused) as caught:
        await create_once(photos, items, album_id=album)

    assert "INVALID_ARGUMENT" == caught.value.reason
    assert ["better [job/0]", "better [job/2]"] == in_album(control)


async def test_an_upload_token_of_yesterday_is_made_anew(photos, album, control):
    """
    A job that was parked for days uploads once more, where it said how, and only what is missing.
    """
    uploads = []

    async def again():
        uploads.append(await photos.upload(sample(1), "image/png"))
        return uploads[-1]

    first = await items_of(photos, 1)
    await create_once(photos, first, album_id=album)
    items = [
        OnceItem(item.marker, item.upload_token, item.file_name, item.description, again)
        for item in await items_of(photos, 2)
    ]
    control.advance(2 * 24 * 3600)

    await create_once(photos, items, album_id=album)

    assert wanted(2) == in_album(control)
    assert 1 == len(uploads)


async def test_one_that_stays_refused_is_uploaded_anew_only_once(photos, album):
    """
    Bytes that are no photo do not become one.
    """
    uploads = []

    async def again():
        uploads.append(await photos.upload(b"no photo", "image/png"))
        return uploads[-1]

    with pytest.raises(ApiRefused):
        await create_once(photos, [OnceItem("job/0", "expired", again=again)], album_id=album)

    assert 1 == len(uploads)


async def test_a_full_account_says_so(photos, album, control):
    """
    It is no quota that waiting cures.
    """
    items = await items_of(photos, 1)
    control.post("photos/limits", {"storage_bytes": 10})

    with pytest.raises(ApiRefused, match="RESOURCE_EXHAUSTED") as caught:
        await create_once(photos, items, album_id=album)

    assert "storage" in caught.value.hint


async def test_without_an_album_the_library_is_looked_through(photos, control):
    """
    The same dance, over everything that the app made.
    """
    items = await items_of(photos, 2)
    control.fault("photos", "lost", count=1, grant_type="mediaItems.batchCreate")
    ids = await create_once(photos, items)

    assert 2 == len(set(ids)) == len(control.get(f"photos?email={EMAIL}")["created"])


async def test_a_marker_is_the_whole_of_it(photos, album):
    """
    One that only ends or begins like another, or stands elsewhere in a description, is another.
    """
    for marker, description in (("job/1", ""), ("job/11", ""), ("x/job/1", "[job/2] and more")):
        item = OnceItem(marker, await photos.upload(sample(0), "image/png"), description=description)
        await create_once(photos, [item], album_id=album)

    found = await find_created(photos, ["job/1", "job/2", "ob/1", "job/11"], album_id=album)

    assert {"job/1", "job/11"} == set(found)
    assert {} == await find_created(photos, ["job/1"], album_id=album, look_back=1)


async def test_two_of_one_marker_are_our_bug(photos):
    """
    Which of them would be there?
    """
    with pytest.raises(ValueError, match="same marker"):
        await create_once(photos, [OnceItem("a", "1"), OnceItem("a", "2")])


@pytest.mark.parametrize("marker", ["", "a b", "a]", "a\n", "ä", "x" * 121])
def test_a_marker_that_could_be_misread_is_refused(marker):
    """
    Letters, digits and a few signs; both ends of the length.
    """
    with pytest.raises(ValueError, match="marker"):
        OnceItem(marker, "t")
    assert "x" * 120 == OnceItem("x" * 120, "t").marker


def test_a_description_has_room_for_its_marker():
    """
    Both sides of Google's thousand characters.
    """
    assert 1000 == len(OnceItem("abcde", "t", description="x" * 992).marked)
    with pytest.raises(ValueError, match="1000"):
        OnceItem("abcde", "t", description="x" * 993)


@pytest.mark.parametrize(
    ("description", "marker"),
    [("", None), ("[a]", "a"), ("text [a/1]\n", "a/1"), ("[a] text", None), ("[a b]", None), ("[a][b]", "b")],
)
def test_a_marker_stands_at_the_end(description, marker):
    """
    What the user writes before it does not matter.
    """
    assert marker == marker_of(description)
