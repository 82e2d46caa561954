"""Albums that an app made: make, list, fill and change them."""

from typing import Any

from grantkeeper.emulator import photos_errors as errors
from grantkeeper.emulator.apis_routes import Call, Message
from grantkeeper.emulator.photos_create import album_full
from grantkeeper.emulator.photos_items import cut, mask
from grantkeeper.emulator.photos_library import Album, Library, new_id
from grantkeeper.emulator.photos_limits import DESCRIPTION_LENGTH, ITEMS_PER_CALL, TITLE_LENGTH
from grantkeeper.emulator.photos_resources import AlbumPosition, album_resource, place_in
from grantkeeper.emulator.photos_state import Photos


class AlbumBody(Message):
    """An album; title and cover are what a caller can say about it."""

    id: str = ""
    title: str = ""
    product_url: str = ""
    is_writeable: bool = False
    media_items_count: str = ""
    cover_photo_base_url: str = ""
    cover_photo_media_item_id: str = ""


class CreateAlbum(Message):
    """The body of a create."""

    album: AlbumBody | None = None


class Items(Message):
    """Which items go in or out."""

    media_item_ids: tuple[str, ...] = ()


class TextEnrichment(Message):
    """A text."""

    text: str


class Enrichment(Message):
    """One of the three kinds."""

    text_enrichment: TextEnrichment | None = None
    location_enrichment: dict[str, Any] | None = None
    map_enrichment: dict[str, Any] | None = None


class AddEnrichment(Message):
    """The body of addEnrichment."""

    new_enrichment_item: Enrichment | None = None
    album_position: AlbumPosition | None = None


async def create(photos: Photos, call: Call) -> dict[str, Any]:
    """
    A new album; a second one of the same title is another album.

    Raises:
        ApiError: 400, without a title or with one that is too long.
    """
    body = (await call.message(CreateAlbum)).album or AlbumBody()
    library = photos.library(call.access)
    album = Album(new_id("AF1Qip"), _title(body.title))
    library.albums[album.id] = album
    photos.tally("photos", "albums_created")
    return album_resource(photos, library, album)


async def get(photos: Photos, call: Call) -> dict[str, Any]:
    """One album."""
    library = photos.library(call.access)
    return album_resource(photos, library, _album(library, call.arguments["albumId"]))


async def list_albums(photos: Photos, call: Call) -> dict[str, Any]:
    """All of them, the latest first."""
    library = photos.library(call.access)
    token = call.arguments["pageToken"]
    owner = f"{library.project}/{library.sub}/albums"
    ids, following = cut(photos, owner, reversed(library.albums), call.arguments["pageSize"] or 20, token)
    albums = [album_resource(photos, library, library.albums[each]) for each in ids]
    return ({"albums": albums} if albums else {}) | following


async def patch(photos: Photos, call: Call) -> dict[str, Any]:
    """
    Another title or cover.

    Raises:
        ApiError: 400, the mask names something else, or the cover is not in the album.
    """
    library = photos.library(call.access)
    album = _album(library, call.arguments["id"])
    change = await call.message(AlbumBody)
    names = mask(call, "title", "coverPhotoMediaItemId")
    if "coverPhotoMediaItemId" in names and change.cover_photo_media_item_id not in album.members:
        raise errors.invalid("The cover must be an item of the album.")
    if "title" in names:
        album.title = _title(change.title)
    if "coverPhotoMediaItemId" in names:
        album.cover = change.cover_photo_media_item_id
    return album_resource(photos, library, album)


async def add_items(photos: Photos, call: Call) -> dict[str, Any]:
    """
    Put items in at the end, all of them or none; those that are in already stay where they are.

    Raises:
        ApiError: 400, an item is not the app's own, or the album would be too full.
    """
    library = photos.library(call.access)
    album = _album(library, call.arguments["albumId"])
    ids = _ids(await call.message(Items))
    if any(each not in library.items for each in ids):
        raise errors.invalid("Request contains an invalid media item id.")
    if len(album.members.union(ids)) > photos.limits.album_items:
        raise album_full(photos.limits.album_items)
    album.place(ids, len(album.order))
    return {}


async def remove_items(photos: Photos, call: Call) -> dict[str, Any]:
    """
    Take items out, all of them or none.

    Raises:
        ApiError: 400, an item is not in the album.
    """
    album = _album(photos.library(call.access), call.arguments["albumId"])
    ids = _ids(await call.message(Items))
    if any(each not in album.members for each in ids):
        raise errors.invalid("Request contains an invalid media item id.")
    album.take_out(ids)
    return {}


async def add_enrichment(photos: Photos, call: Call) -> dict[str, Any]:
    """
    A text or a place between the items.

    Raises:
        ApiError: 400, not exactly one kind, or a text that is too long.
    """
    album = _album(photos.library(call.access), call.arguments["albumId"])
    body = await call.message(AddEnrichment)
    new = body.new_enrichment_item or Enrichment()
    kinds = (new.text_enrichment, new.location_enrichment, new.map_enrichment)
    if sum(kind is not None for kind in kinds) != 1:
        raise errors.invalid("Request must have one enrichment.")
    if new.text_enrichment is not None and not 0 < len(new.text_enrichment.text) <= DESCRIPTION_LENGTH:
        raise errors.invalid(f"A text has between 1 and {DESCRIPTION_LENGTH} characters.")
    if body.album_position is None:
        raise errors.invalid("Request must have an album position.")
    return {"enrichmentItem": {"id": album.enrich(place_in(album, body.album_position))}}


def _album(library: Library, album_id: str) -> Album:
    album = library.albums.get(album_id)
    if album is None:
        raise errors.not_found("Album not found.")
    return album


def _title(title: str) -> str:
    if not 0 < len(title) <= TITLE_LENGTH:
        raise errors.invalid(f"An album's title has between 1 and {TITLE_LENGTH} characters.")
    return title


def _ids(body: Items) -> tuple[str, ...]:
    if not 0 < len(body.media_item_ids) <= ITEMS_PER_CALL:
        raise errors.invalid(f"Request must have between 1 and {ITEMS_PER_CALL} media item ids.")
    return body.media_item_ids
