"""Items that an app made: get, list, search and change them."""

from collections.abc import Iterable
from typing import Any, Literal

from grantkeeper.emulator import photos_errors as errors
from grantkeeper.emulator.apis_routes import Call, Message
from grantkeeper.emulator.photos_library import Item, Library
from grantkeeper.emulator.photos_limits import DESCRIPTION_LENGTH, ITEMS_PER_CALL
from grantkeeper.emulator.photos_resources import item_resource
from grantkeeper.emulator.photos_state import Photos

MOST_A_PAGE = 100
USUAL_PAGE = 25


class Date(Message):
    """A day; 0 for the parts that may be any."""

    year: int = 0
    month: int = 0
    day: int = 0


class DateRange(Message):
    """Both ends included."""

    start_date: Date
    end_date: Date


class DateFilter(Message):
    """Items of these days or of these times."""

    dates: tuple[Date, ...] = ()
    ranges: tuple[DateRange, ...] = ()


class ContentFilter(Message):
    """Items of what is in the picture, which the emulator cannot tell."""

    included_content_categories: tuple[str, ...] = ()
    excluded_content_categories: tuple[str, ...] = ()


class MediaTypeFilter(Message):
    """Only photos or only videos."""

    media_types: tuple[Literal["ALL_MEDIA", "PHOTO", "VIDEO"], ...] = ()


class FeatureFilter(Message):
    """Favourites, which no app's items are."""

    included_features: tuple[Literal["NONE", "FAVORITES"], ...] = ()


class Filters(Message):
    """All must let an item through."""

    date_filter: DateFilter | None = None
    content_filter: ContentFilter | None = None
    media_type_filter: MediaTypeFilter | None = None
    feature_filter: FeatureFilter | None = None
    include_archived_media: bool = False
    exclude_non_app_created_data: bool = False


class Search(Message):
    """The body of a search."""

    album_id: str = ""
    filters: Filters | None = None
    order_by: str = ""
    page_size: int = 0
    page_token: str = ""


class Change(Message):
    """The body of a patch; of all the members only the description can change."""

    id: str = ""
    description: str = ""
    product_url: str = ""
    base_url: str = ""
    mime_type: str = ""
    filename: str = ""
    media_metadata: dict[str, Any] | None = None


async def get(photos: Photos, call: Call) -> dict[str, Any]:
    """One item."""
    return item_resource(photos, item_of(photos, call, call.arguments["mediaItemId"]))


async def batch_get(photos: Photos, call: Call) -> dict[str, Any]:
    """Several items; one that is not there does not spoil the others."""
    ids = call.arguments["mediaItemIds"]
    if not ids or len(ids) > ITEMS_PER_CALL:
        raise errors.invalid(f"Request must have between 1 and {ITEMS_PER_CALL} media item ids.")
    items = photos.library(call.access).items
    missing = {"status": {"code": 5, "message": "Requested entity was not found."}}
    return {
        "mediaItemResults": [
            {"mediaItem": item_resource(photos, items[each])} if each in items else missing for each in ids
        ]
    }


async def list_items(photos: Photos, call: Call) -> dict[str, Any]:
    """Everything, the latest first."""
    library = photos.library(call.access)
    size, token = call.arguments["pageSize"], call.arguments["pageToken"]
    return page_of(photos, library, None if token else reversed(library.items), size, token)


async def search(photos: Photos, call: Call) -> dict[str, Any]:
    """
    An album's items in its order, or what filters let through, the latest first.

    Raises:
        ApiError: 400, album and filters together, or an album that the app did not make.
    """
    library = photos.library(call.access)
    asked = await call.message(Search)
    if asked.album_id and asked.filters is not None:
        raise errors.invalid("Request must not have both an album id and filters.")
    if asked.order_by and (asked.filters is None or asked.filters.date_filter is None):
        raise errors.invalid("orderBy needs a date filter.")
    if asked.order_by not in ("", "MediaMetadata.creation_time", "MediaMetadata.creation_time desc"):
        raise errors.invalid(f"Invalid orderBy: {asked.order_by}.")
    if not 0 <= asked.page_size <= MOST_A_PAGE:
        raise errors.invalid(f"Page size must be less than or equal to {MOST_A_PAGE}.")
    ids: Iterable[str] | None = None
    if asked.album_id:
        album = library.albums.get(asked.album_id)
        if album is None:
            raise errors.invalid("Invalid album ID.")
        ids = album.items
    elif not asked.page_token:
        ids = [item.id for item in library.items.values() if _passes(item, asked.filters or Filters())]
        ids = ids if asked.order_by == "MediaMetadata.creation_time" else reversed(ids)
    return page_of(photos, library, ids, asked.page_size, asked.page_token)


