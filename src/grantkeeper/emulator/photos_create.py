"""`mediaItems:batchCreate`: uploads become items, each with its own status; one call at a time for a user."""

import asyncio
from typing import Any

from starlette.responses import Response

from grantkeeper.emulator import photos_errors as errors
from grantkeeper.emulator.answers import Json
from grantkeeper.emulator.apis_routes import Call, Message
from grantkeeper.emulator.faults import Fault
from grantkeeper.emulator.photos_library import Album, Item, Library, new_id
from grantkeeper.emulator.photos_limits import DESCRIPTION_LENGTH, FILENAME_LENGTH, ITEMS_PER_CALL
from grantkeeper.emulator.photos_media import look_at
from grantkeeper.emulator.photos_resources import AlbumPosition, item_resource, place_in
from grantkeeper.emulator.photos_state import Photos
from grantkeeper.emulator.wire import fault_of

Status = dict[str, Any]

_TOKEN_INVALID: Status = {"code": 3, "message": "Invalid upload token."}
_NOT_MEDIA: Status = {
    "code": 3,
    "message": "Failed: There was an error while trying to create this media item.",
}
_FULL: Status = {
    "code": 8,
    "message": "Failed: The remaining storage in the user's account is not enough to perform this operation.",
}
_SUCCESS: Status = {"message": "Success"}


class SimpleMediaItem(Message):
    """Where the bytes are, and how they are called."""

    upload_token: str = ""
    file_name: str = ""


class NewMediaItem(Message):
    """An item to make."""

    description: str = ""
    simple_media_item: SimpleMediaItem | None = None


class BatchCreate(Message):
    """The body of the call."""

    album_id: str = ""
    album_position: AlbumPosition | None = None
    new_media_items: tuple[NewMediaItem, ...] = ()


async def batch_create(photos: Photos, call: Call) -> Response:
    """
    Make the items. 200 if all of them could be made, 207 if not (unconfirmed).

    Raises:
        ApiError: 400, more than fifty items, none, or a text too long; an album or a place that is not there,
            or the album is full. 429, another call of this user is under way. Nothing was made.
    """
    body = await call.message(BatchCreate)
    library = photos.library(call.access)
    album, at = _checked(photos, library, body)
    if library.sub in photos.writing:
        raise errors.one_at_a_time()
    photos.writing.add(library.sub)
    try:
        photos.tally("photos", "batch_creates")
        doomed = _doomed(fault_of(call.request), len(body.new_media_items))
        made: list[str] = []
        results = []
        for number, wanted in enumerate(body.new_media_items):
            status, item = doomed.get(number), None
            if status is None:
                status, item = _create(photos, library, wanted)
            result: dict[str, Any] = {"status": status}
            if wanted.simple_media_item is not None:
                result["uploadToken"] = wanted.simple_media_item.upload_token
            if item is not None:
                made.append(item.id)
                result["mediaItem"] = item_resource(photos, item, with_url=False)
            results.append(result)
        if album is not None:
            album.place(made, at)
        photos.tally("photos", "items_created", len(made))
        photos.tally("photos", "items_refused", len(results) - len(made))
        # The effect comes before the time it takes: a caller that dies meanwhile has made the items.
        await asyncio.sleep(photos.limits.batch_create_seconds)
    finally:
        photos.writing.discard(library.sub)
    return Json({"newMediaItemResults": results}, 200 if len(made) == len(results) else 207)


def _checked(photos: Photos, library: Library, body: BatchCreate) -> tuple[Album | None, int]:
    """The album and the place in it."""
    items = body.new_media_items
    if not items:
        raise errors.invalid("Request must contain at least one new media item.")
    if len(items) > ITEMS_PER_CALL:
        raise errors.invalid("Request must have less than 50 items.")
    for item in items:
        if item.simple_media_item is None or not item.simple_media_item.upload_token:
            raise errors.invalid("Request must have an upload token for each new media item.")
        if len(item.description) > DESCRIPTION_LENGTH:
            raise errors.invalid(f"A description has at most {DESCRIPTION_LENGTH} characters.")
        if len(item.simple_media_item.file_name) > FILENAME_LENGTH:
            raise errors.invalid(f"A file name has at most {FILENAME_LENGTH} characters.")
    if not body.album_id:
        if body.album_position is not None:
            raise errors.invalid("An album position needs an album id.")
        return None, 0
    album = library.albums.get(body.album_id)
    if album is None:
        raise errors.invalid("Invalid album ID.")
    if len(album.members) + len(items) > photos.limits.album_items:
        raise album_full(photos.limits.album_items)
    return album, place_in(album, body.album_position)


def album_full(limit: int) -> Exception:
    """An album that cannot take so many more."""
    return errors.failed_precondition(f"The album would have more than {limit} items.")


def _create(photos: Photos, library: Library, wanted: NewMediaItem) -> tuple[Status, Item | None]:
    source = wanted.simple_media_item or SimpleMediaItem()
    now = photos.world.now()
    uploaded = photos.uploads.find(source.upload_token, library.sub, library.project, now)
    if uploaded is None:
        return _TOKEN_INVALID, None
    if photos.libraries.stored(library.sub) + len(uploaded.content) > photos.limits.storage_bytes:
        return _FULL, None
    photos.uploads.use(source.upload_token)
    look = look_at(uploaded.content)
    if look is None:
        return _NOT_MEDIA, None
    item = Item(
        id=new_id(),
        sub=library.sub,
        project=library.project,
        filename=source.file_name or "media",
        description=wanted.description,
        look=look,
        created_at=now,
        content=uploaded.content,
    )
    photos.libraries.add(item)
    return _SUCCESS, item


def _doomed(fault: Fault | None, count: int) -> dict[int, Status]:
    """The items that a planned fault lets fail: the last half, at least one, or as many as `items` says."""
    if fault is None or fault.kind.name != "batch_partial":
        return {}
    failing = min(count, int(fault.options.get("items", (count + 1) // 2)))
    status = {"code": int(fault.options.get("code", 13)), "message": "Internal error"}
    return dict.fromkeys(range(count - failing, count), status)
