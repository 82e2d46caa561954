"""The Library API's items and albums: made, found again, changed, and never another app's."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from grantkeeper.emulator.photos_samples import sample
from grantkeeper.emulator.runner import EmulatorServer
from grantkeeper.emulator.scopes import PHOTOS_APPEND, PHOTOS_EDIT, PHOTOS_READ, PREFIX
from tests.emulator.drive_kit import other_app
from tests.emulator.photos_kit import ALBUMS, ITEMS, PhotoApp, info, reason


@pytest.fixture
def app(emulator: EmulatorServer) -> Iterator[PhotoApp]:
    app = PhotoApp(emulator)
    yield app
    app.close()


def results(response: requests.Response) -> list[dict[str, Any]]:
    """The results of a batchCreate."""
    return list(response.json()["newMediaItemResults"])


class TestBatchCreate:
    def test_each_item_has_a_result(self, app: PhotoApp) -> None:
        """
        In the order asked; a new item is shown without a baseUrl.
        """
        tokens = [app.upload(sample(0)), app.upload(b"\xff\xd8\xff\xe0 a JPEG")]
        first, second = results(app.create(*tokens))

        assert tokens == [first["uploadToken"], second["uploadToken"]]
        assert {"message": "Success"} == first["status"]
        item = first["mediaItem"]
        assert ("number 0", "0.png", "image/png") == (item["description"], item["filename"], item["mimeType"])
        assert ("240", "160", {}) == tuple(
            item["mediaMetadata"][name] for name in ("width", "height", "photo")
        )
        assert "baseUrl" not in item
        assert "image/jpeg" == second["mediaItem"]["mimeType"]

    def test_what_is_no_picture_fails_alone(self, app: PhotoApp) -> None:
        """
        207, and each item says how it went.
        """
        response = app.create(app.upload(), app.upload(b"a letter"), "CAISnonsense")

        assert 207 == response.status_code
        assert [None, 3, 3] == [each["status"].get("code") for each in results(response)]
        assert [True, False, False] == ["mediaItem" in each for each in results(response)]

    def test_fifty_items_are_the_most(self, app: PhotoApp) -> None:
        """
        51 are refused in Google's words, and none of them is made.
        """
        refused = app.create(*(["token"] * 51))

        assert (400, "INVALID_ARGUMENT") == reason(refused)
        assert "Request must have less than 50 items." == refused.json()["error"]["message"]
        assert 50 == len(app.made(50))

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"newMediaItems": [{"description": "no token"}]},
            {"newMediaItems": [{"simpleMediaItem": {"uploadToken": ""}}]},
            {"newMediaItems": [{"simpleMediaItem": {"uploadToken": "t"}, "description": "x" * 1001}]},
            {"newMediaItems": [{"simpleMediaItem": {"uploadToken": "t", "fileName": "x" * 256}}]},
            {"newMediaItems": [{"simpleMediaItem": {"uploadToken": "t"}}], "albumId": "nowhere"},
            {
                "newMediaItems": [{"simpleMediaItem": {"uploadToken": "t"}}],
                "albumPosition": {"position": "FIRST_IN_ALBUM"},
            },
            {"newMediaItems": [{"simpleMediaItem": {"uploadToken": "t"}}], "colour": "blue"},
        ],
    )
    def test_a_body_that_makes_no_sense_is_refused_whole(self, app: PhotoApp, body: dict[str, Any]) -> None:
        """
        No items, no token, texts too long, no such album, a place without an album, a misspelling.
        """
        assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", f"{ITEMS}:batchCreate", json=body))

    def test_two_calls_of_one_user_are_one_too_many(self, app: PhotoApp) -> None:
        """
        429 while the first is under way; another user is not held up, and nor is the next call.
        """
        app.limits(batch_create_seconds=3.0)
        other = PhotoApp(app.emulator)
        tokens = [app.upload(), app.upload(), other.upload()]
        first = threading.Thread(target=app.create, args=(tokens[0],))
        second = PhotoApp(app.emulator, email=app.email)
        first.start()
        while app.emulator.world.counted("totals", "photos", "batch_creates") == 0:
            first.join(0.01)
        refused = second.create(tokens[1])
        app.limits(batch_create_seconds=0.0)
        assert (429, "RESOURCE_EXHAUSTED") == reason(refused)
        assert "concurrent write request" in refused.json()["error"]["message"]
        assert 200 == other.create(tokens[2]).status_code
        first.join()

        assert 200 == second.create(tokens[1]).status_code
        second.close()
        other.close()

    def test_an_account_can_be_full(self, app: PhotoApp) -> None:
        """
        The item fails, and its token is good once there is room.
        """
        app.limits(storage_bytes=10)
        token = app.upload()
        assert [8] == [each["status"]["code"] for each in results(app.create(token))]
        app.limits(storage_bytes=10_000_000)

        assert 200 == app.create(token).status_code

    def test_scopes_that_ended_open_nothing(self, emulator: EmulatorServer) -> None:
        """
        Those of before 31 March 2025.
        """
        app = PhotoApp(emulator, PREFIX + "photoslibrary", PREFIX + "photoslibrary.sharing")

        for verb, path in (("GET", ITEMS), ("GET", ALBUMS), ("POST", f"{ITEMS}:batchCreate")):
            refused = app.call(verb, path)
            assert (403, "PERMISSION_DENIED") == reason(refused)
            assert "ACCESS_TOKEN_SCOPE_INSUFFICIENT" == info(refused)
            assert "insufficient_scope" in refused.headers["WWW-Authenticate"]
        app.close()


class TestItems:
    def test_an_item_is_found_again(self, app: PhotoApp) -> None:
        """
        With a baseUrl that needs no token, and a suffix.
        """
        made = app.made()[0]
        item = app.good("GET", f"{ITEMS}/{made['id']}")

        assert sample(0) == app.call("GET", item["baseUrl"] + "=d", token=False).content
        resized = app.call("GET", item["baseUrl"] + "=w2048-h1024", token=False)
        assert (200, "image/png") == (resized.status_code, resized.headers["content-type"])
        assert made["productUrl"] == item["productUrl"]
        assert sample(0) == requests.get(item["productUrl"], timeout=10).content

    @pytest.mark.parametrize("suffix", ["", "=", "=dv", "=x", "=w-h"])
    def test_a_base_url_needs_a_suffix_that_fits(self, app: PhotoApp, suffix: str) -> None:
        """
        None, one for videos, or nonsense.
        """
        item = app.good("GET", f"{ITEMS}/{app.made()[0]['id']}")

        assert (400, "INVALID_ARGUMENT") == reason(app.call("GET", item["baseUrl"] + suffix))

    def test_a_base_url_lives_sixty_minutes(self, app: PhotoApp) -> None:
        """
        Then the item must be asked for again; a key made up is 404.
        """
        item = app.good("GET", f"{ITEMS}/{app.made()[0]['id']}")
        app.emulator.world.advance(3540)
        assert 200 == app.call("GET", item["baseUrl"] + "=d", token=False).status_code
        app.emulator.world.advance(60)
        assert (403, "PERMISSION_DENIED") == reason(app.call("GET", item["baseUrl"] + "=d", token=False))
        forged = item["baseUrl"][:-3] + "000=d"

        assert (404, "NOT_FOUND") == reason(app.call("GET", forged, token=False))

    def test_part_of_the_bytes_can_be_asked_for(self, app: PhotoApp) -> None:
        """
        Range, for whoever was cut off.
        """
        item = app.good("GET", f"{ITEMS}/{app.made()[0]['id']}")
        rest = app.call("GET", item["baseUrl"] + "=d", headers={"Range": "bytes=100-"})

        assert (206, sample(0)[100:]) == (rest.status_code, rest.content)

    def test_lists_are_paged_the_latest_first(self, app: PhotoApp) -> None:
        """
        An item made meanwhile moves nothing; another user's token for the next page is refused.
        """
        made = [item["id"] for item in app.made(5)]
        page = app.good("GET", ITEMS, params={"pageSize": 2})
        app.made()
        seen = [item["id"] for item in page["mediaItems"]]
        token = page["nextPageToken"]
        other = PhotoApp(app.emulator)
        assert (400, "INVALID_ARGUMENT") == reason(other.call("GET", ITEMS, params={"pageToken": token}))
        while "nextPageToken" in page:
            page = app.good("GET", ITEMS, params={"pageSize": 2, "pageToken": page["nextPageToken"]})
            seen += [item["id"] for item in page["mediaItems"]]

        assert made[::-1] == seen
        assert {} == other.good("GET", ITEMS)
        assert (400, "INVALID_ARGUMENT") == reason(app.call("GET", ITEMS, params={"pageSize": 101}))
        other.close()

    def test_several_are_got_at_once(self, app: PhotoApp) -> None:
        """
        One that is not there has a status instead.
        """
        made = app.made(2)
        ids = [made[1]["id"], "nothing", made[0]["id"]]
        found = app.good("GET", f"{ITEMS}:batchGet", params={"mediaItemIds": ids})["mediaItemResults"]

        assert [made[1]["id"], None, made[0]["id"]] == [each.get("mediaItem", {}).get("id") for each in found]
        assert 5 == found[1]["status"]["code"]
        assert (400, "INVALID_ARGUMENT") == reason(app.call("GET", f"{ITEMS}:batchGet"))

    def test_a_description_changes(self, app: PhotoApp) -> None:
        """
        Named in the mask; nothing else can change.
        """
        item = app.made()[0]["id"]
        changed = app.good(
            "PATCH", f"{ITEMS}/{item}", params={"updateMask": "description"}, json={"description": "sunset"}
        )
        assert "sunset" == changed["description"] == app.good("GET", f"{ITEMS}/{item}")["description"]
        for mask, body in (
            ("", {"description": "x"}),
            ("filename", {"filename": "x"}),
            ("description", {"description": "x" * 1001}),
        ):
            refused = app.call("PATCH", f"{ITEMS}/{item}", params={"updateMask": mask}, json=body)
            assert (400, "INVALID_ARGUMENT") == reason(refused)

    def test_an_item_belongs_to_the_app_that_made_it(self, app: PhotoApp) -> None:
        """
        Another project of the same user does not find it, nor does the same project at another user.
        """
        item = app.made()[0]["id"]
        others = [
            PhotoApp(app.emulator, email=app.email, client=other_app(app.emulator)),
            PhotoApp(app.emulator),
        ]

        for other in others:
            assert (404, "NOT_FOUND") == reason(other.call("GET", f"{ITEMS}/{item}"))
            other.close()

    @pytest.mark.parametrize(
        "scope, allowed",
        [
            (PHOTOS_APPEND, {"POST"}),
            (PHOTOS_READ, {"GET"}),
            (PHOTOS_EDIT, {"PATCH"}),
        ],
    )
    def test_each_scope_opens_its_own(self, app: PhotoApp, scope: str, allowed: set[str]) -> None:
        """
        Adding, reading and changing are three.
        """
        item = app.made()[0]["id"]
        one = PhotoApp(app.emulator, scope, email=app.email)
        calls = {
            "POST": one.call("POST", f"{ITEMS}:batchCreate", json={}),
            "GET": one.call("GET", f"{ITEMS}/{item}"),
            "PATCH": one.call("PATCH", f"{ITEMS}/{item}", json={}, params={"updateMask": "description"}),
        }

        assert allowed == {verb for verb, answer in calls.items() if answer.status_code != 403}
        one.close()


class TestSearch:
    def test_filters_let_through(self, app: PhotoApp) -> None:
        """
        By kind of media and by date; what the emulator cannot tell matches nothing.
        """
        app.made(2)
        film = app.create(app.upload(b"\x00\x00\x00\x18ftypmp42 film")).json()
        video = film["newMediaItemResults"][0]["mediaItem"]
        assert {"status": "READY"} == video["mediaMetadata"]["video"]
        year = app.emulator.world.now().year

        def count(**filters: Any) -> int:
            found = app.good("POST", f"{ITEMS}:search", json={"filters": filters})
            return len(found.get("mediaItems", []))

        assert 3 == count()
        assert 1 == count(mediaTypeFilter={"mediaTypes": ["VIDEO"]})
        assert 3 == count(mediaTypeFilter={"mediaTypes": ["ALL_MEDIA"]})
        assert 3 == count(dateFilter={"dates": [{"year": year}]})
        assert 0 == count(dateFilter={"dates": [{"year": year - 1}]})
        days = [{"year": year - 1, "month": 1, "day": 1}, {"year": year + 1, "month": 1, "day": 1}]
        assert 3 == count(dateFilter={"ranges": [{"startDate": days[0], "endDate": days[1]}]})
        assert 0 == count(contentFilter={"includedContentCategories": ["CATS"]})
        assert 0 == count(featureFilter={"includedFeatures": ["FAVORITES"]})
        assert 400 == app.call("GET", app.good("GET", f"{ITEMS}/{video['id']}")["baseUrl"] + "=d").status_code

    def test_the_oldest_can_come_first(self, app: PhotoApp) -> None:
        """
        With a date filter.
        """
        made = [item["id"] for item in app.made(3)]
        body = {
            "filters": {"dateFilter": {"dates": [{"year": 0}]}},
            "orderBy": "MediaMetadata.creation_time",
            "pageSize": 2,
        }
        first = app.good("POST", f"{ITEMS}:search", json=body)
        rest = app.good("POST", f"{ITEMS}:search", json={**body, "pageToken": first["nextPageToken"]})

        assert made == [item["id"] for item in first["mediaItems"] + rest["mediaItems"]]

    @pytest.mark.parametrize(
        "body",
        [
            {"albumId": "a", "filters": {}},
            {"albumId": "nowhere"},
            {"orderBy": "MediaMetadata.creation_time"},
            {"filters": {"dateFilter": {}}, "orderBy": "size"},
            {"pageSize": 101},
            {"pageToken": "made up"},
        ],
    )
    def test_a_search_that_makes_no_sense_is_refused(self, app: PhotoApp, body: dict[str, Any]) -> None:
        """
        Album with filters, no such album, an order without dates, an unknown order, too large a page.
        """
        assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", f"{ITEMS}:search", json=body))


class TestAlbums:
    def test_items_go_in_at_the_place_asked_for(self, app: PhotoApp) -> None:
        """
        First, last, and after another.
        """
        album = app.album()
        one = app.made(1, albumId=album)[0]["id"]
        two = app.made(1, albumId=album, albumPosition={"position": "FIRST_IN_ALBUM"})[0]["id"]
        after = {"position": "AFTER_MEDIA_ITEM", "relativeMediaItemId": two}
        three = app.made(1, albumId=album, albumPosition=after)[0]["id"]

        assert [two, three, one] == app.in_album(album)
        shown = app.good("GET", f"{ALBUMS}/{album}")
        assert ("3", two, True) == tuple(
            shown[name] for name in ("mediaItemsCount", "coverPhotoMediaItemId", "isWriteable")
        )
        assert 200 == app.call("GET", shown["coverPhotoBaseUrl"] + "=w100-h100-c").status_code
        wrong = app.create(app.upload(), albumId=album, albumPosition={"position": "AFTER_ENRICHMENT_ITEM"})
        assert (400, "INVALID_ARGUMENT") == reason(wrong)

    def test_items_go_in_and_out_together_or_not_at_all(self, app: PhotoApp) -> None:
        """
        One that is not the app's own spoils the call; one that is in already stays.
        """
        album, ids = app.album(), [item["id"] for item in app.made(3)]
        add, remove = f"{ALBUMS}/{album}:batchAddMediaItems", f"{ALBUMS}/{album}:batchRemoveMediaItems"
        assert (400, "INVALID_ARGUMENT") == reason(
            app.call("POST", add, json={"mediaItemIds": [*ids, "nobody's"]})
        )
        assert [] == app.in_album(album)
        assert {} == app.good("POST", add, json={"mediaItemIds": ids[:2]})
        assert {} == app.good("POST", add, json={"mediaItemIds": ids[1:]})
        assert ids == app.in_album(album)

        assert {} == app.good("POST", remove, json={"mediaItemIds": ids[:1]})
        assert ids[1:] == app.in_album(album)
        assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", remove, json={"mediaItemIds": ids[:1]}))
        assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", add, json={"mediaItemIds": []}))
        assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", add, json={"mediaItemIds": ids[:1] * 51}))

    def test_an_album_can_be_full(self, app: PhotoApp) -> None:
        """
        20,000 items at Google.
        """
        app.limits(album_items=2)
        album, third = app.album(), app.made()[0]["id"]
        app.made(2, albumId=album)
        token = app.upload()
        full = app.create(token, albumId=album)
        assert (400, "FAILED_PRECONDITION") == reason(full)
        added = app.call("POST", f"{ALBUMS}/{album}:batchAddMediaItems", json={"mediaItemIds": [third]})
        assert (400, "FAILED_PRECONDITION") == reason(added)

        assert 200 == app.create(token).status_code

    def test_albums_are_listed_and_changed(self, app: PhotoApp) -> None:
        """
        The latest first, a page at a time; title and cover change by a mask.
        """
        albums = [app.album(f"album {number}") for number in range(3)]
        page = app.good("GET", ALBUMS, params={"pageSize": 2})
        rest = app.good("GET", ALBUMS, params={"pageSize": 2, "pageToken": page["nextPageToken"]})
        assert albums[::-1] == [album["id"] for album in page["albums"] + rest["albums"]]
        ids = [item["id"] for item in app.made(2, albumId=albums[0])]
        body = {"title": "Best", "coverPhotoMediaItemId": ids[1]}
        mask = {"updateMask": "title,coverPhotoMediaItemId"}
        changed = app.good("PATCH", f"{ALBUMS}/{albums[0]}", params=mask, json=body)
        assert ("Best", ids[1]) == (changed["title"], changed["coverPhotoMediaItemId"])
        stranger = {"coverPhotoMediaItemId": app.made()[0]["id"]}

        refused = app.call(
            "PATCH", f"{ALBUMS}/{albums[0]}", params={"updateMask": "coverPhotoMediaItemId"}, json=stranger
        )
        assert (400, "INVALID_ARGUMENT") == reason(refused)
        assert (404, "NOT_FOUND") == reason(app.call("GET", f"{ALBUMS}/nowhere"))

    @pytest.mark.parametrize("title", ["", "x" * 501])
    def test_a_title_has_a_length(self, app: PhotoApp, title: str) -> None:
        """
        Between 1 and 500 characters; two albums may have the same.
        """
        assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", ALBUMS, json={"album": {"title": title}}))
        assert app.album("x" * 500) != app.album("x" * 500)

    def test_an_album_is_enriched(self, app: PhotoApp) -> None:
        """
        A text between the items, which is none of them.
        """
        album = app.album()
        one = app.made(1, albumId=album)[0]["id"]
        path = f"{ALBUMS}/{album}:addEnrichment"
        text = {"textEnrichment": {"text": "The evening"}}
        first = {"position": "FIRST_IN_ALBUM"}
        made = app.good("POST", path, json={"newEnrichmentItem": text, "albumPosition": first})
        after = {
            "position": "AFTER_ENRICHMENT_ITEM",
            "relativeEnrichmentItemId": made["enrichmentItem"]["id"],
        }
        two = app.made(1, albumId=album, albumPosition=after)[0]["id"]
        assert [two, one] == app.in_album(album)

        for body in (
            {},
            {"newEnrichmentItem": text},
            {"newEnrichmentItem": {"textEnrichment": {"text": ""}}, "albumPosition": first},
            {"newEnrichmentItem": {**text, "mapEnrichment": {}}, "albumPosition": first},
        ):
            assert (400, "INVALID_ARGUMENT") == reason(app.call("POST", path, json=body))

    def test_nothing_is_shared_any_more(self, app: PhotoApp) -> None:
        """
        The calls that ended are refused by name.
        """
        album = app.album()
        for verb, path in (
            ("POST", f"{ALBUMS}/{album}:share"),
            ("POST", f"{ALBUMS}/{album}:unshare"),
            ("GET", "/photoslibrary/v1/sharedAlbums"),
            ("POST", "/photoslibrary/v1/sharedAlbums:join"),
            ("POST", "/photoslibrary/v1/sharedAlbums:leave"),
            ("GET", "/photoslibrary/v1/sharedAlbums/token"),
        ):
            assert (403, "PERMISSION_DENIED") == reason(app.call(verb, path, json={}))


class TestQuotas:
    def test_a_project_has_its_requests_for_a_day(self, app: PhotoApp) -> None:
        """
        429 in Google's words, for every user of the project and no other project, until the day ends.
        """
        app.limits(requests_per_day=2)
        app.made()
        refused = app.call("GET", ITEMS)
        assert (429, "RESOURCE_EXHAUSTED") == reason(refused)
        assert "Quota exceeded for quota metric 'All requests'" in refused.json()["error"]["message"]
        assert (
            "photoslibrary.googleapis.com" == (refused.json()["error"]["details"][0]["metadata"]["service"])
        )
        stranger = PhotoApp(app.emulator, client=other_app(app.emulator))
        assert 200 == stranger.call("GET", ITEMS).status_code
        app.emulator.world.advance(86_400)
        app.new_token()

        assert 200 == app.call("GET", ITEMS).status_code
        stranger.close()

    def test_bytes_have_a_quota_of_their_own(self, app: PhotoApp) -> None:
        """
        Settable as well; None is none.
        """
        item = app.good("GET", f"{ITEMS}/{app.made()[0]['id']}")
        app.limits(media_requests_per_day=1)
        assert 200 == app.call("GET", item["baseUrl"] + "=d").status_code
        assert (429, "RESOURCE_EXHAUSTED") == reason(app.call("GET", item["baseUrl"] + "=d"))
        app.limits(media_requests_per_day=None)

        assert 200 == app.call("GET", item["baseUrl"] + "=d").status_code