async def patch(photos: Photos, call: Call) -> dict[str, Any]:
    """
    A new description.

    Raises:
        ApiError: 400, the mask names anything else, or the text is too long.
    """
    item = item_of(photos, call, call.arguments["id"])
    change = await call.message(Change)
    mask(call, "description")
    if len(change.description) > DESCRIPTION_LENGTH:
        raise errors.invalid(f"A description has at most {DESCRIPTION_LENGTH} characters.")
    item.description = change.description
    return item_resource(photos, item)


def item_of(photos: Photos, call: Call, item_id: str) -> Item:
    """
    The app's own item of that id.

    Raises:
        ApiError: 404, there is none.
    """
    item = photos.library(call.access).items.get(item_id)
    if item is None:
        raise errors.not_found("Media item not found.")
    return item


def mask(call: Call, *known: str) -> list[str]:
    """
    The members that a patch changes.

    Raises:
        ApiError: 400, none, or one that cannot change.
    """
    names = [name.strip() for name in (call.arguments["updateMask"] or "").split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise errors.invalid(f"updateMask must name some of: {', '.join(known)}.")
    return names


def page_of(
    photos: Photos, library: Library, ids: Iterable[str] | None, size: int, token: str | None
) -> dict[str, Any]:
    """
    A page of items; an item that has gone meanwhile is passed over. An empty page has no `mediaItems`.

    Raises:
        ApiError: 400, the token is not one of this user's lists.
    """
    known, following = cut(photos, f"{library.project}/{library.sub}/items", ids, size or USUAL_PAGE, token)
    items = [library.items[each] for each in known if each in library.items]
    answer: dict[str, Any] = {}
    if items:
        answer["mediaItems"] = [item_resource(photos, item) for item in items]
    return answer | following


def cut(
    photos: Photos, owner: str, ids: Iterable[str] | None, size: int, token: str | None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """
    One page of a list: its ids and the `nextPageToken` if there is more.

    Raises:
        ApiError: 400, the token is not one of *owner*'s.
    """
    rest = photos.pages.rest(token, owner) if token else (tuple(ids or ()), 0)
    if rest is None:
        raise errors.invalid("Invalid page token.")
    known, start = rest
    end = start + size
    following = {"nextPageToken": photos.pages.keep(known, end, owner)} if end < len(known) else {}
    return known[start:end], following


def _passes(item: Item, filters: Filters) -> bool:
    if filters.media_type_filter is not None:
        kinds = filters.media_type_filter.media_types
        if "ALL_MEDIA" not in kinds and ("VIDEO" if item.look.is_video else "PHOTO") not in kinds:
            return False
    if filters.feature_filter is not None and "FAVORITES" in filters.feature_filter.included_features:
        return False
    if filters.content_filter is not None:
        wanted = filters.content_filter.included_content_categories
        if wanted and "NONE" not in wanted:
            return False
    return filters.date_filter is None or _in_dates(item, filters.date_filter)


def _in_dates(item: Item, dates: DateFilter) -> bool:
    made = item.created_at
    day = (made.year, made.month, made.day)
    for each in dates.dates:
        wanted = (each.year, each.month, each.day)
        if all(want in (0, is_) for want, is_ in zip(wanted, day, strict=True)):
            return True
    return any(
        (each.start_date.year, each.start_date.month, each.start_date.day)
        <= day
        <= (each.end_date.year, each.end_date.month, each.end_date.day)
        for each in dates.ranges
    )
